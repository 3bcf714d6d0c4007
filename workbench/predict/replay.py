"""One run of `predict.compact`: flow, decisions and time, on counts.

Every rule here has its original in the core, and the names say where: `_flow` methods follow `core.flow`, `_decide` and
`_reserve` follow `core.decide`, `order_of` follows `core.placement`, the clock follows `predict.simulate`. What is
different is only how much is done at once.

A run has two ways to decide. Without reservations a shape that fitted nowhere can fit only where something ended
since, and tasks of one entry of a queue are placed node by node. With them (policies with ``reserve=True``) every shape
is tried every time and every attempt is counted by itself, as what passes depends on when each attempt ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush, heapreplace, nsmallest
from typing import Any

from workbench.core.decide import LOOKED_AT
from workbench.core.flow import NO_STAGE
from workbench.core.graph import rank_group, tx_of
from workbench.core.policies import AUTO, key_of, scheduling
from workbench.core.state import SetState, State, Task
from workbench.model.specs import Member, Plan

from .compact import BARRED, PACKINGS, Attempt, Compact, NotCompact, Outcome, Tx, can_be_quick, copy_set

INSTANTS = 64  # between two breaths, as in `predict.simulate`
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
            if moved.isdisjoint(after) and all(sets[s].seen == ranked[s] for s in numbers):
                continue
            before = [ranks.get(name) for name in group]
            rank_group(self, group, ranks)
            for s, name, rank in zip(numbers, group, before, strict=True):
                ranked[s] = sets[s].seen
                if ranks[name] != rank:
                    moved.add(s)
        self.upward = ranks
        self.upward_version = self.graph_version


class Replay:
    """The state of one run; made from a `Compact`, which it does not change."""

    def __init__(self, c: Compact, tx: Tx | None, plan: Plan | None, mode: str) -> None:
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
        self.hurt = c.hurt.copy()
        self.own_hurt = None if c.own_hurt is None else [own.copy() for own in c.own_hurt]
        self.whole = [
            c.own_hurt is None and not (x.each or x.task) for x in c.links
        ]  # sets of which nobody looks at single tasks
        self.prefetch = set(c.prefetch)
        self.eligible = [bool(c.prefetch) and can_be_quick(s) for s in self.sets]
        self.extra = dict.fromkeys(("cores", "gpus", "memory"), 0.0)
        self.learned_before = [s.sum_s for s in self.sets]
        self._schedule(plan, mode)

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
                found.append(max(0.0, x * scale))
            else:
                values: list[float] = x.tolist() if hasattr(x, "tolist") else list(x)
                if scale != 1.0:
                    values = [v * scale for v in values]
                if values and min(values) < 0.0:
                    values = [max(0.0, v) for v in values]
                found.append(values)
        return found

    def _schedule(self, plan: Plan | None, mode: str) -> None:
        """Apply a mode and a plan as `forecast.change_mode` and `PolicyChosen` do."""
        shadow = self.shadow
        shadow_gate = shadow.gate
        self.policy, self.packing = scheduling(shadow)
        self.barrier = shadow.barrier
        self.stage_open: dict[int, int] = {}
        for stage, sets in self.c.stages.items():
            n = sum(self.open[s] > 0 for s in sets)
            if n:
                self.stage_open[stage] = n
        self.gate = shadow_gate
        if mode:
            shadow.mode = mode
            self.gate = shadow.gate
            self._regate()
        if plan is not None:
            before = shadow.gate
            shadow.policy, shadow.plan, shadow.planned = AUTO, plan, None
            self.policy, self.packing = scheduling(shadow)
            self._requeue()
            self.gate = shadow.gate
            if self.gate != before:
                self._regate()
        if self.packing not in PACKINGS:
            raise NotCompact(f"packing rule {self.packing!r} has no counterpart in counts")
        self.holding: list[dict[int, Attempt]] | None = None
        if not self.policy.reserve:  # what moved on counts only where a bounded number is looked at
            for i, heap in enumerate(self.queues):
                heap[:] = [e for e in heap if e[3][POS] < len(e[3][IDS])]
                heapify(heap)
                if not heap:
                    self.asking.pop(i, None)
        else:
            self.holding = [{i: self.under_way[i] for i in held} for held in self.c.holding]

    # ---------------------------------------------------------------------------------------------- the clock
    def run(self, want_sets: bool, pause: Callable[[], None]) -> Outcome:
        """Play to the end."""
        c, now = self.c, self.now
        scale = self.shadow.time_scale
        last, instants = c.last, 0
        for i, attempt in enumerate(self.under_way):
            tx = self.tx[attempt.set]
            took = tx if isinstance(tx, float) else tx[attempt.index]
            self.begun += 1
            heappush(self.ends, (max(now, attempt.started + took), self.begun, -1, i, None, attempt.started))
        draining = list(c.draining)
        ends, sets, opened, touched = self.ends, self.sets, self.open, self.touched
        free_cores, free_gpus, free_memory = self.cores, self.gpus, self.memory
        needs = [self.shapes[x] for x in c.shape_of]
        whole = self.whole
        decide = self._decide if self.holding is None else self._decide_reserving
        shadow, newly = self.shadow, self.newly
        simple, lasting = self.holding is None and not self.wide, not self.policy.dynamic
        while True:
            if draining:
                draining = self._retire(draining)
            settled = lasting or shadow.queued_version == shadow.graph_version
            if settled and simple and len(touched) == 1 and not newly:
                self._decide_at(touched.pop())
            else:
                decide()
            if not ends:
                break
            now = self.now = last = ends[0][0]
            instants += 1
            if not instants % INSTANTS:
                pause()
            while ends and ends[0][0] == now:
                _, _, s, i, p, started = heappop(ends)
                if s < 0:
                    self._end_single(i)
                    continue
                cores, gpus, memory, _, _ = needs[s]
                own = sets[s]
                if p.__class__ is int:  # one attempt
                    free_cores[p] += cores
                    free_gpus[p] += gpus
                    free_memory[p] += memory
                    touched.append(p)
                    n = own.seen = own.seen + 1
                    own.sum_s += (now - started) / scale
                    if not n & (n - 1):
                        self._learn(s, own)
                    opened[s] -= 1
                    if not whole[s]:
                        self._tell(s, i)
                    if not opened[s]:
                        self._close(s)
                    continue
                for node, many in p:
                    free_cores[node] += many * cores
                    free_gpus[node] += many * gpus
                    free_memory[node] += many * memory
                    touched.append(node)
                took, total, n = (now - started) / scale, own.sum_s, own.seen
                for index in i:
                    n += 1
                    total += took
                    own.seen, own.sum_s = n, total
                    if not n & (n - 1):
                        self._learn(s, own)
                    opened[s] -= 1
                    if not whole[s]:
                        self._tell(s, index)
                if not opened[s]:
                    self._close(s)
        origin = c.origin if c.origin is not None else c.at
        finish = (last - origin) / scale
        return Outcome(finish, not any(opened), self._set_ends(origin) if want_sets else {}, self._used())

    def _end_single(self, i: int) -> None:
        """End an attempt that is counted by itself."""
        a = self.under_way[i]
        scale = self.shadow.time_scale
        for node, gpus in a.places:
            self.cores[node] += a.cores
            self.gpus[node] += gpus
            self.memory[node] += a.memory
            self.touched.append(node)
            if self.holding is not None:
                del self.holding[node][i]
        took = (self.now - a.started) / scale
        spent = took if a.started >= self.c.at else (self.now - self.c.at) / scale
        self.extra["cores"] += spent * a.cores * len(a.places)
        self.extra["gpus"] += spent * sum(g for _, g in a.places)
        self.extra["memory"] += spent * a.memory * len(a.places)
        if a.cancelling:
            self._break(a.set, a.index)
            return
        self.learned_before[a.set] += took
        own = self.sets[a.set]
        own.seen += 1
        own.sum_s += took
        if not own.seen & (own.seen - 1):
            self._learn(a.set, own)
        self.open[a.set] -= 1
        if not self.whole[a.set]:
            self._tell(a.set, a.index)
        if not self.open[a.set]:
            self._close(a.set)

    def _learn(self, s: int, own: SetState) -> None:
        if self.eligible[s]:
            own.judge_quick()
            if own.quick and self.prefetch:
                raise NotCompact(f"functions of set {own.name!r} are so short that they queue behind one another")
        if own.learn() and self.open[s] > 1:
            self.shadow.graph_version += 1

    def _retire(self, draining: list[int]) -> list[int]:
        """Let nodes leave that drain and are empty; nothing but attempts from before can be on them."""
        busy = {node for end in self.ends if end[2] < 0 for node, _ in self.under_way[end[3]].places}
        for node in draining:
            if node not in busy:
                self.prefetch.discard(node)
                self.shadow.graph_version += 1
        return [n for n in draining if n in busy]

    def _set_ends(self, origin: float) -> dict[str, float]:
        scale = self.shadow.time_scale
        return {
            name: (at - origin) / scale
            for name, at, left in zip(self.c.names, self.finished, self.open, strict=True)
            if at and not left
        }

    def _used(self) -> dict[str, float]:
        used = self.extra
        for s, own in enumerate(self.sets):
            cores, gpus, memory, nodes, _ = self.shapes[self.c.shape_of[s]]
            spent = (own.sum_s - self.learned_before[s]) * nodes
            used["cores"] += spent * cores
            used["gpus"] += spent * gpus
            used["memory"] += spent * memory
        return used

    # ------------------------------------------------------------------------------------------------ _flow
    def _is_open(self, s: int) -> bool:
        """`flow.gate_open`."""
        if self.gate == "adaptive":
            return True
        if self.gate == "asynchronous":
            return self.blockers[s] == 0
        return self.sets[s].stage <= self.barrier

    def _tell(self, s: int, i: int) -> None:
        """What the result of one task means to those that look at it alone (`flow._spread`)."""
        if self.own_hurt is not None:
            self.finished[s] = self.now
        links = self.c.links[s]
        for dst, di in links.task.get(i, ()):
            self._arrive(dst, di)
        for dst in links.each:
            own = self.own[dst]
            if own is not None and i < len(own):
                self._need_task(dst, i, own)

    def _close(self, s: int) -> None:
        """The last open task of a set ended, with a result."""
        self.finished[s] = self.now
        if not self.broken[s]:
            for dst, di in self.c.links[s].whole:
                self._arrive(dst, di)
        self._gates_after(s)

    def _break(self, s: int, i: int) -> None:
        """An attempt that was being cancelled ended: what follows it is skipped or held (`flow._spread`)."""
        self.finished[s] = self.now
        work: deque[tuple[int, int, bool, bool]] = deque()
        self._lose(s, i, work)
        while work:
            s, i, first, last = work.popleft()
            links = self.c.links[s]
            for dst, di in links.task.get(i, ()):
                self._hurt(dst, di, work)
            for dst in links.each:
                self._hurt(dst, i, work)
            if first:
                for dst, di in links.whole:
                    self._hurt(dst, di, work)
            if last:
                self._gates_after(s)

    def _lose(self, s: int, i: int, work: deque[tuple[int, int, bool, bool]]) -> None:
        """A task ended without a result; put down whether it is the first of its set to, and the last to end."""
        self.broken[s] += 1
        self.open[s] -= 1
        work.append((s, i, self.broken[s] == 1, not self.open[s]))

    def _hurt(self, s: int, i: int, work: deque[tuple[int, int, bool, bool]]) -> None:
        """An input of a set, or of one of its tasks, broke."""
        assert self.own_hurt is not None
        if i < 0:
            self.hurt[s] += 1
            if self.hurt[s] == 1:
                for j in range(len(self.own_hurt[s])):
                    self._give_up(s, j, work)
        elif i < len(self.own_hurt[s]):
            self.own_hurt[s][i] += 1
            if self.own_hurt[s][i] == 1:
                self._give_up(s, i, work)

    def _give_up(self, s: int, i: int, work: deque[tuple[int, int, bool, bool]]) -> None:
        own = self.own[s]
        if own is None or own[i] < 0:
            return
        if self.c.holds[s]:
            own[i] = BARRED
        else:
            own[i] = -1
            self._lose(s, i, work)

    def _gates_after(self, s: int) -> None:
        """`flow._gates_after`, with `flow.move_barrier`."""
        for dst in self.c.after[s]:
            self.blockers[dst] -= 1
            if not self.blockers[dst] and self.gate == "asynchronous":
                self._judge(dst)
        stage = self.sets[s].stage
        self.stage_open[stage] -= 1
        if self.stage_open[stage]:
            return
        del self.stage_open[stage]
        before, self.barrier = self.barrier, min(self.stage_open, default=NO_STAGE)
        if self.gate != "sequential" or self.barrier == before:
            return
        for stage in sorted(k for k in self.c.stages if before <= k <= self.barrier):
            for dst in self.c.stages[stage]:
                self._judge(dst)

    def _arrive(self, s: int, i: int) -> None:
        """An input of a set, or of one of its tasks, arrived."""
        if i >= 0:
            own = self.own[s]
            if own is not None:
                self._need_task(s, i, own)
            return
        self.missing[s] -= 1
        if not self.missing[s]:
            self._judge(s)

    def _need_task(self, s: int, i: int, own: list[int]) -> None:
        own[i] -= 1
        if not own[i] and not self.missing[s] and self._is_open(s):
            own[i] = -1
            self._push(s, (i,))

    def _judge(self, s: int) -> None:
        """Let the tasks of a set go that wait for nothing any more."""
        waiting = self.waiting[s]
        if not waiting or self.missing[s] or not self._is_open(s):
            return
        own = self.own[s]
        if own is None:
            self.waiting[s] = ()
            self._push(s, waiting)
            return
        free = [i for i in waiting if own[i] == 0]
        for i in free:
            own[i] = -1
        self.waiting[s] = [i for i in waiting if own[i] > 0]
        if free:
            self._push(s, free)

    def _regate(self) -> None:
        """`flow.regate`: after the gate changed, let go whom it lets, and call back whom it bars."""
        ready: dict[int, list[list[Any]]] = {}
        for heap in self.queues:
            for _, _, _, entry in heap:
                if entry[POS] < len(entry[IDS]):
                    ready.setdefault(entry[SET], []).append(entry)
        for s in range(len(self.sets)):
            if self._is_open(s):
                self._judge(s)
                continue
            back: list[int] = []
            for entry in ready.get(s, ()):
                back += entry[IDS][entry[POS] :]
                entry[GONE] += len(entry[IDS]) - entry[POS]
                entry[POS] = len(entry[IDS])
            if back:
                own = self.own[s]
                if own is not None:
                    for i in back:
                        own[i] = 0
                self.waiting[s] = sorted({*self.waiting[s], *back})
        self.tail = None

    # ------------------------------------------------------------------------------------------ ready tasks
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

    # ---------------------------------------------------------------------------------------------- _decide
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

    def _decide_at(self, node: int) -> None:
        """The same where one node came free, and no shape is new: most decisions of a sampled run.

        A shape that does not fit will not fit later in this decision either, so the next task is always the first of
        the shapes that still fit.
        """
        cores, gpus, memory, least = self.cores[node], self.gpus[node], self.memory[node], self.c.least[node]
        asking, least_cores, now, begun = self.asking, self.least_cores, self.now, self.begun
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
            tx: Any = self.tx[s]
            begun += 1
            if tx.__class__ is float:
                many = min(self._room(self.shapes[i], cores, gpus, memory), len(ids) - pos)
                heappush(self.ends, (now + tx, begun, s, ids[pos : pos + many], ((node, many),), now))
                cores -= many * x
                gpus -= many * y
                memory -= many * z
                pos += many
            else:
                heappush(self.ends, (now + tx[ids[pos]], begun, s, ids[pos], node, now))
                cores -= x
                gpus -= y
                memory -= z
                pos += 1
            entry[POS] = pos
            if pos == len(ids):
                heappop(heap)
                if not heap:
                    del asking[i]
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

    # --------------------------------------------------------------------------------------------- _reserve
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
