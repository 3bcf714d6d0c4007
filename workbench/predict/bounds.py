"""Lower bounds: no schedule of these tasks on these nodes can be shorter, whatever the policy.

* *critical path*: the longest chain of TX through the dependencies;
* *work over capacity*: for each resource, the sum of TX times demand over what all nodes have;
* *head and tail*: for tasks that cannot start before `h` and after which at least `t` must still follow,
  ``h + work / capacity + t`` - for every pair of thresholds (h, t). Generalises both (Carlier's bound for one
  machine, with work over capacity in place of the one machine).

Modes are not considered: barriers only make schedules longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from workbench.core.copying import copy_state
from workbench.core.state import Link, SetState, State, Task
from workbench.model.states import TaskState

from .simulate import provide_nodes

# Thresholds are thinned out to this many of each kind; any subset of tasks gives a valid bound.
THRESHOLDS = 64


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of the makespan in seconds, by what they come from; `best` is the largest."""

    critical_path: float
    work: dict[str, float]
    head_tail: float

    @property
    def best(self) -> float:
        return max(self.critical_path, self.head_tail, *self.work.values())


def lower_bounds(state: State, duration: Callable[[Task], float]) -> Bounds:
    """Bounds for the whole campaign from its start, on the most that the nodes of `state` ever were together.

    Nodes that left or drain are counted: the campaign had them, and a bound on what is left now could be beaten.

    Parameters
    ----------
    state : State
        With its nodes (see `simulate.provide_nodes`).
    duration : callable
        TX of each task, seconds.
    """
    tasks = list(state.tasks())
    tx = {t: duration(t) for t in tasks}
    heads = longest_chains(state, tx, forward=True)
    tails = longest_chains(state, tx, forward=False)
    critical = max((heads[t] + tx[t] + tails[t] for t in tasks), default=0.0)
    capacity = {
        "cores": state.most[0],
        "gpus": state.most[1],
        "memory": state.most[2],
    }
    work: dict[str, float] = {}
    best = 0.0
    for resource, have in capacity.items():
        if not have:
            continue
        items = []
        for t in tasks:
            r = t.set.spec.resources
            need = getattr(r, resource) * r.nodes
            if need:
                items.append((heads[t], tails[t], need * tx[t]))
        work[resource] = sum(w for _, _, w in items) / have
        best = max(best, head_tail(items, have))
    return Bounds(critical, work or {"cores": 0.0}, best)


def actual_bound(state: State) -> float:
    """Lower bound of an ended campaign, from what its tasks really took, in unscaled seconds."""
    copy = copy_state(state)
    provide_nodes(copy, copy.at)

    def took(task: Task) -> float:
        return (task.ended - task.started) / copy.time_scale if task.state is TaskState.done else 0.0

    return lower_bounds(copy, took).best


def head_tail(items: list[tuple[float, float, float]], have: float) -> float:
    """Largest ``h + work(head >= h, tail >= t) / have + t`` over thresholds h and t."""
    best = 0.0
    for t in _thin({tail for _, tail, _ in items}):
        kept = sorted(((head, w) for head, tail, w in items if tail >= t), reverse=True)
        total = 0.0
        for head, w in kept:
            total += w
            best = max(best, head + total / have + t)
    return best


def _thin(values: Iterable[float]) -> list[float]:
    ordered = sorted(values)
    if len(ordered) <= THRESHOLDS:
        return ordered
    step = (len(ordered) - 1) / (THRESHOLDS - 1)
    return [ordered[round(i * step)] for i in range(THRESHOLDS)]


def longest_chains(state: State, tx: dict[Task, float], forward: bool) -> dict[Task, float]:
    """Longest chain of TX before each task (or after it), the task itself left out. O(tasks + edges)."""
    value = dict.fromkeys(tx, 0.0)
    pending: dict[Task, int] = {}
    of_set: dict[str, tuple[int, float]] = {}  # tasks of a set not yet settled, longest value + TX among the settled

    def near(s: SetState) -> list[Link]:
        return s.into if forward else list(s.links())

    for s in state.sets.values():
        whole = sum(_end(x, forward)[1] < 0 and not x.each for x in near(s))
        of_set[s.name] = (s.size, 0.0)
        for t in s.live():
            pending[t] = whole
        for x in near(s):
            index = _end(x, forward)[1]
            if x.each:
                far = x.src if forward else x.dst
                for t in s.live():
                    if t.index < len(far.tasks) and far.tasks[t.index] is not None:
                        pending[t] += 1
            elif index >= 0:
                task = s.tasks[index]
                if task is not None:
                    pending[task] += 1
    todo = deque(t for t, n in pending.items() if n == 0)

    def relax(task: Task | None, bound: float) -> None:
        if task is None or task not in pending:
            return
        value[task] = max(value[task], bound)
        pending[task] -= 1
        if pending[task] == 0:
            todo.append(task)

    def pass_on(link: Link, bound: float) -> None:
        target, index = (link.dst, link.di) if forward else (link.src, link.si)
        if index >= 0:
            relax(target.tasks[index], bound)
        else:
            for t in list(target.live()):
                relax(t, bound)

    for s in state.sets.values():  # an empty set is done at once
        if s.size == 0:
            for x in s.links() if forward else s.into:
                if not x.each and (x.si if forward else x.di) < 0:
                    pass_on(x, 0.0)
    while todo:
        t = todo.popleft()
        s, reach = t.set, value[t] + tx[t]
        left, longest = of_set[s.name]
        of_set[s.name] = (left - 1, max(longest, reach))
        for x in s.links() if forward else s.into:
            mine, index = (x.si, x.di) if forward else (x.di, x.si)
            if x.each:
                far = x.dst if forward else x.src
                if t.index < len(far.tasks):
                    relax(far.tasks[t.index], reach)
            elif mine == t.index:
                pass_on(x, reach)
            elif mine < 0 and left == 1:
                pass_on(x, of_set[s.name][1])
    return value


def _end(link: Link, forward: bool) -> tuple[SetState, int]:
    return (link.dst, link.di) if forward else (link.src, link.si)
