"""Bounds and forecasts against the paper's numbers, hand-made graphs and random schedules."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.core.campaigns import Campaign
from workbench.core.copying import copy_state
from workbench.core.flow import regate, requeue
from workbench.core.policies import POLICIES
from workbench.core.state import State
from workbench.model import edits as ed
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Edge, SetSpec, Synthetic
from workbench.model.states import MODES
from workbench.predict.bounds import actual_bound, lower_bounds
from workbench.predict.forecast import expected, forecast
from workbench.predict.simulate import provide_nodes, simulate


class Collected:
    """Stands in for a campaign where the gallery declares into."""

    def __init__(self, nodes: int, cores: int, gpus: int) -> None:
        self.c = Campaign(nodes=0)
        self.c.state.pools.clear()
        self.c.do(ed.AddPool(Pool("v", nodes, NodeShape(cores, gpus), "virtual")))

    def tasks(self, work: Synthetic, *, n: int, name: str, after: tuple[str, ...], **fields: Any) -> None:
        resources = Resources(fields["cores"], fields["gpus"])
        spec = SetSpec(name, work, n=n, resources=resources, estimate=fields["estimate"], stage=fields["stage"])
        self.c.do(ed.AddSet(spec, tuple(Edge(a, name) for a in after)))


def paper(name: str, cores: int = 168) -> State:
    from workbench.gallery.registry import resolve

    collected = Collected(16, cores, 6)
    resolve(name).build(collected)  # type: ignore[arg-type]
    provide_nodes(collected.c.state, 0.0)
    return collected.c.state


def best(state: State, mode: str) -> float:
    duration = expected(state)
    assert duration is not None
    found = []
    for policy in POLICIES:
        copy = copy_state(state)
        copy.mode, copy.policy = mode, policy
        requeue(copy)
        regate(copy)
        run = simulate(copy, 0.0, duration)
        assert run.ended
        found.append(run.makespan_s)
    return min(found)


@pytest.mark.parametrize(
    "name, bound, sequential, adaptive",
    [
        ("paper/ddmd", 1206.0, 1578.0, 1235.0),
        ("paper/ddmd?graph=staggered", 1206.0, 1578.0, 1235.0),
        ("paper/c-dg1", 1875.16, 1999.86, 1875.16),
        ("paper/c-dg2", 1307.6, 1999.7, 1307.6),
        ("paper/example", 5500.0, 7500.0, 5500.0),
    ],
)
def test_the_papers_workflows_without_overhead(name: str, bound: float, sequential: float, adaptive: float) -> None:
    state = paper(name)
    duration = expected(state)
    assert duration is not None
    assert lower_bounds(state, duration).best == pytest.approx(bound, abs=0.01)
    assert best(state, "sequential") == pytest.approx(sequential, abs=0.3)
    assert best(state, "adaptive") == pytest.approx(adaptive, abs=0.01)


def test_a_bound_that_needs_heads_and_tails() -> None:
    """One slot: 2 s before, 3 x 4 s of work on it, 5 s after; neither path (11) nor work (12) knows that it is 19."""
    c = Campaign(nodes=2, cores=1, gpus=0)
    c.add("before", tx=2.0)
    c.add("middle", 3, "before", tx=4.0)
    c.add("after", 1, "middle", tx=5.0)
    duration = expected(c.state)
    assert duration is not None
    bounds = lower_bounds(c.state, duration)
    assert bounds.critical_path == 11.0
    assert bounds.work["cores"] == (2 + 12 + 5) / 2
    assert bounds.head_tail == 2 + 12 / 2 + 5 == bounds.best


def test_no_schedule_beats_the_bound() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        c = Campaign(nodes=rng.randint(1, 3), cores=4, gpus=rng.choice([0, 2]))
        names: list[str] = []
        for i in range(rng.randint(1, 7)):
            name, n = f"s{i}", rng.randint(1, 5)
            after: list[Edge] = []
            for src in rng.sample(names, min(len(names), rng.randint(0, 2))):
                m = c.state.sets[src].size
                if n <= m and rng.random() < 0.4:
                    after.append(Edge(src, name, "each"))
                elif rng.random() < 0.4:
                    after.append(Edge(f"{src}[{rng.randrange(m)}]", f"{name}[{rng.randrange(n)}]"))
                else:
                    after.append(Edge(src, name))
            gpus = rng.randint(0, c.shape.gpus)
            c.add(name, n, tuple(after), tx=rng.uniform(1, 50), cores=rng.randint(1, 4), gpus=gpus)  # type: ignore[arg-type]
            names.append(name)
        duration = expected(c.state)
        assert duration is not None
        bound = lower_bounds(c.state, duration).best
        for mode in MODES:
            assert best(c.state, mode) >= bound - 1e-6, f"seed {seed}, mode {mode}"


def test_a_forecast_knows_what_is_declared_learned_and_unknown() -> None:
    c = Campaign(nodes=1, cores=1)
    c.add("unknown", 2, tx=None)
    assert forecast(copy_state(c.state), 0.0) is None
    c.add("known", 2, tx=6.0)
    made = forecast(copy_state(c.state), 0.0)
    assert made is not None
    # What is unknown is taken for the mean of the others: 24 s, if that is so.
    assert made.makespan_s == pytest.approx(24.0, rel=0.05) and made.p10_s < 20.0 and made.p90_s > 28.0
    c.go()
    c.finished("unknown[0]", took=2.0)
    learned = forecast(copy_state(c.state), c.now)
    assert learned is not None
    passed = c.now - (c.state.first_assigned_at or 0)
    assert learned.makespan_s == pytest.approx(passed + 2.0 + 12.0, rel=0.05)
    assert learned.p90_s - learned.p10_s < made.p90_s - made.p10_s


def test_the_bound_of_what_really_ran() -> None:
    c = Campaign(nodes=1, cores=2)
    c.add("a", 2, tx=100.0)
    c.go()
    c.finished("a[0]", "a[1]", took=3.0)
    assert actual_bound(c.state) == 3.0
