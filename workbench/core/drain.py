"""Which nodes leave when a pool shrinks, and which stay after all when it grows again.

A node that shall leave is *draining*: it gets nothing new, what runs or queues on it goes on, and the executor gives
it back once it is empty. The choice is made here, from the state alone, so that a replay and a simulation make it too.
"""

from __future__ import annotations

from .graph import tx_of
from .state import NodeState, State, Task


def level(state: State, pool: str) -> None:
    """Let as many nodes of `pool` drain, or stay after all, as it takes to have no more than it wants.

    Idle nodes go first, then those whose attempts have the least work left, by the expected TX; where that does not
    tell, those with the fewest and the youngest attempts; the youngest node last of all criteria. Nodes that drain
    stay after all in the opposite order. Costs O(nodes + attempts on them), for a command only.
    """
    wanted = state.pools[pool].nodes
    mine = [n for n in state.nodes.values() if n.pool == pool]
    staying = [n for n in mine if not n.draining]
    if len(staying) > wanted:
        changing = sorted(staying, key=lambda n: _cost(state, n))[: len(staying) - wanted]
    else:
        leaving = sorted((n for n in mine if n.draining), key=lambda n: _cost(state, n), reverse=True)
        changing = leaving[: wanted - len(staying)]
    for n in changing:
        n.draining = not n.draining
    if changing:
        state.graph_version += 1  # what is scarce depends on what there is


def full(state: State, pool: str) -> bool:
    """Whether `pool` has all the nodes that it wants: a further one that joins drains from the start."""
    declared = state.pools.get(pool)
    if declared is None:
        return False
    return sum(n.pool == pool and not n.draining for n in state.nodes.values()) >= declared.nodes


def draining(state: State, pool: str) -> tuple[str, ...]:
    """Names of the nodes of `pool` that shall leave."""
    return tuple(n.name for n in state.nodes.values() if n.draining and n.pool == pool)


def _cost(state: State, node: NodeState) -> tuple[bool, float, int, float, int]:
    """How much stands against the leaving of `node`; no two nodes are equal."""
    work = [*node.holding, *node.queue]
    left = sum(_left(state, t) for t in work)
    youngest = max((t.assigned_at for t in work), default=0.0)
    return bool(work), left, len(work), -youngest, -node.ix


def _left(state: State, task: Task) -> float:
    """Core-seconds that an attempt is expected to need still."""
    tx = tx_of(task.set, task.member) * state.time_scale
    if not task.queued:
        tx -= state.at - (task.started or task.assigned_at)
    return max(0.0, tx) * task.cores
