"""An executor in memory: nodes, slots, queues and timers, but no processes. For tests of the engine and for chaos.

It keeps the rules of `executors.port` as the real one does, on any `testing.clock`: with a `FakeClock` a campaign of
days is over when the test says so, and two runs are equal. Synthetic work is a timer; a function is called in this
process when its time is over (so it cannot be killed or timed out from within, and what it was told is there when it
begins); executables and MPI are refused. `script` makes attempts misbehave, `lose` and `join` make nodes come and go.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from workbench.executors import faults
from workbench.executors.agent.pipe import Raised
from workbench.executors.agent.wire import decode_growth
from workbench.executors.faults import Fault
from workbench.executors.inprocess import InProcess
from workbench.executors.port import Deliver
from workbench.model.actions import Action, Launch, Provide, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.edits import Edit
from workbench.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    Event,
    NodeJoined,
    NodeLeft,
)
from workbench.model.ids import attempt_id, split_task
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Function, Result, Synthetic
from workbench.testing.clock import Clock, LoopClock, Timer

STARTED_AFTER_S = 0.05
F = TypeVar("F", bound=Fault)
Key = tuple[str, int]


class _Attempt:
    def __init__(self, launch: Launch, faults: list[Fault]) -> None:
        self.launch, self.faults = launch, faults
        self.key: Key = (launch.placed.task, launch.placed.number)
        self.started: float | None = None
        self.ended = False
        self.timers: list[Timer] = []
        self.steered: dict[str, Any] = {}
        self.told_to_stop = False

    def fault(self, kind: type[F]) -> F | None:
        return next((f for f in reversed(self.faults) if isinstance(f, kind)), None)

    def shares(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield self.launch.placed.node, self.launch.placed.gpus
        for share in self.launch.placed.others:
            yield share.node, share.gpus


class _Node:
    def __init__(self, name: str, pool: Pool) -> None:
        self.name, self.pool, self.shape = name, pool.name, pool.shape
        self.cores, self.memory = pool.shape.cores, pool.shape.memory
        self.gpus = set(range(pool.shape.gpus))
        self.running: dict[Key, _Attempt] = {}
        self.queue: deque[_Attempt] = deque()
        self.leaving = False  # as soon as it is empty

    def fits(self, attempt: _Attempt, gpus: tuple[int, ...]) -> bool:
        placed = attempt.launch.placed
        memory = not self.shape.memory or placed.memory <= self.memory
        return placed.cores <= self.cores and memory and self.gpus.issuperset(gpus)

    def take(self, attempt: _Attempt, gpus: tuple[int, ...]) -> None:
        placed = attempt.launch.placed
        self.cores -= placed.cores
        self.memory -= placed.memory
        self.gpus.difference_update(gpus)
        self.running[attempt.key] = attempt

    def give(self, attempt: _Attempt, gpus: tuple[int, ...]) -> None:
        if self.running.pop(attempt.key, None) is not None:
            self.cores += attempt.launch.placed.cores
            self.memory += attempt.launch.placed.memory
            self.gpus.update(gpus)


class FakeCluster:
    """See the head of the file.

    Parameters
    ----------
    nodes, shape : int, NodeShape
        One pool called ``"fake"``; or give `pools`.
    pools : sequence of Pool, optional
        Pools in place of that one.
    clock : testing.clock.Clock, optional
        Default: the running event loop's time.
    layout : store.layout.Layout, optional
        Where payloads and large results are; without it, in a temporary directory.
    tx : float or callable
        Seconds that a function takes, or a callable from its `Launch` to that.
    prefetch : int
        What `NodeJoined.prefetch` says.
    join_s : float
        How long a node takes to join.

    Attributes
    ----------
    actions : list of Action
        Everything that the engine asked for, in order.
    peaks : dict
        Node -> the most cores that were ever in use.
    violations : list of str
        Launches that asked for slots that were not free (they wait; the engine should never do that).
    """

    def __init__(
        self,
        nodes: int = 1,
        shape: NodeShape | None = None,
        *,
        pools: Sequence[Pool] | None = None,
        clock: Clock | None = None,
        layout: Any = None,
        tx: float | Callable[[Launch], float] = 0.0,
        prefetch: int = 0,
        join_s: float = 0.0,
    ) -> None:
        declared = pools if pools is not None else [Pool("fake", nodes, shape or NodeShape(4), "fake")]
        self.pools = {p.name: p for p in declared}
        self.clock: Clock = clock if clock is not None else LoopClock()
        self.prefetch, self.join_s = prefetch, join_s
        self._functions = InProcess(str(layout.directory)) if layout is not None else None
        self._temporary = ""
        self._tx = tx
        self._deliver: Deliver | None = None
        self._epoch = 0
        self._nodes: dict[str, _Node] = {}
        self._wanted: dict[str, int] = {p.name: p.nodes for p in declared}
        self._coming: dict[str, dict[str, Timer]] = {p.name: {} for p in declared}
        self._names: dict[str, int] = {}
        self._known: dict[Key, _Attempt] = {}
        self._scripts: list[tuple[str, int | None, Fault]] = []
        self._out: list[Event] = []
        self._loose: list[Timer] = []
        self.actions: list[Action] = []
        self.peaks: dict[str, int] = {}
        self.violations: list[str] = []

    # --- the port ---

    async def start(self, deliver: Deliver, *, epoch: int) -> None:
        self._deliver, self._epoch = deliver, epoch
        for pool in self.pools.values():
            for _ in range(pool.nodes):
                self.join(pool.name, after_s=self.join_s)

    def act(self, actions: Sequence[Action]) -> None:
        self.actions.extend(actions)
        if self._deliver is None:
            return
        for action in actions:
            if isinstance(action, Launch):
                self._launch(action)
            elif isinstance(action, Stop):
                self._stop(action)
            elif isinstance(action, Provide):
                self._provide(action)
            else:
                self._tell(action)

    async def close(self) -> None:
        self._deliver = None
        for attempt in self._known.values():
            self._cancel(attempt)
        for timer in [*self._loose, *(t for timers in self._coming.values() for t in timers.values())]:
            timer.cancel()
        self._nodes.clear()
        self._out.clear()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    # --- what tests do to it ---

    def declare(self, pool: Pool) -> None:
        """Know a pool that was added to the campaign; `Provide` brings its nodes."""
        self.pools.setdefault(pool.name, pool)
        self._coming.setdefault(pool.name, {})
        self._wanted.setdefault(pool.name, pool.nodes)

    def script(self, target: str, *wanted: Fault, number: int | None = None) -> None:
        """Let `wanted` befall attempts of the task or set `target` (of attempt `number` only, if given)."""
        self._scripts.extend((target, number, fault) for fault in wanted)

    def join(self, pool: str, after_s: float = 0.0) -> str:
        """A node joins; returns its name."""
        index = self._names.get(pool, 0)
        self._names[pool] = index + 1
        name = f"{pool}-{index}.e{self._epoch}"
        if after_s <= 0:
            self._joined(name, pool)
        else:
            self._coming[pool][name] = self.clock.call_later(after_s, self._joined, name, pool)
        return name

    def lose(self, node: str, cause: Cause = Cause.NodeLost, after_s: float = 0.0) -> None:
        """A node goes away with its attempts."""
        if after_s > 0:
            self._loose.append(self.clock.call_later(after_s, self.lose, node, cause))
            return
        gone = self._nodes.pop(node, None)
        if gone is None:
            return
        # Attempts that have a share here but live elsewhere end by themselves, after the node.
        maimed = [a for a in gone.running.values() if a.launch.placed.node != node]
        for attempt in [*gone.running.values(), *gone.queue]:
            if attempt in maimed:
                continue
            self._cancel(attempt)
            late = attempt.fault(faults.Late)
            if late is not None and attempt.started is not None:
                attempt.timers = [self.clock.call_later(late.by_s, self._publish, attempt)]
            self._release(attempt)
        self._emit(NodeLeft(self.clock.now(), node, cause))
        for attempt in maimed:
            self._end(attempt, Cause.NodeLost, f"{node}, one of its nodes, went away")
        for name in list(self._nodes):
            self._pump(name)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that are there now."""
        return tuple(self._nodes)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the attempts that hold slots now."""
        return tuple(attempt_id(*a.key) for a in self._known.values() if a.started is not None and not a.ended)

    # --- nodes ---

    def _joined(self, name: str, pool: str) -> None:
        self._coming[pool].pop(name, None)
        declared = self.pools[pool]
        full = sum(n.pool == pool and not n.leaving for n in self._nodes.values()) >= self._wanted[pool]
        node = self._nodes[name] = _Node(name, declared)
        if full:  # the core gives it nothing
            node.leaving = True
            self._give_back_soon()
        shape = declared.shape
        self._emit(
            NodeJoined(self.clock.now(), name, pool, shape.cores, shape.gpus, shape.memory, "fake", self.prefetch)
        )

    def _provide(self, action: Provide) -> None:
        if action.declared is not None:
            self.declare(action.declared)
        if action.pool not in self.pools:
            return
        there = [n for n in self._nodes.values() if n.pool == action.pool]
        staying = [n for n in there if n.name not in action.retire]
        coming = self._coming[action.pool]
        self._wanted[action.pool] = action.nodes
        for name in list(coming)[max(0, action.nodes - len(staying)) :]:
            coming.pop(name).cancel()
        kept = staying[: action.nodes]
        for node in there:
            node.leaving = node not in kept
            if node.leaving and action.now:
                self.lose(node.name, Cause.Preempted)
        self._give_back_soon()
        for _ in range(action.nodes - len(staying) - len(coming)):
            self.join(action.pool, after_s=self.join_s)

    def _give_back_soon(self) -> None:
        if any(node.leaving for node in self._nodes.values()):
            self._loose.append(self.clock.call_later(0.0, self._give_back))

    def _give_back(self) -> None:
        """Let the nodes go that leave and are empty; told at once, so that no launch can come in between."""
        for node in list(self._nodes.values()):
            if node.leaving and not node.running and not node.queue:
                self.lose(node.name, Cause.Preempted)
        self._flush()

    # --- attempts ---

    def _launch(self, launch: Launch) -> None:
        placed = launch.placed
        attempt = _Attempt(launch, [f for target, n, f in self._scripts if self._meant(target, n, placed)])
        if attempt.key in self._known:
            return
        self._known[attempt.key] = attempt
        missing = [name for name, _ in attempt.shares() if name not in self._nodes]
        if missing:
            # A node that left has said so, and that ends the attempt; one that never was is an error.
            if all(name.rpartition(".e")[0].rpartition("-")[0] not in self.pools for name in missing):
                self._end(attempt, Cause.LaunchRefused, f"there is no node {missing[0]}")
            return
        if not isinstance(launch.plan.work, (Synthetic, Function)) and attempt.fault(faults.Returns) is None:
            kind = type(launch.plan.work).__name__
            self._end(attempt, Cause.LaunchRefused, f"{kind}: the fake cluster starts no processes")
            return
        if not placed.queued and self._fits(attempt):
            self._begin(attempt)
            return
        if not placed.queued:
            self.violations.append(f"{attempt_id(*attempt.key)} on {placed.node}: its slots are not free")
        self._nodes[placed.node].queue.append(attempt)
        self._pump(placed.node)

    @staticmethod
    def _meant(target: str, number: int | None, placed: Any) -> bool:
        return target in (placed.task, split_task(placed.task)[0]) and number in (None, placed.number)

    def _fits(self, attempt: _Attempt) -> bool:
        return all(name in self._nodes and self._nodes[name].fits(attempt, gpus) for name, gpus in attempt.shares())

    def _pump(self, name: str) -> None:
        node = self._nodes.get(name)
        while node is not None and node.queue and self._fits(node.queue[0]):
            self._begin(node.queue.popleft())

    def _begin(self, attempt: _Attempt) -> None:
        for name, gpus in attempt.shares():
            node = self._nodes[name]
            node.take(attempt, gpus)
            self.peaks[name] = max(self.peaks.get(name, 0), node.shape.cores - node.cores)
        now = attempt.started = self.clock.now()
        takes, ends = attempt.fault(faults.Takes), attempt.fault(faults.Ends)
        seconds = takes.seconds if takes is not None else self._seconds(attempt.launch)
        plan = attempt.launch.plan
        timeout = None if plan.timeout_s is None else plan.timeout_s * plan.time_scale
        silent = attempt.fault(faults.Silent) is not None
        if silent or seconds >= STARTED_AFTER_S:
            self._emit(AttemptStarted(now, *attempt.key, now))
        if timeout is not None and (silent or timeout < seconds):
            said = f"it ran longer than its timeout of {plan.timeout_s:g} s"
            attempt.timers.append(self.clock.call_later(timeout, self._end, attempt, Cause.Timeout, said))
        if silent:
            return
        if ends is not None:
            after = ends.after_s if ends.after_s is not None else seconds
            done = (self._end, attempt, ends.cause, ends.detail, ends.exit_code)
            attempt.timers.append(self.clock.call_later(after, *done))
            return
        attempt.timers.append(self.clock.call_later(seconds, self._publish, attempt))

    def _seconds(self, launch: Launch) -> float:
        if isinstance(launch.plan.work, Synthetic):
            return launch.duration_s
        return self._tx(launch) if callable(self._tx) else self._tx

    def _stop(self, stop: Stop) -> None:
        attempt = self._known.get((stop.task, stop.number))
        if attempt is None or attempt.ended or attempt.fault(faults.Late) is not None:
            return
        wait = stop.grace_s if attempt.fault(faults.Stubborn) is not None and attempt.started is not None else 0.0
        attempt.timers.append(self.clock.call_later(wait, self._end, attempt, Cause.Cancelled, "stopped"))

    def _tell(self, tell: Tell) -> None:
        attempt = self._known.get((tell.task, tell.number))
        if attempt is not None:
            attempt.steered.update(tell.parameters)
            attempt.told_to_stop = attempt.told_to_stop or tell.stop

    # --- ends ---

    def _publish(self, attempt: _Attempt) -> None:
        """The attempt did what it had to; tell what came of it."""
        scripted = attempt.fault(faults.Returns)
        result, growth = Result(inline=b"null"), tuple[Edit, ...]()
        if scripted is not None:
            result = Result(inline=msgspec.json.encode(scripted.value))
        elif isinstance(attempt.launch.plan.work, Function):

            def say(metrics: dict[str, Any], progress: float | None) -> None:
                self._emit(AttemptReported(self.clock.now(), *attempt.key, metrics, progress))

            if self._functions is None:
                self._temporary = tempfile.mkdtemp(prefix="workbench-fake-")
                self._functions = InProcess(self._temporary)
            returned = self._functions.call(attempt.launch, say, attempt.steered, attempt.told_to_stop)
            if isinstance(returned, Raised):
                self._end(attempt, returned.cause, returned.detail)
                return
            result, growth = returned.result, decode_growth(returned.growth)
        assert attempt.started is not None
        now = self.clock.now()
        self._over(attempt, AttemptFinished(now, *attempt.key, attempt.started, now, result, growth))

    def _end(self, attempt: _Attempt, cause: Cause, detail: str, exit_code: int | None = None) -> None:
        if attempt.ended:
            return
        now = self.clock.now()
        self._over(attempt, AttemptEnded(now, *attempt.key, cause, detail, attempt.started or 0.0, now, exit_code))

    def _over(self, attempt: _Attempt, event: AttemptFinished | AttemptEnded) -> None:
        self._cancel(attempt)
        self._release(attempt)
        self._emit(event)
        twice = attempt.fault(faults.Twice)
        if twice is not None:
            self._loose.append(self.clock.call_later(twice.gap_s, self._emit, event))
        for name, _ in attempt.shares():
            self._pump(name)
        self._give_back_soon()

    def _cancel(self, attempt: _Attempt) -> None:
        attempt.ended = True
        for timer in attempt.timers:
            timer.cancel()
        attempt.timers.clear()

    def _release(self, attempt: _Attempt) -> None:
        for name, gpus in attempt.shares():
            node = self._nodes.get(name)
            if node is not None:
                node.give(attempt, gpus)
                with contextlib.suppress(ValueError):
                    node.queue.remove(attempt)

    def _emit(self, event: Event) -> None:
        if self._deliver is None:
            return
        self._out.append(event)
        if len(self._out) == 1:  # the engine is never called back from within its own call
            self.clock.call_later(0.0, self._flush)

    def _flush(self) -> None:
        events, self._out = self._out, []
        if self._deliver is not None and events:
            self._deliver(events)
