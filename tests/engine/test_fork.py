"""A forked child: what it says, what it keeps of its parent, and how it is ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from tests.children import gone
from workbench.engine.fork import Child, ChildFailed, possible

pytestmark = pytest.mark.skipif(not possible(), reason="this platform does not fork well")


def said(look: Callable[[], bytes], limit_s: float = 60.0) -> bytes:
    with Child(look) as child:
        return child.said(limit_s)


def test_it_says_what_it_finds_in_memory() -> None:
    large = {i: str(i) for i in range(50_000)}
    with Child(lambda: ",".join(large.values()).encode()) as child:
        large.clear()
        assert child.said(60) == ",".join(map(str, range(50_000))).encode()
    assert gone()


def test_it_keeps_no_descriptor_and_no_thread_and_no_handler() -> None:
    receive, send = os.pipe()
    kept = signal.signal(signal.SIGINT, lambda *_: None)
    try:

        def look() -> bytes:
            open_ones = [int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
            handler = signal.getsignal(signal.SIGINT) is signal.SIG_DFL
            return f"{sorted({receive, send} & set(open_ones))} {threading.active_count()} {handler}".encode()

        assert said(look) == b"[] 1 True"
    finally:
        signal.signal(signal.SIGINT, kept)
        os.close(receive)
        os.close(send)


def test_its_failure_is_a_traceback() -> None:
    def look() -> bytes:
        raise ZeroDivisionError("nobody can tell")

    with pytest.raises(ChildFailed, match=r"(?s)Traceback.*nobody can tell"):
        said(look)
    with pytest.raises(ChildFailed, match="without a word"):
        said(lambda: os._exit(3))
    assert gone()


def test_it_is_ended_where_it_has_no_answer_in_time() -> None:
    held = threading.Lock()
    held.acquire()
    with pytest.raises(ChildFailed, match="no answer in time"):
        said(lambda: bytes(held.acquire()), 0.2)
    assert gone()


def test_one_that_is_killed_says_nothing() -> None:
    with Child(lambda: signal.pause() or b"") as child:  # type: ignore[func-returns-value]
        child.kill()
        with pytest.raises(ChildFailed, match="without a word"):
            child.said(60)
    assert gone()


def test_a_machine_that_has_no_process_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(OSError, match="unavailable"):
        Child(lambda: b"")
    assert set(os.listdir("/proc/self/fd")) <= before
