"""The fake cluster's own tricks: scripted faults, nodes that come and go, slots, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from workbench.executors.fake import FakeCluster
from workbench.executors.faults import Ends, Late, Returns, Silent, Stubborn, Takes, Twice
from workbench.model.actions import Launch, Provide, SetPlan, Stop
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptStarted,
    Event,
    NodeJoined,
    NodeLeft,
    Share,
)
from workbench.model.ids import task_id
from workbench.model.resources import NodeShape, Resources
from workbench.model.specs import Executable, Synthetic
from workbench.testing.clock import FakeClock


class Scene:
    """A started fake cluster on a clock of its own, and what it told."""

    def __init__(self, nodes: int = 1, shape: NodeShape | None = None) -> None:
        self.clock = FakeClock(start=1000.0)
        self.cluster = FakeCluster(nodes, shape, clock=self.clock)
        self.told: list[Event] = []
        asyncio.run(self.cluster.start(self.deliver, epoch=1))
        self.clock.advance(0)
        self.nodes = self.cluster.nodes

    def deliver(self, events: Sequence[Event]) -> None:
        self.told.extend(events)

    def launch(
        self,
        index: int = 0,
        *,
        number: int = 1,
        seconds: float = 10.0,
        cores: int = 1,
        gpus: tuple[int, ...] = (),
        queued: bool = False,
        timeout_s: float | None = None,
        node: int = 0,
        others: tuple[Share, ...] = (),
    ) -> str:
        plan = SetPlan("sim/1", "sim", 10, Synthetic(), None, Resources(cores, len(gpus)), timeout_s=timeout_s)
        task = task_id("sim", index)
        placed = AttemptAssigned(
            self.clock.now(), task, number, self.nodes[node], cores, gpus, others=others, queued=queued
        )
        self.cluster.act([Launch(plan, index, placed, duration_s=seconds)])
        return task

    def of(self, kind: type[Event]) -> list[Event]:
        return [e for e in self.told if isinstance(e, kind)]

    def ends(self) -> list[tuple[str, int, str]]:
        return [
            (e.task, e.number, "finished" if isinstance(e, AttemptFinished) else e.cause.value)
            for e in self.told
            if isinstance(e, (AttemptFinished, AttemptEnded))
        ]


def test_synthetic_work_takes_its_time() -> None:
    scene = Scene()
    scene.launch(seconds=10)
    scene.clock.advance(9.9)
    assert scene.ends() == []
    scene.clock.advance(0.2)
    (finished,) = scene.of(AttemptFinished)
    assert isinstance(finished, AttemptFinished)
    assert (finished.started, finished.ended) == (1000.0, 1010.0)
    assert [e.task for e in scene.told if isinstance(e, AttemptStarted)] == ["sim[0]"]


def test_a_queued_attempt_waits_for_a_slot_and_slots_are_never_exceeded() -> None:
    scene = Scene(shape=NodeShape(2))
    scene.launch(0, cores=2)
    scene.launch(1, cores=1, queued=True, seconds=5)
    scene.launch(2, cores=2, queued=True, seconds=1)
    scene.launch(3, cores=1, queued=True, seconds=1)
    scene.clock.advance(11)  # 1 runs; 2 needs both cores, and 3 does not overtake it
    assert scene.cluster.running == ("sim[1]#1",)
    scene.clock.advance(20)
    assert [task for task, *_ in scene.ends()] == ["sim[0]", "sim[1]", "sim[2]", "sim[3]"]
    assert scene.cluster.peaks == {scene.nodes[0]: 2}
    assert scene.cluster.violations == []


def test_a_launch_beyond_the_slots_is_noted_and_waits() -> None:
    scene = Scene(shape=NodeShape(2, 1))
    scene.launch(0, cores=1, gpus=(0,))
    scene.launch(1, cores=1, gpus=(0,))
    assert scene.cluster.running == ("sim[0]#1",)
    assert len(scene.cluster.violations) == 1 and "sim[1]#1" in scene.cluster.violations[0]


def test_a_lost_node_takes_its_attempts_along_silently() -> None:
    scene = Scene(nodes=2)
    scene.launch(0)
    scene.launch(1, node=1)
    scene.cluster.lose(scene.nodes[0], after_s=3)
    scene.clock.advance(20)
    assert [(e.node, e.cause) for e in scene.told if isinstance(e, NodeLeft)] == [(scene.nodes[0], Cause.NodeLost)]
    assert scene.ends() == [("sim[1]", 1, "finished")]


def test_a_late_finisher_outlives_its_node() -> None:
    scene = Scene()
    scene.cluster.script("sim[0]", Late(by_s=5))
    scene.launch(0)
    scene.cluster.lose(scene.nodes[0], after_s=3)
    scene.clock.advance(20)
    kinds = [type(e).__name__ for e in scene.told]
    assert kinds == ["NodeJoined", "AttemptStarted", "NodeLeft", "AttemptFinished"]


def test_a_multi_node_attempt_ends_when_one_of_its_nodes_goes() -> None:
    scene = Scene(nodes=2, shape=NodeShape(4))
    scene.launch(0, cores=4, others=(Share(scene.nodes[1]),))
    scene.cluster.lose(scene.nodes[1])
    scene.clock.advance(1)
    assert [type(e).__name__ for e in scene.told[-2:]] == ["NodeLeft", "AttemptEnded"]
    assert scene.ends() == [("sim[0]", 1, "NodeLost")]
    scene.launch(1, cores=4, seconds=1)  # the surviving node's cores are free again
    scene.clock.advance(2)
    assert scene.ends()[-1] == ("sim[1]", 1, "finished")
    assert scene.cluster.violations == []


def test_scripts() -> None:
    scene = Scene(shape=NodeShape(10))
    scene.cluster.script("sim[0]", Ends(Cause.WorkerLost, "died", after_s=2, exit_code=-9))
    scene.cluster.script("sim[1]", Silent())
    scene.cluster.script("sim[2]", Twice(gap_s=1))
    scene.cluster.script("sim[3]", Takes(2))
    scene.cluster.script("sim[4]", Ends(), number=1)
    scene.cluster.script("sim[5]", Returns({"loss": 0.5}), Takes(1))
    for index in range(6):
        scene.launch(index)
    scene.launch(4, number=2, seconds=11)
    scene.clock.advance(30)
    ends = scene.ends()
    assert ("sim[0]", 1, "WorkerLost") in ends
    assert not any(task == "sim[1]" for task, *_ in ends)
    assert ends.count(("sim[2]", 1, "finished")) == 2
    assert ("sim[4]", 1, "UserError") in ends and ("sim[4]", 2, "finished") in ends
    by_task = {e.task: e for e in scene.told if isinstance(e, AttemptFinished)}
    assert by_task["sim[3]"].ended == 1002.0
    assert by_task["sim[5]"].result.inline == b'{"loss":0.5}'


@pytest.mark.parametrize(("stubborn", "at"), [(False, 1002.0), (True, 1007.0)])
def test_stop_takes_effect_at_once_or_after_its_grace(stubborn: bool, at: float) -> None:
    scene = Scene()
    if stubborn:
        scene.cluster.script("sim", Stubborn())
    task = scene.launch(0)
    scene.clock.advance(2)
    scene.cluster.act([Stop(task, 1, scene.nodes[0], grace_s=5)])
    scene.clock.advance(20)
    (ended,) = scene.of(AttemptEnded)
    assert isinstance(ended, AttemptEnded)
    assert (ended.cause, ended.ended) == (Cause.Cancelled, at)


def test_timeout_ends_what_overruns_and_what_is_silent() -> None:
    scene = Scene()
    scene.cluster.script("sim[1]", Silent())
    scene.launch(0, timeout_s=3)
    scene.launch(1, timeout_s=4)
    scene.launch(2, timeout_s=11)
    scene.clock.advance(20)
    assert scene.ends() == [("sim[0]", 1, "Timeout"), ("sim[1]", 1, "Timeout"), ("sim[2]", 1, "finished")]


def test_provide_brings_and_takes_nodes_idle_ones_first() -> None:
    scene = Scene(nodes=2)
    scene.launch(0)
    scene.cluster.act([Provide("fake", 3)])
    scene.clock.advance(0)
    assert len(scene.cluster.nodes) == 3
    scene.cluster.act([Provide("fake", 1)])
    scene.clock.advance(0)
    assert scene.cluster.nodes == (scene.nodes[0],)
    names = [e.node for e in scene.told if isinstance(e, NodeJoined)]
    scene.cluster.act([Provide("fake", 2)])
    scene.clock.advance(0)
    assert set(scene.cluster.nodes) - {scene.nodes[0]} and not set(names[1:]) & set(scene.cluster.nodes)


def test_what_needs_a_process_is_refused() -> None:
    scene = Scene()
    plan = SetPlan("run/1", "run", 1, Executable(("true",)), None, Resources())
    scene.cluster.act([Launch(plan, 0, AttemptAssigned(0, "run[0]", 1, scene.nodes[0]))])
    scene.clock.advance(0)
    assert scene.ends() == [("run[0]", 1, "LaunchRefused")]


def test_nothing_is_told_after_close() -> None:
    scene = Scene()
    scene.launch(0)
    asyncio.run(scene.cluster.close())
    before = len(scene.told)
    scene.clock.advance(100)
    assert len(scene.told) == before
