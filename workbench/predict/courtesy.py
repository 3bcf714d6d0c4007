"""Who looks ahead in the background gives way to who waits for an answer, here and in processes forked from here."""

from __future__ import annotations

import contextlib
import mmap
import threading
import time
from collections.abc import Iterator

MOST_S = 0.1  # so long one breath lasts, however many questions come
_STEP_S = 0.002

_asked = mmap.mmap(-1, 1)  # how many questions are being answered; forked processes share it
_lock = threading.Lock()


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """While entered, somebody waits for an answer."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    with _lock:
        _asked[0] = min(max(_asked[0] + change, 0), 255)


def breathe() -> None:
    """Let the thread that waits for the interpreter have it, and whoever answers somebody the processor."""
    time.sleep(0)
    if _asked[0]:
        until = time.monotonic() + MOST_S
        while _asked[0] and time.monotonic() < until:
            time.sleep(_STEP_S)
