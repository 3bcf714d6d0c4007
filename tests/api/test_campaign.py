"""Campaigns over a live engine and the cluster in memory: lifetime, results, views."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import FAKE, Make, cluster, double, fails, total, until
from workbench import task
from workbench.api import show
from workbench.api.campaign import Campaign
from workbench.api.reading import ReadOnly
from workbench.executors.faults import Ends, Silent
from workbench.executors.pools import BadPool, LocalPool
from workbench.journal import Lease, read
from workbench.model.causes import Cause
from workbench.model.errors import (
    BadValue,
    CampaignHeld,
    DirectoryTaken,
    NoProgress,
    NothingToUndo,
    NotStarted,
    StillNeeded,
    TaskFailed,
    UnknownName,
    WorkbenchError,
)
from workbench.model.events import EngineStopped
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Synthetic
from workbench.model.states import TaskState
from workbench.store import Layout

# --- lifetime --------------------------------------------------------------------------------------------------------


def test_nothing_is_made_before_something_is_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    campaigns = [Campaign("My first (test)", pool=FAKE) for _ in range(2)]
    assert list(tmp_path.iterdir()) == [] and campaigns[0].status().phase == "declared"
    try:
        for c in campaigns:
            c.task(double, 1)
        places = {c.directory for c in campaigns}
        assert len(places) == 2 and {p.parent for p in places} == {tmp_path / "campaigns"}
        assert all(p.name.startswith("My-first-test-") and Layout.open(p) for p in places)
    finally:
        for c in campaigns:
            c.stop()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"name": ""}, BadValue, "no name for a campaign"),
        ({"name": "two\nlines"}, BadValue, "one line"),
        ({"mode": "parallel"}, BadValue, "sequential, asynchronous, adaptive"),
        ({"policy": "best"}, BadValue, "fifo"),
        ({"seed": 1.5}, BadValue, "seed"),
        ({"time_scale": 0}, BadValue, "above 0"),
        ({"time_scale": float("nan")}, BadValue, "finite"),
        ({"pool": 3}, BadValue, "no pool"),
        ({"pool": []}, BadValue, "needs a pool"),
        ({"pool": "nodes=x"}, BadPool, "whole number"),
        ({"author": ""}, BadValue, "author"),
    ],
)
def test_a_meaningless_campaign_is_refused_before_anything_exists(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Campaign(**{"name": "x", "dir": tmp_path / "c", **given})
    assert not (tmp_path / "c").exists()


def test_a_directory_that_is_taken_is_refused(tmp_path: Path, make: Make) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(DirectoryTaken, match="not empty"):
        make(dir=tmp_path / "full").task(double, 1)
    first = make(dir=tmp_path / "once")
    first.task(double, 1)
    with pytest.raises(DirectoryTaken, match="resume it"):
        make(dir=tmp_path / "once").task(double, 1)
    with pytest.raises(CampaignHeld):
        Campaign.resume(first.directory)


def test_a_with_block_stops_the_campaign(make: Make) -> None:
    with make() as c:
        h = c.task(double, 4)
        c.run()
    assert not c.session.alive and h.result() == 8 and Lease.holder(c.directory) is None
    with pytest.raises(ReadOnly, match=r"Campaign\.resume"):
        c.hold(h)
    assert isinstance(list(read(c.directory))[-1].event, EngineStopped)


def test_an_interpreter_that_ends_closes_what_runs(tmp_path: Path) -> None:
    code = f"""
    from workbench.api.campaign import Campaign
    from workbench.model.resources import NodeShape, Pool
    from workbench.model.specs import Synthetic
    c = Campaign("left", pool=Pool("fake", 1, NodeShape(4), "fake"), dir={str(tmp_path / "left")!r})
    h = c.tasks(Synthetic(), n=3, estimate=3600)
    c.start()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    last = list(read(tmp_path / "left"))[-1].event
    assert isinstance(last, EngineStopped) and last.reason == "the process ended"
    assert Lease.holder(tmp_path / "left") is None


