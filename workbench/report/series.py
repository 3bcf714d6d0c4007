"""How much of a resource each task set used over time, in bounded memory and with exact areas.

A `Grid` holds, for each key, the area under a step function in equal bins. When time outgrows the bins, neighbours
are merged pairwise, so that memory depends on the number of keys and not on the number of attempts, and no area is
ever lost. An interval costs O(1): its two end bins get their share, the bins between are kept as two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import accumulate, pairwise

import msgspec

BINS = 2048
_FIRST_WIDTH = 2.0**-12


LAYERS = 40  # that a stack shows; what is beyond goes into one layer
OTHER = "other sets"  # its key: no set can have this name


class Layer(msgspec.Struct, frozen=True):
    """One key's share of a `Stack`: `values[i]` holds from ``edges[i]`` to ``edges[i + 1]``."""

    key: str
    values: tuple[float, ...]


class Stack(msgspec.Struct, frozen=True):
    """Step functions on common edges.

    Attributes
    ----------
    edges : tuple of float
        Seconds; ascending, one more than each layer has values. Empty when there is nothing to show.
    layers : tuple of Layer
        In the order in which the keys were first seen.
    """

    edges: tuple[float, ...]
    layers: tuple[Layer, ...]

    def total(self) -> tuple[float, ...]:
        """Sum of all layers in each step."""
        if not self.layers:
            return (0.0,) * max(0, len(self.edges) - 1)
        return tuple(map(sum, zip(*(layer.values for layer in self.layers), strict=True)))

    def area(self, key: str | None = None) -> float:
        """Area under one layer, or under all of them."""
        widths = [b - a for a, b in pairwise(self.edges)]
        return sum(
            sum(w * v for w, v in zip(widths, layer.values, strict=True))
            for layer in self.layers
            if key is None or layer.key == key
        )


class _Bins:
    """Area per bin of one key: `part` directly, `full` as steps of the height of fully covered bins.

    Only bins that something begins or ends in are kept: a campaign may have thousands of sets of one task each.
    """

    __slots__ = ("_heights", "full", "part")

    def __init__(self) -> None:
        self.part: dict[int, float] = {}
        self.full: dict[int, float] = {}
        self._heights: tuple[float, list[float]] | None = None

    def spread(self, width: float, n: int, start: float, end: float, height: float) -> None:
        """Add a rectangle."""
        self._heights = None
        part, full = self.part, self.full
        first = min(n - 1, int(start / width))
        last = min(n - 1, int(end / width))
        if first == last:
            part[first] = part.get(first, 0.0) + (end - start) * height
            return
        part[first] = part.get(first, 0.0) + ((first + 1) * width - start) * height
        part[last] = part.get(last, 0.0) + (end - last * width) * height
        full[first + 1] = full.get(first + 1, 0.0) + height
        full[last] = full.get(last, 0.0) - height

    def double(self, width: float) -> None:
        """Merge bins of `width` pairwise. A step inside a pair becomes area of it and a step at its end."""
        part: dict[int, float] = {}
        full: dict[int, float] = {}
        for i, area in self.part.items():
            part[i >> 1] = part.get(i >> 1, 0.0) + area
        for i, height in self.full.items():
            if height:
                if i & 1:
                    part[i >> 1] = part.get(i >> 1, 0.0) + height * width
                full[(i + 1) >> 1] = full.get((i + 1) >> 1, 0.0) + height
        self.part, self.full, self._heights = part, full, None

    def include(self, other: _Bins) -> None:
        """Add the areas of `other`."""
        self._heights = None
        for i, area in other.part.items():
            self.part[i] = self.part.get(i, 0.0) + area
        for i, height in other.full.items():
            self.full[i] = self.full.get(i, 0.0) + height

    def heights(self, width: float, n: int) -> list[float]:
        """Mean height in each of the `n` bins."""
        if self._heights is None or self._heights[0] != width:
            steps = [0.0] * (n + 1)
            for i, height in self.full.items():
                steps[i] = height
            found = list(accumulate(steps[:n]))
            for i, area in self.part.items():
                found[i] += area / width
            self._heights = (width, found)
        return self._heights[1]


