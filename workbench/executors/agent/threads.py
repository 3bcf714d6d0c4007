"""Functions in threads of the worker, for micro-tasks that ask for it: quickest, and without any isolation."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from typing import Any

from workbench import task as task_side
from workbench.executors.agent import pipe
from workbench.executors.agent.attempts import Attempt, Spent
from workbench.executors.agent.calls import Caller
from workbench.executors.agent.context import TaskContext
from workbench.executors.agent.desk import Desk
from workbench.model.causes import Cause
from workbench.model.specs import Function


class _Context(TaskContext):
    threads: Threads
    attempt: Attempt

    def _say(self, metrics: dict[str, Any], progress: float | None) -> None:
        self.threads.tell_loop(self.attempt, pipe.Said(self.task, self.number, metrics, progress))


def _enter(context: TaskContext | None) -> None:
    task_side.enter(context, thread=True)


class Threads:
    """Runs functions in threads (a `desk.Launcher`).

    A thread cannot be killed. One that overruns, or does not heed a cancel, is given up: its attempt ends, its slots
    stay taken until it returns.
    """

    def __init__(self, desk: Desk, dask: dict[str, Any] | None) -> None:
        self._desk = desk
        self._dask = dask
        self._home = str(desk.layout.directory)
        self._todo: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._news: deque[tuple[Attempt, pipe.Returned | pipe.Raised | pipe.Said]] = deque()
        self._woken = False
        self._count = self._active = 0
        self._closed = False

    # --- event loop ---

    def start(self, a: Attempt) -> None:
        self._active += 1
        if self._active > self._count:
            self._count += 1
            threading.Thread(target=self._serve, name=f"workbench-task-{self._count}", daemon=True).start()
        a.owner, a.pid = None, os.getpid()
        self._desk.began(a)
        self._todo.put(a)

    def tell(self, a: Attempt, parameters: dict[str, Any], stop: bool) -> None:
        if isinstance(a.owner, _Context):
            a.owner.steer(parameters, stop)
        else:  # not begun: `_serve` reads these
            a.parameters = {**(a.parameters or {}), **parameters}
            a.stop = a.stop or stop

    def ask(self, a: Attempt) -> None:
        self.tell(a, {}, True)

    def kill(self, a: Attempt) -> None:
        cause = a.doom[0] if a.doom else Cause.Cancelled
        said = "its thread cannot be killed: its slots stay taken until it returns"
        self._desk.ended(a, cause, said)

    def close(self) -> None:
        """Let the threads that wait end."""
        self._closed = True
        for _ in range(self._count):
            self._todo.put(None)

    def _heard(self) -> None:
        self._woken = False
        while self._news:
            a, m = self._news.popleft()
            if isinstance(m, pipe.Said):
                self._desk.said(a, m.metrics, m.progress)
                continue
            self._active -= 1
            if isinstance(m, pipe.Returned):
                self._desk.finished(a, m.result, Spent(m.started, m.ended), m.growth)
            else:
                self._desk.ended(a, m.cause, m.detail, Spent(m.started, m.ended))
            self._desk.free(a)

    # --- threads ---

    def tell_loop(self, a: Attempt, m: pipe.Returned | pipe.Raised | pipe.Said) -> None:
        """Hand `m` to the event loop."""
        self._news.append((a, m))
        if not self._woken and not self._closed:
            self._woken = True
            self._desk.loop.call_soon_threadsafe(self._heard)

    def _serve(self) -> None:
        caller = Caller(self._home, _enter, mark=False)
        while (a := self._todo.get()) is not None and not self._closed:
            self._run(caller, a)

    def _run(self, caller: Caller, a: Attempt) -> None:
        run, work = a.run, a.plan.work
        assert isinstance(work, Function)
        dask = self._dask if work.dask else None

        def context(parameters: dict[str, Any]) -> TaskContext:
            c = _Context(a.task, a.number, run.index, self._home, parameters, dask)
            c.threads, c.attempt = self, a
            a.owner = c
            c.steer(a.parameters or {}, a.stop)
            return c

        plan = pipe.Plan(run.key, a.plan.set, work, a.plan.args, a.plan.parameters, dask)
        call = pipe.Call(run.key, a.task, a.number, run.index, run.member, a.inputs(), a.parameters)
        self.tell_loop(a, caller.run(plan, call, context))