# --- running and results ---------------------------------------------------------------------------------------------


def test_results_flow_along_the_arguments(make: Make) -> None:
    c = make()
    a = c.map(double, [1, 2, 3], name="a")
    b = c.map(double, a, name="b")
    s = c.task(total, b, extra=1, name="s")
    pair = c.task(lambda xs: xs, {"one": a[1], "all": [a]}, name="pair")
    assert c.status().phase == "declared" and c.status().counts == {"ready": 3, "waiting": 5}
    status = c.run()
    assert (status.phase, status.done, status.total) == ("ended", 8, 8)
    assert b.results() == [4, 8, 12] and s.result() == 25
    assert pair.result() == {"one": 4, "all": [[2, 4, 6]]}
    assert s.state is TaskState.done and b.counts == {"done": 3}
    assert "s[0]" in s.story() and c.makespan >= 0


def test_results_before_the_start_say_so(make: Make) -> None:
    c = make()
    h = c.task(double, 1)
    for ask in (h.result, c["double"].results, c.wait):
        with pytest.raises(NotStarted, match=r"call start\(\) or run\(\)"):
            ask()
    c.run()
    assert h.result() == 2


def test_a_failure_names_its_cause_and_what_it_took_along(make: Make) -> None:
    c = make()
    bad = c.task(fails, name="bad")
    one = c.task(double, bad, name="one")
    many = c.map(double, [one, 3], name="many")
    fine = c.task(double, 2, name="fine")
    assert c.run().counts == {"done": 2, "failed": 1, "skipped": 2}
    with pytest.raises(TaskFailed, match=r"bad\[0\] failed in attempt 1: UserError(?s:.*)no such luck") as caught:
        bad.result()
    assert caught.value.cause == "UserError" and "ValueError" in caught.value.story
    with pytest.raises(TaskFailed, match=r"^many\[0\] was skipped because bad\[0\] failed"):
        many.results()
    with pytest.raises(TaskFailed, match=r"^one\[0\] was skipped because bad\[0\] failed"):
        one.result()
    assert fine.result() == 4 and many[1].result() == 6


def test_a_failed_input_may_hold_instead_and_a_retry_mends_it(make: Make) -> None:
    c = make()
    x = c.task(double, 5, name="x")
    y = c.task(double, x, name="y", on_failed_input="hold")
    fake = cluster(c)
    fake.script("x", Ends(Cause.UserError), number=1)
    status = c.run(fake)
    assert status.phase == "stuck" and y.state is TaskState.held
    with pytest.raises(NoProgress, match=r"held because x\[0\] failed"):
        y.result()
    c.retry(x)
    assert y.result(30) == 20


def test_a_held_task_is_no_reason_to_wait_for_ever(make: Make) -> None:
    c = make()
    h = c.task(double, 1, name="a")
    k = c.task(double, h, name="b")
    c.hold(h)
    assert c.run().phase == "stuck"
    with pytest.raises(NoProgress, match=r"a\[0\] is held by a person"):
        h.result()
    with pytest.raises(NoProgress, match=r"b\[0\] waits for a\[0\]"):
        k.result()
    c.release(h)
    assert k.result(30) == 4


def test_waiting_for_a_result_has_a_limit(make: Make) -> None:
    c = make()
    h = c.task(double, 1, name="a")
    fake = cluster(c)
    fake.script("a", Silent())
    c.start(fake)
    until(c, lambda: h.state is TaskState.running)
    with pytest.raises(TimeoutError, match=r"a\[0\] has no result after 0 s: a\[0\] runs on fake-0"):
        h.result(0)
    assert c.wait(0).phase == "running"


