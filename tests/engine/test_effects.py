"""What an attempt is sent off with."""

from __future__ import annotations

from workbench.core import State, evolve
from workbench.engine.effects import Effects
from workbench.model import edits as ed
from workbench.model import events as ev
from workbench.model.actions import Launch
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, Edge, Result, SetSpec, Synthetic


class Scene:
    """Two sets, all to all, on one node."""

    def __init__(self, time_scale: float = 1.0) -> None:
        self.state = State()
        self.effects = Effects(self.state)
        self.fold(ev.CampaignCreated(0.0, "c", "c", 0, time_scale=time_scale))
        self.fold(ev.EngineStarted(0.0, 1))
        src = SetSpec("a", Synthetic(), n=3, estimate=Constant(600.0), timeout_s=300.0)
        dst = SetSpec("b", Synthetic(), n=4)
        pool = Pool("p", 1, NodeShape(8, 0), "fake")
        self.command(ed.AddPool(pool), ed.AddSet(src), ed.AddSet(dst, (Edge("a", "b", data=True),)))
        self.fold(ev.NodeJoined(0.0, "p-0", "p", 8))

    def fold(self, event: ev.Event) -> None:
        evolve(self.state, event)

    def command(self, *edits: ed.Edit) -> None:
        event = ev.CommandAccepted(0.0, f"c{self.state.seq}", edits)
        self.fold(event)
        list(self.effects.after_command(event))

    def launch(self, task: str, number: int = 1) -> Launch:
        event = ev.AttemptAssigned(0.0, task, number, "p-0")
        self.fold(event)
        launch = self.effects.launch(event)
        assert launch is not None
        return launch

    def run(self, task: str, said: bytes, number: int = 1) -> Launch:
        launch = self.launch(task, number)
        self.fold(ev.AttemptFinished(0.0, task, number, 0.0, 1.0, Result(inline=said)))
        return launch


def test_all_tasks_that_take_a_set_are_given_the_same_list() -> None:
    scene = Scene()
    for i in range(3):
        scene.run(f"a[{i}]", b"%d" % i)
    first, second = scene.launch("b[0]").inputs, scene.launch("b[1]").inputs
    assert [r.inline for r in first["a"]] == [b"0", b"1", b"2"]
    assert first["a"] is second["a"], "so that it need not be sent, nor looked into, twice"


def test_a_result_that_was_made_again_is_the_one_that_is_given() -> None:
    scene = Scene()
    for i in range(3):
        scene.run(f"a[{i}]", b"%d" % i)
    scene.run("b[0]", b"done")
    scene.command(ed.Invalidate(("a[1]",)))
    scene.run("a[1]", b"new", number=2)
    assert [r.inline for r in scene.launch("b[0]", 2).inputs["a"]] == [b"0", b"new", b"2"]
    scene.command(ed.AddTasks("a", n=1))
    scene.run("a[3]", b"more")
    assert [r.inline for r in scene.launch("b[2]").inputs["a"]] == [b"0", b"new", b"2", b"more"]


def test_the_times_of_synthetic_work_are_seconds_of_the_campaign() -> None:
    launch = Scene(time_scale=0.01).launch("a[0]")
    assert launch.duration_s == 6.0
    assert (launch.plan.timeout_s, launch.plan.time_scale) == (300.0, 0.01)
