"""A forked child: what it says, what it keeps of its parent, and how it is ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from tests.children import gone
from workbench.engine.fork import Child, ChildFailed, Line, possible, saying

pytestmark = pytest.mark.skipif(not possible(), reason="this platform does not fork well")


def said(look: Callable[[], bytes], limit_s: float = 60.0) -> bytes:
    with Child(saying(look)) as child:
        return child.said(limit_s)


def test_it_says_what_it_finds_in_memory() -> None:
    large = {i: str(i) for i in range(50_000)}
    with Child(saying(lambda: ",".join(large.values()).encode())) as child:
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
    with Child(lambda line: signal.pause()) as child:
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
        Child(saying(bytes))
    assert set(os.listdir("/proc/self/fd")) <= before


def test_it_answers_as_long_as_somebody_asks() -> None:
    def talk(line: Line) -> None:
        total = 0
        while True:
            total += int(line.hear(60)[1])
            line.say(str(total).encode())

    with Child(talk) as child:
        for asked, answer in ((1, b"1"), (20, b"21"), (300, b"321")):
            child.line.say(str(asked).encode())
            assert child.said(60) == answer
        child.line.say(b"no number")
        with pytest.raises(ChildFailed, match="ValueError"):
            child.said(60)
        with pytest.raises(ChildFailed, match="without a word"):
            child.said(60)
    assert gone()


def test_a_message_of_any_size_arrives_whole() -> None:
    large = bytes(range(256)) * 40_000

    def talk(line: Line) -> None:
        line.say(line.hear(60)[1] * 2)

    with Child(talk) as child:
        child.line.say(large)
        assert child.said(60) == large * 2