def test_an_interrupted_wait_leaves_the_campaign_running(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c = make()
    h = c.task(double, 1)
    c.start()

    def interrupted(timeout_s: float | None = None) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(c.session, "wait_ended", interrupted)
        with pytest.raises(KeyboardInterrupt, match="goes on"):
            c.wait()
    assert c.session.alive and h.result(30) == 2


def test_a_task_grows_the_campaign(make: Make) -> None:
    c = make()

    def grower(n: int) -> int:
        from workbench import task

        with task.grow() as g:
            first = g.map(double, range(n), name="grown")
            g.task(total, first, g.handle("base[0]"), name="end")
        return n

    c.task(double, 50, name="base")
    c.task(grower, 4, name="seed")
    c.run()
    assert c["end"].results() == [112] and c["grown"].results() == [0, 2, 4, 6]
    row = c.history()[-1]
    assert row.author == "task:seed[0]" and "grown" in row.summary
    # Undo means a person's latest command: the growth, which came later, is a task's.
    with pytest.raises(NothingToUndo, match=r"too late for all 2 commands; seed\[0\] is done"):
        c.undo()


# --- showing ---------------------------------------------------------------------------------------------------------


def test_a_campaign_prints_as_a_few_lines(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    c = make("shown")
    assert repr(c).startswith("shown: declared, 0 of 0 tasks done")
    c.tasks(double, 1, n=2, name="a")
    c.run()
    text = repr(c)
    assert text.startswith("shown: ended, 2 of 2 tasks done") and "  a  2 done" in text
    c._ipython_display_()  # no notebook here
    assert capsys.readouterr().out == text + "\n"


def test_in_a_notebook_a_campaign_is_its_dashboard(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    displayed: list[Any] = []
    monkeypatch.setattr(show, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", displayed.append)
    monkeypatch.setattr(show, "dashboard", lambda session: ("dashboard of", session.directory))
    c = make()
    c.task(double, 1)
    c._ipython_display_()
    assert displayed == [("dashboard of", str(c.directory))]


def test_pools_may_be_written_in_any_way(make: Make) -> None:
    c = make(pool=["nodes=2,cores=8,gpus=1,name=v", LocalPool(cores=1, gpus=0, memory=0)])
    c.task(Synthetic(), cores=8, gpus=1, estimate=1)
    pools = c.tables().state.pools
    assert {p.name: (p.kind, p.nodes, p.shape.cores) for p in pools.values()} == {
        "v": ("virtual", 2, 8),
        "local": ("local", 1, 1),
    }


# --- what a demanding user meets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pools", "match"),
    [
        ([LocalPool(), LocalPool()], "two pools are called 'local'"),
        ([Pool("p", 0, NodeShape(1))], "nodes=0 makes no sense"),
    ],
)
def test_pools_that_mean_nothing_are_refused_before_anything_is_made(
    pools: list[Any], match: str, tmp_path: Path
) -> None:
    before = set(threading.enumerate())
    with pytest.raises(WorkbenchError, match=match):
        Campaign("bad", pool=pools, dir=tmp_path / "bad")
    assert not (tmp_path / "bad").exists() and set(threading.enumerate()) == before


def test_a_dependency_that_after_made_is_dropped_by_the_handles_it_was_made_with(make: Make) -> None:
    c = make()
    many = c.tasks(double, 1, n=3, name="many")
    one = c.task(double, 1, name="one", after=many)
    two = c.task(double, 1, name="two", after=[one])
    c.disconnect(many, one)
    c.disconnect(one, two)
    assert one.state is TaskState.ready and two.state is TaskState.ready
    c.connect(one, two)
    c.disconnect(one, two)
    assert two.state is TaskState.ready
    uses = c.task(double, one, name="uses")
    with pytest.raises(StillNeeded, match="uses uses the result of one"):
        c.disconnect(one, uses)
    with pytest.raises(UnknownName, match="there is no edge"):
        c.disconnect(many[0], one)


def test_the_status_tells_of_growth_that_was_refused(make: Make) -> None:
    c = make()

    def grows() -> None:
        with task.grow() as g:
            g.task(double, 1, name="large", cores=64)

    c.task(grows, name="grows")
    status = c.run(cluster(c))
    assert len(status.refused) == 1
    assert status.refused[0].startswith("growth of grows[0] was refused, NeverFits: task set 'large' asks for")
    assert status.refused[0] in repr(status)
