"""The thread that keeps views up to date: what it sends, when, and what it does when things go wrong."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.report.campaigns import Run, ddmd
from tests.ui.scripted import ScriptedSession
from workbench.journal import JournalWriter
from workbench.model.errors import NoCampaign
from workbench.model.events import Record
from workbench.report.tables import Tables
from workbench.ui.feed import Feed
from workbench.ui.pace import Pacer
from workbench.ui.source import DirectorySource

RECORDS = Run(ddmd(1)).run().records


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Notes:
    """A view that notes what it was shown."""

    hz = 10.0

    def __init__(self, size: int = 100) -> None:
        self.seen: list[tuple[int, str]] = []
        self.beats: list[str] = []
        self.troubles: list[str] = []
        self.closed = False
        self.size = size
        self.fails = 0
        self.news = threading.Event()

    def show(self, tables: Tables, phase: str) -> int:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no paper left")
        self.seen.append((tables.next_seq, phase))
        self.news.set()
        return self.size

    def beat(self, phase: str) -> None:
        self.beats.append(phase)

    def complain(self, text: str) -> None:
        self.troubles.append(text)


def test_a_burst_of_records_is_one_update() -> None:
    session, view, clock = ScriptedSession(RECORDS), Notes(), Clock()
    feed = Feed(session, [view], clock)
    session.release(10)
    feed.turn()
    for _ in range(5):
        session.release(3)
        feed.turn()
    assert view.seen == [(10, "live")]
    clock.now += 0.1
    feed.turn()
    assert view.seen == [(10, "live"), (25, "live")]


def test_at_most_ten_updates_per_second_however_fast_records_come() -> None:
    session, view, clock = ScriptedSession(RECORDS), Notes(), Clock()
    feed = Feed(session, [view], clock)
    for _ in range(400):
        session.release(1)
        feed.turn()
        clock.now += 0.005
    assert 15 <= len(view.seen) <= 21


def test_large_updates_keep_to_the_byte_budget() -> None:
    session, view, clock = ScriptedSession(RECORDS), Notes(size=50_000), Clock()
    feed = Feed(session, [view], clock)
    for _ in range(200):
        session.release(1)
        feed.turn()
        clock.now += 0.02
    assert 7 <= len(view.seen) <= 9  # 4 s at 100 kB/s are 8 updates of 50 kB


def test_pacer_keeps_gaps_bytes_and_cost() -> None:
    pacer = Pacer(10.0)
    assert pacer.due == 0.0
    pacer.sent(1.0, 10)
    assert pacer.due == pytest.approx(1.1)
    pacer.sent(2.0, 100_000)
    assert pacer.due == pytest.approx(3.0)
    pacer.sent(4.0, 10, cost_s=0.15)
    assert pacer.due == pytest.approx(5.0)
    pacer.failed(6.0)
    assert pacer.due == pytest.approx(7.0)
    with pytest.raises(ValueError, match="up to 10 times"):
        Pacer(50.0)


def test_nothing_is_sent_when_nothing_happened_but_the_beat_goes_on() -> None:
    # Nothing runs after the last record, so only the clock moves.
    session, view, clock = ScriptedSession(RECORDS, len(RECORDS)), Notes(), Clock()
    feed = Feed(session, [view], clock)
    for _ in range(50):
        feed.turn()
        clock.now += 0.1
    assert view.seen == [(len(RECORDS), "live")]
    assert view.beats == ["live"] * 4


def test_running_attempts_are_shown_growing_each_second() -> None:
    session, view, clock = ScriptedSession(RECORDS, 150), Notes(), Clock()
    feed = Feed(session, [view], clock)
    for _ in range(30):
        feed.turn()
        clock.now += 0.1
    assert feed.tables.running
    assert 3 <= len(view.seen) <= 4


def test_the_last_word_is_complete_and_then_the_feed_ends() -> None:
    session, view, clock = ScriptedSession(RECORDS), Notes(size=10_000_000), Clock()
    feed = Feed(session, [view], clock)
    session.release(10)
    assert feed.turn() is not None
    session.release()
    session.close()
    # The budget would let it speak in 100 s; the end is said at once.
    assert feed.turn() is None
    assert view.seen[-1] == (len(RECORDS), "closed")


def test_a_view_that_fails_says_so_is_tried_again_and_stops_nobody_else() -> None:
    session, bad, good, clock = ScriptedSession(RECORDS), Notes(), Notes(), Clock()
    bad.fails = 2
    feed = Feed(session, [bad, good], clock)
    session.release(10)
    for _ in range(40):
        feed.turn()
        clock.now += 0.1
    assert good.seen[0] == (10, "live") and good.troubles == []
    assert bad.troubles == ["This view could not be updated: RuntimeError: no paper left"] * 2 + [""]
    assert bad.seen[0] == (10, "live")


def test_records_that_cannot_be_read_are_said_and_read_again_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(ScriptedSession):
        broken = False

        def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
            if self.broken:
                raise OSError("the disk is gone")
            return super().events(since, limit)

    session, view, clock = Torn(RECORDS, 20), Notes(), Clock()
    feed = Feed(session, [view], clock)
    monkeypatch.setattr(feed._stop, "wait", lambda timeout: False)
    feed.turn()
    session.broken = True
    clock.now += 1
    feed.turn()
    assert view.troubles == ["The campaign cannot be read at the moment: OSError: the disk is gone"]
    session.broken = False
    clock.now += 1
    feed.turn()
    assert view.troubles[-1] == ""
    assert feed.tables.next_seq == 20 and view.seen[-1] == (20, "live")


def test_the_thread_follows_a_session_to_its_end() -> None:
    session, view = ScriptedSession(RECORDS), Notes()
    feed = Feed(session, [view])
    feed.start()
    for n in itertools.islice(itertools.count(10, 40), 5):
        view.news.clear()
        session.release(n)
        assert view.news.wait(20)
    session.release()
    session.close()
    assert feed.join(20)
    assert view.seen[-1] == (len(RECORDS), "closed")
    assert [n for n, _ in view.seen] == sorted(n for n, _ in view.seen)


def test_the_thread_ends_when_the_views_are_closed() -> None:
    session, view = ScriptedSession(RECORDS, 5), Notes()
    feed = Feed(session, [view])
    feed.start()
    assert view.news.wait(20)
    view.closed = True
    session.release(1)
    assert feed.join(20)


def test_the_thread_ends_when_nobody_holds_the_views() -> None:
    session = ScriptedSession(RECORDS, 5)
    views = [Notes()]
    seen = views[0].news
    feed = Feed(session, views)
    feed.start()
    assert seen.wait(20)
    views.clear()
    gc.collect()
    session.release(1)
    assert feed.join(20)


def test_stop_ends_the_thread_and_start_goes_on() -> None:
    session, view = ScriptedSession(RECORDS, 5), Notes()
    feed = Feed(session, [view])
    feed.start()
    feed.start()
    assert view.news.wait(20)
    feed.stop()
    assert not feed.running
    view.news.clear()
    session.release()
    feed.start()
    assert view.news.wait(20)
    feed.stop()


def write(directory: Path, records: Sequence[Record], start: int = 0) -> None:
    (directory / "campaign.json").write_text("{}")
    with JournalWriter(directory, start) as journal:
        for record in records:
            journal.append(record.event)
        journal.commit()


def test_a_directory_is_followed_without_an_engine(tmp_path: Path) -> None:
    write(tmp_path, RECORDS[:30])
    source = DirectorySource(tmp_path)
    assert not source.alive
    assert [r.seq for r in source.events(0, limit=20)] == list(range(20))
    assert source.wait(20, 0.0)
    assert [r.seq for r in source.events(20)] == list(range(20, 30))
    assert source.events(30) == []
    assert not source.wait(30, 0.0)
    assert [r.seq for r in source.events(0)] == list(range(30)), "from the start again"


def test_a_closed_campaign_is_shown_whole_and_the_feed_ends(tmp_path: Path) -> None:
    write(tmp_path, RECORDS)
    view = Notes()
    feed = Feed(DirectorySource(tmp_path), [view])
    feed.start()
    assert feed.join(20)
    assert view.seen == [(len(RECORDS), "closed")]


def test_a_folder_that_holds_no_campaign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoCampaign, match="holds no campaign"):
        DirectorySource(tmp_path)
