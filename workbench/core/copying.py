"""A copy of a state that can be driven into a possible future without touching the campaign."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .state import Link, NodeState, SetState, State, Task

_NODE = [f for f in NodeState.__slots__ if f not in ("holding", "queue", "free_gpus")]
_SET_PLAIN = [
    f
    for f in SetState.__slots__
    if f
    not in ("tasks", "removed", "counts", "out", "out_each", "out_task", "into_whole", "into_task", "preds", "succs")
]


def copy_state(state: State) -> State:
    """An independent copy; specs, results and other frozen values are shared. O(tasks + edges)."""
    with collector_waiting():
        return _copy(state)


def discard(state: State) -> None:
    """Take a copy that has served apart, so that its memory is free at once and not when cycles are looked for."""
    for s in state.sets.values():
        s.tasks, s.removed = [], {}
        s.out, s.out_each, s.out_task, s.into_whole, s.into_task = [], [], {}, [], {}
    for n in state.nodes.values():
        n.holding, n.queue = {}, deque()
    state.sets, state.nodes, state.queues = {}, {}, {}


@contextmanager
def collector_waiting() -> Iterator[None]:
    """While entered, the collector of cycles waits.

    For work that makes many objects and keeps or discards them itself: to look through them again and again, at times
    through everything else in the process too, would take longer than the work.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _copy(state: State) -> State:
    new = State()
    for name, value in vars(state).items():
        setattr(new, name, value.copy() if isinstance(value, (dict, list, set)) else value)
    new.visited = None
    new.by_stage = {k: v.copy() for k, v in state.by_stage.items()}
    tasks: dict[Task, Task] = {}
    sets = {name: _copy_set(s, tasks) for name, s in state.sets.items()}
    new.sets = sets
    for s in state.sets.values():
        for link in s.links():
            _copy_link(link, sets)
    new.nodes = {name: _copy_node(n, tasks) for name, n in state.nodes.items()}
    new.queues = {
        shape: [(p, k, o, tasks[t]) for p, k, o, t in heap if t in tasks] for shape, heap in state.queues.items()
    }
    for heap in new.queues.values():
        heap.sort(key=lambda e: e[:3])  # sorted is a heap, and dropped entries may have left none
    return new


def _copy_set(s: SetState, tasks: dict[Task, Task]) -> SetState:
    new = SetState.__new__(SetState)
    for f in _SET_PLAIN:
        setattr(new, f, getattr(s, f))
    new.counts = s.counts.copy()
    new.preds, new.succs = s.preds.copy(), s.succs.copy()
    new.out, new.out_each, new.out_task, new.into_whole, new.into_task = [], [], {}, [], {}
    new.tasks = [None if t is None else _copy_task(t, new, tasks) for t in s.tasks]
    new.removed = {i: _copy_task(t, new, tasks) for i, t in s.removed.items()}
    return new


def _copy_task(t: Task, owner: SetState, tasks: dict[Task, Task]) -> Task:
    # Field by field, as this is most of the cost of a copy.
    new = Task.__new__(Task)
    new.set, new.index, new.member, new.state, new.number = owner, t.index, t.member, t.state, t.number
    new.missing, new.broken, new.held, new.input_hold = t.missing, t.broken, t.held, t.input_hold
    new.priority, new.burned, new.crashes, new.order = t.priority, t.burned, t.crashes, t.order
    new.node, new.cores, new.gpus, new.memory, new.others = t.node, t.cores, t.gpus, t.memory, t.others
    new.queued, new.assigned_at, new.started, new.ended = t.queued, t.assigned_at, t.started, t.ended
    new.result, new.cause, new.detail = t.result, t.cause, t.detail
    new.steered, new.stopping, new.metrics = t.steered, t.stopping, t.metrics
    new.progress, new.progress_at = t.progress, t.progress_at
    tasks[t] = new
    return new


def _copy_link(link: Link, sets: dict[str, SetState]) -> None:
    src, dst = sets[link.src.name], sets[link.dst.name]
    new = Link(link.edge, src, link.si, dst, link.di)
    new.missing, new.broken = link.missing, link.broken
    if link.each:
        src.out_each.append(new)
    elif link.si >= 0:
        src.out_task.setdefault(link.si, []).append(new)
    else:
        src.out.append(new)
    if link.di >= 0:
        dst.into_task.setdefault(link.di, []).append(new)
    else:
        dst.into_whole.append(new)


def _copy_node(n: NodeState, tasks: dict[Task, Task]) -> NodeState:
    new = NodeState.__new__(NodeState)
    for f in _NODE:
        setattr(new, f, getattr(n, f))
    new.free_gpus = list(n.free_gpus)
    new.holding = {tasks[t]: None for t in n.holding}
    new.queue = deque(tasks[t] for t in n.queue)
    return new
