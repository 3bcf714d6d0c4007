"""Which node takes which ready task in a run of `predict.compact`: `core.decide` and `core.placement` on counts.

Without reservations a shape that fitted nowhere can fit only where something ended since, and tasks of one entry of a
queue are placed node by node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from .compact import Attempt
from .replay_flow import Flow
from .replay_queue import IDS, POS


class Placing(Flow):
    """Decisions of policies that keep no node for anybody, and what all share."""

    def _fitting(self, shape: tuple[int, int, int, int, int], nodes: Sequence[int]) -> list[int]:
        """`placement.fits`."""
        cores, gpus, memory, _, need = shape
        free_cores, free_gpus, free_memory, least = self.cores, self.gpus, self.memory, self.c.least
        return [
            n
            for n in nodes
            if free_cores[n] >= cores and free_gpus[n] >= gpus and free_memory[n] >= memory and least[n] <= need
        ]

    def _order_of(self, shape: tuple[int, int, int, int, int]) -> Callable[[int], Any]:
        """The rules of `placement.PACKINGS` on nodes that fit."""
        gpus, free_cores, free_gpus = shape[1], self.cores, self.gpus
        if self.packing == "first":
            return lambda n: n
        if self.packing == "best":
            return lambda n: (free_gpus[n], free_cores[n], n)
        if self.packing == "spread" or gpus:
            return lambda n: (-free_cores[n], n)
        return lambda n: (free_gpus[n], free_cores[n], n)

    def _decide(self) -> None:
        """`decide.decide` without reservations."""
        shadow, queues = self.shadow, self.queues
        if shadow.queued_version != shadow.graph_version and self.policy.dynamic:
            self._refresh()
        newly, touched = self.newly, self.touched
        if len(touched) > 1:
            touched = sorted(set(touched))
        everywhere = range(len(self.cores))
        heads = []
        for i, *_, heap in self.asking.values():
            shape = self.shapes[i]
            nodes = everywhere if i in newly or shape[3] > 1 else touched
            if nodes and len(self._fitting(shape, nodes)) >= shape[3]:
                negated, key, order, _ = heap[0]
                heads.append((negated, key, order, i, nodes))
        heapify(heads)
        while heads:
            *_, i, nodes = heappop(heads)
            shape, heap = self.shapes[i], queues[i]
            fitting = self._fitting(shape, nodes)
            if len(fitting) < shape[3]:
                continue
            limit = heads[0][:3] if heads else None
            if shape[3] > 1:
                self._place_wide(shape, heap, limit)
            elif len(fitting) > 1 and (self.packing == "spread" or (self.packing == "balance" and shape[1])):
                self._place_spread(shape, heap, limit, fitting)
            else:
                if len(fitting) > 1:
                    fitting.sort(key=self._order_of(shape))
                self._place(shape, heap, limit, fitting)
            if not heap:
                del self.asking[i]
            elif limit is not None and heap[0][:3] > limit:
                heappush(heads, (*heap[0][:3], i, nodes))
        newly.clear()
        self.touched.clear()

    def _decide_at(self, node: int, left: tuple[int, int, int, int, int] | None = None) -> None:
        """The same where one node came free, and no shape is new: most decisions of a sampled run.

        A shape that does not fit will not fit later in this decision either, so the next task is always the first of
        the shapes that still fit. Where it is known that one attempt of a shape `left`, and nothing else, what was free
        before it was too little for every shape that asks, and is again once as much is taken.
        """
        cores, gpus, memory, least = self.cores[node], self.gpus[node], self.memory[node], self.c.least[node]
        asking, least_cores, now, begun = self.asking, self.least_cores, self.now, self.begun
        ends, durations = self.ends, self.tx
        few = (cores - left[0], gpus - left[1], memory - left[2]) if left is not None else (-1, -1, -1)
        while cores >= least_cores:
            head = found = None
            for request in asking.values():
                _, x, y, z, need, heap = request
                if x <= cores and y <= gpus and z <= memory and least <= need and (head is None or heap[0] < head):
                    head, found = heap[0], request
            if head is None or found is None:
                break
            i, x, y, z, _, heap = found
            entry = head[3]
            s, ids, pos, _ = entry
            tx: Any = durations[s]
            begun += 1
            if tx.__class__ is float:
                many = cores // x  # as `_room` says
                if y and gpus // y < many:
                    many = gpus // y
                if z and memory // z < many:
                    many = memory // z
                if many == 1:
                    heappush(ends, (now + tx, begun, s, ids[pos], node, now))
                    cores -= x
                    gpus -= y
                    memory -= z
                    pos += 1
                else:
                    if many > len(ids) - pos:
                        many = len(ids) - pos
                    heappush(ends, (now + tx, begun, s, ids[pos : pos + many], ((node, many),), now))
                    cores -= many * x
                    gpus -= many * y
                    memory -= many * z
                    pos += many
            else:
                heappush(ends, (now + tx[ids[pos]], begun, s, ids[pos], node, now))
                cores -= x
                gpus -= y
                memory -= z
                pos += 1
            entry[POS] = pos
            if pos == len(ids):
                heappop(heap)
                if not heap:
                    del asking[i]
            if cores <= few[0] and gpus <= few[1] and memory <= few[2]:
                break
        self.cores[node], self.gpus[node], self.memory[node], self.begun = cores, gpus, memory, begun

    def _place(self, shape: Any, heap: list[Any], limit: Any, fitting: list[int]) -> None:
        """Fill one node after another: on the first that fits, the next task of the shape goes too, while it fits."""
        cores, gpus, memory, _, _ = shape
        at = 0
        node = fitting[0]
        room = self._room(shape, self.cores[node], self.gpus[node], self.memory[node])
        while heap and (limit is None or heap[0][:3] < limit):
            entry = heap[0][3]
            s, ids, pos, _ = entry
            tx = self.tx[s]
            left = len(ids) - pos
            places = []
            while left and at < len(fitting):
                if not room:
                    at += 1
                    if at == len(fitting):
                        break
                    node = fitting[at]
                    room = self._room(shape, self.cores[node], self.gpus[node], self.memory[node])
                    continue
                many = room if room < left else left
                places.append((node, many))
                self.cores[node] -= many * cores
                self.gpus[node] -= many * gpus
                self.memory[node] -= many * memory
                left -= many
                room -= many
            done = len(ids) - pos - left
            if done:
                self._begin(s, ids, pos, done, tx, places)
            entry[POS] = pos + done
            if left:
                return
            heappop(heap)

    def _place_spread(self, shape: Any, heap: list[Any], limit: Any, fitting: list[int]) -> None:
        """Each task to the node with most free cores."""
        cores, gpus, memory, _, _ = shape
        order = [(-self.cores[n], n) for n in fitting]
        heapify(order)
        while heap and (limit is None or heap[0][:3] < limit):
            entry = heap[0][3]
            s, ids, pos, _ = entry
            places = []
            left = len(ids) - pos
            while left and order:
                node = order[0][1]
                self.cores[node] -= cores
                self.gpus[node] -= gpus
                self.memory[node] -= memory
                places.append((node, 1))
                left -= 1
                if self._room(shape, self.cores[node], self.gpus[node], self.memory[node]):
                    heapreplace(order, (-self.cores[node], node))
                else:
                    heappop(order)
            done = len(ids) - pos - left
            if done:
                self._begin(s, ids, pos, done, self.tx[s], places)
            entry[POS] = pos + done
            if left:
                return
            heappop(heap)

    def _place_wide(self, shape: Any, heap: list[Any], limit: Any) -> None:
        """Tasks that span several nodes, one by one."""
        while heap and (limit is None or heap[0][:3] < limit):
            chosen = self._choose(shape, range(len(self.cores)))
            if chosen is None:
                return
            entry = heap[0][3]
            self._start(entry, shape, chosen)
            if entry[POS] >= len(entry[IDS]):
                heappop(heap)

    def _room(self, shape: Any, free_cores: int, free_gpus: int, free_memory: int) -> int:
        """How many tasks of `shape` fit into what is free on a node."""
        cores, gpus, memory, _, _ = shape
        room: int = free_cores // cores
        if gpus:
            room = min(room, free_gpus // gpus)
        if memory:
            room = min(room, free_memory // memory)
        return room

    def _begin(self, s: int, ids: Sequence[int], pos: int, many: int, tx: Any, places: list[Any]) -> None:
        """Tasks of one set start now on these nodes."""
        now, ends, begun = self.now, self.ends, self.begun
        if isinstance(tx, float):
            begun += 1
            heappush(ends, (now + tx, begun, s, ids[pos : pos + many], places, now))
        else:
            for node, count in places:
                for i in ids[pos : pos + count]:
                    begun += 1
                    heappush(ends, (now + tx[i], begun, s, i, node, now))
                pos += count
        self.begun = begun

    def _choose(self, shape: Any, nodes: Sequence[int]) -> list[int] | None:
        """`placement.choose`."""
        fitting = self._fitting(shape, nodes)
        if len(fitting) < shape[3]:
            return None
        fitting.sort(key=self._order_of(shape))
        return fitting[: shape[3]]

    def _start(self, entry: list[Any], shape: Any, chosen: list[int]) -> None:
        """Start the first task of an entry, counted by itself."""
        cores, gpus, memory, _, _ = shape
        s, ids, pos, _ = entry
        i = ids[pos]
        entry[POS] = pos + 1
        for node in chosen:
            self.cores[node] -= cores
            self.gpus[node] -= gpus
            self.memory[node] -= memory
        tx: Any = self.tx[s]
        took = tx if isinstance(tx, float) else tx[i]
        special = self.c.special[s]
        member = special.get(i, (0, None))[1] if special is not None else None
        attempt = Attempt(s, i, self.now, cores, memory, tuple((n, gpus) for n in chosen), False, member)
        number = len(self.under_way)
        self.under_way.append(attempt)
        if self.holding is not None:
            for node, _ in attempt.places:
                self.holding[node][number] = attempt
        self.begun += 1
        heappush(self.ends, (self.now + took, self.begun, -1, number, None, self.now))
