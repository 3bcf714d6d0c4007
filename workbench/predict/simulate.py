"""The campaign under a virtual clock: the same `decide`, the same `evolve`, only time is computed.

A prediction is wrong where durations are, never because the predictor schedules differently from the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf

from workbench.core import State, decide, evolve
from workbench.core.flow import enqueue
from workbench.core.state import Task
from workbench.model.causes import Cause
from workbench.model.events import AttemptAssigned, AttemptFinished, NodeJoined, NodeLeft
from workbench.model.states import TaskState

from .overheads import NONE, Overheads

Duration = Callable[[Task], float]

# Between two breaths, so many instants are simulated. Whoever predicts beside a running engine lets go of the
# interpreter there; it would take it from the engine's thread for 5 ms at a time otherwise.
INSTANTS = 16


def no_pause() -> None:
    """For predictions that nothing waits for."""


@dataclass
class Simulated:
    """Outcome of a simulation.

    Attributes
    ----------
    finish_at : float
        Virtual time of the last end, on the clock of the state (seconds since the epoch).
    makespan_s : float
        From the campaign's first assignment to `finish_at`, in unscaled seconds.
    ended : bool
        Whether every task ended; False if some are held or nothing can ever run them.
    decisions : list of AttemptAssigned
        In order; empty unless they were asked for.
    """

    finish_at: float
    makespan_s: float
    ended: bool
    decisions: list[AttemptAssigned] = field(default_factory=list)


def provide_nodes(state: State, at: float) -> None:
    """Let the declared pools' missing nodes join, as if every pool were complete."""
    for pool in state.pools.values():
        have = sum(n.pool == pool.name and not n.draining for n in state.nodes.values())
        for i in range(pool.nodes - have):
            shape = pool.shape
            node = f"{pool.name}?{i}"
            evolve(state, NodeJoined(at, node, pool.name, shape.cores, shape.gpus, shape.memory))


def simulate(
    state: State,
    at: float,
    duration: Duration,
    keep_decisions: bool = False,
    pause: Callable[[], None] = no_pause,
    overheads: Overheads = NONE,
) -> Simulated:
    """Drive `state` (a copy: it is changed) to its end.

    Parameters
    ----------
    state : State
        See `core.copying.copy_state`.
    at : float
        Present time on the state's clock, seconds.
    duration : callable
        TX of a task in unscaled seconds. For attempts under way it is the whole TX; what has passed is taken off.
    keep_decisions : bool
        Return every assignment.
    pause : callable
        Called now and then; lets other threads run.
    overheads : Overheads
        What the machine adds.

    Notes
    -----
    Everything that ends at one instant is folded before the next decision, as the engine folds one batch of reports.
    """
    scale = state.time_scale
    ends: list[tuple[float, int, str, int, float]] = []
    queued: dict[str, deque[tuple[str, int]]] = {}
    decisions: list[AttemptAssigned] = []
    order = instants = 0
    now = at
    extra, interval, free_at = overheads.launch_s * scale, scale / overheads.rate, at
    arrivals = Arrivals(state, overheads.transition_s * scale) if overheads.transition_s else None

    def begin(task_id: str, number: int, started: float) -> None:
        nonlocal order
        task = state.task(task_id)
        if task is not None:
            order += 1
            heappush(ends, (max(now, started + duration(task) * scale + extra), order, task_id, number, started))

    def launch() -> float:
        """When what is decided now starts."""
        nonlocal free_at
        starts = max(now, free_at)
        free_at = starts + interval
        return starts

    for node in state.nodes.values():
        for t in node.holding:
            if t.node == node.name:
                begin(t.id, t.number, t.started or t.assigned_at)
        if node.queue:
            queued[node.name] = deque((t.id, t.number) for t in node.queue)
    last = state.last_ended_at or at
    draining = [n for n in state.nodes.values() if n.draining]
    while True:
        if draining:  # before anything is decided, as their executor gives them back with the end that empties them
            for n in draining:
                if not n.holding and not n.queue:
                    evolve(state, NodeLeft(now, n.name, Cause.Preempted))
            draining = [n for n in draining if n.name in state.nodes]
        if arrivals is not None:
            arrivals.part(now)
        for decision in decide(state, now):
            evolve(state, decision)
            if keep_decisions:
                decisions.append(decision)
            if decision.queued:
                queued.setdefault(decision.node, deque()).append((decision.task, decision.number))
            else:
                begin(decision.task, decision.number, launch())
        arrival = arrivals.next_at if arrivals is not None else inf
        if not ends and arrival == inf:
            break
        if not ends or arrival < ends[0][0]:
            now = arrival
            continue
        now = last = ends[0][0]
        instants += 1
        if instants % INSTANTS == 0:
            pause()
        while ends and ends[0][0] == now:
            _, _, task_id, number, started = heappop(ends)
            task = state.task(task_id)
            node_name = task.node if task is not None else ""
            evolve(state, AttemptFinished(at=now, task=task_id, number=number, started=started, ended=now))
            ahead = queued.get(node_name)
            if ahead:
                node = state.nodes[node_name]
                waiting = {(t.id, t.number) for t in node.queue}
                while ahead and ahead[0] not in waiting:
                    begin(*ahead.popleft(), launch())
    origin = state.first_assigned_at if state.first_assigned_at is not None else at
    return Simulated(last, (last - origin) / scale, _all_ended(state), decisions)


class Arrivals:
    """Keeps ready tasks of a new set out of the queues until its transition is over.

    Sets that are ready from the start, or have run already, need none.
    """

    def __init__(self, state: State, transition_s: float) -> None:
        self._state = state
        self._after = transition_s
        self._there: set[str] = set()
        self._coming: dict[str, tuple[float, list[Task]]] = {}
        self._orders = -1
        for task in state.tasks():
            if task.state is not TaskState.waiting:
                self._there.add(task.set.name)

    @property
    def next_at(self) -> float:
        """When the next set arrives."""
        return min((at for at, _ in self._coming.values()), default=inf)

    def part(self, now: float) -> None:
        """Take what has not arrived out of the queues, and put in what has."""
        state = self._state
        for name in [name for name, (at, _) in self._coming.items() if at <= now]:
            self._there.add(name)
            for task in self._coming.pop(name)[1]:
                if task.state is TaskState.ready:
                    enqueue(state, task)
        if state.orders == self._orders:
            return
        self._orders = state.orders
        for heap in state.queues.values():
            early = [e for e in heap if e[3].set.name not in self._there]
            if not early:
                continue
            heap[:] = [e for e in heap if e[3].set.name in self._there]
            heapify(heap)
            for entry in sorted(early, key=lambda e: e[2]):
                self._coming.setdefault(entry[3].set.name, (now + self._after, []))[1].append(entry[3])


def _all_ended(state: State) -> bool:
    c = state.counts
    return state.size == c[TaskState.done] + c[TaskState.failed] + c[TaskState.cancelled] + c[TaskState.skipped]
