"""The warm child: a process that the keeper forked and that runs one function after the other."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import sys
import threading
from typing import Any

import msgspec

from workbench import task as task_side
from workbench.executors.agent import pipe
from workbench.executors.agent.calls import Caller
from workbench.executors.agent.context import TaskContext
from workbench.executors.agent.limits import limit_threads, reseed
from workbench.executors.agent.wire import decode_results
from workbench.model.specs import Result
from workbench.store.layout import Layout

_DONTWAIT = socket.MSG_DONTWAIT


class _Context(TaskContext):
    child: Child

    def _say(self, metrics: dict[str, Any], progress: float | None) -> None:
        self.child.send(pipe.Said(self.task, self.number, metrics, progress))

    def _poll(self) -> None:
        self.child.read(wait=False)


class Output:
    """Standard output and error: spooled, and kept under the attempt's name if there was any."""

    def __init__(self, layout: Layout, out: str, err: str) -> None:
        self._layout = layout
        self._files = {1: out, 2: err}

    def keep(self, task: str, number: int) -> None:
        """Give what the attempt printed its name, and begin a new spool."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for fd, spool in self._files.items():
            try:
                if os.fstat(fd).st_size == 0:
                    continue
                target = self._layout.stdout(task, number) if fd == 1 else self._layout.stderr(task, number)
                try:
                    with contextlib.suppress(FileExistsError):
                        os.link(spool, target)
                    os.unlink(spool)
                except OSError:
                    os.rename(spool, target)
                new = os.open(spool, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
                os.dup2(new, fd)
                os.close(new)
            except OSError:
                continue  # output that cannot be kept must not cost the attempt its result


class Child:
    """Serves calls until the agent closes the work socket."""

    def __init__(self, work: socket.socket, control: socket.socket, home: str, out: str, err: str) -> None:
        self._work, self._control = work, control
        self._home = home
        self._inbox = bytearray()
        self._reading = threading.Lock()
        self._sending = threading.Lock()
        self._plans: dict[str, pipe.Plan] = {}
        self._bodies: dict[tuple[str, int], pipe.Body] = {}
        self._given: dict[str, tuple[Result, ...]] = {}
        self._notes: list[pipe.Note] = []
        self._current: _Context | None = None
        self._caller = Caller(home, task_side.enter, mark=True)
        self._output = Output(Layout(home), out, err)

    # --- messages ---

    def send(self, message: msgspec.Struct) -> None:
        with self._sending:
            self._control.sendall(pipe.frame(message))

    def read(self, wait: bool) -> None:
        """Take what came on the control socket; with `wait`, at least something."""
        if not self._reading.acquire(blocking=wait):
            return
        try:
            try:
                data = self._control.recv(1 << 18, 0 if wait else _DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                os._exit(0)
            inbox = self._inbox
            inbox += data
            at = 0
            while len(inbox) - at >= 4:
                (size,) = pipe.LENGTH.unpack_from(inbox, at)
                if len(inbox) - at - 4 < size:
                    break
                with memoryview(inbox) as view:
                    message = pipe.to_child.decode(view[at + 4 : at + 4 + size])
                at += 4 + size
                self._take(message)
            del inbox[:at]
        finally:
            self._reading.release()

    def _take(self, message: pipe.ToChild) -> None:
        if isinstance(message, pipe.Plan):
            self._plans[message.key] = message
        elif isinstance(message, pipe.Body):
            self._bodies[message.task, message.number] = message
        elif isinstance(message, pipe.Given):
            self._given[message.key] = decode_results(message.results)
        elif isinstance(message, pipe.Forget):
            for key in message.keys:
                self._given.pop(key, None)
        elif (c := self._current) is not None and (c.task, c.number) == (message.task, message.number):
            c.steer(message.parameters, message.stop)
        else:
            self._notes = [*self._notes[-63:], message]  # for a call that has not begun

    # --- work ---

    def serve(self) -> None:
        """Run calls; never returns."""
        while True:
            try:
                raw = self._work.recv(1 << 18)
            except InterruptedError:
                continue
            if not raw:
                os._exit(0)
            self._run(pipe.to_child_work.decode(raw))

    def _run(self, call: pipe.Call) -> None:
        while (plan := self._plans.get(call.key)) is None:
            self.read(wait=True)
        if call.apart:
            while (body := self._bodies.pop((call.task, call.number), None)) is None:
                self.read(wait=True)
            call = msgspec.structs.replace(call, member=body.member, inputs=body.inputs)
        if call.shared:
            inputs = dict(call.inputs or {})
            for name, key in call.shared.items():
                while (results := self._given.get(key)) is None:
                    self.read(wait=True)
                inputs[name] = results
            call = msgspec.structs.replace(call, inputs=inputs)

        def context(parameters: dict[str, Any]) -> TaskContext:
            c = _Context(call.task, call.number, call.index, self._home, parameters, plan.dask)
            c.child = self
            for note in self._notes:
                if (note.task, note.number) == (call.task, call.number):
                    c.steer(note.parameters, note.stop)
            self._current = c
            return c

        end = self._caller.run(plan, call, context)
        self._current = None
        self._output.keep(call.task, call.number)
        if not _left_processes():
            self.send(end)
            return
        self.send(msgspec.structs.replace(end, dirty=True))
        while True:  # the agent has us killed with what the task left behind
            self.read(wait=True)


def _left_processes() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _forget() -> None:
    """What a task forks is not the attempt: it must not write into the attempt's sockets."""
    task_side.enter(None)


def main(work: int, control: int, home: str, out: str, err: str) -> None:
    """Entry of a child, after the fork; never returns."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    reseed()
    limit_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    os.register_at_fork(after_in_child=_forget)
    child = Child(socket.socket(fileno=work), socket.socket(fileno=control), home, out, err)
    child.serve()
