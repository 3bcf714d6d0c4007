"""Policy ``auto`` in an engine: the first decisions wait for the first choice, and not for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.rig import Rig
from workbench.core import State, evolve
from workbench.engine import choice
from workbench.engine.choice import budget
from workbench.journal.reader import read
from workbench.model import edits as ed
from workbench.model.events import AttemptAssigned, ForecastMade, PolicyChosen
from workbench.model.resources import Resources
from workbench.model.specs import Constant, Edge, Plan, SetSpec, Synthetic
from workbench.predict.forecast import forecast
from workbench.predict.portfolio import auto
from workbench.testing.clock import run_virtual

FIFO = Plan("fifo", "first")


def synthetic(name: str, n: int, tx: float | None = 10.0, after: tuple[str, ...] = ()) -> ed.AddSet:
    spec = SetSpec(name, Synthetic(), n=n, resources=Resources(1), estimate=None if tx is None else Constant(tx))
    return ed.AddSet(spec, tuple(Edge(a, name) for a in after))


class Scripted:
    """A chooser that does as it is told; counts how often it is asked."""

    def __init__(self, plan: Plan | None = FIFO, blocked: bool = False, broken: bool = False) -> None:
        self.plan, self.broken = plan, broken
        self.asked: list[tuple[int, float]] = []
        self.go = threading.Event()
        if not blocked:
            self.go.set()

    def __call__(self, state: State, at: float, budget_s: float) -> PolicyChosen | None:
        self.asked.append((state.size, budget_s))
        assert self.go.wait(30.0)
        if self.broken:
            raise RuntimeError("the chooser is broken")
        if self.plan is None or self.plan == state.plan:
            return None
        return PolicyChosen(at, self.plan, 1.0, "told to", made_at_seq=state.seq)


def rig(tmp_path: Path, chooser: Callable[..., Any], **options: Any) -> Rig:
    return Rig(tmp_path, nodes=1, cores=1, chooser=chooser, policy="auto", **options)


def order(r: Rig) -> list[str]:
    return [e.task.partition("[")[0] for e in r.seen(AttemptAssigned)]


def test_the_first_choice_is_journalled_before_the_first_decision(tmp_path: Path) -> None:
    chooser = Scripted()

    async def main() -> None:
        async with rig(tmp_path, chooser) as r:
            await r.do(synthetic("short", 2, 1.0), synthetic("long", 2, 50.0))
            await r.start()
            await r.settle()
            kinds = [type(x.event) for x in r.feed.events(0, 1_000)]
            assert kinds.index(PolicyChosen) < kinds.index(AttemptAssigned)
            assert order(r) == ["short", "short", "long", "long"], "as the plan says, not by upward rank"
            assert r.state.plan == FIFO and chooser.asked[0][0] == 4

    run_virtual(main())


def test_a_chooser_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    chooser = Scripted(blocked=True)

    async def main() -> None:
        async with rig(tmp_path, chooser) as r:
            await r.do(synthetic("short", 1, 1.0), synthetic("long", 1, 50.0))
            await r.start()
            while not order(r):
                await asyncio.sleep(0)
                r.engine._choices._go_on()  # type: ignore[union-attr]
            assert r.state.plan is None and not list(r.seen(PolicyChosen))
            chooser.go.set()
            await r.settle()
            assert order(r) == ["long", "short"] and r.state.plan == FIFO, "a late choice holds from then on"

    run_virtual(main())


def test_nothing_waits_where_nothing_is_estimated(tmp_path: Path) -> None:
    chooser = Scripted(blocked=True)

    async def main() -> None:
        async with rig(tmp_path, chooser, tx=5.0) as r:
            await r.do(synthetic("a", 2, None))
            await r.start()
            await r.settle()
            assert r.state.sets["a"].n_done == 2
            chooser.go.set()

    run_virtual(main())


def test_a_broken_chooser_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chooser = Scripted(broken=True)

    async def main() -> None:
        async with rig(tmp_path, chooser, forecaster=forecast) as r:
            await r.do(synthetic("a", 3))
            await r.start()
            await r.settle()
            assert r.state.sets["a"].n_done == 3 and r.state.plan is None
            assert list(r.seen(ForecastMade)), "the forecast is made without it"

    run_virtual(main())
    assert "policy auto could not choose" in caplog.text


def test_another_policy_asks_no_chooser(tmp_path: Path) -> None:
    chooser = Scripted()

    async def main() -> None:
        async with Rig(tmp_path, nodes=1, cores=1, chooser=chooser, forecaster=forecast) as r:
            await r.do(synthetic("a", 3))
            await r.start()
            await r.settle()
            assert len(list(r.seen(ForecastMade))) >= 1

    run_virtual(main())
    assert chooser.asked == []


def test_it_chooses_again_when_the_graph_changes_and_forecasts_by_its_choice(tmp_path: Path) -> None:
    chooser = Scripted()

    async def main() -> None:
        async with rig(tmp_path, chooser, forecaster=forecast) as r:
            await r.do(synthetic("a", 40))
            await r.start()
            await asyncio.sleep(5.0)
            assert [e.plan for e in r.seen(PolicyChosen)] == [FIFO]
            chooser.plan = Plan("longest-first", "spread")
            asked = len(chooser.asked)
            await r.do(synthetic("b", 2, 3.0))
            await asyncio.sleep(100.0)
            assert len(chooser.asked) == asked + 1 and chooser.asked[-1][0] == 42
            assert [e.plan for e in r.seen(PolicyChosen)] == [FIFO, chooser.plan]
            events = [x.event for x in r.feed.events(0, 10_000)]
            at = next(i for i, e in enumerate(events) if isinstance(e, PolicyChosen) and e.plan == chooser.plan)
            later = [e for e in events[at:] if isinstance(e, ForecastMade)]
            assert later and later[0].makespan_s == pytest.approx(406.0, abs=1.0)

    run_virtual(main())


def test_a_replay_has_the_plan(tmp_path: Path) -> None:
    states: list[State] = []

    async def main() -> None:
        async with rig(tmp_path, auto) as r:
            await r.do(synthetic("a", 4, 10.0), synthetic("b", 2, 20.0, after=("a",)))
            await r.start()
            await r.settle()
            states.append(r.state)

    run_virtual(main())
    replayed = State()
    for record in read(tmp_path):
        evolve(replayed, record.event)
    assert replayed.plan is not None and replayed.plan == states[0].plan
    assert replayed.digest() == states[0].digest()
    chosen = next(x.event for x in read(tmp_path) if isinstance(x.event, PolicyChosen))
    assert chosen.makespan_s == 80.0 and chosen.reason.endswith("the lower bound")


def test_the_chooser_gets_a_small_share_of_what_is_left() -> None:
    from tests.core.campaigns import Campaign

    c = Campaign(nodes=1, cores=1)
    c.add("a", 1, tx=0.1)
    assert budget(c.state, 0.4) == choice.LEAST_S
    c.add("b", 1, tx=3.9)
    assert budget(c.state, 0.4) == pytest.approx(0.05 * 4.0)
    c.add("c", 1, tx=1000.0)
    assert budget(c.state, 0.4) == 0.4


def test_an_engine_that_ends_does_not_wait_for_a_choice_of_minutes(tmp_path: Path) -> None:
    chooser = Scripted(blocked=True)

    async def main() -> None:
        async with rig(tmp_path, chooser) as r:
            await r.do(synthetic("a", 3))
            await r.start()
            while not chooser.asked:
                await asyncio.sleep(0)
                time.sleep(0)
            threading.Timer(0.2, chooser.go.set).start()  # the loop's thread pool is joined at the very end
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert left == []
        assert not list(r.seen(PolicyChosen))

    run_virtual(main())
