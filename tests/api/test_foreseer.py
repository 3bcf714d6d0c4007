"""The processes that answer what-ifs of a large campaign: they follow, they end, and others take their place."""

from __future__ import annotations

import os
import threading

import pytest

from tests.api.conftest import Make, cluster, until
from tests.children import gone
from workbench.api import Campaign, foreseer, whatif
from workbench.engine.fork import possible
from workbench.model.edits import Cancel, ScalePool
from workbench.model.specs import Normal, Synthetic
from workbench.predict.whatif import WhatIf

pytestmark = pytest.mark.skipif(not possible(), reason="this platform does not fork well")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "LARGE", 0)


def declared(make: Make) -> Campaign:
    c = make(time_scale=0.01)
    sim = c.tasks(Synthetic(), n=12, name="sim", cores=2, estimate=60)
    c.tasks(Synthetic(), n=4, name="analyse", cores=1, estimate=Normal(30.0, 3.0), after=sim)
    return c


def pid_of(c: Campaign, which: int = 0) -> int:
    return c._asked._foreseer._children[which]._pid


def in_this_process(c: Campaign, monkeypatch: pytest.MonkeyPatch) -> WhatIf:
    with monkeypatch.context() as m:
        m.setattr(whatif, "LARGE", 1 << 60)
        return c.whatif(ScalePool("fake", 1))


def test_the_same_processes_follow_the_campaign(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c = declared(make)
    assert c.whatif(ScalePool("fake", 1)) == in_this_process(c, monkeypatch)
    first = pid_of(c)
    c.tasks(Synthetic(), n=6, name="more", estimate=100, after="sim")
    c.cancel("sim[3]")
    found = c.whatif(ScalePool("fake", 1))
    assert found == in_this_process(c, monkeypatch) and found.before is not None
    assert pid_of(c) == first, "other processes were made for the second question"
    assert c.whatif(Cancel(("sim[3]",))).refused == "AlreadyEnded"


def test_it_follows_a_run(make: Make) -> None:
    c = declared(make)
    c.start(cluster(c))
    left = []
    for done in (1, 4, 8):
        until(c, lambda done=done: c.tables().state.sets["sim"].n_done >= done)
        w = c.whatif(lambda c: c.scale("fake", 1))
        assert w.before is not None
        left.append(w.before.open_tasks)
    assert left == sorted(left, reverse=True) and left[0] <= 15 and left[-1] <= 8
    c.wait()
    assert c.whatif(lambda c: c.scale("fake", 1)).before.open_tasks == 0  # type: ignore[union-attr]


def test_a_process_that_ended_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c = declared(make)
    told = c.whatif(ScalePool("fake", 1))
    for which in (0, 1):
        first = pid_of(c, which)
        os.kill(first, 9)
        assert c.whatif(ScalePool("fake", 1)) == told and pid_of(c, which) != first
    monkeypatch.setattr(foreseer, "BEHIND", 0)
    second = pid_of(c)
    c.hold("sim")
    assert c.whatif(ScalePool("fake", 1)) == in_this_process(c, monkeypatch) and pid_of(c) != second


def test_it_outlives_the_thread_that_asked_first_or_is_replaced(make: Make) -> None:
    c = declared(make)
    found: list[WhatIf] = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: found.append(c.whatif(ScalePool("fake", 1))))
        thread.start()
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_it_ends_when_nobody_asks(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreseer, "IDLE_S", 0.05)
    c = declared(make)
    told = c.whatif(ScalePool("fake", 1))
    first = pid_of(c)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # it ends by itself
    assert c.whatif(ScalePool("fake", 1)) == told and pid_of(c) != first


def test_it_ends_with_the_campaign(make: Make) -> None:
    before = set(os.listdir("/proc/self/fd"))
    c = declared(make)
    for samples in (1, 30):
        w = c.whatif(ScalePool("fake", 1), samples=samples)
        assert w.after is not None and w.after.basis == "sampled"
    c.stop()
    assert gone()
    assert set(os.listdir("/proc/self/fd")) <= before, "a line was left open"
    # What is on record can still be asked about, and is, too, when nobody stops the campaign again.
    assert c.whatif(ScalePool("fake", 1)).before is not None
    c._asked._foreseer.__del__()
    assert gone()