class Grid:
    """Areas of intervals by key.

    Parameters
    ----------
    bins : int, optional
        Number of bins; between half of them and all are in use once there is enough time to fill them.
    """

    def __init__(self, bins: int = BINS) -> None:
        self._n = bins
        self._width = _FIRST_WIDTH
        self._keys: dict[str, _Bins] = {}
        self._areas: dict[str, float] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys in the order in which they were first seen."""
        return tuple(self._keys)

    def area(self, key: str | None = None) -> float:
        """Exact area added so far under `key`, or under all keys."""
        return sum(self._areas.values()) if key is None else self._areas.get(key, 0.0)

    def add(self, key: str, start: float, end: float, height: float) -> None:
        """Add a rectangle from `start` to `end` seconds (start >= 0) of `height`."""
        if height == 0.0 or not end > start:
            return
        while end > self._n * self._width:
            self._double()
        self._areas[key] = self._areas.get(key, 0.0) + (end - start) * height
        bins = self._keys.get(key)
        if bins is None:
            bins = self._keys[key] = _Bins()
        bins.spread(self._width, self._n, start, end, height)

    def _double(self) -> None:
        for bins in self._keys.values():
            bins.double(self._width)
        self._width *= 2

    def _column(self, keys: Sequence[str], opened: Mapping[str, _Bins]) -> list[float]:
        """Mean heights of the sum of `keys`, with what is `opened`."""
        found = [bins for key in keys for source in (self._keys, opened) if (bins := source.get(key)) is not None]
        if len(found) == 1:
            return found[0].heights(self._width, self._n)
        merged = _Bins()
        for bins in found:
            merged.include(bins)
        return merged.heights(self._width, self._n)

    def stack(self, until: float, running: Iterable[tuple[str, float, float]] = (), points: int = 1000) -> Stack:
        """The step functions up to `until` seconds.

        Parameters
        ----------
        until : float
            End of the last step.
        running : iterable of (key, start, height)
            Intervals that have not ended; they count as lasting until `until` and are not kept.
        points : int
            Upper bound for ``steps x layers``. Bins are merged until it holds; areas stay exact.
        """
        while until > self._n * self._width:
            self._double()
        if until <= 0.0:
            return Stack((), ())
        used = min(self._n, max(1, int(until / self._width) + (until % self._width > 0)))
        opened: dict[str, _Bins] = {}
        areas = dict(self._areas)
        for key, start, height in running:
            if until > start and height:
                opened.setdefault(key, _Bins()).spread(self._width, self._n, start, until, height)
                areas[key] = areas.get(key, 0.0) + (until - start) * height
        if not areas:
            return Stack((0.0, until), ())
        edges = [i * self._width for i in range(used)] + [until]
        # The last bin may be cut by `until`: its height is the area in it over what is left of it.
        last = (edges[-1] - edges[-2]) / self._width
        names: list[str] = []
        columns: list[list[float]] = []
        for name, members in _layers(areas).items():
            column = self._column(members, opened)[:used]
            if last < 1.0:
                column = [*column[:-1], column[-1] / last]
            names.append(name)
            columns.append(column)
        # Equal bins are merged, not steps: so plateaus stay exact, and only the flanks between them blur.
        short_edges, short = _run_lengths(edges, columns)
        while len(short[0]) * len(short) > points and len(edges) > 2:
            edges, columns = _halve(edges, columns)
            short_edges, short = _run_lengths(edges, columns)
        return Stack(tuple(short_edges), tuple(Layer(n, tuple(c)) for n, c in zip(names, short, strict=True)))


def _layers(areas: dict[str, float]) -> dict[str, list[str]]:
    """The keys with the largest areas, in their order, and one layer of all others: nobody can tell a hundred apart."""
    if len(areas) <= LAYERS:
        return {key: [key] for key in areas}
    kept = set(nlargest(LAYERS - 1, areas, key=areas.__getitem__))
    return {**{key: [key] for key in areas if key in kept}, OTHER: [key for key in areas if key not in kept]}


def _run_lengths(edges: list[float], columns: Sequence[list[float]]) -> tuple[list[float], list[list[float]]]:
    """Drop edges at which no column changes (beyond rounding: by a billionth of one plus its height)."""
    rows = list(zip(*columns, strict=True))
    keep = [0]
    for i in range(1, len(rows)):
        before = rows[keep[-1]]
        if any(abs(a - b) > 1e-9 * (1.0 + abs(a)) for a, b in zip(rows[i], before, strict=True)):
            keep.append(i)
    return [edges[i] for i in keep] + [edges[-1]], [[c[i] for i in keep] for c in columns]


def _halve(edges: list[float], columns: Sequence[list[float]]) -> tuple[list[float], list[list[float]]]:
    """Merge steps pairwise: each pair becomes one step of the same area."""
    starts = list(range(0, len(edges) - 1, 2))
    out_edges = [edges[i] for i in starts] + [edges[-1]]
    out: list[list[float]] = []
    for column in columns:
        merged = []
        for i in starts:
            j = min(i + 2, len(edges) - 1)
            span = edges[j] - edges[i]
            merged.append(sum(column[k] * (edges[k + 1] - edges[k]) for k in range(i, j)) / span)
        out.append(merged)
    return out_edges, out
