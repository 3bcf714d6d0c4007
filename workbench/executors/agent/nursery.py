"""The agent's side of its keepers: starts them, has them fork and kill, and hears what became of each process.

There is one keeper without preloaded modules beyond the default ones, and one for each further combination that a set
asks for, started when it is first needed: so a module that cannot be forked safely spoils nothing for other sets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

from workbench.executors.agent import keeper, pipe
from workbench.executors.agent.context import mark_environment

MARKS = (*mark_environment("", 0, 0), "WORKBENCH_SCRATCH")
MOST_KEEPERS = 8
MOST_FAILURES = 3
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class NurseryError(OSError):
    """No process can be started."""


class Ward(Protocol):
    """Somebody whose process the keeper looks after."""

    token: int

    def born(self, pid: int) -> None: ...

    def gone(self, status: int, cpu_s: float, max_rss: int, error: str) -> None: ...


class _Keeper:
    """One keeper process and its control socket."""

    def __init__(self, preload: tuple[str, ...], ended: Callable[[_Keeper], None]) -> None:
        self.preload, self._ended = preload, ended
        self._loop = asyncio.get_running_loop()
        self.wards: dict[int, Ward] = {}
        self.up = False
        self.threads = 1
        self._waiting: list[tuple[bytes, list[int]]] = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", keeper.BOOT],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={**_unmarked(), **ONE_THREAD, keeper.SETTINGS: keeper.settings(theirs.fileno(), preload)},
            )
        except OSError as e:
            ours.close()
            raise NurseryError(f"cannot start a keeper process: {e.strerror}") from e
        finally:
            theirs.close()
        ours.setblocking(False)
        self.control = ours
        self._loop.add_reader(ours, self._read)

    def send(self, message: pipe.Fork | pipe.Kill, fds: list[int] | None = None) -> None:
        """Ask something; descriptors in `fds` are closed here once they are sent."""
        self._waiting.append((pipe.encode(message), fds or []))
        if self.up:
            self._flush()

    def _flush(self) -> None:
        while self._waiting:
            raw, fds = self._waiting[0]
            try:
                if fds:
                    socket.send_fds(self.control, [raw], fds)
                else:
                    self.control.send(raw)
            except BlockingIOError:
                self._loop.call_later(0.002, self._flush)
                return
            except OSError:
                return  # it died; `_read` notices
            del self._waiting[0]
            _close(fds)

    def _read(self) -> None:
        while True:
            try:
                raw = self.control.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                raw = b""
            if not raw:
                self._loop.remove_reader(self.control)
                self._ended(self)
                self.close()
                return
            message = pipe.from_keeper.decode(raw)
            if isinstance(message, pipe.Up):
                self.up, self.threads = True, message.threads
                self._flush()
            elif isinstance(message, pipe.Born):
                if (ward := self.wards.get(message.token)) is not None:
                    ward.born(message.pid)
            elif (ward := self.wards.pop(message.token, None)) is not None:
                ward.gone(message.status, message.cpu_s, message.max_rss, message.error)

    def hand_over(self, other: _Keeper) -> None:
        """Let `other` do what this one has not begun."""
        other.wards.update(self.wards)
        other._waiting.extend(self._waiting)
        self.wards.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Let go of it: it kills everything below and ends."""
        self._loop.remove_reader(self.control)
        self.control.close()
        for _, fds in self._waiting:
            _close(fds)
        self._waiting.clear()


class Nursery:
    """Starts processes through keepers; see `Ward` for what comes back."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        self._preload = preload
        self._keepers: dict[tuple[str, ...], _Keeper] = {}
        self._failures: dict[tuple[str, ...], int] = {}
        self._tokens = 0
        self._closing = False
        self._dying: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the common keeper before there is work."""
        self._keeper(())

    def token(self) -> int:
        """A number for a new process."""
        self._tokens += 1
        return self._tokens

    @property
    def pids(self) -> list[int]:
        """Process ids of the keepers."""
        return [k.process.pid for k in self._keepers.values()]

    def fork(self, ward: Ward, order: pipe.Fork, fds: list[int] | None = None, preload: tuple[str, ...] = ()) -> None:
        """Start a process for `ward`. The descriptors `fds` are closed here, whatever happens.

        Raises
        ------
        NurseryError
            If no keeper can be started, or the order is too long.
        """
        fds = fds or []
        try:
            size = len(pipe.encode(order))
            if size > pipe.DATAGRAM:
                raise NurseryError(
                    f"command line and environment have {size} bytes, more than the {pipe.DATAGRAM} allowed; "
                    "write them to an input file"
                )
            k = self._keeper(preload)
        except NurseryError:
            _close(fds)
            raise
        k.wards[ward.token] = ward
        k.send(order, fds)

    def kill(self, ward: Ward, number: int = signal.SIGKILL, attempt: str = "", group: bool = False) -> None:
        """Send a signal to the ward's process and all that it started (`group`: to its process group)."""
        for k in self._keepers.values():
            if ward.token in k.wards:
                k.send(pipe.Kill(ward.token, int(number), attempt, group))
                return

    def _keeper(self, preload: tuple[str, ...]) -> _Keeper:
        k = self._keepers.get(preload)
        if k is not None:
            if k.threads == 1 or not preload:
                return k
            return self._keeper(())  # one of its modules started threads: forking there is not safe
        if preload and len(self._keepers) >= MOST_KEEPERS:
            return self._keeper(())
        if self._failures.get(preload, 0) >= MOST_FAILURES:
            if preload:
                return self._keeper(())
            raise NurseryError(f"the worker's keeper process died {MOST_FAILURES} times while starting; see its log")
        modules = tuple(dict.fromkeys((*self._preload, *preload)))
        k = self._keepers[preload] = _Keeper(modules, lambda dead: self._ended(preload, dead))
        return k

    def _ended(self, preload: tuple[str, ...], dead: _Keeper) -> None:
        """A keeper died, and its children with it (they are told so by the kernel)."""
        self._keepers.pop(preload, None)
        self._failures[preload] = 0 if dead.up else self._failures.get(preload, 0) + 1
        self._dying.append(dead.process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            dead.process.wait(0.05)
        if not dead.up and self._failures[preload] < MOST_FAILURES:
            with contextlib.suppress(NurseryError):
                dead.hand_over(self._keeper(preload))
                return
        wards, dead.wards = list(dead.wards.values()), {}
        for ward in wards:
            ward.gone(-1, 0.0, 0, "" if dead.up else "the keeper process died while starting")

    async def close(self, timeout_s: float) -> None:
        """Kill everything; returns when it is gone, after `timeout_s` at the latest."""
        self._closing = True
        processes = [*self._dying, *(k.process for k in self._keepers.values())]
        for k in self._keepers.values():
            k.wards.clear()
            k.close()
        self._keepers.clear()
        until = time.monotonic() + timeout_s
        while any(p.poll() is None for p in processes):
            if time.monotonic() > until:
                for p in processes:
                    if p.poll() is None:
                        p.kill()  # its children follow it (PDEATHSIG)
                        p.wait()
                return
            await asyncio.sleep(0.005)


def _unmarked() -> dict[str, str]:
    """Our environment without an attempt's marks: a campaign may run inside a task of another."""
    return {name: value for name, value in os.environ.items() if name not in MARKS}


def _close(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
