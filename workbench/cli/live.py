"""The view of a running campaign: a table that renews itself on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from workbench.cli.outcome import counted
from workbench.cli.text import line, seconds
from workbench.model.states import TaskState
from workbench.report.rows import SetRow
from workbench.report.tables import Tables

_SHOWN_SETS = 20
_BUSY = (TaskState.running, TaskState.assigned, TaskState.cancelling)
_TROUBLED = (TaskState.failed, TaskState.cancelled, TaskState.skipped, TaskState.held)
# Blue and vermilion differ for colour-blind readers too; the words say the same.
_DONE, _BAD = "blue", "bright_red"


class View(Protocol):
    """Shows tables while a campaign runs. A context manager."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tables: Tables) -> None:
        """The tables have changed, or time has passed."""


def view(stream: TextIO) -> View:
    """A renewing table if `stream` is a terminal that can show one, else plain lines."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console)
    return LineView(stream)


class TerminalView:
    """The sets with bars and counts, above them the time and the predicted finish."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False, redirect_stdout=False)

    def __enter__(self) -> TerminalView:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, tables: Tables) -> None:
        self._live.update(picture(tables), refresh=True)


def picture(tables: Tables) -> RenderableType:
    """What `TerminalView` shows."""
    head = Text(line(tables.name), style="bold", overflow="ellipsis", no_wrap=True)
    rows = _most_telling(tables.sets)
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.add_column(overflow="ellipsis", no_wrap=True, max_width=28)
    grid.add_column(width=24)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for row in rows:
        bar = ProgressBar(total=max(1, row.n), completed=row.done, complete_style=_DONE, finished_style=_DONE)
        grid.add_row(Text(row.name), bar, Text(f"{row.done}/{row.n}"), _states(row))
    parts: list[RenderableType] = [head, Text(f"{counted(tables)}   {when(tables)}", style="dim"), grid]
    if len(rows) < len(tables.sets):
        parts.append(Text(f"and {len(tables.sets) - len(rows)} more sets", style="dim"))
    return Group(*parts)


def _states(row: SetRow) -> Text:
    running = sum(row.counts.get(state, 0) for state in _BUSY)
    bad = [
        (row.counts.get(s, 0), s) for s in (TaskState.failed, TaskState.cancelled, TaskState.skipped, TaskState.held)
    ]
    text = Text(f"{running} running" if running else "")
    for n, state in bad:
        if n:
            text.append(("  " if text else "") + f"{n} {state}", style=_BAD)
    return text


def _most_telling(rows: list[SetRow]) -> list[SetRow]:
    """At most a screenful, in order of declaration: first what runs and what failed, then what waits, then the done."""
    if len(rows) <= _SHOWN_SETS:
        return rows

    def dull(place: int) -> tuple[int, int]:
        row = rows[place]
        if row.ended < row.n and any(row.counts.get(s, 0) for s in _BUSY):
            return 0, place
        if row.counts.get(TaskState.failed, 0):
            return 1, place
        return (2, place) if row.ended < row.n else (3, -place)

    kept = sorted(range(len(rows)), key=dull)[:_SHOWN_SETS]
    return [rows[place] for place in sorted(kept)]


def when(tables: Tables) -> str:
    """``"at 120 s, predicted to finish at 1235 s"``; unscaled seconds of the campaign."""
    text = f"at {seconds(tables.makespan())}"
    if tables.forecasts and not tables.ended:
        text += f", predicted to finish at {seconds(tables.forecasts[-1].makespan_s)}"
    return text


class LineView:
    """A line now and then, whenever a set has ended, and when a task has failed."""

    def __init__(self, stream: TextIO, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._every_s = every_s
        self._clock = clock
        self._next = 0.0
        self._said = ""
        self._complete: set[str] = set()
        self._failures = 0

    def __enter__(self) -> LineView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, tables: Tables) -> None:
        now = self._clock()
        complete = {row.name for row in tables.sets if row.n and row.ended == row.n}
        for name in sorted(complete - self._complete):
            self._say(f"{when(tables)}: set {name} has ended")
        self._complete |= complete
        # Only the latest failures are kept, so the count tells how many of them are new.
        new = tables.failed_attempts - self._failures
        for failure in tables.failures[-new:] if new else ():
            self._say(f"{failure.task}#{failure.number} ended: {failure.cause}")
        self._failures = tables.failed_attempts
        if now >= self._next:
            self._next = now + self._every_s
            text = counted(tables)
            if text != self._said:
                self._said = text
                self._say(f"{when(tables)}: {text}")

    def _say(self, text: str) -> None:
        print(line(text), file=self._stream, flush=True)
