"""Forecasts: bands of campaigns, sets and tasks; the same for the same state; by counts and by the core alike."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.benchmarks.forecast_bands import MOMENTS, judge
from tests.core.campaigns import Campaign
from workbench.core.copying import copy_state
from workbench.core.state import State
from workbench.model.edits import AddSet
from workbench.model.resources import Resources
from workbench.model.specs import Constant, Edge, Estimate, Normal, SetSpec, Synthetic
from workbench.model.states import MODES
from workbench.predict import forecast as module
from workbench.predict.durations import Durations
from workbench.predict.forecast import Player, forecast, of_task, quantiles
from workbench.predict.score import summary


def synthetic(c: Campaign, name: str, n: int, estimate: Estimate, after: tuple[str, ...] = (), cores: int = 1) -> None:
    spec = SetSpec(name, Synthetic(), n=n, resources=Resources(cores), estimate=estimate)
    c.do(AddSet(spec, tuple(Edge(a, name) for a in after)))


def branches() -> Campaign:
    c = Campaign(nodes=2, cores=4)
    synthetic(c, "a", 12, Normal(20.0, 4.0))
    synthetic(c, "b", 3, Normal(30.0, 6.0), ("a",), 2)
    synthetic(c, "c", 9, Normal(10.0, 2.0), ("a",))
    synthetic(c, "d", 1, Constant(5.0), ("b", "c"), 4)
    return c


def test_a_barrier_waits_for_the_slowest() -> None:
    c = Campaign(nodes=1, cores=16)
    synthetic(c, "a", 16, Normal(100.0, 10.0))
    made = forecast(copy_state(c.state), 0.0)
    assert made is not None
    # The largest of 16 normal values: 1.77 standard deviations above the mean, give or take 0.5.
    assert made.p50_s == pytest.approx(117.2, rel=0.02) == made.makespan_s
    assert 108.0 < made.p10_s < 114.0 and 120.0 < made.p90_s < 130.0


def test_certain_durations_have_no_band() -> None:
    c = Campaign(nodes=1, cores=2)
    synthetic(c, "a", 4, Constant(10.0))
    synthetic(c, "b", 1, Constant(5.0), ("a",))
    made = forecast(copy_state(c.state), 0.0)
    assert made is not None and made.samples == 1
    assert (made.p10_s, made.p50_s, made.p90_s, made.lower_bound_s) == (25.0, 25.0, 25.0, 25.0)
    assert made.sets == {"a": (20.0, 20.0, 20.0), "b": (25.0, 25.0, 25.0)}


def test_sets_that_have_ended_are_known_and_the_last_set_ends_the_campaign() -> None:
    c = Campaign(nodes=1, cores=4)
    synthetic(c, "a", 4, Normal(10.0, 1.0))
    synthetic(c, "b", 8, Normal(10.0, 1.0), ("a",))
    c.go()
    begun = c.now
    c.finished("a[0]", "a[1]", "a[2]", "a[3]")
    c.go()
    made = forecast(copy_state(c.state), c.now)
    assert made is not None
    assert made.sets["a"] == (c.now - begun,) * 3
    assert made.sets["b"] == (made.p10_s, made.p50_s, made.p90_s)


def test_of_very_many_sets_those_are_told_that_end_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.predict.forecast.NAMED", 2)
    c = Campaign(nodes=1, cores=1)
    for i in range(5):
        c.add(f"s{i}", 1, *([f"s{i - 1}"] if i else []), tx=10.0)
    c.go()
    c.finished("s0[0]", took=10.0)
    made = forecast(copy_state(c.state), c.state.at, samples=20)
    assert made is not None and list(made.sets) == ["s1", "s2"]


def test_the_same_state_gives_the_same_forecast() -> None:
    c = branches()
    c.go()
    first, again = (forecast(copy_state(c.state), c.now) for _ in range(2))
    assert first == again and first is not None
    assert first.samples == 100 and 0 < first.p10_s < first.p50_s < first.p90_s
    assert first.made_at_seq == c.state.seq


def test_the_state_is_not_played_but_its_copies() -> None:
    c = branches()
    c.go()
    before = c.state.digest()
    forecast(c.state, c.now)
    of_task(c.state, c.now, "b[1]")
    assert c.state.digest() == before


def test_counts_and_the_core_play_the_same_futures(monkeypatch: pytest.MonkeyPatch) -> None:
    c = branches()
    c.go()
    c.finished("a[0]", "a[1]")
    by_counts = forecast(copy_state(c.state), c.now, samples=10)
    monkeypatch.setattr(module, "compile_state", lambda state, at: None)
    assert Player(c.state, c.now)._compact is None
    by_core = forecast(copy_state(c.state), c.now, samples=10)
    assert by_counts is not None and by_core is not None
    assert by_core.p10_s == pytest.approx(by_counts.p10_s) and by_core.p90_s == pytest.approx(by_counts.p90_s)
    assert by_core.sets.keys() == by_counts.sets.keys() == {"a", "b", "c", "d"}
    for name, band in by_core.sets.items():
        assert band == pytest.approx(by_counts.sets[name])
    assert by_core.alternatives == pytest.approx(by_counts.alternatives)


def test_alternatives_are_the_other_modes_in_the_same_futures() -> None:
    c = branches()
    made = forecast(copy_state(c.state), 0.0)
    assert made is not None and list(made.alternatives) == [m for m in MODES if m in made.alternatives]
    assert made.alternatives["adaptive"] == made.makespan_s <= made.alternatives["sequential"] + 1e-9


def test_any_task_can_be_asked_for() -> None:
    c = branches()
    c.go()
    made = forecast(copy_state(c.state), c.now)
    assert made is not None
    last = of_task(c.state, c.now, "d[0]", samples=60)
    assert last is not None and last == pytest.approx((made.p10_s, made.p50_s, made.p90_s), rel=0.05)
    first = of_task(c.state, c.now, "a[0]")
    assert first is not None and first[2] < last[0]
    begun = c.state.first_assigned_at
    c.finished("a[0]", took=2.0)
    assert begun is not None
    assert of_task(c.state, c.now, "a[0]") == (c.now - begun,) * 3
    assert of_task(c.state, c.now, "e[0]") is None and of_task(c.state, c.now, "a[99]") is None


def test_no_forecast_where_nothing_is_known_or_nothing_ends() -> None:
    c = Campaign(nodes=1, cores=1)
    assert forecast(copy_state(c.state), 0.0) is None
    c.add("a", 1, tx=None)
    assert forecast(copy_state(c.state), 0.0) is None
    c.add("b", 1, tx=1.0)
    assert forecast(copy_state(c.state), 0.0) is not None
    from workbench.model.edits import Hold

    c.do(Hold(("b",)))
    assert forecast(copy_state(c.state), 0.0) is None
    assert of_task(c.state, 0.0, "b[0]") is None


def test_quantiles_by_hand() -> None:
    assert quantiles([3.0]) == (3.0, 3.0, 3.0)
    assert quantiles([float(i) for i in range(1, 10)]) == (1.0, 5.0, 9.0)
    assert quantiles([float(i) for i in range(1, 20)]) == (2.0, 10.0, 18.0)


@pytest.mark.parametrize(("case", "off"), [("given", 0.02), ("learned", 0.3)])
def test_bands_hold(case: str, off: float) -> None:
    """A few runs of the benchmark: far too few for its figures, enough to see a band that is wrong."""
    scores = [w for seed in range(6) for w, _ in judge(case, 0.2, seed, samples=20).values() if w is not None]
    found = summary(scores)
    assert found is not None and found.n > 6 * (len(MOMENTS) - 2)
    assert 0.55 < found.coverage < 0.99 and abs(found.bias) < off


def test_samples_agree_with_their_expectation() -> None:
    c = branches()
    durations = Durations(c.state, 0.0)
    expected = durations.mean()
    draws = durations.samples(random.Random(2), 200)
    values: Callable[[object, int], float] = lambda x, i: x[i] if isinstance(x, list) else float(str(x))  # noqa: E731
    for s in c.state.sets.values():
        for t in s.live():
            mean = sum(values(d[s.name], t.index) for d in draws) / len(draws)
            assert mean == pytest.approx(values(expected[s.name], t.index), rel=0.06)


def test_a_large_campaign_is_sampled_less_often() -> None:
    def samples(n: int) -> int:
        c = Campaign(nodes=1, cores=64)
        synthetic(c, "a", n, Normal(1.0, 0.1))
        state: State = copy_state(c.state)
        made = forecast(state, 0.0)
        assert made is not None
        return made.samples

    assert samples(100) == 100 and samples(4000) == 50
