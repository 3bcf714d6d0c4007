"""`workbench story` and `workbench report`: what happened to one task, and to the whole campaign."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from workbench.cli import directory as directories
from workbench.cli.text import put, put_json
from workbench.core import story as tales
from workbench.core.explain import why
from workbench.core.state import State, Task
from workbench.journal import read
from workbench.model.errors import UnknownName, storage_error
from workbench.model.ids import is_task, split_task
from workbench.store.layout import Layout


def story(directory: Path, target: str, as_json: bool) -> None:
    """Print what happened to a task, an attempt or a set, why it is where it is, and where its output lies.

    Raises
    ------
    UnknownName
        If the campaign has nothing of that name.
    """
    state = directories.state(directory)
    task = _find(state, target)
    lines = tales.story(read(directory, about=target.partition("#")[0]), target)
    logs = [] if task is None else _logs(directory, task)
    if as_json:
        put_json(_story(target, task, lines, logs, state))
        return
    for text in lines:
        put(text)
    if task is not None:
        put(why(state, task))
    for path in logs:
        put(f"output: {path}")


def _story(target: str, task: Task | None, lines: list[str], logs: list[Path], state: State) -> dict[str, Any]:
    about: dict[str, Any] = {"target": target, "story": lines, "output": [str(path) for path in logs]}
    if task is not None:
        cause = None if task.cause is None else str(task.cause)
        about |= {"state": str(task.state), "why": why(state, task), "attempts": task.number, "cause": cause}
        about["detail"] = task.detail
    return about


def _find(state: State, target: str) -> Task | None:
    """The task that `target` names; None if it names a set."""
    name, mark, number = target.partition("#")
    if mark and not (number.isdigit() and is_task(name)):
        raise UnknownName(f"{target!r} is no attempt; attempts are written like sim[3]#1", target)
    if not is_task(name):
        if name in state.sets:
            return None
        close = difflib.get_close_matches(name, state.sets, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"its sets are {', '.join(list(state.sets)[:10]) or 'none'}"
        raise UnknownName(f"the campaign {state.name!r} has no set {name!r}; {hint}", target)
    try:
        owner, index = split_task(name)
    except ValueError as error:
        raise UnknownName(f"{error}", target) from None
    task = state.task(name)
    if task is None:
        if owner not in state.sets:
            _find(state, owner)
        size = len(state.sets[owner].tasks)
        where = f"index {index} was removed" if index < size else f"its indices are 0 to {size - 1}"
        raise UnknownName(f"set {owner!r} has no task {name!r}; {where}", target)
    if mark and not 1 <= int(number) <= task.number:
        had = f"attempts 1 to {task.number}" if task.number else "no attempt yet"
        raise UnknownName(f"there is no attempt {target!r}; {name} has had {had}", target)
    return task


def _logs(directory: Path, task: Task) -> list[Path]:
    """Files with what the attempts printed, oldest first."""
    layout = Layout(directory)
    attempts = range(1, task.number + 1)
    paths = [path(task.id, number) for number in attempts for path in (layout.stdout, layout.stderr)]
    return [path for path in paths if path.is_file()]


def report(directory: Path, output: Path | None) -> Path:
    """Write the HTML report of a campaign; give its path.

    Raises
    ------
    StorageFull, StorageFailed
        If it cannot be written.
    """
    from workbench.report.html import write_report

    path = (output or directory / "report.html").expanduser()
    try:
        write_report(directories.tables(directory), path)
    except OSError as error:
        raise storage_error(error, "write the report", path) from error
    return path.resolve()
