"""The tables that every view, the report and the command line read: one incremental projection of the journal.

`Tables` folds records in order. It owns a replica of the core's `State`, so that counts of task states are the
engine's own, and keeps beside it what the state forgets: the interval of each attempt, areas of use over time,
forecasts, failures, metrics, history. All times are unscaled seconds of the campaign: measured from its first
assignment and divided by its `time_scale`.

    tables = Tables()
    tables.fold(session.events(tables.next_seq))

Readers that update often keep a cursor: `changed(cursor)` gives the rows that changed since.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from workbench.core import State, evolve
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.states import ACTIVE, TaskState

from . import graph
from .history import summary
from .rows import (
    CommandRow,
    EdgeRow,
    Failure,
    ForecastRow,
    Interval,
    MetricPoint,
    NodeRow,
    Progress,
    SetRow,
)
from .series import Grid, Stack

RESOURCES = ("cores", "gpus")
_FAILURES = 1000
_DETAIL = 4000
_METRIC_POINTS = 2000
# Ends that nobody needs to look into: somebody wanted them.
_NO_FAILURE = frozenset({"done", Cause.Cancelled.value, Cause.Recalled.value})


class _Timing:
    """What the intervals of one set amount to."""

    __slots__ = ("attempts", "done", "failures", "first", "last", "spent")

    def __init__(self) -> None:
        self.attempts = 0
        self.failures = 0
        self.done = 0
        self.spent = 0.0
        self.first: float | None = None
        self.last: float | None = None


class Tables:
    """Incremental projection of a campaign's journal. One owner; not for use from several threads at once.

    Attributes
    ----------
    state : workbench.core.State
        Replica of the engine's state. Read only.
    nodes : dict of str to NodeRow
        Every node that ever joined.
    commands, forecasts : list of CommandRow, ForecastRow
        Oldest first.
    failures : list of Failure
        The latest attempts that ended without a result (cancelled ones aside); `failed_attempts` counts all.
    metrics : dict of (set, metric) to list of MetricPoint
        Numbers that tasks reported, thinned evenly once there are many.
    outages : list of (start, end)
        Spans without an engine, between two that served the campaign.
    last_at : float
        Wall clock of the last record, or what `observe` was told.
    """

    def __init__(self) -> None:
        self.state = State()
        self.nodes: dict[str, NodeRow] = {}
        self.commands: list[CommandRow] = []
        self.forecasts: list[ForecastRow] = []
        self.failures: list[Failure] = []
        self.failed_attempts = 0
        self.metrics: dict[tuple[str, str], list[MetricPoint]] = {}
        self.created_at = 0.0
        self.last_at = 0.0
        self.engine_running = False
        self.outages: list[tuple[float, float]] = []
        self._last_record_at = 0.0
        self._served_until = 0.0
        self._zero: float | None = None
        self._scale = 1.0
        self._rows: list[Interval] = []
        self._open: dict[str, Interval] = {}
        self._log: array[int] = array("q")
        self._timing: dict[str, _Timing] = {}
        self._grids = {r: Grid() for r in RESOURCES}
        self._strides: dict[tuple[str, str], list[int]] = {}
        self._last_end = 0.0
        self._graph: tuple[int, dict[str, int], tuple[EdgeRow, ...]] | None = None

    # ------------------------------------------------------------------ folding
    @property
    def next_seq(self) -> int:
        """Sequence number of the record that `fold` expects next."""
        return self.state.seq + 1

    def fold(self, records: Iterable[ev.Record]) -> int:
        """Apply records in order; those already folded are passed over.

        Returns
        -------
        int
            How many records were new.

        Raises
        ------
        ValueError
            If a record is missing between what was folded and what comes.
        """
        n = 0
        for record in records:
            if record.seq < self.next_seq:
                continue
            if record.seq > self.next_seq:
                raise ValueError(f"record {record.seq} came where {self.next_seq} was due; read again from there")
            self._apply(record)
            n += 1
        return n

    def observe(self, at: float) -> None:
        """Tell the tables that the engine is alive at wall clock `at`, so that running attempts grow meanwhile."""
        self.last_at = max(self.last_at, at)

    def _apply(self, record: ev.Record) -> None:
        event = record.event
        before = self._last_record_at
        meant = evolve(self.state, event)
        self._last_record_at = max(before, event.at)
        self.last_at = max(self.last_at, event.at)
        if not meant and not isinstance(event, ev.CommandRefused):
            return  # late, repeated or unknown: it changed nothing
        match event:
            case ev.AttemptAssigned():
                self._assigned(event)
            case ev.AttemptStarted():
                self._started(event)
            case ev.AttemptFinished():
                self._ended(event.task, event.number, event.started, event.ended, event.at, "done")
            case ev.AttemptEnded():
                row = self._ended(event.task, event.number, event.started, event.ended, event.at, event.cause.value)
                if row is not None:
                    self._note_failure(record.seq, row, event.detail, event.exit_code, event.at)
            case ev.AttemptReported():
                self._reported(event)
            case ev.ForecastMade():
                self.forecasts.append(
                    ForecastRow(
                        record.seq,
                        self.clock(event.at),
                        event.makespan_s,
                        event.lower_bound_s,
                        event.mode,
                        event.policy,
                        event.alternatives,
                    )
                )
            case ev.CommandAccepted():
                self.commands.append(
                    CommandRow(
                        record.seq,
                        self.clock(event.at),
                        event.id,
                        event.author,
                        summary(event.edits),
                        event.reason,
                        event.undoes,
                    )
                )
            case ev.CommandRefused():
                self.commands.append(
                    CommandRow(
                        record.seq,
                        self.clock(event.at),
                        event.id,
                        event.author,
                        "grow the graph",
                        refused=event.rule,
                        message=event.message,
                    )
                )
            case ev.NodeJoined():
                self.nodes[event.node] = NodeRow(
                    event.node, event.pool, event.cores, event.gpus, event.memory, event.host, event.at
                )
            case ev.NodeLeft():
                # What an engine that starts again says about nodes of the one before was true when that one ended.
                at = self._served_until if event.cause is Cause.EngineLost else event.at
                self._node_left(event.node, at, event.cause.value)
                self._close_lost(record.seq, at, event.cause, event.detail)
            case ev.EngineStarted():
                if self._zero is not None:
                    self.outages.append((self.clock(before), self.clock(event.at)))
                self.engine_running = True
                self._served_until = before
            case ev.EngineStopped():
                self.engine_running = False
            case ev.CampaignCreated():
                self.created_at = event.at
                self._scale = event.time_scale or 1.0

    def clock(self, at: float) -> float:
        """Campaign time of a wall clock reading; what was before the first assignment is 0."""
        return 0.0 if self._zero is None else max(0.0, (at - self._zero) / self._scale)

    # ------------------------------------------------------------------ attempts
    def _timing_of(self, name: str) -> _Timing:
        timing = self._timing.get(name)
        if timing is None:
            timing = self._timing[name] = _Timing()
        return timing

    def _assigned(self, event: ev.AttemptAssigned) -> None:
        task = self.state.task(event.task)
        if task is None:
            return
        if self._zero is None:
            self._zero = event.at
        row = Interval(
            len(self._rows),
            event.task,
            task.set.name,
            task.index,
            event.number,
            event.node,
            event.cores,
            event.gpus,
            1 + len(event.others),
            len(event.gpus) + sum(len(s.gpus) for s in event.others),
            self.clock(event.at),
            queued=event.queued,
        )
        self._rows.append(row)
        self._open[event.task] = row
        self._log.append(row.row)
        self._timing_of(row.set).attempts += 1

    def _start_of(self, row: Interval, started: float, at: float) -> float:
        """Start by the worker's clock, kept within what the engine's clock allows."""
        return min(max(self.clock(started), row.assigned), max(row.assigned, self.clock(at)))

    def _started(self, event: ev.AttemptStarted) -> None:
        row = self._open.get(event.task)
        if row is None or row.number != event.number:
            return
        row.start = self._start_of(row, event.started, event.at)
        self._log.append(row.row)

    def _ended(self, task: str, number: int, started: float, ended: float, at: float, outcome: str) -> Interval | None:
        row = self._open.get(task)
        if row is None or row.number != number:
            return None  # a late finisher changes nothing
        del self._open[task]
        if row.start is None and started > 0.0:
            row.start = self._start_of(row, started, at)
        floor = row.assigned if row.start is None else row.start
        row.end = min(max(self.clock(ended or at), floor), max(floor, self.clock(at)))
        row.outcome = outcome
        self._log.append(row.row)
        self._last_end = max(self._last_end, row.end)
        timing = self._timing_of(row.set)
        if row.start is not None:
            for resource, grid in self._grids.items():
                grid.add(row.set, row.start, row.end, row.amount(resource))
            timing.first = row.start if timing.first is None else min(timing.first, row.start)
            timing.last = row.end if timing.last is None else max(timing.last, row.end)
        if outcome == "done" and row.start is not None:
            timing.done += 1
            timing.spent += row.end - row.start
        return row

    def _close_lost(self, seq: int, at: float, cause: Cause, detail: str) -> None:
        """End the rows of attempts that the core no longer knows to be under way."""
        for row in list(self._open.values()):
            task = self.state.task(row.task)
            if task is None or task.number != row.number or task.state not in ACTIVE:
                self._ended(row.task, row.number, 0.0, at, max(at, self._last_record_at), cause.value)
                self._note_failure(seq, row, detail, None, at)

    def _note_failure(self, seq: int, row: Interval, detail: str, exit_code: int | None, at: float) -> None:
        if row.outcome in _NO_FAILURE:
            return
        self.failed_attempts += 1
        self._timing_of(row.set).failures += 1
        if len(self.failures) >= _FAILURES:
            del self.failures[: _FAILURES // 10]
        text = detail if len(detail) <= _DETAIL else "…" + detail[-_DETAIL:]
        self.failures.append(
            Failure(seq, self.clock(at), row.task, row.set, row.number, row.node, row.outcome, text, exit_code)
        )

    def _node_left(self, name: str, at: float, cause: str) -> None:
        node = self.nodes.get(name)
        if node is not None and node.left is None:
            node.left, node.cause = max(at, node.joined), cause

    def _reported(self, event: ev.AttemptReported) -> None:
        task = self.state.task(event.task)
        if task is None:
            return
        t = self.clock(event.at)
        for name, value in event.metrics.items():
            if isinstance(value, (bool, str)):
                continue
            key = (task.set.name, name)
            points = self.metrics.setdefault(key, [])
            stride = self._strides.setdefault(key, [1, 0])  # keep one of how many, and how many came
            stride[1] += 1
            if stride[1] % stride[0]:
                continue
            points.append(MetricPoint(t, event.task, float(value)))
            if len(points) >= _METRIC_POINTS:
                del points[::2]
                stride[0] *= 2

    # ------------------------------------------------------------------ reading: header
    @property
    def name(self) -> str:
        return self.state.name

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def mode(self) -> str:
        return self.state.mode

    @property
    def policy(self) -> str:
        return self.state.policy

    @property
    def time_scale(self) -> float:
        return self._scale

    @property
    def started(self) -> bool:
        """Whether anything was ever assigned."""
        return self._zero is not None

    @property
    def ended(self) -> bool:
        """Whether there are tasks and all of them have ended."""
        return self.state.size > 0 and self.state.ended

    # ------------------------------------------------------------------ reading: attempts
    @property
    def intervals(self) -> list[Interval]:
        """One row for each attempt, in order of assignment. Rows change in place until the attempt has ended."""
        return self._rows

    @property
    def cursor(self) -> int:
        """Grows with every change to `intervals`."""
        return len(self._log)

    def changed(self, since: int = 0) -> tuple[int, list[Interval]]:
        """Rows that changed since the cursor `since`, each once, oldest first, and the cursor to ask with next."""
        rows = sorted(set(self._log[since:]))
        return len(self._log), [self._rows[i] for i in rows]

    @property
    def running(self) -> list[Interval]:
        """Attempts that have started and not ended."""
        return [r for r in self._open.values() if r.start is not None]

    # ------------------------------------------------------------------ reading: sets and edges
    def _shape(self) -> tuple[dict[str, int], tuple[EdgeRow, ...]]:
        version = self.state.graph_version
        if self._graph is None or self._graph[0] != version:
            edges = graph.collapse({n: [link.edge for link in s.into] for n, s in self.state.sets.items()})
            self._graph = (version, graph.ranks(list(self.state.sets), edges), edges)
        return self._graph[1], self._graph[2]

    @property
    def edges(self) -> tuple[EdgeRow, ...]:
        """Dependencies between sets, edges between single tasks folded into their sets."""
        return self._shape()[1]

    @property
    def sets(self) -> list[SetRow]:
        """One row for each set, in order of declaration."""
        ranks = self._shape()[0]
        earliest: dict[str, float] = {}
        for row in self.running:
            if row.start is not None:
                earliest[row.set] = min(row.start, earliest.get(row.set, row.start))
        return [self._set_row(name, ranks[name], earliest.get(name)) for name in self.state.sets]

    def _set_row(self, name: str, rank: int, running_since: float | None) -> SetRow:
        held = self.state.sets[name]
        spec = held.spec
        t = self._timing.get(name) or _Timing()
        first = min((x for x in (t.first, running_since) if x is not None), default=None)
        span = (t.last - first) if t.last is not None and first is not None else 0.0
        return SetRow(
            name,
            held.size,
            dict(held.counts),
            type(spec.work).__name__,
            spec.resources,
            spec.estimate,
            spec.priority,
            held.stage,
            rank,
            t.spent / t.done if t.done else None,
            first,
            t.last,
            t.done / span if span > 0 else None,
            t.attempts,
            t.failures,
        )

    def progress(self) -> Progress:
        """Tasks of the whole campaign by state."""
        return Progress(dict(self.state.counts))

    def failed_tasks(self) -> int:
        return self.state.counts[TaskState.failed]

    # ------------------------------------------------------------------ reading: time and use
    def makespan(self) -> float:
        """Seconds from the first assignment to the last end; while tasks run, to now."""
        if self._zero is None:
            return 0.0
        if self.ended or self.state.stuck:
            return self._last_end
        # An engine that was killed knew of its running attempts up to its last record.
        return max(self._last_end, self.clock(self.last_at if self.engine_running else self._last_record_at))

    def capacity(self, until: float | None = None) -> dict[str, Stack]:
        """Capacity over time: for each resource the step function of what the nodes offered."""
        end = self.makespan() if until is None else until
        times = {0.0, end}
        lives: list[tuple[float, float, NodeRow]] = []
        for node in self.nodes.values():
            life = (self.clock(node.joined), end if node.left is None else min(end, self.clock(node.left)))
            if life[1] > life[0]:
                lives.append((*life, node))
                times.update(t for t in life if t < end)
        edges = sorted(times)
        out: dict[str, Stack] = {}
        for resource in RESOURCES:
            delta = dict.fromkeys(edges, 0.0)
            for start, stop, node in lives:
                delta[start] += getattr(node, resource)
                delta[stop] -= getattr(node, resource)
            level, kept, values = 0.0, [], []
            for t in edges[:-1]:
                level += delta[t]
                if not values or values[-1] != level:
                    kept.append(t)
                    values.append(level)
            out[resource] = graph.layer("capacity", kept, values, end)
        return out

    def utilization(self, resource: str, points: int = 1000) -> Stack:
        """How much of `resource` (``"cores"`` or ``"gpus"``) each set used over time.

        Returns
        -------
        Stack
            Step functions on common edges up to `makespan`, with at most `points` values in all and the exact area of
            busy resource-seconds. Sets that used none of it have no layer.
        """
        running = [(r.set, r.start or 0.0, float(r.amount(resource))) for r in self.running]
        order = {name: i for i, name in enumerate(self.state.sets)}
        stack = self._grids[resource].stack(self.makespan(), running, points)
        layers = sorted(stack.layers, key=lambda layer: order.get(layer.key, len(order)))
        return Stack(stack.edges, tuple(layers))

    def busy(self, resource: str, until: float | None = None) -> float:
        """Resource-seconds used by attempts up to `until` (default: now)."""
        if until is None:
            now = self.makespan()
            return self._grids[resource].area() + sum(
                max(0.0, now - (r.start or 0.0)) * r.amount(resource) for r in self.running
            )
        total = 0.0
        for row in self._rows:
            if row.start is not None and row.start < until:
                total += (min(until, until if row.end is None else row.end) - row.start) * row.amount(resource)
        return total

    def offered(self, resource: str, until: float | None = None) -> float:
        """Resource-seconds that the nodes offered from the first assignment up to `until` (default: now)."""
        return self.capacity(until)[resource].area()

    def idle(self, resource: str, until: float | None = None) -> float:
        """Resource-seconds that nodes offered and nobody used."""
        return max(0.0, self.offered(resource, until) - self.busy(resource, until))

    def utilization_fraction(self, resource: str, until: float | None = None) -> float:
        """Busy over offered resource-seconds; 0 where none were offered."""
        offered = self.offered(resource, until)
        return self.busy(resource, until) / offered if offered > 0 else 0.0
