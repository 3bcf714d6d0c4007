"""What the pages promise exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cli.conftest import environment
from tests.codebase.sources import ROOT, files, under


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _requirements() -> list[Requirement]:
    project = _project()
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "Makefile"])
def test_every_make_command_of_the_pages_exists(page: str) -> None:
    # In a block of commands (alone, or before a comment, an option or two spaces), or between backticks.
    written = (ROOT / page).read_text()
    said = set(re.findall(r"^#? *make ([a-z]+)(?: *$|  | [A-Z#])|", written, re.M)) - {""}
    said |= set(re.findall(r"`make ([a-z]+)`", written))
    assert {"lab", "test"} <= said | ({"lab"} if page == "CONTRIBUTING.md" else set())
    assert said <= _targets()


def test_every_workbench_command_of_the_pages_exists() -> None:
    from workbench.cli import commands

    said = set()
    for name, text in under("README.md", "CONTRIBUTING.md", "tutorials", suffixes=(".md",)):
        if "/" not in name or name.startswith("tutorials/"):
            said |= set(re.findall(r"(?:^|`|\s{3,})workbench ([a-z]+)\b", text, re.M))
    assert "run" in said
    assert said <= set(commands())


def test_links_between_the_pages_lead_somewhere() -> None:
    missing = []
    for name, text in under(
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tutorials", "notebooks", suffixes=(".md",)
    ):
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target and not (ROOT / name).parent.joinpath(target).exists():
                missing.append(f"{name}: {target}")
    assert missing == []


def test_notebooks_are_committed_without_outputs() -> None:
    notebooks = [path for path in files() if path.suffix == ".ipynb"]
    assert notebooks
    for path in notebooks:
        cells = json.loads(path.read_text())["cells"]
        assert [c["outputs"] for c in cells if c["cell_type"] == "code" and c["outputs"]] == [], path.name
        assert {c["execution_count"] for c in cells if c["cell_type"] == "code"} <= {None}, path.name


def test_each_dependency_has_its_reason() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    reasoned = {
        canonicalize_name(part.strip())
        for row in rows
        for part in re.sub(r"\([^)]*\)", "", row).split(",")
        if part.strip()
    }
    assert {canonicalize_name(r.name) for r in _requirements()} <= reasoned


def test_each_dependency_is_pinned_to_a_version_that_it_allows() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    wrong = [
        f"{r} has {versions.get(canonicalize_name(r.name))}"
        for r in _requirements()
        if canonicalize_name(r.name) not in versions
        or not r.specifier.contains(versions[canonicalize_name(r.name)], prereleases=True)
    ]
    assert wrong == []
    assert versions["torch"] == "2.13.0"


def test_versions_agree() -> None:
    import workbench

    assert f"version: {workbench.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {workbench.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_example_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    (tmp_path / "first.py").write_text(example)
    told = subprocess.run(
        [sys.executable, "first.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    expected = max(sum((seed * 7919 + i) % 310 for i in range(100_000)) / 100_000 for seed in range(8))
    assert float(told.stdout) == pytest.approx(expected)
