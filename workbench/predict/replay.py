"""One run of `predict.compact`: the clock of `predict.simulate` on counts.

Every rule has its original in the core, and the modules say where: `replay_queue` the order of ready tasks,
`replay_flow` how ends reach other tasks, `replay_place` and `replay_reserve` the decisions. What is different is only
how much is done at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from heapq import heapify, heappop, heappush
from itertools import repeat
from operator import add

from workbench.core.policies import AUTO, scheduling
from workbench.core.state import SetState
from workbench.model.specs import Plan

from .compact import PACKINGS, Compact, NotCompact, Outcome, Tx
from .replay_queue import IDS, POS
from .replay_reserve import Reserving

INSTANTS = 64  # between two breaths, as in `predict.simulate`


class Replay(Reserving):
    """One run; made from a `Compact`, which it does not change."""

    def __init__(self, c: Compact, tx: Tx | None, plan: Plan | None, mode: str) -> None:
        super().__init__(c, tx)
        self._schedule(plan, mode)

    def _schedule(self, plan: Plan | None, mode: str) -> None:
        """Apply a mode and a plan as `forecast.change_mode` and `PolicyChosen` do."""
        shadow = self.shadow
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
        if not self.policy.reserve:  # what moved on counts only where a bounded number is looked at
            for i, heap in enumerate(self.queues):
                heap[:] = [e for e in heap if e[3][POS] < len(e[3][IDS])]
                heapify(heap)
                if not heap:
                    self.asking.pop(i, None)
        else:
            self.holding = [{i: self.under_way[i] for i in held} for held in self.c.holding]

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
        left = None  # the shape of the one attempt that ended, where it is only one
        while True:
            if draining:
                draining = self._retire(draining)
            settled = lasting or shadow.queued_version == shadow.graph_version
            if settled and simple and len(touched) == 1 and not newly:
                self._decide_at(touched.pop(), left)
            else:
                decide()
            if not ends:
                break
            now = self.now = last = ends[0][0]
            instants += 1
            left = None
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
                    left = needs[s]
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
                many = len(i)
                if whole[s] and many < opened[s] and n.bit_length() == (n + many).bit_length():
                    # Nobody looks at single ones, and no mean is learned midway (at powers of two).
                    own.seen, own.sum_s = n + many, reduce(add, repeat(took, many), total)
                    opened[s] -= many
                    continue
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
