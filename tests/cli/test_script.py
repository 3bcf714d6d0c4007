"""A user's file as the source of a campaign."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from tests.cli.conftest import environment
from workbench.cli import script
from workbench.model.errors import DuplicateName


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading a file changes the process for good, which is right for a command and wrong for a test."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    path = list(sys.path)
    yield
    sys.path[:] = path
    module = sys.modules.pop(script.MODULE, None)
    if module is not None:
        cloudpickle.unregister_pickle_by_value(module)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return path


def test_the_guard_for_python_is_not_entered(tmp_path: Path) -> None:
    module = script.load(_file(tmp_path, "ran = False\nif __name__ == '__main__':\n    ran = True\n"))
    assert module.ran is False


def test_neighbours_can_be_imported_here_and_in_children(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("x = 5\n")
    assert script.load(_file(tmp_path, "from neighbour_of_mine import x\n")).x == 5
    told = subprocess.run(
        [sys.executable, "-c", "import neighbour_of_mine as n; print(n.x)"],
        env=dict(os.environ),
        capture_output=True,
        check=True,
    )
    assert told.stdout == b"5\n"
    sys.modules.pop("neighbour_of_mine")


def test_functions_and_classes_of_the_file_travel_by_value(tmp_path: Path) -> None:
    text = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Point:
    x: int

def double(n):
    return Point(2 * n)
"""
    module = script.load(_file(tmp_path, text))
    data = cloudpickle.dumps(module.double)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(21).x)"
    told = subprocess.run([sys.executable, "-c", code], input=data, env=environment(), capture_output=True, check=True)
    assert told.stdout == b"42\n"
    assert pickle.loads(data) is not module.double


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = = 2\n", r"mine.py, line 2: invalid syntax; correct"),
        ("\n\n1 / 0\n", r"mine.py, line 3: ZeroDivisionError: division by zero"),
        ("def f():\n    return len(5)\n\nf()\n", r"mine.py, line 2: TypeError"),
        ("import not_there_at_all\n", r"mine.py, line 1: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("import json\njson.loads('{')\n", r"mine.py, line 2: JSONDecodeError"),
        ("import sys\nsys.exit(3)\n", r"mine.py, line 2: the file leaves with sys.exit\(3\)"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(script.BadScript, match=said):
        script.load(_file(tmp_path, text))


def test_what_a_declaration_refuses_keeps_its_type_and_gains_the_line(tmp_path: Path) -> None:
    text = "from workbench.model.errors import DuplicateName\n\nraise DuplicateName('sim is taken; rename it')\n"
    with pytest.raises(DuplicateName, match=r"mine.py, line 3: sim is taken; rename it") as caught:
        script.load(_file(tmp_path, text))
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(script.BadScript, match="cannot be read: no such file"):
        script.load(tmp_path / "none.py")
