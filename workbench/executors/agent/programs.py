"""Executables and MPI programs: each in a process group and session of its own, in its scratch directory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

from workbench.executors.agent import environment, executable, mpi, pipe
from workbench.executors.agent.attempts import Attempt, Spent, how_it_died
from workbench.executors.agent.desk import Desk
from workbench.executors.agent.executable import Refused
from workbench.executors.agent.nursery import NurseryError
from workbench.executors.agent.output import last_words
from workbench.model.causes import Cause
from workbench.model.specs import Executable, Mpi
from workbench.store.store import Store


class Program:
    """A started program (a `nursery.Ward`)."""

    def __init__(self, desk: Desk, a: Attempt, work: Executable | Mpi, ended: Callable[[Program], None]) -> None:
        self.attempt, self.work, self._ended = a, work, ended
        self._desk = desk
        self.token = desk.nursery.token()
        self.scratch = os.fspath(desk.layout.scratch(a.task, a.number))
        self.out = os.fspath(desk.layout.stdout(a.task, a.number))
        self.err = os.fspath(desk.layout.stderr(a.task, a.number))
        self.status = 0
        self.cpu_s = 0.0
        self.max_rss = 0
        self.error = ""
        self.asked = False

    def born(self, pid: int) -> None:
        self.attempt.pid = pid
        if self.attempt.announced:
            return
        self._desk.announce(self.attempt)

    def gone(self, status: int, cpu_s: float, max_rss: int, error: str) -> None:
        self.status, self.cpu_s, self.max_rss, self.error = status, cpu_s, max_rss, error
        self._ended(self)


class Programs:
    """Starts programs without a shell (a `desk.Launcher`)."""

    def __init__(self, desk: Desk, host: str) -> None:
        self._desk = desk
        self._host = host
        self._store = Store(desk.layout.directory)
        self._collecting: set[asyncio.Future[None]] = set()

    def start(self, a: Attempt) -> None:
        node = self._desk.ledger(a).node
        work = a.plan.work
        assert isinstance(work, Executable | Mpi)
        try:
            if node.virtual:
                raise Refused(
                    Cause.LaunchRefused,
                    f"{a.task} is a program, and {node.name} is a virtual node, which only counts slots; "
                    "run it on a real pool, for instance LocalPool()",
                )
            p = Program(self._desk, a, work, self._gone)
            values = {**a.effective(), "index": a.run.index}
            executable.prepare(work, p.scratch, values)
            argv = executable.command(work, values)
            search = work.env.get("PATH", os.environ.get("PATH"))
            threads = a.run.cores
            if isinstance(work, Mpi):
                threads = work.cores_per_rank
                nodes = 1 + len(a.run.others)
                argv = (*mpi.launcher(work, nodes, a.run.hosts or (self._host,) * (nodes == 1)), *argv)
            argv = (executable.find_program(argv[0], search, p.scratch), *argv[1:])
            env = environment.of_program(a, node, threads, work.env, p.scratch)
            order = pipe.Fork(p.token, env, a.cpus, p.out, p.err, argv, p.scratch)
            a.owner = p
            self._desk.began(a)
            self._desk.nursery.fork(p, order)
        except Refused as e:
            self._refuse(a, e.cause, e.detail)
        except (NurseryError, ValueError) as e:
            self._refuse(a, Cause.LaunchRefused, f"{a.id} cannot be started: {e}")

    def _refuse(self, a: Attempt, cause: Cause, detail: str) -> None:
        self._desk.ended(a, cause, detail)
        self._desk.free(a)

    def tell(self, a: Attempt, parameters: dict[str, Any], stop: bool) -> None:
        """A program reads no parameters; a request to stop early is a SIGTERM."""
        if stop:
            self.ask(a)

    def ask(self, a: Attempt) -> None:
        if isinstance(a.owner, Program):
            a.owner.asked = True
            self._desk.nursery.kill(a.owner, signal.SIGTERM, group=True)

    def kill(self, a: Attempt) -> None:
        if isinstance(a.owner, Program):
            self._desk.nursery.kill(a.owner, attempt=a.id)

    def _gone(self, p: Program) -> None:
        """Collect in a thread: outputs may be large, and the disk slow."""
        ended = time.time()
        future = self._desk.loop.run_in_executor(None, self._collect, p)
        self._collecting.add(future)
        future.add_done_callback(self._collecting.discard)
        future.add_done_callback(lambda f: self._report(p, ended, f))

    def _collect(self, p: Program) -> Any:
        a = p.attempt
        code, how = how_it_died(p.status)
        a.exit_code = code
        last = last_words(p.err, p.out)
        executable.drop_if_empty((p.out, p.err))
        if p.error:
            a.exit_code = None
            raise Refused(Cause.LaunchRefused, p.error)
        if a.doom is not None:
            raise Refused(a.doom[0], last)
        if code != 0:
            text = how + (f"\n{last}" if last else "")
            if code == -signal.SIGTERM and p.asked:
                raise Refused(Cause.Cancelled, "asked to stop early, it ended without a result\n" + text)
            raise Refused(Cause.UserError if code is not None and code > 0 else Cause.WorkerLost, text)
        try:
            result = executable.collect(p.work, p.scratch, p.out, p.err, self._store)
        except Refused as e:
            raise Refused(e.cause, f"{e.detail}\n{last}".strip()) from None
        if not p.work.outputs:
            shutil.rmtree(p.scratch, ignore_errors=True)
        return result

    def _report(self, p: Program, ended: float, future: asyncio.Future[Any]) -> None:
        a = p.attempt
        if future.cancelled():
            return
        e = future.exception()
        spent = Spent(a.started, ended, p.cpu_s, p.max_rss)
        if isinstance(e, Refused):
            self._desk.ended(a, e.cause, e.detail, spent, a.exit_code)
        elif e is not None:
            self._desk.ended(a, Cause.WorkerLost, f"its result could not be taken: {e!r}", spent, a.exit_code)
        else:
            self._desk.finished(a, future.result(), spent)
        self._desk.free(a)
