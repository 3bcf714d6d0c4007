"""What a run of `predict.compact` keeps, and its ready tasks in the order in which the core would offer them.

Keys are the policies' own; `flow.push`, `flow.enqueue` and `flow.requeue` are said again for tasks that stand in one
entry of a queue, because they are of one set, became ready one after the other and have one key.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappush
from typing import Any

from workbench.core.graph import rank_group
from workbench.core.policies import key_of, scheduling
from workbench.core.state import SetState, State, Task
from workbench.model.specs import Member

from .compact import BARRED, Attempt, Compact, Tx, can_be_quick, copy_set

SET, IDS, POS, GONE = range(4)  # fields of a queue's entry: what it stands for, how many went, how many left midway


class Shadow(State):
    """What policies look at in a run. `graph.upward_ranks` finds its ranks up to date: they are brought there when it
    asks, as the core computes them then, but only those of sets whose TX changed or the rank of a set after them."""

    groups: list[tuple[list[str], list[int], set[int]]]
    order: list[SetState]
    ranked: list[int]  # finished attempts of each set when ranks were last computed

    @property
    def upward_version(self) -> int:  # type: ignore[override]
        if vars(self)["upward_version"] != self.graph_version:
            self._rank()
        return self.graph_version

    @upward_version.setter
    def upward_version(self, version: int) -> None:
        vars(self)["upward_version"] = version

    def _rank(self) -> None:
        ranks, sets, ranked = self.upward.copy(), self.order, self.ranked
        moved: set[int] = set()
        for group, numbers, after in self.groups:
            if len(numbers) == 1:  # as most are
                if sets[numbers[0]].seen == ranked[numbers[0]] and moved.isdisjoint(after):
                    continue
            elif moved.isdisjoint(after) and all(sets[s].seen == ranked[s] for s in numbers):
                continue
            before = [ranks.get(name) for name in group]
            rank_group(self, group, ranks)
            for s, name, rank in zip(numbers, group, before, strict=True):
                ranked[s] = sets[s].seen
                if ranks[name] != rank:
                    moved.add(s)
        self.upward = ranks
        self.upward_version = self.graph_version


class Queues:
    """The state of one run, made from a `Compact`, which it does not change; and the ready tasks in their order."""

    def __init__(self, c: Compact, tx: Tx | None) -> None:
        self.c = c
        self.now = c.at
        self.shadow = self._shadow(c)
        self.sets = self.shadow.order
        self.shapes = c.shapes
        self.tx = self._durations(tx)
        self.open, self.broken = c.open.copy(), c.broken.copy()
        self.missing, self.blockers = c.missing.copy(), c.blockers.copy()
        self.waiting: list[Sequence[int]] = c.waiting.copy()
        self.own = [None if own is None else own.copy() for own in c.own_missing]
        self.finished = c.ended_at.copy()
        self.cores, self.gpus, self.memory = c.cores.copy(), c.gpus.copy(), c.memory.copy()
        self.under_way = c.attempts.copy()
        self.queues: list[list[Any]] = [
            [(negated, key, order, [s, ids, 0, 0 if ids else 1]) for negated, key, order, (s, ids) in heap]
            for heap in c.ready
        ]
        self.newly = {i for i, heap in enumerate(self.queues) if heap}  # shapes to be tried on every node
        # shapes of which tasks are ready: (number, cores, GPUs, memory, need, queue)
        self.asking = {i: self._request(i) for i in self.newly}
        self.wide = [heap for heap, shape in zip(self.queues, c.shapes, strict=True) if shape[3] > 1]
        self.least_cores = min((shape[0] for shape in c.shapes), default=0)
        self.touched: list[int] = []  # nodes on which something ended since the last decision
        self.tail: tuple[int, object, int, list[Any]] | None = None  # the entry that was put into a queue last
        self.ends: list[Any] = []
        self.begun = 0
        self.policy, self.packing = scheduling(self.shadow)
        self.gate, self.barrier = self.shadow.gate, self.shadow.barrier
        self.holding: list[dict[int, Attempt]] | None = None  # attempts on each node, where reservations ask for them
        self.hurt = c.hurt.copy()
        self.own_hurt = None if c.own_hurt is None else [own.copy() for own in c.own_hurt]
        # sets of which nobody looks at single tasks
        self.whole = [c.own_hurt is None and not (x.each or x.task) for x in c.links]
        self.stage_open = {k: n for k, sets in c.stages.items() if (n := sum(self.open[s] > 0 for s in sets))}
        self.prefetch = set(c.prefetch)
        self.eligible = [bool(c.prefetch) and can_be_quick(s) for s in self.sets]
        self.extra = dict.fromkeys(("cores", "gpus", "memory"), 0.0)
        self.learned_before = [s.sum_s for s in self.sets]

    def _shadow(self, c: Compact) -> Shadow:
        new = Shadow.__new__(Shadow)
        vars(new).update(vars(c.shadow))
        new.sets = {name: copy_set(s) for name, s in c.shadow.sets.items()}
        new.order = list(new.sets.values())
        new.groups, new.ranked = c.groups, [-1] * len(new.order)
        new.nodes = c.shadow.nodes.copy()
        return new

    def _durations(self, tx: Tx | None) -> list[float | list[float]]:
        """TX on the state's clock, never negative."""
        given: list[Any] = list(self.c.tx)
        if tx is not None:
            given = [tx.get(name, mine) for name, mine in zip(self.c.names, given, strict=True)]
        if not self.c.known and (tx is None or any(name not in tx for name in self.c.names)):
            raise ValueError("no TX is known for any set; give `tx` with one for each")
        scale = self.shadow.time_scale
        found: list[float | list[float]] = []
        for x in given:
            if isinstance(x, (int, float)):
                found.append(max(0.0, float(x) * scale))
            else:
                values: list[float] = x.tolist() if hasattr(x, "tolist") else list(x)
                if scale != 1.0:
                    values = [v * scale for v in values]
                if values and min(values) < 0.0:
                    values = [max(0.0, v) for v in values]
                found.append(values)
        return found

    def _push(self, s: int, ids: Sequence[int]) -> None:
        """`flow.push`: tasks become ready, in this order."""
        special = self.c.special[s]
        if special is None:
            self._enter(s, self.c.negated[s], self._key(s), ids, True)
            return
        for i in ids:
            negated, member = special.get(i, (self.c.negated[s], None))
            key = self._key(s) if member is None else self._own_key(s, i, member)
            self._enter(s, negated, key, (i,), member is None)

    def _request(self, i: int) -> tuple[int, int, int, int, int, list[Any]]:
        cores, gpus, memory, _, need = self.shapes[i]
        return i, cores, gpus, memory, need, self.queues[i]

    def _key(self, s: int) -> object:
        return self.policy.key(self.shadow, self.sets[s])

    def _own_key(self, s: int, i: int, member: Member) -> object:
        return key_of(self.shadow, self.policy, Task(self.sets[s], i, member))

    def _enter(self, s: int, negated: int, key: object, ids: Sequence[int], together: bool) -> None:
        shadow = self.shadow
        first = shadow.orders + 1
        shadow.orders += len(ids)
        tail = self.tail
        if tail is not None and together and tail[2] == s and tail[0] == negated and tail[1] == key:
            entry = tail[3]
            if entry[POS] < len(entry[IDS]):
                if not isinstance(entry[IDS], list):
                    entry[IDS] = list(entry[IDS])
                entry[IDS].extend(ids)
                return
        entry = [s, ids, 0, 0]
        shape = self.c.shape_of[s]
        heap = self.queues[shape]
        if not heap:
            self.newly.add(shape)
            self.asking[shape] = self._request(shape)
        heappush(heap, (negated, key, first, entry))
        self.tail = (negated, key, s, entry) if together else None

    def _requeue(self) -> None:
        """`flow.requeue`: give every ready task its key under the present policy, ranks and estimates."""
        self.shadow.queued_version = self.shadow.graph_version
        keys: dict[int, object] = {}
        for heap in self.queues:
            fresh = []
            for negated, _, order, entry in heap:
                s, ids, pos, _ = entry
                if pos >= len(ids):
                    continue
                special = self.c.special[s]
                member = special.get(ids[pos], (0, None))[1] if special is not None else None
                if member is not None:
                    key: object = self._own_key(s, ids[pos], member)
                else:
                    if s not in keys:
                        keys[s] = self._key(s)
                    key = keys[s]
                entry[GONE] = 0
                fresh.append((negated, key, order, entry))
            heapify(fresh)
            heap[:] = fresh
        self.tail = None

    def _refresh(self) -> bool:
        """Whether there is anything to decide; new keys first, where the graph or the estimates changed."""
        if not any(entry[POS] < len(entry[IDS]) for heap in self.queues for _, _, _, entry in heap):
            return False
        least = self.c.least
        if not self.prefetch and not any(
            (self.cores[n] > 0 or self.gpus[n]) and least[n] < BARRED for n in range(len(least))
        ):
            return False
        if self.policy.dynamic:
            self._requeue()
        return True
