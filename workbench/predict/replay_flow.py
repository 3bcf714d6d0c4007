"""How the end of one task reaches the others in a run of `predict.compact`: `core.flow` on counts."""

from __future__ import annotations

from collections import deque
from typing import Any

from workbench.core.flow import NO_STAGE

from .compact import BARRED
from .replay_queue import GONE, IDS, POS, SET, Queues


class Flow(Queues):
    """Inputs that arrive or break, and the modes' barriers."""

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
