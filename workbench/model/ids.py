"""Names of things. A task is ``set[index]``, an attempt ``set[index]#number``; numbers start at 1."""

from __future__ import annotations

import re
from functools import lru_cache

SET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,79}")


def task_id(set_name: str, index: int) -> str:
    """``task_id("sim", 3) == "sim[3]"``."""
    return f"{set_name}[{index}]"


@lru_cache(maxsize=1 << 15)
def split_task(task: str) -> tuple[str, int]:
    """Inverse of `task_id`.

    Raises
    ------
    ValueError
        If `task` is not of the form ``name[index]``.
    """
    if not task.endswith("]"):
        raise ValueError(f"{task!r} is not a task id; tasks are written name[index]")
    name, bracket, index = task[:-1].rpartition("[")
    if not bracket or not index.isdigit():
        raise ValueError(f"{task!r} is not a task id; tasks are written name[index]")
    return name, int(index)


def attempt_id(task: str, number: int) -> str:
    """``attempt_id("sim[3]", 1) == "sim[3]#1"``."""
    return f"{task}#{number}"


def split_attempt(attempt: str) -> tuple[str, int]:
    """Inverse of `attempt_id`."""
    task, _, number = attempt.rpartition("#")
    return task, int(number)


def set_of(target: str) -> str:
    """Name of the set that a target is, or is in."""
    return target.partition("[")[0]


def is_task(target: str) -> bool:
    """Whether `target` names one task rather than a set."""
    return target.endswith("]")
