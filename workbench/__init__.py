"""Campaign Workbench: AI-coupled HPC campaigns, declared, watched and steered from a notebook.

The public names load when they are first used, so that ``import workbench`` costs next to nothing in a task, in
the command line and in a notebook that only reads a journal.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from workbench import task
    from workbench.api import Campaign, LocalPool, SetHandle, TaskHandle, TaskSet
    from workbench.model.specs import Constant, Executable, LogNormal, Mpi, Normal, Synthetic, Uniform

_HOME = {
    "Campaign": "workbench.api",
    "LocalPool": "workbench.api",
    "SetHandle": "workbench.api",
    "TaskHandle": "workbench.api",
    "TaskSet": "workbench.api",
    "Constant": "workbench.model.specs",
    "Executable": "workbench.model.specs",
    "LogNormal": "workbench.model.specs",
    "Mpi": "workbench.model.specs",
    "Normal": "workbench.model.specs",
    "Synthetic": "workbench.model.specs",
    "Uniform": "workbench.model.specs",
}

__all__ = [
    "Campaign",
    "Constant",
    "Executable",
    "LocalPool",
    "LogNormal",
    "Mpi",
    "Normal",
    "SetHandle",
    "Synthetic",
    "TaskHandle",
    "TaskSet",
    "Uniform",
    "__version__",
    "task",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is not None:
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
    if name == "task":
        return importlib.import_module("workbench.task")
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
