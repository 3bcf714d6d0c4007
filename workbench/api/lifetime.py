"""Close what is still open when the interpreter ends, so that journals end in good order and no worker is left."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # registers its own end, which has to come after ours
import contextlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .session import Session

_open: list[weakref.ref[Session]] = []
_registered = False


def close_at_exit(session: Session) -> None:
    """Close `session` when the interpreter exits, unless it was closed before."""
    global _registered
    if not _registered:
        _at_exit(_close_all)
        _registered = True
    _open[:] = [ref for ref in _open if ref() is not None]
    _open.append(weakref.ref(session))


def _at_exit(call: Callable[[], Any]) -> None:
    """Have `call` made at exit while thread pools still take work, which an executor needs to close its cluster.

    `atexit` comes too late: by then `concurrent.futures` has shut its pools. Its own way in, `_register_atexit`, runs
    what was registered last first.
    """
    assert concurrent.futures.thread
    getattr(threading, "_register_atexit", atexit.register)(call)


def _close_all() -> None:
    for ref in _open:
        session = ref()
        if session is not None and session.alive:
            # One that cannot be closed must not keep the others from it; its journal is as after a kill.
            with contextlib.suppress(Exception):
                session.close("the process ended")
