"""How much of a resource each task set used over time, in bounded memory and with exact areas.

A `Grid` holds, for each key, the area under a step function in equal bins. When time outgrows the bins, neighbours
are merged pairwise, so that memory depends on the number of keys and not on the number of attempts, and no area is
ever lost. An interval costs O(1): its two end bins get their share, the bins between are a difference array.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
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
    """Area per bin of one key: `part` directly, `full` as differences of the height of fully covered bins."""

    __slots__ = ("_heights", "full", "part")

    def __init__(self, n: int) -> None:
        self.part = array("d", bytes(8 * n))
        self.full = array("d", bytes(8 * (n + 1)))
        self._heights: tuple[float, list[float]] | None = None

    def heights(self, width: float) -> list[float]:
        """Mean height in each bin."""
        if self._heights is None or self._heights[0] != width:
            tall = accumulate(self.full)
            self._heights = (width, [p / width + h for p, h in zip(self.part, tall, strict=False)])
        return self._heights[1]

    def touch(self) -> None:
        self._heights = None


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
            bins = self._keys[key] = _Bins(self._n)
        _spread(bins.part, bins.full, self._width, self._n, start, end, height)
        bins.touch()

    def _double(self) -> None:
        n = self._n
        for bins in self._keys.values():
            area = [p + self._width * h for p, h in zip(bins.part, accumulate(bins.full), strict=False)]
            half = [a + b for a, b in zip(area[0::2], area[1::2], strict=True)]
            bins.part = array("d", half + [0.0] * (n - len(half)))
            bins.full = array("d", bytes(8 * (n + 1)))
            bins.touch()
        self._width *= 2

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
        open_areas: dict[str, tuple[array[float], array[float]]] = {}
        for key, start, height in running:
            if until > start and height:
                pair = open_areas.get(key)
                if pair is None:
                    pair = open_areas[key] = (array("d", bytes(8 * self._n)), array("d", bytes(8 * (self._n + 1))))
                _spread(pair[0], pair[1], self._width, self._n, start, until, height)
        names = [*self._keys, *(k for k in open_areas if k not in self._keys)]
        if not names:
            return Stack((0.0, until), ())
        edges = [i * self._width for i in range(used)] + [until]
        # The last bin may be cut by `until`: its height is the area in it over what is left of it.
        last = (edges[-1] - edges[-2]) / self._width
        columns: list[list[float]] = []
        for name in names:
            column = self._keys[name].heights(self._width)[:used] if name in self._keys else [0.0] * used
            if name in open_areas:
                part, full = open_areas[name]
                more = accumulate(full)
                column = [c + p / self._width + h for c, p, h in zip(column, part, more, strict=False)]
            if last < 1.0:
                column = [*column[:-1], column[-1] / last]
            columns.append(column)
        names, columns = _largest(names, columns)
        # Equal bins are merged, not steps: so plateaus stay exact, and only the flanks between them blur.
        short_edges, short = _run_lengths(edges, columns)
        while len(short[0]) * len(short) > points and len(edges) > 2:
            edges, columns = _halve(edges, columns)
            short_edges, short = _run_lengths(edges, columns)
        return Stack(tuple(short_edges), tuple(Layer(n, tuple(c)) for n, c in zip(names, short, strict=True)))


def _largest(names: list[str], columns: list[list[float]]) -> tuple[list[str], list[list[float]]]:
    """The layers with the largest areas, in their order, and one for all others: nobody can tell a hundred apart."""
    if len(names) <= LAYERS:
        return names, columns
    order = sorted(range(len(names)), key=lambda i: -sum(columns[i]))
    kept = sorted(order[: LAYERS - 1])
    rest = [sum(values) for values in zip(*(columns[i] for i in order[LAYERS - 1 :]), strict=True)]
    return [*(names[i] for i in kept), OTHER], [*(columns[i] for i in kept), rest]


def _spread(
    part: array[float], full: array[float], width: float, n: int, start: float, end: float, height: float
) -> None:
    """Add a rectangle to the bins."""
    first = min(n - 1, int(start / width))
    last = min(n - 1, int(end / width))
    if first == last:
        part[first] += (end - start) * height
        return
    part[first] += ((first + 1) * width - start) * height
    part[last] += (end - last * width) * height
    full[first + 1] += height
    full[last] -= height


def _run_lengths(edges: list[float], columns: Sequence[list[float]]) -> tuple[list[float], list[list[float]]]:
    """Drop edges at which no column changes (beyond rounding)."""
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
