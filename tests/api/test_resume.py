"""Going on with a campaign after a stop or a kill, and looking at one without changing it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.api.conftest import Make, cluster, double, total, until
from workbench.api.campaign import Campaign
from workbench.api.reading import ReadingSession, ReadOnly
from workbench.executors.faults import Takes
from workbench.journal import Lease, read
from workbench.model.errors import (
    BadValue,
    NoCampaign,
    NoProgress,
    UnknownName,
)
from workbench.model.events import AttemptAssigned, CommandAccepted
from workbench.model.resources import NodeShape, Pool
from workbench.model.states import TaskState


def test_resume_goes_on_where_it_stopped(make: Make) -> None:
    c = make(seed=7, time_scale=0.5, mode="asynchronous")
    done = c.map(double, range(3), name="done")
    slow = c.task(double, done[1], name="slow")
    end = c.task(total, done, slow, name="end")
    fake = cluster(c)
    fake.script("slow", Takes(3600), number=1)
    c.start(fake)
    until(c, lambda: slow.state is TaskState.running)
    c.stop("lunch")
    assert done.results() == [0, 2, 4] and c.status().phase == "stopped"
    with pytest.raises(NoProgress, match=r"Campaign\.resume"):
        slow.result()
    again = Campaign.resume(c.directory)
    try:
        assert (again.name, again.status().mode) == ("test", "asynchronous")
        more = again.task(double, again["end"][0], name="more")
        again.hold(slow)  # a handle of the same campaign, from before
        again.release(slow)
        status = again.run()
        assert status.phase == "ended" and more.result() == 20 and again["end"].results() == [10]
        assert end.result() == 10
        attempts = [r.event.task for r in read(c.directory) if isinstance(r.event, AttemptAssigned)]
        assert sorted(attempts) == ["done[0]", "done[1]", "done[2]", "end[0]", "more[0]", "slow[0]", "slow[0]"]
    finally:
        again.stop()


def test_resume_may_run_elsewhere(make: Make) -> None:
    c = make()
    h = c.task(double, 1, cores=3)
    c.stop()
    with pytest.raises(BadValue, match="give the new pool another name"):
        Campaign.resume(c.directory, pool=Pool("fake", 1, NodeShape(8), "fake"))
    assert Lease.holder(c.directory) is None
    again = Campaign.resume(
        c.directory, pool=[Pool("fake", 1, NodeShape(4, 1), "fake"), Pool("b", 1, NodeShape(8), "fake")]
    )
    try:
        assert {p.name: p.nodes for p in again.tables().state.pools.values()} == {"fake": 1, "b": 1}
        again.run()
        assert h.result() == 2
    finally:
        again.stop()


def test_a_finished_campaign_can_be_looked_at(make: Make, tmp_path: Path) -> None:
    c = make("<b>looks</b>")
    h = c.map(double, [1, 2], name="a")
    c.run()
    watching = Campaign.open(c.directory)  # while its engine still serves
    assert isinstance(watching.session, ReadingSession) and watching.session.alive
    assert watching.wait().phase == "ended" and watching["a"].results() == h.results() == [2, 4]
    with pytest.raises(ReadOnly, match="change it there"):
        watching.hold("a")
    with pytest.raises(ReadOnly, match="change it there"):
        watching.undo()
    c.stop()
    seen = Campaign.open(str(c.directory))
    assert seen.name == "<b>looks</b>" and seen.status() == c.status() and seen.story("a[0]") and seen.history()
    assert seen.tables().state.digest() == c.tables().state.digest()
    with pytest.raises(ReadOnly, match=r"Campaign\.resume"):
        seen.task(double, 1)
    with pytest.raises(ReadOnly, match=r"Campaign\.resume"):
        seen.start()
    with pytest.raises(UnknownName):
        seen.story("nowhere")
    path = seen.report(tmp_path / "report.html")
    text = path.read_text()
    assert "looks" in text and "<b>looks" not in text
    with pytest.raises(NoCampaign):
        Campaign.open(tmp_path / "nowhere")
    with pytest.raises(NoCampaign):
        Campaign.resume(tmp_path)


def test_a_reader_follows_another_engine(make: Make) -> None:
    c = make()
    watching = None
    h = c.task(double, 1, name="a")
    watching = ReadingSession(c.directory)
    seen = watching.events(0)
    assert not watching.wait(len(seen), 0)
    told: list[bool] = []
    waiter = threading.Thread(target=lambda: told.append(watching.wait(len(seen), 60)))
    waiter.start()
    c.hold(h)
    waiter.join()
    new = watching.events(len(seen))
    assert told == [True] and [type(r.event) for r in new] == [CommandAccepted]
    assert [r.seq for r in watching.events(1, 2)] == [1, 2]
    watching.close()
    assert not watching.alive and not watching.wait(10**6, 60)
