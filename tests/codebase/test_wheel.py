"""The wheel has everything that runs and nothing else, and works in an empty folder without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import hatch_build
from tests.codebase.sources import ROOT

DATA = {
    "workbench/cli/jupyter/labconfig/default_setting_overrides.json",
    "workbench/py.typed",
    "workbench/report/report.css",
    "workbench/report/report.js",
    "workbench/ui/palette.json",
    "workbench/ui/static/LICENSES.txt",
    "workbench/ui/static/build.json",
    *(f"workbench/ui/static/{name}" for name in hatch_build.BUNDLES),
}
"""Every file of the wheel that is no module. A new one is named here, so that none gets in or falls out unseen."""


def _build(target: str, root: Path, into: Path) -> Path:
    """Build with the hatchling that is here: no environment of its own, so no network."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)],
        cwd=root, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert hatch_build.is_current(ROOT), "the widget bundle is older than its sources: run make lab"
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installer would put on `sys.path`."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_it_has_every_module_the_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "workbench").rglob("*.py")}
    assert names == modules | DATA


def test_its_bundle_is_that_of_the_sources(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        built = json.loads(archive.read("workbench/ui/static/build.json"))
        for name in hatch_build.BUNDLES:
            assert archive.read(f"workbench/ui/static/{name}") == (ROOT / "workbench/ui/static" / name).read_bytes()
    assert built["sources"] == hatch_build.sources_digest(ROOT)


def test_it_says_what_it_is(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    told = Parser().parsestr((info / "METADATA").read_text())
    assert told["Name"] == "campaign-workbench" and told["License-Expression"] == "BSD-3-Clause"
    required = [line for line in told.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {"jupyterlab", "distributed", "anywidget", "bokeh"} <= {line.partition(">")[0] for line in required}
    assert not any(line.startswith(("torch", "OpenMM", "scikit-learn")) for line in required)
    assert "workbench = workbench.cli:main" in (info / "entry_points.txt").read_text()
    assert "BSD 3-Clause" in (info / "licenses" / "LICENSE").read_text()
    assert "py3-none-any" in (info / "WHEEL").read_text()


def test_it_runs_and_reports_a_campaign_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    def workbench(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workbench.cli", *words],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, timeout=100,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = "import workbench; print(workbench.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    path = subprocess.run([sys.executable, "-P", "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert Path(path.stdout.strip()).is_relative_to(installed), path.stdout + path.stderr
    assert "paper/example" in workbench("list")
    outcome = json.loads(workbench("run", "paper/example", "--time-scale", "0.0001", "--dir", "it", "--json"))
    assert (outcome["tasks"], outcome["done"], outcome["failed"]) == (96, 96, 0)
    workbench("report", "it")
    assert "<style>" in (tmp_path / "it" / "report.html").read_text()


def test_a_source_distribution_builds_the_same_wheel_without_node(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(source) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "source", filter="data")
    inside = {name.partition("/")[2] for name in names}
    assert {"Makefile", "constraints.txt", "hatch_build.py", "binder/requirements.txt", "LICENSE"} <= inside
    assert not any("node_modules" in name or "__pycache__" in name for name in inside)
    (root,) = (tmp_path / "source").iterdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    again = _build("wheel", root, tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert first.namelist() == second.namelist()
        assert all(first.read(name) == second.read(name) for name in DATA)
