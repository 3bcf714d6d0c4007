"""A pool that shrinks while it works: attempts end where they run, and the campaign goes on with what stays."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.rig import Rig
from workbench.core import State, evolve
from workbench.core.drain import draining
from workbench.core.invariants import check, check_decision
from workbench.engine.local import LocalSession
from workbench.executors.fake import FakeCluster
from workbench.executors.pools import LocalPool, make_executor
from workbench.journal.reader import read
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.edits import Command
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptStarted,
    Event,
    NodeJoined,
    NodeLeft,
)
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, SetSpec, Synthetic
from workbench.model.states import TaskState
from workbench.testing.clock import run_virtual


def work(name: str, n: int, tx: float) -> ed.AddSet:
    return ed.AddSet(SetSpec(name, Synthetic(), n=n, estimate=Constant(tx)))


def story(events: list[Event], gone: int) -> None:
    """Nothing was killed: each attempt is a first one and finished, and a node left after the last of its own."""
    assert not [e for e in events if isinstance(e, AttemptEnded)]
    placed = {e.task: e.node for e in events if isinstance(e, AttemptAssigned)}
    assert {e.number for e in events if isinstance(e, AttemptAssigned)} == {1}
    left = {e.node: i for i, e in enumerate(events) if isinstance(e, NodeLeft) and e.cause is Cause.Preempted}
    assert len(left) == gone
    for i, e in enumerate(events):
        if isinstance(e, AttemptFinished) and placed[e.task] in left:
            assert i < left[placed[e.task]]


def test_three_nodes_become_one_and_nothing_runs_twice(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Rig(tmp_path, nodes=3, cores=2) as rig:
            await rig.start()
            assert (await rig.do(work("first", 6, 100.0))).ok
            await asyncio.sleep(30.0)
            assert (await rig.do(ed.ScalePool("p", 1), work("second", 4, 10.0))).ok
            assert len(draining(rig.state, "p")) == 2
            await asyncio.sleep(30.0)
            assert len(rig.cluster.nodes) == 3, "they are still at it"
            await rig.settle()
            assert len(rig.cluster.nodes) == len(rig.state.nodes) == 1 and check(rig.state) == []
            events = [r.event for r in rig.feed.events(0, 1_000_000)]
            story(events, gone=2)
            (stays,) = rig.state.nodes
            assert {e.node for e in rig.seen(AttemptAssigned) if e.task.startswith("second")} == {stays}

    run_virtual(scene())


def test_a_pool_that_grows_again_in_time_keeps_its_nodes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Rig(tmp_path, nodes=3, cores=1) as rig:
            await rig.start()
            assert (await rig.do(work("first", 3, 100.0))).ok
            await asyncio.sleep(30.0)
            assert (await rig.do(ed.ScalePool("p", 1))).ok
            await asyncio.sleep(30.0)
            assert (await rig.do(undoes=ed.UNDO)).ok
            assert draining(rig.state, "p") == ()
            assert (await rig.do(work("second", 3, 10.0))).ok
            await rig.settle()
            story([r.event for r in rig.feed.events(0, 1_000_000)], gone=0)
            assert len(list(rig.seen(NodeJoined))) == 3
            assert {e.node for e in rig.seen(AttemptAssigned) if e.task.startswith("second")} == set(rig.state.nodes)

    run_virtual(scene())


def test_a_node_called_back_at_the_very_moment_it_leaves_costs_nothing(tmp_path: Path) -> None:
    """Down and up again in the same instant, idle nodes: whatever was given back is brought anew."""

    async def scene() -> None:
        async with Rig(tmp_path, nodes=3, cores=1) as rig:
            await rig.start()
            await rig.ask(work("warm", 1, 1.0))
            for turns in range(8):
                # In one round of the engine, and then in two that lie so many turns of the event loop apart.
                asked = [rig.ask(ed.ScalePool("p", n)) for n in (1, 3, 2, 3, 1)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                asked.append(rig.ask(ed.ScalePool("p", 3), work(f"more{turns}", 5, 3.0)))
                assert all(ack.ok for ack in await asyncio.gather(*asked))
                await rig.settle()
            assert len(rig.cluster.nodes) == 3 and check(rig.state) == []
            assert {e.number for e in rig.seen(AttemptAssigned)} == {1}
            assert not list(rig.seen(AttemptEnded))

    run_virtual(scene())


def test_surplus_nodes_leave_at_once_where_that_is_asked_for(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Rig(tmp_path, nodes=3, cores=1) as rig:
            await rig.start()
            assert (await rig.do(work("first", 3, 100.0))).ok
            await asyncio.sleep(30.0)
            assert (await rig.do(ed.ScalePool("p", 1, drain=False))).ok
            await asyncio.sleep(1.0)
            assert len(rig.cluster.nodes) == len(rig.state.nodes) == 1
            await rig.settle()
            numbers = sorted(t.number for t in rig.state.tasks())
            assert numbers == [1, 2, 2] and all(t.state.value == "done" for t in rig.state.tasks())

    run_virtual(scene())


def test_an_engine_that_resumes_is_content_with_what_stays(tmp_path: Path) -> None:
    pool = Pool("p", 3, NodeShape(1), "fake")
    s = LocalSession.create(tmp_path / "c", name="drain", time_scale=0.001)
    assert s.submit(Command("pool", (ed.AddPool(pool), work("long", 3, 1e6)))).ok
    s.start(FakeCluster(pools=[pool]))
    seen = _follow(s, lambda events: sum(isinstance(e, AttemptStarted) for e in events) == 3)
    assert s.submit(Command("down", (ed.ScalePool("p", 1),))).ok
    _follow(s, lambda events: len(events) > len(seen))
    # What a kill would leave: a journal that ends with the drain under way.
    shutil.copytree(tmp_path / "c", tmp_path / "killed", ignore=shutil.ignore_patterns("lease.json"))
    s.close()
    left = State()
    for record in read(tmp_path / "killed"):
        evolve(left, record.event)
    assert len(draining(left, "p")) == 2 and left.counts[TaskState.running] == 3
    again = LocalSession.resume(tmp_path / "killed")
    try:
        state = again._engine.state
        assert state.pools["p"].nodes == 1 and not state.nodes
        # Made for more nodes than the campaign wants now: what the engine sends as it begins puts that right.
        cluster = FakeCluster(pools=[pool])
        again.start(cluster)
        assert again.submit(Command("stop", (ed.Cancel(("long",)), work("short", 4, 1.0)))).ok
        assert again.wait_ended(20.0)
        assert len(cluster.nodes) == 1
        assert {t.number for t in state.sets["short"].live()} == {1}
    finally:
        again.close()


def test_an_executor_that_was_promised_more_nodes_gives_the_surplus_back(tmp_path: Path) -> None:
    async def scene() -> None:
        async with Rig(tmp_path, nodes=3, cores=1) as rig:
            assert (await rig.do(ed.ScalePool("p", 1), work("first", 4, 10.0))).ok
            await rig.start()  # its cluster was made for three
            await rig.settle()
            story([r.event for r in rig.feed.events(0, 1_000_000)], gone=2)
            assert len(rig.cluster.nodes) == 1

    run_virtual(scene())


@pytest.mark.parametrize("virtual", [True, False])
def test_three_nodes_of_a_cluster_become_one_and_nothing_runs_twice(tmp_path: Path, virtual: bool) -> None:
    pool = LocalPool(nodes=3, cores=2, gpus=0, memory=0, virtual=virtual)
    s = LocalSession.create(tmp_path / "c", name="drain", time_scale=0.01)
    try:
        name = pool.pool.name
        assert s.submit(Command("pool", (ed.AddPool(pool.pool), work("first", 6, 60.0)))).ok
        s.start(make_executor([pool], s.layout, **({} if virtual else {"preload": ()})))
        _follow(s, lambda events: sum(isinstance(e, AttemptStarted) for e in events) == 6)
        assert s.submit(Command("down", (ed.ScalePool(name, 1), work("second", 6, 5.0)))).ok
        assert s.wait_ended(60.0)
        events = _follow(s, lambda events: sum(isinstance(e, NodeLeft) for e in events) == 2)
        story(events, gone=2)
        second = {e.node for e in events if isinstance(e, AttemptAssigned) and e.task.startswith("second")}
        left = {e.node for e in events if isinstance(e, NodeLeft)}
        assert len(second) == 1 and not second & left
    finally:
        s.close()
    _sound(tmp_path / "c")


def _follow(s: LocalSession, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Events of the session, once they are `enough`."""
    events: list[Event] = []
    for _ in range(300):
        events += [r.event for r in s.events(len(events))]
        if enough(events):
            return events
        s.wait(len(events), 0.2)
    raise AssertionError("it did not happen:\n" + "\n".join(map(repr, events)))


def _sound(directory: Path) -> None:
    """Replay: no decision was for a node that drained, and the invariants held after each event."""
    state = State()
    for record in read(directory):
        if isinstance(record.event, AttemptAssigned):
            assert check_decision(state, record.event) == []
        evolve(state, record.event)
        assert check(state) == []
