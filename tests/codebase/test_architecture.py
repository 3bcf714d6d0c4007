"""Who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.codebase.sources import ROOT, under

PURE = {"msgspec", "workbench"}


def test_contracts_between_the_rooms_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


def _imported(text: str) -> set[str]:
    """First words of every module that the text imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("room", ["workbench/model", "workbench/core"])
def test_the_pure_rooms_import_the_standard_library_and_msgspec_only(room: str) -> None:
    texts = dict(under(room))
    assert texts, f"{room} has no files"
    strangers = {name: _imported(text) - PURE - sys.stdlib_module_names for name, text in texts.items()}
    assert {name: found for name, found in strangers.items() if found} == {}


FORBIDDEN_MODULES = {
    "asyncio", "datetime", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "pathlib", "pickle", "secrets",
    "select", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "uuid",
}  # fmt: skip
# Of modules that have both, what only computes: formatting a time that is given, a generator with a given seed.
HARMLESS = {
    "os": {"PathLike", "fspath"},
    "time": {"gmtime", "localtime", "strftime"},
    "random": {"Random"},
}


@pytest.mark.parametrize("room", ["workbench/model", "workbench/core"])
def test_the_pure_rooms_have_no_clock_no_io_and_no_randomness(room: str) -> None:
    found = []
    for name, text in under(room):
        found += [f"{name} imports {module}" for module in sorted(_imported(text) & FORBIDDEN_MODULES)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in HARMLESS:
                if node.attr not in HARMLESS[node.value.id]:
                    found.append(f"{name}:{node.lineno}: {node.value.id}.{node.attr}")
            elif isinstance(node, ast.ImportFrom) and node.module in HARMLESS:
                wrong = {alias.name for alias in node.names} - HARMLESS[node.module]
                found += [f"{name}:{node.lineno}: {node.module}.{each}" for each in sorted(wrong)]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in {"open", "print", "input", "exec", "eval", "__import__"}:
                    found.append(f"{name}:{node.lineno}: {node.func.id}(...)")
                elif node.func.id == "Random" and not node.args:
                    found.append(f"{name}:{node.lineno}: Random() without a seed")
    assert found == []


HEAVY = (
    "asyncio",
    "bokeh",
    "dask",
    "distributed",
    "IPython",
    "ipywidgets",
    "msgspec",
    "numpy",
    "rich",
    "torch",
    "typer",
)


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in told.stdout.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    # What an import costs is what it loads; a stopwatch would test the machine.
    assert _loaded_by("import workbench; workbench.__version__; dir(workbench)").isdisjoint(HEAVY)


def test_declaring_loads_no_cluster_and_no_plots() -> None:
    loaded = _loaded_by("from workbench import Campaign, Constant, Executable, LocalPool, Synthetic, TaskSet")
    assert loaded.isdisjoint({"bokeh", "dask", "distributed", "torch", "IPython"})


def test_task_side_interface_is_light() -> None:
    assert _loaded_by("from workbench import task; task.id").isdisjoint(
        {"bokeh", "dask", "distributed", "numpy", "torch"}
    )


def test_every_public_name_loads() -> None:
    code = "import workbench\nfor name in workbench.__all__: getattr(workbench, name)\nfrom workbench import *"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, timeout=60, check=True)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import workbench

    with pytest.raises(AttributeError, match="no attribute 'Kampagne'"):
        workbench.Kampagne  # noqa: B018
