"""JupyterLab is opened on loopback, on what was asked for, and fetches nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import environment, program
from workbench.cli.lab import NoLab, command_line


def test_a_notebook_below_here_keeps_here_as_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a b#.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    words = command_line(Path("notebooks/a b#.ipynb"), 0, browser=False)
    assert f"--ServerApp.root_dir={tmp_path}" in words
    assert "--LabApp.default_url=/lab/tree/notebooks/a%20b%23.ipynb" in words
    assert "--ip=127.0.0.1" in words
    assert "--no-browser" in words


def test_a_notebook_elsewhere_brings_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "n.ipynb").touch()
    monkeypatch.chdir(tmp_path / "here")
    words = command_line(tmp_path / "n.ipynb", 0, browser=True)
    assert f"--ServerApp.root_dir={tmp_path}" in words
    assert "--LabApp.default_url=/lab/tree/n.ipynb" in words
    assert "--no-browser" not in words


def test_a_notebook_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoLab, match="does not exist"):
        command_line(tmp_path / "none.ipynb", 0, browser=True)


def test_serves_until_it_is_stopped(tmp_path: Path) -> None:
    private = {
        name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "HOME")
    }
    with subprocess.Popen(
        program("lab", "--port", "0", "--json"),
        cwd=tmp_path,
        env=environment(private),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as lab:
        assert lab.stdout is not None
        try:
            told = json.loads(lab.stdout.readline())
            assert told["url"].startswith("http://127.0.0.1:")
            with urllib.request.urlopen(f"{told['url']}api/status?token={told['token']}", timeout=30) as answer:
                assert json.load(answer)["kernels"] == 0
            asked = f"{told['url']}lab/api/settings/@jupyterlab/apputils-extension:notification?token={told['token']}"
            with urllib.request.urlopen(asked, timeout=30) as answer:
                defaults = json.load(answer)["schema"]["properties"]
            assert defaults["fetchNews"]["default"] == "false", "the first page asks no question"
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{told['url']}api/contents", timeout=30)
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.wait(60)
    with pytest.raises(ProcessLookupError):
        os.kill(told["pid"], 0)
