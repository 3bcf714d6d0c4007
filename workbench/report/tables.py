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

from collections.abc import Iterable

from workbench.core import State, evolve
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.states import ACTIVE, TaskState
from workbench.predict.bounds import actual_bound
from workbench.predict.score import CAMPAIGN, Scores

from . import graph
from .attempts import RESOURCES, Attempts, Timing
from .history import summary
from .rows import ChoiceRow, CommandRow, EdgeRow, Failure, ForecastRow, Interval, MetricPoint, NodeRow, Progress, SetRow
from .series import Stack

_FAILURES = 1000
_DETAIL = 4000
_METRIC_POINTS = 2000
# Ends that nobody needs to look into: somebody wanted them.
_NO_FAILURE = frozenset({Cause.Cancelled.value, Cause.Recalled.value})


class Tables:
    """Incremental projection of a campaign's journal. One owner; not for use from several threads at once.

    Attributes
    ----------
    state : workbench.core.State
        Replica of the engine's state. Read only.
    nodes : dict of str to NodeRow
        Every node that ever joined.
    commands, forecasts, choices : list of CommandRow, ForecastRow, ChoiceRow
        Oldest first.
    failures : list of Failure
        The latest attempts that ended without a result (cancelled ones aside); `failed_attempts` counts all.
    metrics : dict of (set, metric) to list of MetricPoint
        Numbers that tasks reported, thinned evenly once there are many.
    scores : workbench.predict.score.Scores
        How good the forecasts of each set were, once it has ended, and those of the campaign.
    outages : list of (start, end)
        Spans without an engine, between two that served the campaign.
    created_at, last_at : float
        Wall clock of the first record, and of the last one or of what `observe` was told.
    engine_running : bool
        Whether an engine serves the campaign, as far as the journal tells: one that was killed could not say so.
    """

    def __init__(self) -> None:
        self.state = State()
        self.nodes: dict[str, NodeRow] = {}
        self.commands: list[CommandRow] = []
        self.forecasts: list[ForecastRow] = []
        self.choices: list[ChoiceRow] = []
        self.failures: list[Failure] = []
        self.failed_attempts = 0
        self.metrics: dict[tuple[str, str], list[MetricPoint]] = {}
        self.scores = Scores()
        self.outages: list[tuple[float, float]] = []
        self.created_at = 0.0
        self.last_at = 0.0
        self.engine_running = False
        self._last_record_at = 0.0
        self._served_until = 0.0
        self._inherited: set[str] = set()  # nodes of the engines before this one
        self._zero: float | None = None
        self._scale = 1.0
        self._bound: tuple[int, float] | None = None
        self._attempts = Attempts(self.clock)
        self._strides: dict[tuple[str, str], list[int]] = {}
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
        if not meant:
            return  # late, repeated or unknown: it changed nothing
        match event:
            case ev.AttemptAssigned():
                self._assigned(event)
            case ev.AttemptStarted():
                self._attempts.started(event)
            case ev.AttemptFinished():
                self._ended(record.seq, event, "done", "", None)
            case ev.AttemptEnded():
                self._ended(record.seq, event, event.cause.value, event.detail, event.exit_code)
            case ev.AttemptReported():
                self._reported(event)
            case ev.ForecastMade():
                row = (event.makespan_s, event.lower_bound_s, event.mode, event.policy, event.alternatives)
                band = (event.p10_s, event.p50_s, event.p90_s, event.sets, event.samples)
                made = ForecastRow(record.seq, self.clock(event.at), *row, *band)
                self.forecasts.append(made)
                whole = (made.p10_s, made.p50_s, made.p90_s) if made.banded else None
                self.scores.made(event.made_at_seq, made.t, whole, made.sets)
            case ev.PolicyChosen():
                what = (event.plan.name, event.makespan_s, event.reason, event.alternatives)
                self.choices.append(ChoiceRow(record.seq, self.clock(event.at), *what))
            case ev.CommandAccepted():
                said = (event.id, event.author, summary(event.edits), event.reason, event.undoes)
                passed = self._passed(event)
                self.commands.append(CommandRow(record.seq, self.clock(event.at), *said, passed=passed))
                self._settle_again()
            case ev.CommandRefused():
                why = (event.id, event.author, "grow the graph", "", "", event.rule, event.message)
                self.commands.append(CommandRow(record.seq, self.clock(event.at), *why))
            case ev.NodeJoined():
                has = (event.pool, event.cores, event.gpus, event.memory, event.host, event.at)
                self.nodes[event.node] = NodeRow(event.node, *has)
            case ev.NodeLeft():
                # What an engine that starts again says about nodes of the one before was true when that one ended.
                late = event.cause is Cause.EngineLost and event.node in self._inherited
                self._node_left(record.seq, event, self._served_until if late else event.at)
            case ev.EngineStarted():
                if self._zero is not None:
                    self.outages.append((self.clock(before), self.clock(event.at)))
                self.engine_running = True
                self._served_until = before
                self._inherited = set(self.nodes)
            case ev.EngineStopped():
                self.engine_running = False
            case ev.CampaignCreated():
                self.created_at = event.at
                self._scale = event.time_scale or 1.0

    def _passed(self, event: ev.CommandAccepted) -> tuple[str, ...]:
        """What an undo or redo passed over, in words."""
        if not event.passed:
            return ()
        known = {row.id: row.summary for row in self.commands}
        told = [f"{known.get(x.id, x.id)}: {x.why}" for x in event.passed]
        return (*told, *([f"and {event.passed_more} earlier commands"] if event.passed_more else []))

    def _assigned(self, event: ev.AttemptAssigned) -> None:
        if self._zero is None:
            self._zero = event.at
        task = self.state.task(event.task)
        if task is not None:
            self._attempts.assigned(event, task.set.name, task.index)

    def _ended(
        self,
        seq: int,
        event: ev.AttemptFinished | ev.AttemptEnded,
        outcome: str,
        detail: str,
        exit_code: int | None,
    ) -> None:
        row = self._attempts.current(event.task, event.number)
        if row is not None:
            self._attempts.ended(row, event.started, event.ended, event.at, outcome)
            self._note_failure(seq, row, detail, exit_code, event.at)
            held = self.state.sets.get(row.set)
            if held is not None and not held.n_open:
                self._settle(row.set)
                if self.state.ended:
                    self.scores.ended(CAMPAIGN, self._attempts.last_end)

    def _settle(self, name: str) -> None:
        """Nothing of the set is left to do: what was foretold of it can be scored, if it ever ran."""
        last = self._attempts.timing(name).last
        if last is not None:
            self.scores.ended(name, last)

    def _settle_again(self) -> None:
        """A command may let go on what had ended, and end what had not."""
        for name in list(self.scores.known):
            held = self.state.sets.get(name)
            if (not self.state.ended) if name == CAMPAIGN else (held is None or held.n_open > 0):
                self.scores.goes_on(name)
        for name, held in self.state.sets.items():
            if not held.n_open:
                self._settle(name)
        if self._zero is not None and self.ended:
            self.scores.ended(CAMPAIGN, self._attempts.last_end)

    def _node_left(self, seq: int, event: ev.NodeLeft, at: float) -> None:
        node = self.nodes.get(event.node)
        if node is not None and node.left is None:
            node.left, node.cause = max(at, node.joined), event.cause.value
        for row in list(self._attempts.under_way.values()):
            task = self.state.task(row.task)
            if task is None or task.number != row.number or task.state not in ACTIVE:
                self._attempts.ended(row, 0.0, at, max(at, event.at), event.cause.value)
                self._note_failure(seq, row, event.detail, None, at)

    def _note_failure(self, seq: int, row: Interval, detail: str, exit_code: int | None, at: float) -> None:
        if row.outcome == "done" or row.outcome in _NO_FAILURE:
            return
        self.failed_attempts += 1
        self._attempts.timing(row.set).failures += 1
        if len(self.failures) >= _FAILURES:
            del self.failures[: _FAILURES // 10]
        text = detail if len(detail) <= _DETAIL else "…" + detail[-_DETAIL:]
        which = (row.task, row.set, row.number, row.node, row.outcome)
        self.failures.append(Failure(seq, self.clock(at), *which, text, exit_code))

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

    # ------------------------------------------------------------------ reading: the campaign
    def clock(self, at: float) -> float:
        """Campaign time of a wall clock reading; what was before the first assignment is 0."""
        return 0.0 if self._zero is None else max(0.0, (at - self._zero) / self._scale)

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

    def progress(self) -> Progress:
        """Tasks of the whole campaign by state."""
        return Progress(dict(self.state.counts))

    def failed_tasks(self) -> int:
        """Tasks that ended without a result and have no retries left."""
        return self.state.counts[TaskState.failed]

    # ------------------------------------------------------------------ reading: attempts
    @property
    def intervals(self) -> list[Interval]:
        """One row for each attempt, in order of assignment. Rows change in place until the attempt has ended."""
        return self._attempts.rows

    @property
    def running(self) -> list[Interval]:
        """Attempts that have started and not ended."""
        return self._attempts.running

    @property
    def cursor(self) -> int:
        """Grows with every change to `intervals`."""
        return self._attempts.cursor

    def changed(self, since: int = 0) -> tuple[int, list[Interval]]:
        """The cursor to ask with next, and the rows that changed since `since`, each once."""
        return self._attempts.cursor, self._attempts.changed(since)

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
        since: dict[str, float] = {}
        for row in self.running:
            if row.start is not None:
                since[row.set] = min(row.start, since.get(row.set, row.start))
        return [self._set_row(name, ranks[name], since.get(name)) for name in self.state.sets]

    def _set_row(self, name: str, rank: int, running_since: float | None) -> SetRow:
        held = self.state.sets[name]
        t = self._attempts.timings.get(name) or Timing()
        first = min((x for x in (t.first, running_since) if x is not None), default=None)
        span = (t.last - first) if t.last is not None and first is not None else 0.0
        return SetRow(
            name=name,
            n=held.size,
            counts=dict(held.counts),
            kind=type(held.spec.work).__name__,
            resources=held.spec.resources,
            estimate=held.spec.estimate,
            priority=held.spec.priority,
            stage=held.stage,
            rank=rank,
            mean_s=t.spent / t.done if t.done else None,
            first_start=first,
            last_end=t.last,
            rate=t.done / span if span > 0 else None,
            attempts=t.attempts,
            failures=t.failures,
        )

    # ------------------------------------------------------------------ reading: time and use
    def makespan(self) -> float:
        """Seconds from the first assignment to the last end; while there is something to do, to now."""
        if self._zero is None:
            return 0.0
        if self.ended or self.state.stuck:
            return self._attempts.last_end
        # An engine that stopped or was killed knew of its running attempts up to its last record.
        now = self.last_at if self.engine_running else self._last_record_at
        return max(self._attempts.last_end, self.clock(now))

    def lower_bound(self) -> float | None:
        """Seconds that no schedule could beat; None while nothing is known.

        Until the campaign has ended it is the last forecast's, which rests on estimates; then it is computed from what
        the tasks really took.
        """
        if not self.ended or self._zero is None:
            known = self.forecasts[-1].lower_bound_s if self.forecasts else 0.0
            return known or None
        if self._bound is None or self._bound[0] != self.next_seq:
            self._bound = (self.next_seq, actual_bound(self.state))
        return self._bound[1] or None

    def utilization(self, resource: str, points: int = 1000) -> Stack:
        """How much of `resource` (``"cores"`` or ``"gpus"``) each set used over time.

        Returns
        -------
        Stack
            Step functions on common edges up to `makespan`, with at most `points` values in all and the exact area of
            busy resource-seconds. Sets that used none of it have no layer.
        """
        order = {name: i for i, name in enumerate(self.state.sets)}
        stack = self._attempts.stack(resource, self.makespan(), points)
        layers = sorted(stack.layers, key=lambda layer: order.get(layer.key, len(order)))
        return Stack(stack.edges, tuple(layers))

    def capacity(self, resource: str, until: float | None = None) -> Stack:
        """What the nodes offered over time, until they left: one layer, ``"capacity"``.

        A node that drains still counts: it is held for the campaign, and its idle slots are what the drain costs.
        """
        end = self.makespan() if until is None else until
        delta = {0.0: 0.0, end: 0.0}
        for node in self.nodes.values():
            start = self.clock(node.joined)
            stop = end if node.left is None else min(end, self.clock(node.left))
            if stop > start:
                amount = node.cores if resource == "cores" else node.gpus
                delta[start] = delta.get(start, 0.0) + amount
                delta[stop] = delta.get(stop, 0.0) - amount
        return graph.steps("capacity", delta, end)

    def busy(self, resource: str, until: float | None = None) -> float:
        """Resource-seconds used by attempts up to `until` (default: now)."""
        if until is None:
            return self._attempts.area(resource, self.makespan())
        return self._attempts.area_until(resource, until)

    def idle(self, resource: str, until: float | None = None) -> float:
        """Resource-seconds that nodes offered up to `until` (default: now) and nobody used."""
        return max(0.0, self.capacity(resource, until).area() - self.busy(resource, until))

    def utilization_fraction(self, resource: str, until: float | None = None) -> float:
        """Busy over offered resource-seconds up to `until` (default: now); 0 where none were offered."""
        offered = self.capacity(resource, until).area()
        return self.busy(resource, until) / offered if offered > 0 else 0.0


__all__ = ["RESOURCES", "Tables"]
