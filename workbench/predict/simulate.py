"""The campaign under a virtual clock: the same `decide`, the same `evolve`, only time is computed.

A prediction is wrong where durations are, never because the predictor schedules differently from the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from workbench.core import State, decide, evolve
from workbench.core.state import Task
from workbench.model.causes import Cause
from workbench.model.events import AttemptAssigned, AttemptFinished, NodeJoined, NodeLeft
from workbench.model.states import TaskState

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

    def begin(task_id: str, number: int, started: float) -> None:
        nonlocal order
        task = state.task(task_id)
        if task is not None:
            order += 1
            heappush(ends, (max(now, started + duration(task) * scale), order, task_id, number, started))

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
        for decision in decide(state, now):
            evolve(state, decision)
            if keep_decisions:
                decisions.append(decision)
            if decision.queued:
                queued.setdefault(decision.node, deque()).append((decision.task, decision.number))
            else:
                begin(decision.task, decision.number, now)
        if not ends:
            break
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
                    begin(*ahead.popleft(), now)
    origin = state.first_assigned_at if state.first_assigned_at is not None else at
    return Simulated(last, (last - origin) / scale, _all_ended(state), decisions)


def _all_ended(state: State) -> bool:
    c = state.counts
    return state.size == c[TaskState.done] + c[TaskState.failed] + c[TaskState.cancelled] + c[TaskState.skipped]
