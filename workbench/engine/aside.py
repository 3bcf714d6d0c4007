"""Looking into the future beside a running engine, without being in its way.

A small campaign is copied, and a thread looks at the copy. A large one would be copied for too long, and the thread
would take the interpreter from the engine for 5 ms at a time: there a forked child looks at the state as it is at that
moment (its pages are copied by the kernel when somebody writes to them), with a lower priority, and says what it found
through a pipe. The child runs nothing but that: it closes every other descriptor first, so that no lock and no
connection lives on in it, dies with the engine's process, and ends without running anybody's cleanup.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

import msgspec

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.model.events import Event

LARGE = 5_000  # tasks: a child from here on; a copy of so many takes a few milliseconds
NICE = 10
_PR_SET_PDEATHSIG = 1

Look = Callable[[State, float], Sequence[Event]]
_found = msgspec.msgpack.Decoder(list[Event])


class LookFailed(RuntimeError):
    """What was to be found out beside the engine failed; the message is the traceback."""


async def aside(look: Look, state: State, at: float) -> list[Event]:
    """Call ``look(state as it is now, at)`` and give its events, while the engine goes on.

    Parameters
    ----------
    look : callable
        May change the state that it is given; what it changes elsewhere may be lost.
    state, at : State, float
        The engine's, and the present.

    Raises
    ------
    LookFailed
        With the traceback, where `look` failed in a child. In a thread it raises what it raises.
    """
    if state.size < LARGE or not hasattr(os, "fork"):
        return list(await asyncio.to_thread(look, copy_state(state), at))
    receive, pid = _begin(look, state, at)
    ending = asyncio.get_running_loop().run_in_executor(None, _end, receive, pid)
    try:
        said = await asyncio.shield(ending)
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await ending
        raise
    if said[:1] == b"+":
        return _found.decode(said[1:])
    raise LookFailed(said[1:].decode(errors="replace") or "the process that looked ahead ended without a word")


def _begin(look: Look, state: State, at: float) -> tuple[int, int]:
    receive, send = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():  # of other threads, which the child does not have and does not wait for
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            _live_alone(send, parent)
            _say(send, _look(look, state, at))
        finally:
            os._exit(0)
    os.close(send)
    return receive, pid


def _live_alone(send: int, parent: int) -> None:
    """Keep nothing of the engine's process but its memory."""
    gc.disable()  # a collection would write to every object, and so copy it
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    os.closerange(0, send)
    os.closerange(send + 1, os.sysconf("SC_OPEN_MAX"))
    os.nice(NICE)


def _look(look: Look, state: State, at: float) -> bytes:
    try:
        return b"+" + msgspec.msgpack.encode(list(look(state, at)))
    except BaseException:
        return b"-" + traceback.format_exc().encode()


def _say(send: int, said: bytes) -> None:
    left = memoryview(said)
    while left:
        left = left[os.write(send, left) :]


def _end(receive: int, pid: int) -> bytes:
    """What the child said, once it has ended."""
    parts = []
    try:
        while part := os.read(receive, 1 << 16):
            parts.append(part)
    finally:
        os.close(receive)
        with contextlib.suppress(ChildProcessError):  # somebody here waits for every child
            os.waitpid(pid, 0)
    return b"".join(parts)
