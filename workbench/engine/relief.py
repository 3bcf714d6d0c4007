"""Tasks whose results found no room on the disk go on by themselves once there is room again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from workbench.core import State
from workbench.model.causes import Cause
from workbench.model.edits import Ack, Command, Release
from workbench.model.states import TaskState

log = logging.getLogger("workbench.engine")

RELIEF_S = 5.0  # between looks whether a full disk has room again
# What has to fit before held tasks are tried again; a result that did not fit had more than an inline result's size.
PROBE_BYTES = 1 << 20


def without_room(state: State) -> tuple[str, ...]:
    """Ids of the tasks that are held because the disk was full."""
    if not state.counts[TaskState.held]:
        return ()
    return tuple(t.id for t in state.tasks() if t.state is TaskState.held and t.cause is Cause.DiskFull)


def has_room(directory: Path) -> bool:
    """Whether a file of `PROBE_BYTES` can be written in `directory` now."""
    path = None
    try:
        fd, path = tempfile.mkstemp(prefix="room-", dir=directory)
        try:
            os.write(fd, b"\0" * PROBE_BYTES)
            os.fsync(fd)
            return os.fstat(fd).st_size == PROBE_BYTES
        finally:
            os.close(fd)
    except OSError:
        return False
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)


async def relieve(state: State, directory: Path, submit: Callable[[Command, Callable[[Ack], None]], None]) -> None:
    """Release the tasks that are held for want of room, once there is room in `directory`; returns when none is held.

    Parameters
    ----------
    state : State
        The engine's.
    directory : Path
        Where there was none.
    submit : callable
        Takes the command, and what is to be called with its answer.
    """
    while True:
        await asyncio.sleep(RELIEF_S)
        held = without_room(state)
        if not held:
            return
        if await asyncio.to_thread(has_room, directory):
            reason = "there is room on the disk again"
            release = Command(f"relief-{state.seq}", (Release(held),), author="engine", reason=reason)
            submit(release, lambda ack: None if ack.ok else log.warning("%s", ack.message))
