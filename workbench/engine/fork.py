"""A forked child that looks at what this process has in memory, and says what it found.

Nothing is copied but by the kernel, page by page as somebody writes; and the child has an interpreter lock of its own,
so neither the engine nor the kernel of a notebook waits for it. It runs nothing but what it was given: it closes every
descriptor but its own line, so that no connection lives on in it, dies with this process, and ends without running
anybody's cleanup. What it is given must take no lock and import nothing, as another thread may have held that lock, or
been importing, when the child was made.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable

LARGE = 5_000
"""Tasks of a campaign from which on a child is worth it: a copy of so many takes a few milliseconds."""

_PR_SET_PDEATHSIG = 1
_HEAD = struct.Struct("!?Q")  # whether it went well, and how many bytes follow
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # here, as a child must not import


class ChildFailed(RuntimeError):
    """What a child was to find out failed; the message is the traceback, or what became of the child."""


class Hushed(ConnectionError):
    """Nobody is at the other end of a line any more."""


def possible() -> bool:
    """Whether this platform forks well: elsewhere system libraries break in a child of a process with threads."""
    return sys.platform == "linux"


class Line:
    """One end of the line between a child and its parent: whole messages."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def say(self, words: bytes, fine: bool = True) -> None:
        """Send a message; `fine` is False where it tells why there is no better one."""
        self._end.settimeout(None)
        self._end.sendall(_HEAD.pack(fine, len(words)) + words)

    def hear(self, limit_s: float) -> tuple[bool, bytes]:
        """The next message.

        Raises
        ------
        TimeoutError
            If it is not whole after `limit_s` seconds.
        Hushed
            If there will be none.
        """
        late = time.monotonic() + limit_s
        fine, length = _HEAD.unpack(self._read(_HEAD.size, late))
        return fine, self._read(length, late)

    def _read(self, size: int, late: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._end.settimeout(max(0.001, late - time.monotonic()))
            part = self._end.recv(min(size - len(parts), 1 << 16))
            if not part:
                raise Hushed("nobody is at the other end")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Let the other end know that nobody listens any more."""
        self._end.close()


class Child:
    """One child; to be closed, or used as a context.

    Parameters
    ----------
    talk : callable
        Called in the child with its end of the line; when it returns, the child ends. What it raises is said last.
    nice : int
        By how much its priority is lower than this process's.

    Raises
    ------
    OSError
        If there can be no further process.
    """

    def __init__(self, talk: Callable[[Line], None], nice: int = 0) -> None:
        mine, its = socket.socketpair()
        parent = os.getpid()
        try:
            with warnings.catch_warnings():  # of other threads, which the child does not have and does not wait for
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            mine.close()
            its.close()
            raise
        if self._pid == 0:
            try:
                _live_alone(its.fileno(), parent, nice)
                _talk(talk, Line(its))
            finally:
                os._exit(0)
        its.close()
        self.line = Line(mine)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self.line.close()
        # That the kernel gives back what a large process had takes milliseconds, in which nobody needs to wait.
        threading.Thread(target=self._bury, name=f"end of process {self._pid}", daemon=True).start()

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):  # somebody here waits for every child
            os.waitpid(self._pid, 0)

    def kill(self) -> None:
        """End it; `said` then fails, unless all was said."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def said(self, limit_s: float) -> bytes:
        """What it says next; at most `limit_s` seconds from now.

        Raises
        ------
        ChildFailed
            If there is nothing to be said.
        """
        try:
            fine, words = self.line.hear(limit_s)
        except TimeoutError:
            raise ChildFailed("the process that looked ahead had no answer in time") from None
        except OSError:
            raise ChildFailed("the process that looked ahead ended without a word") from None
        if not fine:
            raise ChildFailed(words.decode(errors="replace"))
        return words


def saying(do: Callable[[], bytes]) -> Callable[[Line], None]:
    """What a child does that is asked for one thing alone."""
    return lambda line: line.say(do())


def _live_alone(line: int, parent: int, nice: int) -> None:
    """Keep nothing of the other process but its memory."""
    gc.disable()  # a collection would write to every object, and so copy it
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    os.closerange(0, line)
    os.closerange(line + 1, os.sysconf("SC_OPEN_MAX"))
    if nice:
        os.nice(nice)


def _talk(talk: Callable[[Line], None], line: Line) -> None:
    try:
        talk(line)
    except BaseException:
        with contextlib.suppress(OSError):
            line.say(traceback.format_exc().encode(), fine=False)
