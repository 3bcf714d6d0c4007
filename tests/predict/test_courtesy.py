"""Who looks ahead in the background gives way to who waits for an answer, but not for ever."""

from __future__ import annotations

import threading

import pytest

from workbench.engine.fork import Child, ChildFailed, possible, saying
from workbench.predict import courtesy
from workbench.predict.courtesy import answering, breathe


def test_nobody_waits_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(courtesy.time, "sleep", naps.append)
    breathe()
    assert naps == [0]


def test_it_waits_while_somebody_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "MOST_S", 60.0)
    over: list[int] = []
    with answering():
        with answering():
            thread = threading.Thread(target=lambda: over.append(breathe() or 1))  # type: ignore[func-returns-value]
            thread.start()
        thread.join(0.02)
        assert not over
    thread.join(60)
    assert over


def test_it_goes_on_though_questions_never_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "MOST_S", 0.01)
    with answering():
        breathe()


@pytest.mark.skipif(not possible(), reason="this platform does not fork well")
def test_a_forked_process_gives_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "MOST_S", 60.0)

    def look() -> bytes:
        breathe()
        return b"%d" % courtesy._asked[0]

    with answering(), Child(saying(look)) as child, pytest.raises(ChildFailed, match="in time"):
        child.said(0.05)
    with Child(saying(look)) as child:
        assert child.said(60) == b"0"
