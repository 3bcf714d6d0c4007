"""Where the cards of a graph lie: layers by longest path, order by barycentres, then as straight as the order allows.

A small version of the method of Sugiyama, Tagawa and Toda (1981). An edge that spans several layers runs through a
waypoint in each layer between, so that it keeps clear of the cards there.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

_SWEEPS = 8
_PULLS = 60
_UPRIGHT = 8  # layers at most, from top to bottom
_BAND = 5  # layers at most, in each band of a folded drawing

# A set's name, or (src, dst, layer) for the waypoint of an edge that passes by.
Node = str | tuple[str, str, int]
Point = tuple[float, float]


class Sizes(msgspec.Struct, frozen=True):
    """Pixels: a card, the gaps along and across the flow, the lane of an edge that passes by, the widest drawing."""

    card: Point
    along: float = 64
    along_upright: float = 48
    across: float = 26
    lane: float = 18
    wide: float = 1500


class Layout(msgspec.Struct, frozen=True):
    """Where everything lies, in pixels.

    Attributes
    ----------
    places : dict
        Top left corners of cards.
    bends : dict
        For each edge the points that its curve passes between the cards.
    folded : dict
        Edges that lead from one band to another, instead, have straight ways in the gaps; these are their corners.
    width, height : float
        Of the whole.
    upright : bool
        Whether the graph flows from top to bottom.
    """

    places: dict[str, Point]
    bends: dict[tuple[str, str], list[Point]]
    folded: dict[tuple[str, str], list[Point]]
    width: float
    height: float
    upright: bool


def arrange(rank: Mapping[str, int], edges: Sequence[tuple[str, str]], sizes: Sizes) -> Layout:
    """Arrange cards from left to right.

    What would be wider than `sizes.wide` flows from top to bottom, or, where that would be very long, from left to
    right in several bands, like lines of text.

    Parameters
    ----------
    rank : mapping of str to int
        Layer of each card.
    edges : sequence of (src, dst)
        Those that do not lead to a later layer (they would close a cycle) do not count for the arrangement.
    """
    layers = max(rank.values(), default=-1) + 1
    wide = layers * (sizes.card[0] + sizes.along) > sizes.wide
    bands = -(-layers // _BAND) if wide and layers > _UPRIGHT else 1
    return _Layers(rank, edges, sizes, wide and bands == 1).layout(-(-layers // bands) if bands > 1 else 0)


class _Layers:
    def __init__(self, rank: Mapping[str, int], edges: Sequence[tuple[str, str]], sizes: Sizes, upright: bool) -> None:
        self.sizes, self.upright = sizes, upright
        self.layers: list[list[Node]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
        for name, r in rank.items():
            self.layers[r].append(name)
        self.chains: dict[tuple[str, str], list[Node]] = {}
        for src, dst in edges:
            if src in rank and dst in rank and rank[src] < rank[dst]:
                points: list[Node] = [(src, dst, r) for r in range(rank[src] + 1, rank[dst])]
                for r, point in enumerate(points, start=rank[src] + 1):
                    self.layers[r].append(point)
                self.chains[src, dst] = [src, *points, dst]
        self.before: dict[Node, list[Node]] = {n: [] for layer in self.layers for n in layer}
        self.after: dict[Node, list[Node]] = {n: [] for layer in self.layers for n in layer}
        for chain in self.chains.values():
            for a, b in pairwise(chain):
                self.after[a].append(b)
                self.before[b].append(a)
        self.at: dict[Node, float] = {}  # where each node begins, across the flow

    def layout(self, fold: int) -> Layout:
        """Coordinates; with `fold`, in bands of that many layers."""
        self._order()
        self._straighten()
        if fold:
            return self._folded(fold)
        low = min(self.at.values(), default=0.0)
        depth = self.sizes.card[1] if self.upright else self.sizes.card[0]
        step = depth + (self.sizes.along_upright if self.upright else self.sizes.along)
        places = {
            n: self._point(r * step, self.at[n] - low)
            for r, layer in enumerate(self.layers)
            for n in layer
            if isinstance(n, str)
        }
        bends: dict[tuple[str, str], list[Point]] = {}
        for pair, chain in self.chains.items():
            bends[pair] = []
            for n in chain[1:-1]:
                start, across = n[2] * step, self._middle(n) - low  # type: ignore[operator]
                bends[pair] += [self._point(start, across), self._point(start + depth, across)]
        width = max((self.at[n] + self._extent(n) for n in self.at), default=0.0) - low
        length = max(0.0, len(self.layers) * step - (step - depth))
        return Layout(places, bends, {}, *self._point(length, width), self.upright)

    def _folded(self, fold: int) -> Layout:
        gap = self.sizes.along
        step = self.sizes.card[0] + gap
        inset = gap / 2  # ways run beside the first column, too
        places: dict[str, Point] = {}
        bends: dict[tuple[str, str], list[Point]] = {pair: [] for pair in self.chains}
        folded: dict[tuple[str, str], list[Point]] = {}
        home = {n: r for r, layer in enumerate(self.layers) for n in layer}
        within = {p: c for p, c in self.chains.items() if home[c[0]] // fold == home[c[-1]] // fold}
        alleys: list[float] = []  # middle of the gap below each band
        top = 0.0
        for begin in range(0, len(self.layers), fold):
            band = self.layers[begin : begin + fold]
            shown = [n for layer in band for n in layer if isinstance(n, str) or (n[0], n[1]) in within]
            low = min(self.at[n] for n in shown)
            for n in shown:
                x, y = inset + (home[n] - begin) * step, self.at[n] - low + top
                if isinstance(n, str):
                    places[n] = (x, y)
                else:
                    y += self._extent(n) / 2
                    bends[n[0], n[1]] += [(x, y), (x + self.sizes.card[0], y)]
            top += max(self.at[n] + self._extent(n) for n in shown) - low
            alleys.append(top + gap / 2)
            top += gap
        for pair, chain in self.chains.items():
            if pair not in within:
                (x0, y0), (x1, y1) = places[pair[0]], places[pair[1]]
                out, back, alley = x0 + step - gap / 2, x1 - gap / 2, alleys[home[chain[0]] // fold]
                half = self.sizes.card[1] / 2
                folded[pair] = [(out, y0 + half), (out, alley), (back, alley), (back, y1 + half)]
        return Layout(places, bends, folded, inset + fold * step - gap / 2, top - gap, False)

    def _point(self, along: float, across: float) -> Point:
        return (across, along) if self.upright else (along, across)

    def _extent(self, n: Node) -> float:
        if not isinstance(n, str):
            return self.sizes.lane
        return self.sizes.card[0] if self.upright else self.sizes.card[1]

    def _middle(self, n: Node) -> float:
        return self.at[n] + self._extent(n) / 2

    # ------------------------------------------------------------------ order within layers
    def _order(self) -> None:
        """Sort each layer by the mean place of its neighbours, forth and back, and keep what crosses least."""
        best, least = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            for r in range(1, len(self.layers)) if forth else range(len(self.layers) - 2, -1, -1):
                self._sort(r, r - 1 if forth else r + 1, self.before if forth else self.after)
            crossings = self._crossings()
            if crossings < least:
                least, best = crossings, [list(layer) for layer in self.layers]
        self.layers = best

    def _sort(self, r: int, beside: int, near: dict[Node, list[Node]]) -> None:
        other = {n: i for i, n in enumerate(self.layers[beside])}
        means = {
            n: sum(other[m] for m in near[n]) / len(near[n]) if near[n] else float(i)
            for i, n in enumerate(self.layers[r])
        }
        self.layers[r].sort(key=means.__getitem__)

    def _crossings(self) -> int:
        total = 0
        for upper, lower in pairwise(self.layers):
            place = {n: i for i, n in enumerate(lower)}
            seen: list[int] = []
            for n in upper:
                ends = sorted(place[m] for m in self.after[n])
                total += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total

    # ------------------------------------------------------------------ places across the flow
    def _straighten(self) -> None:
        """Pull every node towards its neighbours as far as the order allows."""
        for layer in self.layers:
            at = 0.0
            for n in layer:
                self.at[n] = at
                at += self._extent(n) + self.sizes.across
        for pull in range(_PULLS):
            for layer in self.layers if pull % 2 == 0 else reversed(self.layers):
                self._settle(layer)

    def _settle(self, layer: list[Node]) -> None:
        """Nodes of one layer go to the mean of their neighbours; those that would overlap move as one block."""
        blocks: list[tuple[float, int, float, list[Node]]] = []  # where it begins, nodes, extent, which
        for n in layer:
            beside = [self._middle(m) for m in (*self.before[n], *self.after[n])]
            start = sum(beside) / len(beside) - self._extent(n) / 2 if beside else self.at[n]
            extent, members = self._extent(n) + self.sizes.across, [n]
            while blocks and blocks[-1][0] + blocks[-1][2] > start:
                start_before, count, extent_before, members_before = blocks.pop()
                shift = start - extent_before  # where the block before would have to begin
                start = (start_before * count + shift * len(members)) / (count + len(members))
                extent, members = extent_before + extent, members_before + members
            blocks.append((start, len(members), extent, members))
        for start, _, _, members in blocks:
            for n in members:
                self.at[n] = start
                start += self._extent(n) + self.sizes.across
