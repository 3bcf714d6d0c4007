"""Close what is still open when the interpreter ends, so that journals end in good order."""

from __future__ import annotations

import atexit
import contextlib
import weakref

from .session import Session

_open: list[weakref.ref[Session]] = []


def close_at_exit(session: Session) -> None:
    """Close `session` when the interpreter exits, unless it was closed before."""
    if not _open:
        atexit.register(_close_all)
    _open[:] = [ref for ref in _open if ref() is not None]
    _open.append(weakref.ref(session))


def _close_all() -> None:
    for ref in _open:
        session = ref()
        if session is not None and session.alive:
            # One that cannot be closed must not keep the others from it; its journal is as after a kill.
            with contextlib.suppress(Exception):
                session.close("the process ended")
