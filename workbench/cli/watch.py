"""`workbench status` and `workbench tail`: how a campaign stands and what happens, without touching its engine."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.cli import directory as directories
from workbench.cli.live import when
from workbench.cli.outcome import chosen, counted, failures, outcome
from workbench.cli.text import line, put, put_json, seconds
from workbench.cli.words import told
from workbench.journal import Holder, follow, read
from workbench.model import events as ev
from workbench.report.tables import Tables

_LEASE_EVERY_S = 0.5


def status(directory: Path, as_json: bool) -> None:
    """Print how the campaign stands."""
    holder = directories.holder(directory)
    tables = directories.tables(directory)
    if holder is not None:
        # What runs has run until now, not until the last record.
        tables.observe(time.time())
    if as_json:
        put_json(_status(tables, directory, holder))
        return
    put(f"{line(tables.name)}  {directory}")
    put(_who(tables, directory, holder))
    put(f"{counted(tables)}; {tables.mode}, {tables.policy}; {when(tables)}")
    choice = chosen(tables)
    if choice is not None:
        put(f"auto chose {line(choice.reason)}")
    if tables.sets:
        Console(highlight=False, markup=False, emoji=False).print(_sets(tables))
    for text in failures(tables, directory):
        put(text)


def _status(tables: Tables, directory: Path, holder: Holder | None) -> dict[str, Any]:
    sets = [
        {
            "name": row.name,
            "tasks": row.n,
            **{str(state): n for state, n in row.counts.items() if n},
            "mean": row.mean_s,
            "attempts": row.attempts,
        }
        for row in tables.sets
    ]
    return {
        **outcome(tables, directory),
        "ended": tables.ended,
        "running_engine": None if holder is None else {"host": holder.host, "pid": holder.pid, "since": holder.at},
        "sets": sets,
    }


def _who(tables: Tables, directory: Path, holder: Holder | None) -> str:
    if holder is not None:
        return f"run by {holder}"
    if tables.ended:
        return "ended"
    how = "its engine ended without a word" if tables.engine_running else "stopped"
    return f"{how}; go on with: workbench resume {directory}"


def _sets(tables: Tables) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("set", overflow="fold")
    for name in ("tasks", "done", "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("otherwise")
    for row in tables.sets:
        rest = ", ".join(f"{n} {state}" for state, n in row.counts.items() if n and state != "done")
        table.add_row(*map(Text, (row.name, str(row.n), str(row.done), seconds(row.mean_s), rest)))
    return table


def tail(directory: Path, last: int | None, since: int | None, going_on: bool, as_json: bool) -> None:
    """Print records as they come, until nobody runs the campaign any more.

    Parameters
    ----------
    directory : Path
        The campaign's.
    last : int or None
        How many of the records that are there to begin with; None for all.
    since : int or None
        Sequence number to begin with; then `last` does not count.
    going_on : bool
        Wait for more records while an engine runs the campaign.
    as_json : bool
        One JSON object a line instead of words.
    """
    say = _json_line if as_json else lambda record: put(told(record))
    following = since or 0
    shown: deque[ev.Record] = deque(maxlen=None if since is not None else last)
    for record in read(directory, following):
        shown.append(record)
        following = record.seq + 1
    for record in shown:
        say(record)
    if going_on:
        for record in follow(directory, following, stop=_nobody_runs(directory)):
            say(record)


def _json_line(record: ev.Record) -> None:
    put_json({"seq": record.seq, **msgspec.to_builtins(record.event)})


def _nobody_runs(directory: Path) -> Callable[[], bool]:
    """Whether the campaign is without an engine; looks at the lease now and then only."""
    next_look, free = 0.0, False

    def stopped() -> bool:
        nonlocal next_look, free
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + _LEASE_EVERY_S
            free = directories.holder(directory) is None
        return free

    return stopped
