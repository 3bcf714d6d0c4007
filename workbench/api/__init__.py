"""What a notebook imports: campaigns, task sets, handles, pools. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.executors.pools import LocalPool

    from .campaign import Campaign
    from .handles import SetHandle, TaskHandle
    from .reading import ReadingSession
    from .session import Session
    from .taskset import TaskSet

__all__ = ["Campaign", "LocalPool", "ReadingSession", "Session", "SetHandle", "TaskHandle", "TaskSet"]

_HOME = {
    "Campaign": "workbench.api.campaign",
    "LocalPool": "workbench.executors.pools",
    "ReadingSession": "workbench.api.reading",
    "Session": "workbench.api.session",
    "SetHandle": "workbench.api.handles",
    "TaskHandle": "workbench.api.handles",
    "TaskSet": "workbench.api.taskset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workbench.api' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
