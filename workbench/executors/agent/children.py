"""The agent's side of one warm child: its sockets, what is in its pipe, how its end is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from typing import NamedTuple, Protocol

import msgspec

from workbench.executors.agent import environment, pipe, proctree
from workbench.executors.agent.attempts import Attempt
from workbench.executors.agent.desk import Desk
from workbench.executors.agent.nursery import NurseryError
from workbench.executors.agent.recent import Recent

GIVEN, GIVEN_BYTES = 16, 32 << 20
"""Shared inputs that a child keeps, beyond those that it still needs."""

_DONTWAIT = socket.MSG_DONTWAIT


class Owner(Protocol):
    """The pool that a child belongs to."""

    desk: Desk

    def plan_of(self, a: Attempt) -> pipe.Plan: ...

    def heard(self, c: Child, m: pipe.Returned | pipe.Raised | pipe.Said) -> None: ...

    def spoiled(self, c: Child, why: str) -> None: ...

    def died(self, c: Child, status: int, cpu_s: float, max_rss: int, error: str) -> None: ...


class Fitting(NamedTuple):
    """What a child was born with; it serves only attempts that want exactly this."""

    preload: tuple[str, ...]
    gpus: tuple[str, ...]
    threads: int
    dask: bool


class Child(asyncio.Protocol):
    """The agent's side of one child process (a `nursery.Ward`)."""

    def __init__(self, pool: Owner, fitting: Fitting, cpus: tuple[int, ...]) -> None:
        self._pool = pool
        self.fitting, self.cpus, self._born_with = fitting, cpus, cpus
        self.token = pool.desk.nursery.token()
        self.pid = 0
        self.current: Attempt | None = None
        self.piped: deque[Attempt] = deque()
        self.plans: set[str] = set()
        self._given: Recent[str] = Recent(GIVEN, GIVEN_BYTES)
        base = os.path.join(os.fspath(pool.desk.layout.logs), f".{pool.desk.id}-{self.token}")
        self.spool = (f"{base}.out", f"{base}.err")
        self.retired = False
        self._inbox = bytearray()
        self._backlog: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._fate: tuple[int, float, int, str] | None = None
        self._eof = False
        self._resolved = False
        self.work, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, control_theirs = socket.socketpair()
        self.take = theirs
        control.setblocking(False)
        fds = [os.dup(theirs.fileno()), control_theirs.detach()]
        loop = pool.desk.loop
        self._connecting = loop.create_task(self._connect(control))
        order = pipe.Fork(
            self.token,
            environment.pinned(fitting.gpus, fitting.threads),
            cpus,
            *self.spool,
            home=os.fspath(pool.desk.layout.directory),
        )
        try:
            pool.desk.nursery.fork(self, order, fds, fitting.preload)
        except NurseryError:
            self.close()
            raise

    async def _connect(self, control: socket.socket) -> None:
        try:
            await self._pool.desk.loop.create_connection(lambda: self, sock=control)
        except BaseException:
            control.close()
            raise

    # --- messages ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for data in self._backlog:
            transport.write(data)
        self._backlog.clear()
        if self._resolved:
            transport.abort()

    def put(self, message: msgspec.Struct) -> None:
        """Send over the control socket."""
        data = pipe.frame(message)
        if self._transport is None:
            self._backlog.append(data)
        else:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        inbox = self._inbox
        inbox += data
        at, have = 0, len(inbox)
        while have - at >= 4:
            (size,) = pipe.LENGTH.unpack_from(inbox, at)
            if have - at - 4 < size:
                break
            try:
                with memoryview(inbox) as view:
                    message = pipe.from_child.decode(view[at + 4 : at + 4 + size])
            except msgspec.DecodeError as e:
                self._pool.spoiled(self, str(e))
                return
            at += 4 + size
            self._pool.heard(self, message)
        if at:
            del inbox[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        if self._fate is not None:
            self._resolve()

    # --- calls ---

    def call(self, a: Attempt) -> None:
        """Put `a` in the pipe."""
        run = a.run
        if run.key not in self.plans:
            self.plans.add(run.key)
            self.put(self._pool.plan_of(a))
        shared = self._give(a) if a.shared else None
        call = pipe.Call(run.key, a.task, a.number, run.index, run.member, run.inputs, a.parameters, False, shared)
        raw = pipe.encode(call)
        if len(raw) > pipe.CALL:
            self.put(pipe.Body(a.task, a.number, run.member, run.inputs))
            raw = pipe.encode(msgspec.structs.replace(call, member=None, inputs=None, apart=True))
        if a.stop:
            self.put(pipe.Note(a.task, a.number, {}, True))
        with contextlib.suppress(BrokenPipeError, ConnectionError):  # it died; `gone` says so
            self.work.send(raw, _DONTWAIT)

    def _give(self, a: Attempt) -> dict[str, str]:
        """See that the child has the inputs that `a` shares with others; their keys."""
        for given in a.shared.values():
            if self._given.use(given.key, len(given.results)):
                self.put(pipe.Given(given.key, given.results))
        waiting = [*([self.current] if self.current else []), *self.piped, a]
        surplus = self._given.surplus({given.key for b in waiting for given in b.shared.values()})
        if surplus:
            self.put(pipe.Forget(tuple(surplus)))
        return {name: given.key for name, given in a.shared.items()}

    def take_back(self) -> list[Attempt]:
        """Calls that the child has not taken, in order; they are out of its pipe now.

        The child may take one while we take the others, so what we have got says which they are.
        """
        got = set()
        with contextlib.suppress(BlockingIOError, OSError):
            while raw := self.take.recv(1 << 18, _DONTWAIT):
                call = pipe.to_child_work.decode(raw)
                got.add((call.task, call.number))
        if not got:
            return []
        waiting = [*([self.current] if self.current else []), *self.piped]
        taken = [a for a in waiting if a.key in got]
        for a in taken:
            if a is self.current:
                self.current = None
            else:
                self.piped.remove(a)
        return taken

    # --- life ---

    def born(self, pid: int) -> None:
        self.pid = pid
        if self.cpus != self._born_with:
            self._bind()
        if self.current is not None:
            self.current.pid = pid

    def bind(self, cpus: tuple[int, ...]) -> None:
        """Move to other CPUs; to all where `cpus` is empty."""
        if cpus != self.cpus:
            self.cpus = cpus
            if self.pid:
                self._bind()

    def _bind(self) -> None:
        proctree.bind(self.pid, self.cpus or os.sched_getaffinity(0))

    def gone(self, status: int, cpu_s: float, max_rss: int, error: str) -> None:
        """The process ended. What it still said is on its way, so the end of the stream is waited for."""
        self._fate = (status, cpu_s, max_rss, error)
        if self._resolved:
            self.drop_spool()
            return
        if self._eof:
            self._resolve()
        else:
            self._pool.desk.loop.call_later(0.25, self._resolve)

    def _resolve(self) -> None:
        if not self._resolved and self._fate is not None:
            self._resolved = True
            self._pool.died(self, *self._fate)
            self.close()

    def drop_spool(self) -> None:
        """Remove the files that its output was spooled to."""
        for path in self.spool:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def close(self) -> None:
        """Let go of the child: an idle one ends by itself."""
        self._resolved = True
        self.work.close()
        self.take.close()
        if self._transport is not None:
            self._transport.abort()
