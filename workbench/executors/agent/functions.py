"""Functions in warm child processes: who runs where, what waits in whose pipe, what happens when a child dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from typing import Any

from workbench.executors.agent import environment, pipe
from workbench.executors.agent.attempts import Attempt, Phase, Spent, how_it_died
from workbench.executors.agent.children import Child, Fitting
from workbench.executors.agent.desk import Desk
from workbench.executors.agent.nursery import NurseryError
from workbench.executors.agent.output import last_words
from workbench.executors.agent.slots import Ledger
from workbench.model.causes import Cause
from workbench.model.specs import Function

DEPTH = 8
"""Most calls in a child's pipe behind the one that runs."""

PASSED = 2 * DEPTH
"""How many later attempts, for each busy child, may start before one that waits in a pipe: about two pipes' worth."""

MOST_TRIES = 3


class Functions:
    """The pool of children (a `desk.Launcher`)."""

    def __init__(self, desk: Desk, dask: dict[str, Any] | None, real_cores: int) -> None:
        self.desk = desk
        self._dask = dask
        self._children: dict[int, Child] = {}
        self._idle: dict[Fitting, list[Child]] = {}
        self._busy: dict[Fitting, set[Child]] = {}
        self._real_cores = real_cores
        self._on_virtual = 0
        self._wait_for_core: deque[Attempt] = deque()
        self._most_idle = max(4, real_cores)

    # --- starting ---

    def warm(self) -> None:
        """Have one child ready for the commonest case: one core, no GPU."""
        with contextlib.suppress(NurseryError):
            c = self._spawn(Fitting((), (), 1, False), ())
            self._idle.setdefault(c.fitting, []).append(c)

    def fitting(self, a: Attempt) -> Fitting:
        work = a.plan.work
        assert isinstance(work, Function)
        gpus = environment.devices(a, self.desk.ledger(a).node) if a.run.gpus else ()
        return Fitting(work.preload, gpus, a.run.cores, work.dask)

    def plan_of(self, a: Attempt) -> pipe.Plan:
        work = a.plan.work
        assert isinstance(work, Function)
        return pipe.Plan(a.run.key, a.plan.set, work, a.plan.args, a.plan.parameters, self._dask if work.dask else None)

    def start(self, a: Attempt) -> None:
        if self.desk.ledger(a).node.virtual:
            if self._on_virtual >= self._real_cores:
                self._wait_for_core.append(a)
                return
            self._on_virtual += 1
        fitting = self.fitting(a)
        idle = self._idle.get(fitting)
        if idle:
            c = idle.pop()
            c.bind(a.cpus)
        else:
            self._make_room(0)
            try:
                c = self._spawn(fitting, a.cpus)
            except OSError as e:
                self.desk.ended(a, Cause.LaunchRefused, f"no process for {a.id}: {e}")
                self._free(a)
                return
        self._busy.setdefault(fitting, set()).add(c)
        c.current = a
        self._begin(c, a)
        c.call(a)

    def _begin(self, c: Child, a: Attempt) -> None:
        a.owner, a.pid = c, c.pid
        self.desk.began(a)

    def _spawn(self, fitting: Fitting, cpus: tuple[int, ...]) -> Child:
        c = Child(self, fitting, cpus)
        self._children[c.token] = c
        return c

    def _make_room(self, keep: int) -> None:
        """Let the longest idle children go when there are too many."""
        idle = [c for group in self._idle.values() for c in group]
        for c in sorted(idle, key=lambda c: c.token)[: max(0, len(idle) + 1 - self._most_idle - keep)]:
            self._retire(c)

    def _retire(self, c: Child) -> None:
        c.retired = True
        self._forget(c)
        self._children.pop(c.token, None)
        c.close()

    def _forget(self, c: Child) -> None:
        group = self._idle.get(c.fitting)
        if group and c in group:
            group.remove(c)
        busy = self._busy.get(c.fitting)
        if busy:
            busy.discard(c)

    # --- prefetch ---

    def prefetch(self, a: Attempt) -> bool:
        """Put the queued attempt `a` behind one whose slots it can take over; False if there is none."""
        work = a.plan.work
        if not isinstance(work, Function) or work.isolation != "child" or a.run.gpus:
            return False
        ledger = self.desk.ledger(a)
        if ledger.node.virtual:
            return False
        best: Child | None = None
        for c in self._busy.get(self.fitting(a), ()):
            before = c.current
            if before is None or before.long or before.doom or c.retired or len(c.piped) >= DEPTH:
                continue
            if (best is None or len(c.piped) < len(best.piped)) and ledger.can_follow(a, before):
                best = c
        if best is None:
            return False
        a.phase, a.owner = Phase.piped, best
        best.piped.append(a)
        best.call(a)
        return True

    def recall_passed(self, a: Attempt) -> bool:
        """Take back what waits in a pipe while much later ones start elsewhere, before `a` is handed ahead too.

        Children take calls from pipes of their own, so that none waits for the agent between two calls; an attempt
        behind a slow call is passed by those in quicker pipes. How many pass it is bounded here.

        Returns
        -------
        bool
            Whether anything was put back at the head of the queue.
        """
        work = a.plan.work
        if not isinstance(work, Function) or work.isolation != "child":
            return False
        busy = self._busy.get(self.fitting(a), ())
        far = a.place - PASSED * len(busy)
        passed = [c for c in busy if c.piped and c.piped[0].place < far]
        recalled = [self._recall(c) for c in passed]
        return any(recalled)

    def recall_for_free_slot(self, ledger: Ledger) -> bool:
        """Take back what waits in the pipe whose first is the oldest that fits into what `ledger` has free."""
        oldest: Child | None = None
        for group in self._busy.values():
            for c in group:
                if c.piped and self.desk.ledger(c.piped[0]) is ledger and ledger.fits(c.piped[0]):
                    if oldest is None or c.piped[0].place < oldest.piped[0].place:
                        oldest = c
        return oldest is not None and self._recall(oldest)

    def _recall(self, c: Child) -> bool:
        if c.current is not None:
            c.current.long = True  # nothing more goes behind it
        before = len(c.piped)
        self.reclaim(c)
        return len(c.piped) < before

    def reclaim(self, c: Child) -> bool:
        """Take what waits in the pipe of `c` back to its node's queue, in order, for others to start.

        Returns
        -------
        bool
            Whether the child has begun the call that it is at.
        """
        taken = self._take_back(c)
        begun = c.current is not None
        for a in taken:
            if a.phase is Phase.running:  # not even this one has been begun
                c.current = a
                if not c.retired:
                    c.call(a)
        self._requeue(taken)
        return begun

    def _take_back(self, c: Child) -> list[Attempt]:
        """`Child.take_back`, and what follows if the child took a later call while we took its present one."""
        before = c.current
        taken = c.take_back()
        if before is not None and c.current is None and c.piped:
            c.current = after = c.piped.popleft()
            self.desk.ledger(before).hand_over(before, after)
            before.phase, before.pid = Phase.piped, 0
            self._begin(c, after)
        return taken

    def _requeue(self, taken: list[Attempt]) -> None:
        for a in reversed(taken):
            if a.doom is not None and a.phase is Phase.piped:
                self.desk.ended(a, a.doom[0], "")
            elif a.phase is Phase.piped:
                a.phase, a.owner = Phase.queued, None
                self.desk.ledger(a).queue_again(a)

    # --- steering ---

    def tell(self, a: Attempt, parameters: dict[str, Any], stop: bool) -> None:
        c = a.owner
        if isinstance(c, Child):
            c.put(pipe.Note(a.task, a.number, parameters, stop))

    def ask(self, a: Attempt) -> None:
        self.tell(a, {}, True)

    def kill(self, a: Attempt) -> None:
        c = a.owner
        if isinstance(c, Child):
            self._kill(c, a)
        elif a in self._wait_for_core:
            self._wait_for_core.remove(a)
            self.desk.ended(a, Cause.Cancelled, "")
            self.desk.free(a)

    def _kill(self, c: Child, a: Attempt) -> None:
        c.retired = True
        self.reclaim(c)
        self.desk.nursery.kill(c, attempt=a.id)

    def withdraw(self, a: Attempt) -> bool:
        """Take a piped attempt out of its child's pipe; False if the child has begun it already."""
        c = a.owner
        assert isinstance(c, Child)
        taken = self._take_back(c)
        for b in taken:
            if b is a:
                continue
            if b.phase is Phase.running:
                c.current = b
            else:
                c.piped.append(b)
            c.call(b)
        return a in taken

    # --- ends ---

    def heard(self, c: Child, m: pipe.Returned | pipe.Raised | pipe.Said) -> None:
        """A message of the child `c`."""
        a = c.current
        if a is None or (a.task, a.number) != (m.task, m.number):
            self.spoiled(c, f"it spoke of {m.task}#{m.number}, which it was not running")
            return
        desk = self.desk
        if isinstance(m, pipe.Said):
            desk.said(a, m.metrics, m.progress)
            return
        if m.dirty:
            c.retired = True
            desk.nursery.kill(c, attempt=a.id)
            self.reclaim(c)
        if isinstance(m, pipe.Returned):
            desk.finished(a, m.result, Spent(m.started, m.ended, m.cpu_s, m.max_rss), m.growth)
        else:
            desk.ended(a, m.cause, m.detail, Spent(m.started, m.ended, m.cpu_s, m.max_rss))
        if c.piped:
            c.current = after = c.piped.popleft()
            desk.ledger(a).hand_over(a, after)
            self._begin(c, after)
            desk.pump(a.run.node)
            return
        c.current = None
        if not c.retired:
            self._busy[c.fitting].discard(c)
            self._idle.setdefault(c.fitting, []).append(c)
        self._free(a)

    def _free(self, a: Attempt) -> None:
        self._leave_core(a)
        self.desk.free(a)

    def _leave_core(self, a: Attempt) -> None:
        if self.desk.ledger(a).node.virtual:
            self._on_virtual -= 1
            if self._wait_for_core:
                self.desk.loop.call_soon(self._next_on_virtual)

    def _next_on_virtual(self) -> None:
        if self._wait_for_core and self._on_virtual < self._real_cores:
            self.start(self._wait_for_core.popleft())

    def spoiled(self, c: Child, why: str) -> None:
        """The child does not keep to the protocol: a task wrote into its socket, or worse."""
        a = c.current
        if a is not None and a.doom is None:
            a.doom = (Cause.WorkerLost, f"the attempt's process broke the protocol: {why}")
        c.retired = True
        self.reclaim(c)
        self.desk.nursery.kill(c, attempt=a.id if a else "")

    def died(self, c: Child, status: int, cpu_s: float, max_rss: int, error: str) -> None:
        """The child's process is gone."""
        self._children.pop(c.token, None)
        taken = self._take_back(c)
        lost = [c.current] if c.current is not None else []
        self._requeue([*c.piped, *taken])
        self._forget(c)
        for a in taken:
            if a.phase is not Phase.running:
                continue
            a.tries += 1
            if error or a.doom is not None or a.tries >= MOST_TRIES:
                lost.append(a)
            else:
                self._again(a)
        for a in lost:
            code, how = how_it_died(status)
            if a.doom is not None:
                how = ""  # by our own hand, for the reason that the doom tells
            self.show_output(a)  # under the attempt's name, not the child's
            detail = "\n".join(filter(None, (error or how, last_words(c.spool[1], c.spool[0]))))
            cause = Cause.LaunchRefused if error else Cause.WorkerLost
            self.desk.ended(a, cause, detail, Spent(a.started, time.time(), cpu_s, max_rss), code)
            self._free(a)
        c.drop_spool()
        if not lost and taken:
            self.desk.pump(taken[0].run.node)

    def _again(self, a: Attempt) -> None:
        """The child died before it had begun `a`: it was never the attempt's fault, and nothing of it was done."""
        a.phase, a.owner, a.pid = Phase.queued, None, 0
        ledger = self.desk.ledger(a)
        self._leave_core(a)
        ledger.give(a)
        ledger.due.appendleft(a)

    def show_output(self, a: Attempt) -> None:
        """Let the output so far be seen under the attempt's name while it runs."""
        c = a.owner
        if not isinstance(c, Child):
            return
        for spool, target in zip(
            c.spool, (self.desk.layout.stdout(a.task, a.number), self.desk.layout.stderr(a.task, a.number)), strict=True
        ):
            with contextlib.suppress(OSError):
                if os.stat(spool).st_size:
                    os.link(spool, target)

    def close(self) -> None:
        """Let go of every child; the keeper's end kills them."""
        for c in self._children.values():
            c.close()
            c.drop_spool()
        self._children.clear()
