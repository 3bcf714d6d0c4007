"""Simulation and live run come from one scheduling code path: given the recorded durations they decide the same."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from workbench.core import State, evolve
from workbench.core.policies import POLICIES
from workbench.engine.feed import Feed
from workbench.engine.loop import Engine
from workbench.executors.fake import FakeCluster
from workbench.journal.writer import JournalWriter
from workbench.model import edits as ed
from workbench.model.edits import Ack, Command
from workbench.model.events import AttemptAssigned, AttemptFinished, CampaignCreated, EngineStarted, Record
from workbench.model.ids import task_id
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Edge, Normal, SetSpec, Synthetic
from workbench.model.states import MODES
from workbench.predict.simulate import simulate
from workbench.testing.clock import LoopClock, run_virtual

CAMPAIGNS = int(os.environ.get("WORKBENCH_CAMPAIGNS", "200"))
SEED = int(os.environ.get("WORKBENCH_SEED", "-1"))


def declare(rng: random.Random) -> tuple[ed.Edit, ...]:
    """A random campaign of a few sets."""
    shape = NodeShape(rng.choice([4, 8, 16]), rng.choice([0, 1, 4]), rng.choice([0, 100]))
    edits: list[ed.Edit] = [ed.AddPool(Pool("p", rng.randint(1, 4), shape, "fake"))]
    sizes: dict[str, int] = {}
    for i in range(rng.randint(2, 9)):
        n = rng.randint(1, 8)
        name = f"s{i}"
        resources = Resources(
            rng.randint(1, shape.cores), rng.randint(0, shape.gpus), rng.choice([0, shape.memory // 3])
        )
        edges = []
        for src, m in rng.sample(sorted(sizes.items()), min(len(sizes), rng.randint(0, 2))):
            if n <= m and rng.random() < 0.3:
                edges.append(Edge(src, name, "each"))
            elif rng.random() < 0.3:
                edges.append(Edge(task_id(src, rng.randrange(m)), task_id(name, rng.randrange(n))))
            else:
                edges.append(Edge(src, name))
        mean = rng.uniform(1, 100)
        spec = SetSpec(name, Synthetic(), n=n, resources=resources, estimate=Normal(mean, mean / 4))
        edits.append(ed.AddSet(spec, tuple(edges)))
        sizes[name] = n
    return tuple(edits)


async def live(directory: Path, seed: int) -> list[Record]:
    """Run the campaign of `seed` on the fake cluster in virtual time; its records."""
    rng = random.Random(seed)
    clock = LoopClock()
    state, feed = State(), Feed(str(directory), 0)
    engine = Engine(state, JournalWriter(directory, 0, fsync="never"), feed, clock.now)
    mode, policy = rng.choice(MODES), rng.choice(list(POLICIES))
    engine.record(CampaignCreated(clock.now(), "id", "random", seed, mode, policy))
    engine.record(EngineStarted(clock.now(), 1))
    answers: list[Ack] = []
    edits = declare(rng)
    engine.submit(Command("all", edits), answers.append)
    engine.round()
    assert answers[0].ok, answers[0].message
    pool = next(e.pool for e in edits if isinstance(e, ed.AddPool))
    await engine.attach(FakeCluster(pools=[pool], clock=clock))
    serving = asyncio.ensure_future(engine.run())
    while not engine.decided:
        await asyncio.sleep(1.0)
    await engine.stop("done")
    await serving
    return list(feed.events(0, 1_000_000))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_simulation_takes_the_live_decisions(tmp_path: Path) -> None:
    seeds = [SEED] if SEED >= 0 else range(CAMPAIGNS)
    compared = 0
    for seed in seeds:
        directory = tmp_path / str(seed)
        directory.mkdir()
        records = run_virtual(live(directory, seed))
        repeat = f"seed {seed}; repeat with WORKBENCH_SEED={seed} pytest tests/predict/test_live_and_simulated.py"
        first = next(i for i, r in enumerate(records) if isinstance(r.event, AttemptAssigned))
        state = State()
        for record in records[:first]:
            evolve(state, record.event)
        took = {r.event.task: r.event.ended - r.event.started for r in records if isinstance(r.event, AttemptFinished)}
        assert len(took) == state.size, repeat
        begun = records[first].event.at
        run = simulate(state, begun, lambda t, took=took: took[t.id], keep_decisions=True)
        assert run.ended, repeat
        decided = [r.event for r in records if isinstance(r.event, AttemptAssigned)]
        for real, virtual in zip(decided, run.decisions, strict=True):
            same = (real.task, real.number, real.node, real.gpus, real.others, real.queued)
            assert same == (virtual.task, virtual.number, virtual.node, virtual.gpus, virtual.others, virtual.queued), (
                repeat
            )
            compared += 1
    assert compared > 5 * len(list(seeds))
