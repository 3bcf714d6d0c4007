"""The intervals of all attempts, and what they amount to: areas of use over time, and timings by set."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from workbench.model import events as ev

from .rows import Interval
from .series import Grid, Stack

RESOURCES = ("cores", "gpus")


class Timing:
    """What the attempts of one set amount to: seconds, and numbers of attempts."""

    __slots__ = ("attempts", "done", "failures", "first", "last", "spent")

    def __init__(self) -> None:
        self.attempts = 0
        self.failures = 0
        self.done = 0
        self.spent = 0.0
        self.first: float | None = None
        self.last: float | None = None


class Attempts:
    """Interval rows in order of assignment.

    Parameters
    ----------
    clock : callable
        Campaign time of a reading of the engine's or a worker's clock.
    """

    def __init__(self, clock: Callable[[float], float]) -> None:
        self.rows: list[Interval] = []
        self.under_way: dict[str, Interval] = {}
        self.timings: dict[str, Timing] = {}
        self.last_end = 0.0
        self._clock = clock
        self._log: array[int] = array("q")
        self._grids = {r: Grid() for r in RESOURCES}

    # ------------------------------------------------------------------ folding
    def assigned(self, event: ev.AttemptAssigned, owner: str, index: int) -> None:
        """Open a row."""
        gpus = len(event.gpus) + sum(len(s.gpus) for s in event.others)
        row = Interval(
            row=len(self.rows),
            task=event.task,
            set=owner,
            index=index,
            number=event.number,
            node=event.node,
            cores=event.cores,
            gpus=event.gpus,
            nodes=1 + len(event.others),
            all_gpus=gpus,
            assigned=self._clock(event.at),
            queued=event.queued,
        )
        self.rows.append(row)
        self.under_way[event.task] = row
        self._log.append(row.row)
        self.timing(owner).attempts += 1

    def started(self, event: ev.AttemptStarted) -> None:
        """Note when the attempt's process began."""
        row = self.under_way.get(event.task)
        if row is not None and row.number == event.number:
            row.start = self._start(row, event.started, event.at)
            self._log.append(row.row)

    def ended(self, row: Interval, started: float, ended: float, at: float, outcome: str) -> None:
        """Close a row; `started` and `ended` are the worker's readings, 0 where it gave none."""
        del self.under_way[row.task]
        if row.start is None and started > 0.0:
            row.start = self._start(row, started, at)
        floor = row.assigned if row.start is None else row.start
        row.end = min(max(self._clock(ended or at), floor), max(floor, self._clock(at)))
        row.outcome = outcome
        self._log.append(row.row)
        self.last_end = max(self.last_end, row.end)
        if row.start is None:
            return
        timing = self.timing(row.set)
        timing.first = row.start if timing.first is None else min(timing.first, row.start)
        timing.last = row.end if timing.last is None else max(timing.last, row.end)
        if outcome == "done":
            timing.done += 1
            timing.spent += row.end - row.start
        for resource, grid in self._grids.items():
            grid.add(row.set, row.start, row.end, row.amount(resource))

    def _start(self, row: Interval, started: float, at: float) -> float:
        """Start by the worker's clock, kept within what the engine's clock allows."""
        return min(max(self._clock(started), row.assigned), max(row.assigned, self._clock(at)))

    # ------------------------------------------------------------------ reading
    def timing(self, owner: str) -> Timing:
        """What the attempts of set `owner` amount to so far."""
        timing = self.timings.get(owner)
        if timing is None:
            timing = self.timings[owner] = Timing()
        return timing

    def current(self, task: str, number: int) -> Interval | None:
        """The row of an attempt that has not ended."""
        row = self.under_way.get(task)
        return row if row is not None and row.number == number else None

    @property
    def running(self) -> list[Interval]:
        """Attempts that have started and not ended."""
        return [r for r in self.under_way.values() if r.start is not None]

    @property
    def cursor(self) -> int:
        """Grows with every change to a row."""
        return len(self._log)

    def changed(self, since: int) -> list[Interval]:
        """Rows that changed since a cursor, each once, in order of assignment."""
        return [self.rows[i] for i in sorted(set(self._log[since:]))]

    def stack(self, resource: str, now: float, points: int) -> Stack:
        """Use of `resource` by set up to `now`."""
        running = [(r.set, r.start or 0.0, float(r.amount(resource))) for r in self.running]
        return self._grids[resource].stack(now, running, points)

    def area(self, resource: str, now: float) -> float:
        """Resource-seconds used up to `now`, which must not lie before the last end."""
        running = sum(max(0.0, now - (r.start or 0.0)) * r.amount(resource) for r in self.running)
        return self._grids[resource].area() + running

    def area_until(self, resource: str, until: float) -> float:
        """Resource-seconds used before `until`; looks at every row."""
        total = 0.0
        for row in self.rows:
            if row.start is not None and row.start < until:
                end = until if row.end is None else min(until, row.end)
                total += max(0.0, end - row.start) * row.amount(resource)
        return total
