"""The loop's promises: order of journal and action, acknowledgement, growth, disks that fill up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from workbench.core import State, evolve
from workbench.executors import faults
from workbench.journal.reader import read
from workbench.model import edits as ed
from workbench.model.actions import Launch, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptAssigned,
    AttemptFinished,
    CommandAccepted,
    CommandRefused,
    EngineStopped,
    ForecastMade,
)
from workbench.model.specs import Constant, Edge, Function, Payload, Result, SetSpec, Synthetic
from workbench.predict.forecast import forecast
from workbench.testing.clock import run_virtual

from .rig import Rig


def synthetic(name: str, n: int = 1, tx: float = 10.0) -> SetSpec:
    return SetSpec(name, Synthetic(), n=n, estimate=Constant(tx))


def test_a_campaign_runs_and_its_journal_replays_to_the_same_state(tmp_path: Path) -> None:
    async def main() -> Rig:
        async with Rig(tmp_path) as rig:
            ack = await rig.do(ed.AddSet(synthetic("a", 5)), ed.AddSet(synthetic("b", 2), (Edge("a", "b"),)))
            assert ack.ok and ack.seq == 3
            await rig.start()
            await rig.settle()
            assert rig.cluster.violations == []
        return rig

    rig = run_virtual(main())
    assert rig.state.ended and rig.state.sets["b"].n_done == 2
    replay = State()
    for record in read(tmp_path):
        evolve(replay, record.event)
    assert replay.digest() == rig.state.digest()
    assert isinstance(record.event, EngineStopped)
    assert list(rig.feed.events(0, 10_000)) == list(read(tmp_path))


def test_a_command_is_synced_before_it_is_acknowledged_or_acted_upon(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a")))
            await asyncio.sleep(1.0)
            rig.disk.full = True
            asked = rig.ask(ed.Cancel(("a",)))
            await asyncio.sleep(3.0)
            assert not asked.done(), "acknowledged although it could not be written"
            assert not [x for x in rig.cluster.actions if isinstance(x, Stop)], "acted upon although not on disk"
            assert rig.engine.trouble is not None and "no space left" in str(rig.engine.trouble)
            rig.disk.full = False
            assert (await asked).ok
            assert [x.task for x in rig.cluster.actions if isinstance(x, Stop)] == ["a[0]"]
            await rig.settle()
            assert rig.state.sets["a"].counts["cancelled"] == 1

    run_virtual(main())


def test_a_full_disk_starts_nothing_keeps_what_runs_and_goes_on_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1) as rig:
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a", 3)))
            await asyncio.sleep(5.0)
            rig.disk.full = True
            launched = sum(isinstance(x, Launch) for x in rig.cluster.actions)
            await asyncio.sleep(100.0)
            assert sum(isinstance(x, Launch) for x in rig.cluster.actions) == launched == 1
            assert not list(rig.seen(AttemptFinished)), "a result was shown that is not on disk"
            rig.disk.full = False
            await rig.settle()
        assert sorted(e.task for e in rig.seen(AttemptFinished)) == ["a[0]", "a[1]", "a[2]"]
        assert [r.seq for r in read(tmp_path)] == list(range(rig.feed.next_seq))

    run_virtual(main())


def test_a_result_that_found_no_room_is_tried_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room: list[bool] = [False, False, True]

    async def main() -> None:
        async with Rig(tmp_path) as rig:
            monkeypatch.setattr("workbench.engine.relief.has_room", lambda directory: room.pop(0))
            rig.cluster.script("a[1]", faults.Ends(Cause.DiskFull), number=1)
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a", 3)))
            await asyncio.sleep(12.0)
            assert rig.state.sets["a"].counts["held"] == 1 and not rig.engine.decided
            await rig.settle()
            assert rig.state.sets["a"].n_done == 3 and room == []
        released = next(e for e in rig.seen(CommandAccepted) if e.author == "engine")
        assert released.reason == "there is room on the disk again"
        assert released.id not in rig.state.undo_stack

    run_virtual(main())


def test_a_sync_that_fails_beside_the_loop_is_made_good(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a", 8)))
            rig.disk.broken_sync = True
            await asyncio.sleep(15.0)
            assert rig.engine.trouble is not None
            rig.disk.broken_sync = False
            await rig.settle()
        assert len(list(rig.seen(AttemptFinished))) == 8
        assert [r.seq for r in read(tmp_path)] == list(range(rig.feed.next_seq))

    run_virtual(main())


def test_a_command_sent_twice_is_applied_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            first = await rig.do(ed.AddSet(synthetic("a")), id="same")
            again = await rig.do(ed.AddSet(synthetic("a")), id="same")
            assert first.ok and again.ok and again.seq == first.seq
            refused = await rig.do(ed.AddSet(synthetic("a")))
            assert (refused.ok, refused.rule, refused.subject) == (False, "DuplicateName", "a")
        assert len([e for e in rig.seen(CommandAccepted) if e.id == "same"]) == 1

    run_virtual(main())


class Grows:
    """Reports finishes of `task` with a growth, as an agent would."""

    def __init__(self, *growth: ed.Edit) -> None:
        self.growth = growth

    def event(self, rig: Rig, task: str) -> AttemptFinished:
        now = rig.clock.now()
        return AttemptFinished(now, task, 1, now - 1.0, now, Result(inline=b"1"), self.growth)


def test_what_a_task_asks_for_becomes_a_command_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            rig.cluster.script("seed[0]", faults.Silent())
            await rig.start()
            await rig.do(ed.AddSet(synthetic("seed")))
            await asyncio.sleep(1.0)
            grows = Grows(ed.AddSet(synthetic("child", 2), (Edge("seed", "child"),)))
            rig.engine.deliver([grows.event(rig, "seed[0]")])
            await rig.settle()
            assert rig.state.sets["child"].n_done == 2
        accepted = next(e for e in rig.seen(CommandAccepted) if e.author.startswith("task:"))
        assert (accepted.id, accepted.author) == ("seed[0]+", "task:seed[0]")

    run_virtual(main())


def test_a_growth_that_breaks_a_rule_is_refused_and_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            rig.cluster.script("seed[0]", faults.Silent())
            await rig.start()
            await rig.do(ed.AddSet(synthetic("seed")))
            await asyncio.sleep(1.0)
            rig.engine.deliver([Grows(ed.AddSet(synthetic("seed"))).event(rig, "seed[0]")])
            await rig.settle()
        refused = next(rig.seen(CommandRefused))
        assert (refused.id, refused.rule) == ("seed[0]+", "DuplicateName")
        assert rig.state.sets["seed"].n_done == 1, "the task itself keeps its result"

    run_virtual(main())


def test_steering_reaches_running_attempts_and_those_that_start_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1, tx=10.0) as rig:
            spec = SetSpec("f", Function(Payload(b"never called"), "f"), n=2, parameters={"lr": 1.0, "k": 1})
            rig.cluster.script("f[0]", faults.Returns(1))
            rig.cluster.script("f[1]", faults.Returns(2))
            await rig.start()
            await rig.do(ed.AddSet(spec))
            await asyncio.sleep(1.0)
            await rig.do(ed.Steer("f", {"lr": 0.5}), ed.Steer("f", stop=True))
            told = [x for x in rig.cluster.actions if isinstance(x, Tell)]
            assert [(x.task, x.parameters, x.stop) for x in told] == [
                ("f[0]", {"lr": 0.5}, False), ("f[0]", {}, True),
            ]  # fmt: skip
            await rig.settle()
        later = next(x for x in rig.cluster.actions if isinstance(x, Launch) and x.placed.task == "f[1]")
        assert later.member is not None and later.member.parameters == {"lr": 0.5}

    run_virtual(main())


def test_late_and_repeated_reports_are_fenced(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path) as rig:
            rig.cluster.script("a[0]", faults.Twice(5.0))
            rig.cluster.script("a[1]", faults.Late(30.0))
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a", 2)))
            await asyncio.sleep(2.0)
            node = next(e.node for e in rig.seen(AttemptAssigned) if e.task == "a[1]")
            rig.cluster.lose(node, Cause.NodeLost)
            await rig.settle()
            await asyncio.sleep(100.0)
            assert rig.state.fenced >= 2
        assert rig.state.sets["a"].n_done == 2
        numbers = [e.number for e in rig.seen(AttemptAssigned) if e.task == "a[1]"]
        assert numbers == [1, 2]

    run_virtual(main())


def test_the_prediction_is_journalled_when_it_starts_and_when_the_graph_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1, forecaster=forecast) as rig:
            await rig.do(ed.AddSet(synthetic("a", 3)))
            await rig.start()
            await asyncio.sleep(5.0)
            made = list(rig.seen(ForecastMade))
            assert [round(m.makespan_s, 1) for m in made] == [30.0]
            assert made[0].lower_bound_s == 30.0 and set(made[0].alternatives) == {
                "sequential",
                "asynchronous",
                "adaptive",
            }
            await rig.do(ed.AddSet(synthetic("b", 2)))
            await rig.settle()
            assert [round(m.makespan_s) for m in rig.seen(ForecastMade)][:2] == [30, 50]

    run_virtual(main())


def test_no_forecast_begins_while_the_engine_ends(tmp_path: Path) -> None:
    """The end of one forecast must not begin another, which nobody would wait for."""

    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1, forecaster=forecast) as rig:
            await rig.do(ed.AddSet(synthetic("a", 3)))
            await rig.start()
            await asyncio.sleep(0.05)  # of virtual time: the first forecast waits for more to come
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert [t for t in left if "_forecast" in repr(t)] == []

    run_virtual(main())


def test_nothing_seems_to_run_after_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1, tx=10.0) as rig:
            await rig.start()
            await rig.do(ed.AddSet(synthetic("a", 2)))
            await asyncio.sleep(1.0)
            assert rig.state.task("a[0]").state == "running"  # type: ignore[union-attr]
        assert [t.state for t in rig.state.tasks()] == ["ready", "ready"] and not rig.state.nodes
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert left == [], "nothing of the engine is under way"
        replayed = State()
        for record in read(tmp_path):
            evolve(replayed, record.event)
        assert replayed.digest() == rig.state.digest()

    run_virtual(main())
