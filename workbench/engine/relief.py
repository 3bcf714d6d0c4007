"""Tasks whose results found no room on the disk go on by themselves once there is room again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from workbench.core import State
from workbench.model.causes import Cause
from workbench.model.states import TaskState

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
