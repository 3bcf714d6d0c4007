"""The keeper: the one process of a worker that forks, reaps and kills.

It has a single thread and a session of its own, and adopts what loses its parent below it (subreaper). Modules named
at its start are imported once and shared by all the children that it forks. It outlives a killed worker just long
enough to kill what that left behind: when the agent's end of the control socket closes, everything below dies.
Signals that batch systems send to a whole step (INT, TERM, HUP) do not reach it; its children die with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress

import msgspec

from workbench.executors.agent import child, pipe, proctree

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SETTINGS = "WORKBENCH_KEEPER"
BOOT = (
    "import signal as g; [g.signal(n, g.SIG_IGN) for n in (g.SIGINT, g.SIGTERM, g.SIGHUP)]; "
    "import json, os, sys; s = json.loads(os.environ.pop('WORKBENCH_KEEPER')); sys.path[:] = s['path']; "
    "from workbench.executors.agent.keeper import main; main(s['fd'], s['preload'])"
)
"""How the agent starts a keeper: with the worker's own module path, so that children find what the worker finds."""

_libc = ctypes.CDLL(None, use_errno=True)


def settings(fd: int, preload: tuple[str, ...]) -> str:
    """Value of the environment variable that `BOOT` reads."""
    return json.dumps({"fd": fd, "preload": list(preload), "path": [p or os.getcwd() for p in sys.path]})


class _Process:
    """One that the keeper started: `failure` is a pipe on which a program that cannot start says why."""

    __slots__ = ("attempt", "failure", "spool", "token")

    def __init__(self, token: int, failure: int, attempt: str, spool: tuple[str, ...]) -> None:
        self.token, self.failure, self.attempt, self.spool = token, failure, attempt, spool


class Keeper:
    """State of the keeper process; `serve` never returns."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.processes: dict[int, _Process] = {}
        self.pids: dict[int, int] = {}
        self.woken, self.wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def say(self, message: msgspec.Struct) -> None:
        """Send to the agent; when it is gone, the next receive says so."""
        with suppress(OSError):
            self.control.send(pipe.encode(message))

    def serve(self) -> None:
        poller = select.poll()
        poller.register(self.control, select.POLLIN)
        poller.register(self.woken, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self.woken:
                    with suppress(BlockingIOError):
                        os.read(self.woken, 4096)
                    self.reap()
                    continue
                try:
                    raw, fds, _, _ = socket.recv_fds(self.control, 1 << 18, 2)
                except OSError:
                    raw, fds = b"", []
                if not raw:
                    self.end()
                self.obey(pipe.to_keeper.decode(raw), fds)

    def obey(self, order: pipe.Fork | pipe.Kill, fds: list[int]) -> None:
        if isinstance(order, pipe.Fork):
            try:
                self.fork(order, fds)
            except OSError as e:
                self.say(pipe.Gone(order.token, 0, error=f"cannot start a process: {e.strerror}"))
            finally:
                for fd in fds:
                    os.close(fd)
        elif order.token in self.pids:
            self.kill(self.pids[order.token], order)

    # --- starting ---

    def fork(self, order: pipe.Fork, fds: list[int]) -> None:
        told, tells = os.pipe2(os.O_CLOEXEC)
        try:
            me = os.getpid()
            pid = os.fork()
            if pid == 0:
                self.be_born(order, fds, tells, me)
        except OSError:
            os.close(told)
            raise
        finally:
            os.close(tells)
        os.set_blocking(told, False)
        self.processes[pid] = _Process(
            order.token,
            told,
            order.env.get("WORKBENCH_ATTEMPT", ""),
            () if order.argv else (order.out, order.err),
        )
        self.pids[order.token] = pid
        self.say(pipe.Born(order.token, pid))

    def be_born(self, order: pipe.Fork, fds: list[int], tells: int, keeper: int) -> None:
        """In the new process; never returns."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != keeper:
                os._exit(127)
            self.control.close()
            os.close(self.woken)
            os.close(self.wakes)
            for p in self.processes.values():
                os.close(p.failure)
            try:
                for stream, path in ((1, order.out), (2, order.err)):
                    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
                    os.dup2(fd, stream)
                    os.close(fd)
                nothing = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nothing, 0)
                os.close(nothing)
                os.environ.update(order.env)
                if order.cpus:
                    os.sched_setaffinity(0, order.cpus)
                if order.cwd:
                    os.chdir(order.cwd)
                if order.argv:
                    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; programs expect them
                        signal.signal(ignored, signal.SIG_DFL)
                    os.execvpe(order.argv[0], order.argv, os.environ)
            except OSError as e:
                at = f" {e.filename}" if e.filename else f" {order.argv[0]}" if order.argv else ""
                os.write(tells, f"cannot start{at}: {e.strerror}".encode())
                os._exit(127)
            os.close(tells)
            child.main(fds[0], fds[1], order.home, order.out, order.err)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(127)

    # --- ending ---

    def reap(self) -> None:
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if seen is None:
                return
            p = self.processes.pop(seen.si_pid, None)
            if p is not None:
                self.clear(seen.si_pid, p.attempt)  # before its number can be used again
            _, status, usage = os.wait4(seen.si_pid, 0)
            if p is None:
                continue  # an orphan that came to us
            del self.pids[p.token]
            try:
                error = os.read(p.failure, 4096).decode(errors="replace")
            except BlockingIOError:
                error = ""
            os.close(p.failure)
            self.say(
                pipe.Gone(p.token, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, error),
            )

    def clear(self, pid: int, attempt: str) -> None:
        """Nothing that an attempt started outlives it."""
        for left in proctree.tree(pid, attempt) - {pid}:
            with suppress(OSError):
                os.kill(left, signal.SIGKILL)

    def kill(self, pid: int, order: pipe.Kill) -> None:
        """The process is not reaped yet, so its number cannot be somebody else's."""
        if order.group:
            with suppress(OSError):
                os.killpg(pid, order.signal)
            return
        done: set[int] = set()
        for _ in range(5):  # again, for what was forked between looking and killing
            new = proctree.tree(pid, order.attempt) - done
            if not new:
                return
            for p in new:
                with suppress(OSError):
                    os.kill(p, order.signal)
            done |= new

    def end(self) -> None:
        """The agent is gone: take everything down, then go."""
        spool = [path for p in self.processes.values() for path in p.spool]
        for _ in range(100):
            left = proctree.tree(os.getpid()) - {os.getpid()}
            if not left and not self.processes:
                break
            for pid in left | self.processes.keys():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
            self.reap()
        for path in spool:
            with suppress(OSError):
                os.unlink(path)
        os._exit(0)


def main(fd: int, preload: list[str]) -> None:
    """Entry of the keeper process; never returns."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    failed = []
    for name in preload:
        try:
            importlib.import_module(name)
        except Exception:
            failed.append(name)
    keeper = Keeper(socket.socket(fileno=fd))
    keeper.control.set_inheritable(False)
    gc.collect()
    gc.freeze()
    keeper.say(pipe.Up(os.getpid(), len(os.listdir("/proc/self/task")), tuple(failed)))
    keeper.serve()
