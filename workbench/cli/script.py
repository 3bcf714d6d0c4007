"""A campaign from a Python file of the user's.

The file runs once, as a module of its own named ``__campaign__``: a guard ``if __name__ == "__main__":`` keeps what is
only meant for ``python FILE`` from running, and functions that the file defines travel to the workers by value, as
those of a notebook do. The file's directory comes first on the path, here and (through PYTHONPATH) in the workers, so
that it may import its neighbours.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from workbench.model.errors import WorkbenchError

MODULE = "__campaign__"


class BadScript(WorkbenchError):
    """The file does not run, or declares no campaign."""


def load(path: Path) -> ModuleType:
    """Run the file.

    Raises
    ------
    BadScript
        If it cannot be read, does not compile, or raises; names the file and the line.
    WorkbenchError
        What the campaign's own declarations refuse, with the line in the file.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise BadScript(f"{path} cannot be read: {(error.strerror or str(error)).lower()}; check the path") from None
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
    # Dataclasses, and pickling by value, look the module up.
    sys.modules[MODULE] = module
    cloudpickle.register_pickle_by_value(module)
    located(path, lambda: exec(compile(source, str(path), "exec"), module.__dict__))
    return module


def located(path: Path, run: Callable[[], Any]) -> Any:
    """``run()``, with what it raises turned into a sentence that names the line of the user's file.

    Raises
    ------
    BadScript
        For any error of the file's own.
    WorkbenchError
        For a declaration that is refused: of the same type and exit code, with the line.
    """
    try:
        return run()
    except SyntaxError as error:
        where = error.filename or str(path)
        raise BadScript(f"{where}, line {error.lineno}: {error.msg}; correct the line and try again") from None
    except WorkbenchError as error:
        error.args = (f"{_place(path, error)}: {error}",)
        raise
    except SystemExit as error:
        raise BadScript(
            f"{_place(path, error)}: the file leaves with sys.exit({error.code!r}); keep that for "
            'if __name__ == "__main__":'
        ) from None
    except Exception as error:
        raise BadScript(f"{_place(path, error)}: {type(error).__name__}: {error}; correct it and try again") from None


def _place(path: Path, error: BaseException) -> str:
    """``"FILE, line N"``: the innermost line of the user's file that led to `error`."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)
