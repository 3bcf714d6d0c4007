"""State into decisions: which ready task gets which slots now.

`decide` is a generator: **each decision must be folded into the state before the next is asked for**, so slots are
counted in one place only. It reads the state and no clock; the same state gives the same decisions, in the engine,
in a replay and in the predictor's simulation.

Tasks of one shape compete for the same slots, so only the first of each shape is ever tried: when it does not fit,
none of its shape does, and the next shape may pass (backfill). Cost is O(shapes + decisions x open nodes).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, nsmallest

from workbench.model.events import AttemptAssigned
from workbench.model.states import TaskState

from .flow import requeue
from .graph import tx_of
from .placement import assign, choose, fits
from .policies import Policy, scheduling
from .state import Entry, NodeState, Shape, State, Task

READY = TaskState.ready
LOOKED_AT = 256  # tasks of a shape that are considered for passing a reservation


def decide(state: State, at: float) -> Iterator[AttemptAssigned]:
    """Yield the attempts to start now; fold each with `evolve` before taking the next."""
    if not state.counts[READY]:
        return
    nodes = state.nodes.values()
    free = [n for n in nodes if (n.free_cores > 0 or n.free_gpus) and not n.draining]
    if not free and not any(n.prefetch > len(n.queue) for n in nodes):
        return
    policy, packing = scheduling(state)
    _refresh(state, policy)
    heads: list[tuple[int, object, int, Shape]] = []
    for shape, heap in state.queues.items():
        first = _head(heap)
        if first is not None:
            heads.append((*first[:3], shape))
    heapify(heads)
    kept: _Reservation | None = None
    while heads:
        shape = heappop(heads)[3]
        heap = state.queues[shape]
        first = _head(heap)
        while first is not None:
            task = first[3]
            if heads and first[:3] > heads[0][:3]:
                heappush(heads, (*first[:3], shape))
                break
            if free:
                free = [n for n in free if n.free_cores > 0 or n.free_gpus]
            if not free:
                chosen = None
            elif kept is None:
                chosen = choose(free, shape, packing)
            else:
                task, chosen = _passing(state, shape, packing, kept, free, at)
            if chosen is not None:
                yield assign(state, task, chosen, at)
            else:
                ahead = _prefetch(state, task) if kept is None else None
                if ahead is None:
                    if policy.reserve and kept is None and heads:
                        kept = _reserve(state, task, at)
                    break
                yield AttemptAssigned(at=at, task=task.id, number=task.number + 1, node=ahead.name, queued=True)
            first = _head(heap)


def _passing(
    state: State, shape: Shape, packing: str, kept: _Reservation, free: list[NodeState], at: float
) -> tuple[Task, list[NodeState] | None]:
    """The first task of `shape` that may pass the one that a node is kept for, looking at one task of each set."""
    seen: set[str] = set()
    task = state.queues[shape][0][3]
    for _, _, order, t in nsmallest(LOOKED_AT, state.queues[shape], key=_rank):
        if t.state is not READY or t.order != order or t.set.name in seen:
            continue
        seen.add(t.set.name)
        chosen = choose(kept.leave(free, t, at), shape, packing)
        if chosen is not None:
            return t, chosen
    return task, None


def _rank(entry: Entry) -> tuple[int, object, int]:
    return entry[:3]


def _head(heap: list[Entry]) -> Entry | None:
    """First entry that still means something; entries of tasks that moved on are dropped here."""
    while heap:
        entry = heap[0]
        task = entry[3]
        if task.state is READY and task.order == entry[2]:
            return entry
        heappop(heap)
    return None


def _refresh(state: State, policy: Policy) -> None:
    """Compute the queues' keys again if the graph or the estimates changed."""
    if state.queued_version != state.graph_version and policy.dynamic:
        requeue(state)


def _prefetch(state: State, task: Task) -> NodeState | None:
    """The node behind whose quick attempts `task` may queue: the one with the shortest queue."""
    if not task.set.quick:
        return None
    best: NodeState | None = None
    for n in state.nodes.values():
        if n.takes_queue and (best is None or len(n.queue) < len(best.queue)):
            best = n
    return best


class _Reservation:
    """Nodes kept for the first task that did not fit, and from when on it is expected to need them."""

    def __init__(self, task: Task, spare: dict[str, tuple[int, int, int]], from_: float, scale: float) -> None:
        self.task, self.spare, self.from_, self.scale = task, spare, from_, scale

    def leave(self, nodes: list[NodeState], task: Task, at: float) -> list[NodeState]:
        """The nodes on which `task` may pass without delaying the one that waits."""
        return [n for n in nodes if self._allows(n, task, at)]

    def _allows(self, node: NodeState, task: Task, at: float) -> bool:
        spare = self.spare.get(node.name)
        if spare is None or at + tx_of(task.set, task.member) * self.scale <= self.from_:
            return True
        cores, gpus, memory, _, _ = task.set.shape
        return cores <= spare[0] and gpus <= spare[1] and (node.memory == 0 or memory <= spare[2])


def _reserve(state: State, task: Task, at: float) -> _Reservation | None:
    """Where and when `task` can start first, by the expected ends of what runs.

    Only for tasks that small ones could starve: those that want half a node or more, or several nodes.
    """
    cores, gpus, memory, count, _ = shape = task.set.shape
    frees: list[tuple[float, NodeState, tuple[int, int, int]]] = []
    for n in state.nodes.values():
        large = count > 1 or 2 * cores >= n.cores or (n.memory and 2 * memory >= n.memory)
        if not large or n.draining or shape[4] < n.least:
            continue
        have = [n.free_cores, len(n.free_gpus), n.free_memory]
        when = at
        if not fits(n, shape):
            for t in sorted(n.holding, key=lambda t: _expected_end(state, t)):
                have[0] += t.cores
                have[1] += len(t.gpus) if t.node == n.name else gpus
                have[2] += t.memory
                when = max(at, _expected_end(state, t))
                if have[0] >= cores and have[1] >= gpus and (n.memory == 0 or have[2] >= memory):
                    break
            else:
                continue
        frees.append((when, n, (have[0] - cores, have[1] - gpus, have[2] - memory)))
    if len(frees) < count:
        return None
    frees.sort(key=lambda f: (f[0], f[1].ix))
    spare = {n.name: left for _, n, left in frees[:count]}
    return _Reservation(task, spare, frees[count - 1][0], state.time_scale)


def _expected_end(state: State, task: Task) -> float:
    return (task.started or task.assigned_at) + tx_of(task.set, task.member) * state.time_scale
