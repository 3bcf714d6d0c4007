"""A forked child that looks at what this process has in memory, says one thing, and ends.

Nothing is copied but by the kernel, page by page as somebody writes; and the child has an interpreter lock of its own,
so neither the engine nor the kernel of a notebook waits for it. It runs nothing but what it was given: it closes every
descriptor but its own pipe, so that no connection lives on in it, dies with this process, and ends without running
anybody's cleanup. What it is given must take no lock and import nothing, as another thread may have held that lock, or
been importing, when the child was made.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import selectors
import signal
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


def possible() -> bool:
    """Whether this platform forks well: elsewhere system libraries break in a child of a process with threads."""
    return sys.platform == "linux"


class Child:
    """One child; to be used as a context, at whose end the child is ended, too, whatever it does.

    Parameters
    ----------
    do : callable
        Called in the child; what it returns is what the child says.
    nice : int
        By how much its priority is lower than this process's.

    Raises
    ------
    OSError
        If there can be no further process.
    """

    def __init__(self, do: Callable[[], bytes], nice: int = 0) -> None:
        self._receive, send = os.pipe()
        parent = os.getpid()
        try:
            with warnings.catch_warnings():  # of other threads, which the child does not have and does not wait for
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            os.close(self._receive)
            os.close(send)
            raise
        if self._pid == 0:
            try:
                _live_alone(send, parent, nice)
                _say(send, _done(do))
            finally:
                os._exit(0)
        os.close(send)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._receive)
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
        """What it says, as soon as it has; at most `limit_s` seconds from now.

        Raises
        ------
        ChildFailed
            If there is nothing to be said.
        """
        late = time.monotonic() + limit_s
        head = self._read(_HEAD.size, late)
        fine, length = _HEAD.unpack(head)
        words = self._read(length, late)
        if not fine:
            raise ChildFailed(words.decode(errors="replace"))
        return words

    def _read(self, size: int, late: float) -> bytes:
        parts = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._receive, selectors.EVENT_READ)
            while len(parts) < size:
                if not selector.select(max(0.0, late - time.monotonic())):
                    raise ChildFailed("the process that looked ahead had no answer in time")
                part = os.read(self._receive, min(size - len(parts), 1 << 16))
                if not part:
                    raise ChildFailed("the process that looked ahead ended without a word")
                parts += part
        return bytes(parts)


def _live_alone(send: int, parent: int, nice: int) -> None:
    """Keep nothing of the other process but its memory."""
    gc.disable()  # a collection would write to every object, and so copy it
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    os.closerange(0, send)
    os.closerange(send + 1, os.sysconf("SC_OPEN_MAX"))
    if nice:
        os.nice(nice)


def _done(do: Callable[[], bytes]) -> bytes:
    try:
        words, fine = do(), True
    except BaseException:
        words, fine = traceback.format_exc().encode(), False
    return _HEAD.pack(fine, len(words)) + words


def _say(send: int, said: bytes) -> None:
    left = memoryview(said)
    while left:
        left = left[os.write(send, left) :]
