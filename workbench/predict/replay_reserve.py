"""Decisions with reservations in a run of `predict.compact`: `decide._passing` and `decide._reserve` on counts.

Every shape is tried every time and every attempt is counted by itself: what passes depends on when each one ends.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, nsmallest
from typing import Any

from workbench.core.decide import LOOKED_AT
from workbench.core.graph import tx_of

from .replay_place import Placing
from .replay_queue import GONE, IDS, POS


class Reserving(Placing):
    """Decisions of policies with ``reserve=True``."""

    def _decide_reserving(self) -> None:
        """`decide.decide` under a policy that keeps nodes for the first task that does not fit."""
        shadow, queues = self.shadow, self.queues
        self.newly.clear()
        self.touched.clear()
        if shadow.queued_version != shadow.graph_version and not self._refresh():
            return
        heads = []
        for i, heap in enumerate(queues):
            self._drop(heap)
            if heap:
                heads.append((*heap[0][:3], i))
        heapify(heads)
        everywhere = range(len(self.cores))
        kept: tuple[dict[int, tuple[int, int, int]], float] | None = None
        while heads:
            i = heappop(heads)[3]
            heap, shape = queues[i], self.shapes[i]
            while heap:
                if heads and heap[0][:3] > heads[0][:3]:
                    heappush(heads, (*heap[0][:3], i))
                    break
                entry = heap[0][3]
                if kept is None:
                    chosen = self._choose(shape, everywhere)
                else:
                    entry, chosen = self._passing(heap, shape, kept)
                if chosen is None:
                    if kept is None and heads:
                        kept = self._reserve(shape)
                    break
                self._start(entry, shape, chosen)
                if entry is not heap[0][3]:
                    entry[GONE] += 1
                self._drop(heap)

    def _drop(self, heap: list[Any]) -> None:
        """`decide._head`: what moved on is dropped where it comes first."""
        while heap:
            entry = heap[0][3]
            entry[GONE] = 0
            if entry[POS] < len(entry[IDS]):
                return
            heappop(heap)

    def _passing(
        self, heap: list[Any], shape: Any, kept: tuple[dict[int, tuple[int, int, int]], float]
    ) -> tuple[list[Any], list[int] | None]:
        """`decide._passing`."""
        spare, from_ = kept
        budget = LOOKED_AT
        seen: set[int] = set()
        cores, gpus, memory, _, _ = shape
        for _, _, _, entry in nsmallest(LOOKED_AT, heap):
            s, ids, pos, gone = entry
            budget -= gone
            if budget <= 0:
                break
            if pos < len(ids) and s not in seen:
                seen.add(s)
                special = self.c.special[s]
                member = special.get(ids[pos], (0, None))[1] if special is not None else None
                short = self.now + tx_of(self.sets[s], member) * self.shadow.time_scale <= from_
                nodes = []
                for n in range(len(self.cores)):
                    left = None if short else spare.get(n)
                    if left is None or (cores <= left[0] and gpus <= left[1] and memory <= left[2]):
                        nodes.append(n)
                chosen = self._choose(shape, nodes)
                if chosen is not None:
                    return entry, chosen
            budget -= len(ids) - pos
            if budget <= 0:
                break
        return heap[0][3], None

    def _reserve(self, shape: Any) -> tuple[dict[int, tuple[int, int, int]], float] | None:
        """`decide._reserve`."""
        assert self.holding is not None
        cores, gpus, memory, count, need = shape
        now, scale = self.now, self.shadow.time_scale
        frees: list[tuple[float, int, tuple[int, int, int]]] = []
        for n, (all_cores, all_memory) in enumerate(self.c.size):
            large = count > 1 or 2 * cores >= all_cores or (all_memory and 2 * memory >= all_memory)
            if not large or self.c.least[n] > need:
                continue
            have = [self.cores[n], self.gpus[n], self.memory[n]]
            when = now
            if not (have[0] >= cores and have[1] >= gpus and have[2] >= memory):
                ending = [(a.started + tx_of(self.sets[a.set], a.member) * scale, a) for a in self.holding[n].values()]
                ending.sort(key=lambda e: e[0])
                for end, a in ending:
                    have[0] += a.cores
                    have[1] += a.places[0][1] if a.places[0][0] == n else gpus
                    have[2] += a.memory
                    when = max(now, end)
                    if have[0] >= cores and have[1] >= gpus and have[2] >= memory:
                        break
                else:
                    continue
            frees.append((when, n, (have[0] - cores, have[1] - gpus, have[2] - memory)))
        if len(frees) < count:
            return None
        frees.sort()
        return {n: left for _, n, left in frees[:count]}, frees[count - 1][0]
