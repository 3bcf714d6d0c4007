"""Whether full task sets fit into an allocation side by side, node by node.

Pooled sums would mislead: five tasks of 32 threads fit a node of 168, so 16 nodes hold 80 of them and not 84. What is
placed is counted per kind of residue (cores, GPUs and memory left on a node), so a set of a million tasks costs no more
than one of ten. Packing in several dimensions is hard; a few good orders are tried, so "fits" is always true, and "does
not fit" may, for odd mixtures, be said of what a cleverer packing could place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.model.errors import BadValue, NeverFits
from workbench.model.resources import NodeShape, Pool, Resources

RESOURCES = ("cores", "gpus", "memory")

Demand = tuple[tuple[int, Resources], ...]
"""Tasks of each kind: (how many, what each asks for)."""

_Node = tuple[int, int, int, int]  # group, and what is left: cores, GPUs, memory (-1: not limited)
_SEARCHED = 4096


@dataclass(frozen=True)
class Allocation:
    """Nodes to run on: how many of each shape."""

    groups: tuple[tuple[int, NodeShape], ...]

    @classmethod
    def of(cls, nodes: int, cores: int, gpus: int = 0, memory: int = 0) -> Allocation:
        """Equal nodes.

        Parameters
        ----------
        nodes, cores, gpus, memory : int
            Number of nodes; cores, GPUs and bytes (0: not limited) of each.

        Raises
        ------
        BadValue
            For numbers that are no allocation.
        """
        for what, value, least in (("nodes", nodes, 1), ("cores", cores, 1), ("gpus", gpus, 0), ("memory", memory, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise BadValue(f"an allocation of {what}={value!r} cannot run anything; use {least} or more", what)
        return cls(((nodes, NodeShape(cores, gpus, memory)),))

    @classmethod
    def of_pools(cls, pools: Iterable[Pool]) -> Allocation:
        """The pools of a campaign, complete.

        Raises
        ------
        BadValue
            If they have no node.
        """
        groups = tuple((p.nodes, p.shape) for p in pools if p.nodes > 0)
        if not groups:
            raise BadValue("the campaign has no nodes to run on: give it a pool, or name an allocation", "pool")
        return cls(groups)

    def total(self, resource: str) -> float:
        """What all nodes have of ``"cores"``, ``"gpus"`` or ``"memory"``; memory may be infinite."""
        if resource == "memory" and any(shape.memory == 0 for _, shape in self.groups):
            return math.inf
        return float(sum(n * getattr(shape, resource) for n, shape in self.groups))

    def check(self, who: str, r: Resources) -> None:
        """Raise `NeverFits` if the empty allocation cannot hold one task of `who`."""
        if any(r.nodes <= n and shape.holds(r) for n, shape in self.groups):
            return
        asks = ", ".join(f"{k}={getattr(r, k)}" for k in ("cores", "gpus", "memory") if getattr(r, k))
        asks += f" on each of {r.nodes} nodes" if r.nodes > 1 else ""
        raise NeverFits(
            f"a task of {who} asks for {asks}, which {self} can never hold; use larger nodes, more of them, or smaller "
            "tasks",
            who,
        )

    def fits(self, demands: Iterable[Demand]) -> bool:
        """Whether all tasks of `demands` can run at once."""
        wanted: Counter[Resources] = Counter()
        for demand in demands:
            for n, r in demand:
                if n:
                    wanted[r] += n
        if any(sum(n * r.nodes * getattr(r, k) for r, n in wanted.items()) > self.total(k) for k in RESOURCES):
            return False
        orders = ("gpus", "cores", "largest")
        return any(self._packs(wanted, order, tight) for order in orders for tight in (True, False))

    def _packs(self, wanted: Counter[Resources], order: str, tight: bool) -> bool:
        free: Counter[_Node] = Counter()
        for group, (n, shape) in enumerate(self.groups):
            free[(group, shape.cores, shape.gpus, shape.memory or -1)] += n
        totals = {k: self.total(k) or 1.0 for k in RESOURCES}

        def size(r: Resources) -> tuple[float, ...]:
            shares = [getattr(r, k) / totals[k] for k in RESOURCES]
            first = max(shares) if order == "largest" else shares[RESOURCES.index(order)]
            return (r.nodes > 1, first, *shares)

        return all(_place(free, wanted[r], r, tight) for r in sorted(wanted, key=size, reverse=True))

    def most(self, demands: Sequence[Demand]) -> tuple[int, ...]:
        """Indices of as many of `demands` as fit side by side: exact for a few kinds, else smallest first."""
        kinds: dict[Demand, list[int]] = {}
        for i, demand in enumerate(demands):
            kinds.setdefault(demand, []).append(i)
        if self.fits(demands):
            return tuple(range(len(demands)))
        if math.prod(len(found) + 1 for found in kinds.values()) <= _SEARCHED:
            choices: list[tuple[int, ...]] = [()]
            for found in kinds.values():
                choices = [(*c, k) for c in choices for k in range(len(found), -1, -1)]
            for choice in sorted(choices, key=sum, reverse=True):
                if self.fits(d for d, k in zip(kinds, choice, strict=True) for _ in range(k)):
                    return tuple(sorted(i for k, found in zip(choice, kinds.values(), strict=True) for i in found[:k]))
        return max((self._smallest_first(demands, k) for k in (*RESOURCES, "")), key=len)

    def _smallest_first(self, demands: Sequence[Demand], resource: str) -> tuple[int, ...]:
        def share(i: int) -> float:
            sums = {
                k: sum(n * r.nodes * getattr(r, k) for n, r in demands[i]) / (self.total(k) or 1) for k in RESOURCES
            }
            return sums[resource] if resource else max(sums.values())

        order = sorted(range(len(demands)), key=share)
        low, high = 0, len(order)  # what fits stays so when something is left out
        while low < high:
            middle = (low + high + 1) // 2
            if self.fits(demands[i] for i in order[:middle]):
                low = middle
            else:
                high = middle - 1
        return tuple(sorted(order[:low]))

    def __str__(self) -> str:
        parts = []
        for n, shape in self.groups:
            text = f"{n} {'node' if n == 1 else 'nodes'} of {shape.cores} cores"
            text += f" and {shape.gpus} {'GPU' if shape.gpus == 1 else 'GPUs'}" if shape.gpus else ""
            parts.append(text + (f" with {shape.memory / 2**30:.3g} GiB" if shape.memory else ""))
        return ", ".join(parts)


def _place(free: Counter[_Node], n: int, r: Resources, tight: bool) -> bool:
    """Take `n` tasks off `free`, fullest nodes first if `tight`; whether all had room."""
    left = n
    for group in sorted({node[0] for node in free}):
        nodes = sorted((node for node in free if node[0] == group), key=lambda node: node[1:], reverse=not tight)
        room = {node: holds for node in nodes if (holds := _holds(node, r))}
        tasks = _tasks(room, free, left, r.nodes)
        # Pieces of one task lie on different nodes: none takes more pieces than there are tasks, and then a way to deal
        # them out exists (Gale and Ryser).
        pieces = tasks * r.nodes
        for node, holds in room.items():
            each = min(holds, tasks)
            while pieces and free[node]:
                takes = min(each, pieces)
                count = min(free[node], pieces // takes)
                free[node] -= count
                free[_less(node, r, takes)] += count
                pieces -= count * takes
        left -= tasks
        if not left:
            return True
    return False


def _tasks(room: dict[_Node, int], free: Counter[_Node], wanted: int, nodes: int) -> int:
    """Most of `wanted` tasks of `nodes` pieces each that the nodes of `room` hold."""
    low, high = 0, wanted
    while low < high:
        k = (low + high + 1) // 2
        if sum(min(holds, k) * free[node] for node, holds in room.items()) >= k * nodes:
            low = k
        else:
            high = k - 1
    return low


def _holds(node: _Node, r: Resources) -> int:
    _, cores, gpus, memory = node
    limits = [have // need for have, need in ((cores, r.cores), (gpus, r.gpus)) if need]
    if r.memory and memory >= 0:
        limits.append(memory // r.memory)
    return min(limits, default=0)


def _less(node: _Node, r: Resources, tasks: int) -> _Node:
    group, cores, gpus, memory = node
    return group, cores - tasks * r.cores, gpus - tasks * r.gpus, memory - tasks * r.memory if memory >= 0 else -1
