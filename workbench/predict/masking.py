"""TX masking: which task sets hide which, when a campaign runs as Eq. 3 of the paper has it, and by how much.

"TX masking happens when longer running tasks effectively hide contributions from shorter running tasks to a workflow's
makespan" (section 5.3). Eq. 3 counts some sets, the longest branch and those that need all of a resource; every other
set is hidden by those of them that run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from .setgraph import SetGraph

Window = tuple[float, float]


@dataclass(frozen=True)
class Mask:
    """Set `hidden` runs for `seconds` while `by` runs; `fits`: the allocation has room for both full sets at once."""

    hidden: str
    by: str
    seconds: float
    fits: bool


def timeline(
    graph: SetGraph,
    tx: Sequence[float],
    length: Sequence[float],
    tails: Sequence[float],
    held: dict[int, frozenset[str]],
) -> list[Window]:
    """When each set runs: as early as its inputs allow, but sets that need all of one resource one after the other.

    Parameters
    ----------
    graph, tx
        The sets and their TX, seconds.
    length, tails : sequence of float
        Longest chain through each set, and behind it, seconds.
    held : dict
        For sets that need all of a resource, which.
    """
    missing = [len(p) for p in graph.before]
    ready = [i for i, n in enumerate(missing) if not n]
    windows: list[Window] = [(0.0, 0.0)] * len(tx)
    ends: list[tuple[float, int]] = []
    taken: set[str] = set()
    now = 0.0
    while True:
        waiting = []
        for i in sorted(ready, key=lambda i: (-tx[i] - tails[i], i)):  # upward rank
            needs = held.get(i, frozenset())
            if needs & taken:
                waiting.append(i)
                continue
            taken |= needs
            windows[i] = now, now + tx[i]
            heappush(ends, (now + tx[i], i))
        ready = waiting
        if not ends:
            return windows
        now = ends[0][0]
        while ends and ends[0][0] == now:
            _, i = heappop(ends)
            taken -= held.get(i, frozenset())
            for b in graph.behind[i]:
                missing[b] -= 1
                if not missing[b]:
                    ready.append(b)


def masks(
    graph: SetGraph, windows: Sequence[Window], counted: Sequence[int], fits: Callable[[int, int], bool]
) -> tuple[Mask, ...]:
    """Who hides whom.

    Parameters
    ----------
    graph, windows
        The sets, and when each runs.
    counted : sequence of int
        Sets that Eq. 3 counts; of several that run at one time, the longest hides.
    fits : callable
        Whether the allocation has room for two full sets at once.
    """
    order = sorted(counted, key=lambda c: (windows[c][0] - windows[c][1], windows[c][0], c))
    known = set(counted)
    found: list[Mask] = []
    for i in sorted(range(len(windows)), key=lambda i: (windows[i], i)):
        if i in known:
            continue
        open_ = [windows[i]]
        hiding: list[tuple[float, int, float]] = []
        for c in order:
            if not graph.independent(i, c):
                continue
            left, covered = _cut(open_, windows[c])
            if covered > 0:
                hiding.append((windows[c][0], c, covered))
                open_ = left
            if not open_:
                break
        for _, c, seconds in sorted(hiding):
            found.append(Mask(graph.names[i], graph.names[c], seconds, fits(i, c)))
    return tuple(found)


def _cut(spans: Sequence[Window], by: Window) -> tuple[list[Window], float]:
    """What is left of `spans` outside of `by`, and how much lay inside."""
    left, covered = [], 0.0
    for start, end in spans:
        low, high = max(start, by[0]), min(end, by[1])
        if low >= high:
            left.append((start, end))
            continue
        covered += high - low
        left += [w for w in ((start, low), (high, end)) if w[0] < w[1]]
    return left, covered
