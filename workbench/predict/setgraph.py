"""The graph of task sets as the paper's model sees it: ranks, branches, how wide it is.

Names and definitions: Pascuzzi, Kilic, Turilli and Jha, "Asynchronous Execution of Heterogeneous Tasks in ML-driven HPC
Workflows", section 5. Sets of nodes are integers whose bits are nodes, so that thousands of sets stay quick.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from workbench.model.errors import DuplicateName, UnknownName, WouldCycle


class SetGraph:
    """An acyclic graph.

    Parameters
    ----------
    after : mapping of str to iterable of str
        Each name, in order of declaration, with the names that it waits for.

    Attributes
    ----------
    names : tuple of str
        In order of declaration.
    before, behind : list of list of int
        Direct predecessors and successors.
    order : list of int
        Every node behind its predecessors.
    rank : list of int
        Number of edges on the longest way from a node without predecessors.
    reach : list of int
        Bits of the nodes that follow, with the node itself.

    Raises
    ------
    UnknownName, WouldCycle
        For an edge from nowhere, or a cycle.
    """

    def __init__(self, after: Mapping[str, Iterable[str]]) -> None:
        self.names = tuple(after)
        self.number = {name: i for i, name in enumerate(self.names)}
        self.before: list[list[int]] = [
            sorted({self._known(source, name) for source in sources}) for name, sources in after.items()
        ]
        self.behind: list[list[int]] = [[] for _ in self.names]
        for i, sources in enumerate(self.before):
            for source in sources:
                self.behind[source].append(i)
        self.order = self._sorted()
        self.rank = [0] * len(self.names)
        for i in self.order:
            self.rank[i] = max((self.rank[p] + 1 for p in self.before[i]), default=0)
        self.reach = [1 << i for i in range(len(self.names))]
        for i in reversed(self.order):
            for b in self.behind[i]:
                self.reach[i] |= self.reach[b]

    def _known(self, source: str, name: str) -> int:
        if source not in self.number:
            near = difflib.get_close_matches(source, self.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownName(f"{name!r} waits for {source!r}, and there is no set of that name{hint}", source)
        return self.number[source]

    def _sorted(self) -> list[int]:
        missing = [len(p) for p in self.before]
        order = [i for i, n in enumerate(missing) if not n]
        for i in order:  # grows as it is read
            for b in self.behind[i]:
                missing[b] -= 1
                if not missing[b]:
                    order.append(b)
        if len(order) < len(self.names):
            raise WouldCycle(f"the sets wait for each other in a circle: {self._circle(missing)}; take one edge away")
        return order

    def _circle(self, missing: Sequence[int]) -> str:
        node = next(i for i, n in enumerate(missing) if n)
        way = [node]
        while way.count(node) < 2:
            node = next(p for p in self.before[node] if missing[p])
            way.append(node)
        circle = way[way.index(node) :][::-1]
        names = [self.names[i] for i in circle]
        return " -> ".join(names if len(names) < 9 else [*names[:4], "...", *names[-3:]])

    # ------------------------------------------------------------------ branches
    @property
    def sinks(self) -> list[int]:
        """Nodes that nothing follows: the ends of the branches."""
        return [i for i, b in enumerate(self.behind) if not b]

    def independent(self, a: int, b: int) -> bool:
        """Whether neither follows the other."""
        return not (self.reach[a] >> b & 1 or self.reach[b] >> a & 1)

    def leads_to(self) -> list[int]:
        """For each node, bits of the sinks that it leads to."""
        mask = sum(1 << i for i in self.sinks)
        return [reach & mask for reach in self.reach]

    def branches_at(self, rank: int) -> list[list[int]]:
        """Nodes of `rank`, those together whose ways converge later on: they are one branch."""
        found: list[tuple[int, list[int]]] = []
        for i in (i for i, r in enumerate(self.rank) if r == rank):
            mask, members = self.reach[i], [i]
            apart = []
            for other, theirs in found:
                if other & mask:
                    mask, members = mask | other, theirs + members
                else:
                    apart.append((other, theirs))
            found = [*apart, (mask, members)]
        return sorted(members for _, members in found)

    # ------------------------------------------------------------------ width
    def widest(self) -> list[int]:
        """A largest set of nodes of which none follows another (maximum antichain).

        Dilworth's theorem: as large as the smallest number of chains that cover the graph, found as a matching of the
        transitive closure; the nodes follow from the vertex cover (König).
        """
        n = len(self.names)
        follows = [self.reach[i] & ~(1 << i) for i in range(n)]
        right: list[int] = [-1] * n  # matched predecessor of each node
        left: list[int] = [-1] * n
        grown = True
        while grown:
            grown = False
            fresh = (1 << n) - 1
            for start in range(n):
                if left[start] < 0:
                    found, fresh = _augment(start, follows, left, right, fresh)
                    grown = grown or found
        # Reachable from unmatched left nodes along alternating ways: the cover is (left not reached, right reached).
        reached_left, reached_right = 0, 0
        todo = [i for i in range(n) if left[i] < 0]
        for i in todo:
            reached_left |= 1 << i
        while todo:
            more = follows[todo.pop()] & ~reached_right
            reached_right |= more
            for j in _bits(more):
                i = right[j]
                if i >= 0 and not reached_left >> i & 1:
                    reached_left |= 1 << i
                    todo.append(i)
        return list(_bits(reached_left & ~reached_right))


def _augment(start: int, follows: Sequence[int], left: list[int], right: list[int], fresh: int) -> tuple[bool, int]:
    """Lengthen the matching by a way from `start` over nodes of `fresh`; whether it worked, and what is still fresh."""
    way: list[tuple[int, int]] = []
    node = start
    while True:
        open_ = follows[node] & fresh
        if not open_:
            if not way:
                return False, fresh
            node = way.pop()[0]
            continue
        free = open_ & -open_
        j = free.bit_length() - 1
        fresh ^= free
        way.append((node, j))
        if right[j] < 0:
            for i, k in way:
                left[i], right[k] = k, i
            return True, fresh
        node = right[j]


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def unique(names: Iterable[str]) -> None:
    """Raise `DuplicateName` if one comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DuplicateName(f"two task sets are called {name!r}; give one of them another name", name)
        seen.add(name)
