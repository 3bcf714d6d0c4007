"""``binder/`` builds the environment of ``make lab``, by the rules of repo2docker, and opens what the pages promise.

repo2docker takes ``binder/`` alone where there is one, runs pip in the repository's root, and afterwards `postBuild`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.codebase.sources import ROOT

BINDER = ROOT / "binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lines(name: str) -> list[str]:
    """What a file in ``binder/`` says, without comments."""
    found = [line.partition("#")[0].strip() for line in (BINDER / name).read_text().splitlines()]
    return [line for line in found if line]


def installed_by_make_lab() -> str:
    recipe = (ROOT / "Makefile").read_text()
    found = re.search(r"^\$\(STAMPS\)/lab:.*?--editable '([^']+)'$", recipe, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_nothing_in_it_is_taken_in_place_of_the_requirements() -> None:
    """A file of a build pack that repo2docker asks first (conda, Docker, nix, …) would replace what is said here."""
    assert sorted(path.name for path in BINDER.iterdir()) == ["postBuild", "requirements.txt", "runtime.txt"]
    assert not (ROOT / ".binder").exists()


def test_it_installs_what_make_lab_installs_under_the_same_constraints() -> None:
    constraint, package = lines("requirements.txt")
    assert package == installed_by_make_lab()
    option, _, path = constraint.partition(" ")
    assert option == "-c"
    # pip takes the path of a constraints file from the file that names it, and that of a package from where it runs.
    assert (BINDER / path).resolve() == ROOT / "constraints.txt"
    extras = re.search(r"\[(.*)\]", package)
    assert extras is not None and set(extras[1].split(",")) <= PROJECT["optional-dependencies"].keys()


def test_every_dependency_has_a_version_that_the_project_admits() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    asked = [*PROJECT["dependencies"], *(r for group in PROJECT["optional-dependencies"].values() for r in group)]
    for requirement in asked:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+?)(>=|==)([0-9.]+)", requirement)
        assert found is not None, requirement
        name, how, version = found.groups()
        pin = pins[re.sub(r"[-_.]+", "-", name).lower()]
        assert (_numbers(pin) >= _numbers(version)) if how == ">=" else pin == version, f"{requirement}, pinned {pin}"


def test_its_python_is_one_that_the_project_admits() -> None:
    (said,) = lines("runtime.txt")
    found = re.fullmatch(r"python-(3\.\d+)", said)
    assert found is not None
    assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]
    assert _numbers(found[1]) >= _numbers(PROJECT["requires-python"].removeprefix(">="))


def test_its_last_step_can_run_and_looks_at_what_is_installed() -> None:
    script = BINDER / "postBuild"
    assert os.access(script, os.X_OK), "repo2docker runs it as a program"
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True, timeout=60)
    assert "set -euo pipefail" in script.read_text()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
