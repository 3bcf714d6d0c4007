"""The rules of the whole suite hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment
from tests.codebase.sources import ROOT

SKIPPED = """
import pytest
@pytest.mark.{name}
@pytest.mark.skipif(True, reason="no {name} here")
def test_it(): ...
"""
LEAVES = """
import subprocess
def test_leaves():
    subprocess.Popen(["sleep", "60"])
"""
WARNS = """
import warnings
def test_warns():
    warnings.warn("old", DeprecationWarning)
"""


def _pytest(tmp_path: Path, text: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `text` as a test module under the project's configuration and conftest."""
    (tmp_path / "test_it.py").write_text(text)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    words = ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env=environment({"WORKBENCH_REQUIRE_BROWSER": "0", "WORKBENCH_REQUIRE_MPI": "0", **extra}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(("name", "other"), [("browser", "mpi"), ("mpi", "browser")])
def test_a_skipped_test_fails_where_what_it_needs_is_required(tmp_path: Path, name: str, other: str) -> None:
    text = SKIPPED.format(name=name)
    told = _pytest(tmp_path, text, **{f"WORKBENCH_REQUIRE_{other.upper()}": "1"})
    assert told.returncode == 0 and "1 skipped" in told.stdout, told.stdout
    told = _pytest(tmp_path, text, **{f"WORKBENCH_REQUIRE_{name.upper()}": "1"})
    assert told.returncode == 1 and f"no {name} here" in told.stdout, told.stdout


@pytest.mark.parametrize(("text", "said"), [(LEAVES, "left behind: process"), (WARNS, "DeprecationWarning: old")])
def test_what_is_left_behind_and_what_warns_fails(tmp_path: Path, text: str, said: str) -> None:
    told = _pytest(tmp_path, text)
    assert told.returncode == 1
    assert said in told.stdout
