"""The campaign's graph collapsed by task set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.model.ids import is_task, split_task
from workbench.model.specs import Edge

from .rows import EdgeRow
from .series import Layer, Stack


def owner(target: str) -> str:
    """Set of a set name or task id."""
    return split_task(target)[0] if is_task(target) else target


def collapse(into: Mapping[str, Sequence[Edge]]) -> tuple[EdgeRow, ...]:
    """Edges between sets, each pair once.

    Parameters
    ----------
    into : mapping of str to sequence of Edge
        For each set the edges that lead to it or to one of its tasks.

    Returns
    -------
    tuple of EdgeRow
        ``kind="each"`` only where no ``all`` edge joins the pair; `part` where only single tasks are joined. Edges
        within one set are left out.
    """
    pairs: dict[tuple[str, str], tuple[str, bool]] = {}
    for edges in into.values():
        for edge in edges:
            pair = (owner(edge.src), owner(edge.dst))
            if pair[0] == pair[1]:
                continue
            part = is_task(edge.src) or is_task(edge.dst)
            kind, was_part = pairs.get(pair, (edge.kind, True))
            pairs[pair] = ("all" if "all" in (kind, edge.kind) else "each", part and was_part)
    return tuple(EdgeRow(src, dst, kind, part) for (src, dst), (kind, part) in pairs.items())


def ranks(names: Sequence[str], edges: Sequence[EdgeRow]) -> dict[str, int]:
    """Length of the longest path that leads to each set.

    Tasks never form a cycle, but sets may (a task of one may wait for a task of another and the other way round):
    edges that would close one are passed over, in order of declaration.
    """
    follow: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        if edge.src in follow and edge.dst in follow:
            follow[edge.src].append(edge.dst)
    colour: dict[str, int] = {}
    order: list[str] = []
    forward: list[tuple[str, str]] = []
    for root in names:
        if root in colour:
            continue
        colour[root] = 1
        stack = [(root, iter(follow[root]))]
        while stack:
            node, rest = stack[-1]
            for after in rest:
                if colour.get(after) == 1:
                    continue  # closes a cycle
                forward.append((node, after))
                if after not in colour:
                    colour[after] = 1
                    stack.append((after, iter(follow[after])))
                    break
            else:
                colour[node] = 2
                order.append(node)
                stack.pop()
    incoming: dict[str, list[str]] = {name: [] for name in names}
    for src, dst in forward:
        incoming[dst].append(src)
    rank: dict[str, int] = {}
    for name in reversed(order):
        rank[name] = 1 + max((rank[src] for src in incoming[name]), default=-1)
    return {name: rank[name] for name in names}


def steps(key: str, deltas: Mapping[float, float], end: float) -> Stack:
    """A `Stack` of one layer from changes of level by time; equal neighbours are merged, `end` ends the last one."""
    edges: list[float] = []
    values: list[float] = []
    level = 0.0
    for t in sorted(deltas):
        if t >= end:
            break
        level += deltas[t]
        if not values or values[-1] != level:
            edges.append(t)
            values.append(level)
    return Stack((*edges, end), (Layer(key, tuple(values)),)) if values else Stack((), ())
