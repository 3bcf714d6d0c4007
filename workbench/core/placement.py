"""Which node takes a task: slots are counted for each node, and GPUs are chosen by index.

Pooled totals would promise what no single node can hold (fragmentation decides real schedules), so nothing here ever
adds resources of different nodes together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workbench.model.events import AttemptAssigned, Share

from .state import NodeState, Shape, State, Task


def fits(node: NodeState, shape: Shape) -> bool:
    """Whether one node's share of `shape` fits into what is free on `node`."""
    cores, gpus, memory, _, need = shape
    return (
        node.free_cores >= cores
        and len(node.free_gpus) >= gpus
        and (node.memory == 0 or node.free_memory >= memory)
        and need >= node.least
    )


def _first(shape: Shape) -> Callable[[NodeState], tuple[float, ...]]:
    return lambda n: (n.ix,)


def _best(shape: Shape) -> Callable[[NodeState], tuple[float, ...]]:
    gpus = shape[1]
    return lambda n: (len(n.free_gpus) - gpus, n.free_cores, n.ix)


def _spread(shape: Shape) -> Callable[[NodeState], tuple[float, ...]]:
    return lambda n: (-n.free_cores, n.ix)


def _balance(shape: Shape) -> Callable[[NodeState], tuple[float, ...]]:
    """GPU tasks go where most cores are free beside the GPU; others where they strand the fewest GPUs."""
    if shape[1]:
        return lambda n: (-n.free_cores, n.ix)
    return lambda n: (len(n.free_gpus), n.free_cores, n.ix)


PACKINGS: dict[str, Callable[[Shape], Callable[[NodeState], tuple[float, ...]]]] = {
    "first": _first,
    "best": _best,
    "spread": _spread,
    "balance": _balance,
}


def choose(nodes: Iterable[NodeState], shape: Shape, packing: str) -> list[NodeState] | None:
    """The nodes for one attempt of `shape`, or None if it does not fit now."""
    fitting = [n for n in nodes if fits(n, shape)]
    if len(fitting) < shape[3]:
        return None
    if len(fitting) == 1:
        return fitting
    key = PACKINGS[packing](shape)
    if shape[3] == 1:
        return [min(fitting, key=key)]
    fitting.sort(key=key)
    return fitting[: shape[3]]


def assign(state: State, task: Task, nodes: list[NodeState], at: float) -> AttemptAssigned:
    """The decision to start `task` on `nodes`."""
    cores, gpus, memory, count, _ = task.set.shape
    first = nodes[0]
    return AttemptAssigned(
        at=at,
        task=task.id,
        number=task.number + 1,
        node=first.name,
        cores=cores,
        gpus=tuple(first.free_gpus[:gpus]),
        memory=memory,
        others=tuple(Share(n.name, tuple(n.free_gpus[:gpus])) for n in nodes[1:]) if count > 1 else (),
    )


def take(state: State, task: Task, node: NodeState, gpus: tuple[int, ...]) -> None:
    """Count the slots of an attempt as used."""
    node.free_cores -= task.cores
    node.free_memory -= task.memory
    for g in gpus:
        node.free_gpus.remove(g)
    node.holding[task] = None


def give_back(state: State, task: Task, node: NodeState, gpus: tuple[int, ...]) -> None:
    """Count the slots of an attempt as free, and start what queued behind it."""
    node.free_cores += task.cores
    node.free_memory += task.memory
    if gpus:
        node.free_gpus.extend(gpus)
        node.free_gpus.sort()
    del node.holding[task]
    while node.queue and node.queue[0].cores <= node.free_cores:
        ahead = node.queue.popleft()
        ahead.queued = False
        take(state, ahead, node, ())
