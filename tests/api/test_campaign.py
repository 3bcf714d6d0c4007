"""Campaigns over a live engine and the cluster in memory: lifetime, refusals, results, edits, resuming, looking."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import FAKE, Make, until
from workbench import task
from workbench.api import show
from workbench.api.campaign import Campaign
from workbench.api.reading import ReadingSession, ReadOnly
from workbench.api.taskset import TaskSet
from workbench.executors.fake import FakeCluster
from workbench.executors.faults import Ends, Silent, Takes
from workbench.executors.pools import BadPool, LocalPool
from workbench.journal import Lease, read
from workbench.model.causes import Cause
from workbench.model.errors import (
    AlreadyRunning,
    BadValue,
    CampaignHeld,
    DirectoryTaken,
    DuplicateName,
    EditRefused,
    NeverFits,
    NoCampaign,
    NoProgress,
    NothingToUndo,
    NotStarted,
    StaleBase,
    StillNeeded,
    TaskFailed,
    UnknownName,
    WorkbenchError,
    WouldCycle,
)
from workbench.model.events import AttemptAssigned, CommandAccepted, EngineStopped
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Synthetic
from workbench.model.states import TaskState
from workbench.store import Layout


def double(x: Any) -> Any:
    return x * 2


def total(xs: list[int], extra: int = 0) -> int:
    return sum(xs) + extra


def fails() -> None:
    raise ValueError("no such luck")


def cluster(c: Campaign, **options: Any) -> FakeCluster:
    return FakeCluster(pools=[FAKE], layout=Layout(c.directory), **options)


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


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_breaks_a_rule_is_refused_by_its_name_and_changes_nothing(make: Make) -> None:
    c = make()
    a, b = c.task(double, 1, name="a"), c.task(double, 2, name="b")
    c.connect(a, b)
    before = c.tables().state.digest()
    refused: list[tuple[Any, type[EditRefused]]] = [
        (lambda: c.connect(b, a), WouldCycle),
        (lambda: c.task(double, 1, cores=5), NeverFits),
        (lambda: c.task(double, 1, gpus=2), NeverFits),
        (lambda: c.task(double, 1, after="nowhere"), UnknownName),
        (lambda: c.task(double, 1, after="a[7]"), UnknownName),
        (lambda: c.task(double, 1, name="a"), DuplicateName),
        (lambda: c.add(TaskSet("b", double, args=(1,))), DuplicateName),
        (lambda: c.task(double, 1, estimate=-1), BadValue),
        (lambda: c.hold("nowhere"), UnknownName),
        (lambda: c.scale("moon", 3), UnknownName),
        (lambda: c["nowhere"], UnknownName),
    ]
    for wrong, rule in refused:
        with pytest.raises(rule) as caught:
            wrong()
        assert "\n" not in str(caught.value) and caught.value.rule == rule.__name__
    assert c.tables().state.digest() == before
    with pytest.raises(UnknownName, match="did you mean 'a'"):
        c["aa"]


def test_a_handle_outlives_its_set_only_as_a_name(make: Make) -> None:
    c = make()
    h, s = c.task(double, 1, name="a"), c.tasks(double, 1, n=3, name="s")
    c.remove(h, s[1])
    with pytest.raises(UnknownName, match="removed"):
        h.state  # noqa: B018
    assert [t.id for t in s] == ["s[0]", "s[2]"] and len(s) == 2 and s[-1].id == "s[2]"
    with pytest.raises(BadValue, match=r"map over list\(handle\)"):
        c.map(double, s)
    assert len(c.map(double, list(s), name="rest")) == 2
    c.run()
    assert c["rest"].results() == [4, 4]


# --- edits -----------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_command_or_nothing(make: Make) -> None:
    c = make()
    with c.batch(reason="set up"):
        a = c.tasks(double, 1, n=2)
        b = c.map(double, a)
        with c.batch():
            c.hold(b[0])
            c.replace(b, cores=2)
            c.replace(b, gpus=1)
    assert (a.name, b.name) == ("double", "double-2")
    rows = c.history()
    assert [r.reason for r in rows] == ["pools", "set up"]
    r = c.tables().state.sets["double-2"].spec.resources
    assert (r.cores, r.gpus) == (2, 1) and b.counts == {"waiting": 1, "held": 1}
    before = c.tables().next_seq
    with pytest.raises(ZeroDivisionError), c.batch():
        c.task(double, 1, name="never")
        raise ZeroDivisionError
    with pytest.raises(NeverFits), c.batch():
        lost = c.task(double, 1, name="never")
        c.task(double, 1, gpus=99)
    assert c.tables().next_seq == before and "never" not in c.tables().state.sets
    with pytest.raises(UnknownName):
        lost.result()
    c.task(double, 1, name="never")


def test_a_batch_against_an_old_state_is_refused(make: Make) -> None:
    c = make()
    h = c.task(double, 1, name="a")
    seen = c.tables().state.seq
    c.prioritize(h, 3)
    with pytest.raises(StaleBase), c.batch(base=seen):
        c.prioritize(h, 5)
    with c.batch(base=c.tables().state.seq):
        c.prioritize(h, 5)


def test_edits_of_a_running_campaign(make: Make) -> None:
    c = make()
    first = c.task(total, [1], name="first")
    later = c.task(total, [2], name="later", after=first, extra=1)
    long = c.task(double, 3, name="long")
    fake = cluster(c)
    fake.script("first", Takes(3600), number=1)
    fake.script("long", Silent(), number=1)
    c.start(fake)
    until(c, lambda: long.state is TaskState.running and first.state is TaskState.running)
    c.replace(later, parameters={"extra": 10}, estimate=3)
    with pytest.raises(AlreadyRunning):
        c.remove(first)
    new = c.task(double, later, name="new")
    c.cancel(long, first, grace_s=0)
    assert c.wait().counts == {"cancelled": 2, "skipped": 2}
    with pytest.raises(TaskFailed, match=r"new\[0\] was skipped because first\[0\] was cancelled"):
        new.result()
    c.retry(first, long)
    assert (first.result(30), later.result(30), new.result(30), long.result(30)) == (1, 12, 24, 6)
    c.invalidate(first)
    assert new.result(30) == 24
    numbers = [
        r.event.number for r in read(c.directory) if isinstance(r.event, AttemptAssigned) and r.event.task == "new[0]"
    ]
    assert numbers == [1, 2]


def test_threads_declare_under_names_of_their_own(make: Make) -> None:
    c = make()
    threads = [threading.Thread(target=lambda: [c.task(double, 1) for _ in range(10)]) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({s.name for s in c.sets}) == 40
    collected = threading.Event()

    def elsewhere() -> None:
        c.task(double, 1, name="elsewhere")
        collected.set()

    with pytest.raises(KeyError), c.batch():
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        raise KeyError  # takes nothing along that another thread declared
    assert collected.is_set() and c["elsewhere"].name == "elsewhere"


def test_stages_are_numbered_in_order_of_declaration(make: Make) -> None:
    c = make(mode="sequential")
    for _ in range(2):
        with c.stage():
            c.task(double, 1)
            c.task(double, 1)
    with c.batch(), c.stage():
        c.task(double, 1, name="last")
    assert [s.spec.stage for s in c.tables().state.sets.values()] == [0, 0, 1, 1, 2]


# --- resuming and looking --------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(show, "_in_notebook", lambda: True)
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


# --- what a demanding user meets --------------------------------------------------------------------------------------


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
