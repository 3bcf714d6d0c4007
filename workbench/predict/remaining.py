"""The earliest finish of what is left: no schedule of the open tasks on the nodes that are there can beat it.

As `predict.bounds` for a campaign from its start: longest chain, work over capacity, and head and tail; but of the
present. What is done costs nothing any more, attempts under way only what is left of them, and nodes that left are
gone. Read set by set, in O(sets + edges + attempts under way), so that it can be asked for each edit that a person
considers; where edges join single tasks, or tasks of a set differ, and there are few enough of them, task by task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workbench.core.state import SetState, State, Task
from workbench.model.states import ACTIVE, ENDED, TaskState

from .bounds import head_tail, longest_chains

EXACT = 1000  # up to this many tasks, each is looked at by itself where that tells more

Tx = Mapping[str, "float | Sequence[float]"]
RESOURCES = ("cores", "gpus", "memory")


@dataclass
class _Left:
    """What is left of one set: longest and shortest TX of what has not started, and what is left of attempts."""

    longest: float = 0.0
    shortest: float = 0.0
    total: float = 0.0
    count: int = 0
    running: list[tuple[float, Task]] = field(default_factory=list)


def remaining_bound(state: State, at: float, tx: Tx) -> float:
    """Unscaled seconds from `at` until the last open task ends, at least.

    Held tasks count as if they were released now, and modes are not considered: both only make it later.

    Parameters
    ----------
    state : State
        Nodes that its pools still lack count as if they were there.
    at : float
        Present time on its clock, seconds.
    tx : mapping
        Whole TX by set: of all tasks, or of each by index, unscaled seconds.
    """
    capacity = _capacity(state)
    fine = any(isinstance(v, Sequence) for v in tx.values()) or any(
        s.out_task or _uneven(s) for s in state.sets.values()
    )
    if fine and state.size <= EXACT:
        return _by_task(state, at, tx, capacity)
    active: dict[SetState, list[Task]] = {}
    for n in state.nodes.values():
        for t in (*n.holding, *n.queue):
            if t.node == n.name:
                active.setdefault(t.set, []).append(t)
    left = {s.name: _left(state, s, active.get(s, ()), at, tx[s.name]) for s in state.sets.values() if s.n_open}
    order = _order(state, left)
    heads, ends = _heads(state, order, left)
    tails = _tails(state, order, left, ends)
    best = max((end + tails[name] for name, end in ends.items() if left[name].count), default=0.0)
    best = max([best, *ends.values()])
    for i, have in enumerate(capacity):
        if have is None:
            continue
        items = []
        for name, x in left.items():
            r = state.sets[name].spec.resources
            need = getattr(r, RESOURCES[i]) * r.nodes
            if need and x.count:
                items.append((heads[name], tails[name], need * x.total))
            items += [(0.0, tails[name], has[i] * rest) for rest, t in x.running if (has := holds(t))[i]]
        best = max(best, head_tail(items, have))
    return best


def holds(task: Task) -> tuple[int, int, int]:
    """Cores, GPUs and memory of an attempt under way, on all its nodes; its set may ask for something else by now."""
    n = 1 + len(task.others)
    return task.cores * n, len(task.gpus) + sum(len(x.gpus) for x in task.others), task.memory * n


def _vary(tx: Tx) -> bool:
    return any(isinstance(v, Sequence) for v in tx.values())


def _uneven(s: SetState) -> bool:
    return any(x.each and len(x.src.tasks) != len(x.dst.tasks) for x in s.out_each)


def _capacity(state: State) -> tuple[float | None, ...]:
    """Of each resource what all nodes have together; None where it bounds nothing."""
    shapes = [(n.cores, n.gpus, n.memory) for n in state.nodes.values()]
    for pool in state.pools.values():
        have = sum(n.pool == pool.name and not n.draining for n in state.nodes.values())
        shapes += [(pool.shape.cores, pool.shape.gpus, pool.shape.memory)] * max(0, pool.nodes - have)
    cores, gpus, memory = (sum(column) for column in zip(*shapes, strict=True)) if shapes else (0, 0, 0)
    counted = all(m for _, _, m in shapes)  # a node without a number takes any amount
    return float(cores) or None, float(gpus) or None, (float(memory) or None) if counted else None


def _rest(task: Task, whole: float, at: float, scale: float) -> float:
    return max(0.0, whole - (at - (task.started or task.assigned_at)) / scale)


def _left(state: State, s: SetState, active: Sequence[Task], at: float, tx: float | Sequence[float]) -> _Left:
    found = _Left()
    if isinstance(tx, (int, float)):
        found.count = s.n_open - len(active)
        if found.count:
            found.longest = found.shortest = tx
            found.total = found.count * tx
    if isinstance(tx, Sequence):
        waiting = [tx[t.index] for t in s.live() if t.state not in ENDED and t.state not in ACTIVE]
        found.count, found.total = len(waiting), sum(waiting)
        found.longest, found.shortest = max(waiting, default=0.0), min(waiting, default=0.0)
    for t in active:
        if t.state is not TaskState.cancelling:
            whole = tx[t.index] if isinstance(tx, Sequence) else tx
            found.running.append((_rest(t, whole, at, state.time_scale), t))
    return found


def _order(state: State, left: Mapping[str, _Left]) -> list[str]:
    """Open sets, each behind those that it depends on; sets on one cycle of the set graph do not count for another."""
    missing = {name: sum(1 for p in _near(state, left, name, state.sets[name].preds)) for name in left}
    order = [name for name, n in missing.items() if not n]
    for name in order:  # grows as it is read
        for after in _near(state, left, name, state.sets[name].succs):
            missing[after] -= 1
            if not missing[after]:
                order.append(after)
    return order


def _near(state: State, left: Mapping[str, _Left], name: str, names: Iterable[str]) -> Iterable[str]:
    component = state.sets[name].component
    return (n for n in names if n in left and state.sets[n].component != component)


def _heads(state: State, order: list[str], left: Mapping[str, _Left]) -> tuple[dict[str, float], dict[str, float]]:
    """Earliest start of any task that has not started, and earliest end of the last task, for each set."""
    heads: dict[str, float] = {}
    ends: dict[str, float] = {}
    for name in order:
        s, x = state.sets[name], left[name]
        head = end = 0.0
        for link in s.into:
            src = link.src
            if src.name not in ends or src.component == s.component:
                continue
            before = left[src.name]
            if link.each:
                if len(src.tasks) != len(s.tasks) or src.removed or s.removed:
                    continue
                if before.count == src.size:  # none has begun, so each task here waits for one that is still to start
                    head = max(head, heads[src.name] + before.shortest)
                if x.count:
                    end = max(end, ends[src.name] + x.shortest)
            elif link.di < 0 and link.si < 0:
                head = max(head, ends[src.name])
        heads[name] = head
        ends[name] = max([end, *(rest for rest, _ in x.running), head + x.longest if x.count else 0.0])
    return heads, ends


def _tails(state: State, order: list[str], left: Mapping[str, _Left], ends: Mapping[str, float]) -> dict[str, float]:
    """What must still follow after every open task of a set."""
    tails: dict[str, float] = {}
    for name in reversed(order):
        s = state.sets[name]
        tail = 0.0
        for link in [*s.out, *s.out_each]:
            dst = link.dst
            if dst.name not in tails or dst.component == s.component:
                continue
            after = left[dst.name]
            if link.each:
                if after.count and len(dst.tasks) == len(s.tasks) and not (s.removed or dst.removed):
                    tail = max(tail, after.shortest + tails[dst.name])
            elif link.di < 0 and after.count:
                tail = max(tail, after.longest + tails[dst.name])
        tails[name] = tail
    return tails


def _by_task(state: State, at: float, tx: Tx, capacity: tuple[float | None, ...]) -> float:
    rest: dict[Task, float] = {}
    for s in state.sets.values():
        values = tx[s.name]
        for t in s.live():
            whole = values[t.index] if isinstance(values, Sequence) else values
            if t.state in ENDED or t.state is TaskState.cancelling:
                rest[t] = 0.0
            else:
                rest[t] = _rest(t, whole, at, state.time_scale) if t.state in ACTIVE else whole
    heads = longest_chains(state, rest, forward=True)
    tails = longest_chains(state, rest, forward=False)
    best = max((heads[t] + x + tails[t] for t, x in rest.items()), default=0.0)
    for i, have in enumerate(capacity):
        if have is None:
            continue
        items = []
        for t, x in rest.items():
            r = t.set.spec.resources
            need = holds(t)[i] if t.state in ACTIVE else getattr(r, RESOURCES[i]) * r.nodes
            if need and x:
                items.append((heads[t], tails[t], need * x))
        best = max(best, head_tail(items, have))
    return best
