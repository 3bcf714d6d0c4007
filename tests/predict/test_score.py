"""Scores of forecasts: coverage, bias, pinball loss, and what is known when."""

from __future__ import annotations

import random

import pytest

from tests.report.campaigns import Run
from workbench.model.edits import AddSet, Invalidate
from workbench.model.events import CommandAccepted, ForecastMade
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, Edge, SetSpec, Synthetic
from workbench.predict.forecast import quantiles
from workbench.predict.score import CAMPAIGN, Score, Scores, pinball, summary
from workbench.report.tables import Tables


def test_the_pinball_loss_by_hand() -> None:
    # 10 s above P10 costs 1 s, 5 s above P50 costs 2.5 s, 2 s below P90 costs 0.2 s.
    assert pinball((90.0, 95.0, 102.0), 100.0) == pytest.approx((1.0 + 2.5 + 0.2) / 3)
    assert pinball((100.0, 100.0, 100.0), 100.0) == 0.0


def test_the_true_quantiles_lose_least() -> None:
    rng = random.Random(1)
    truths = [rng.gauss(100.0, 10.0) for _ in range(4000)]

    def loss(band: tuple[float, float, float]) -> float:
        return sum(pinball(band, x) for x in truths)

    best = loss((87.18, 100.0, 112.82))
    assert all(best < loss(b) for b in ((80.0, 100.0, 120.0), (95.0, 100.0, 105.0), (90.0, 103.0, 116.0)))


def test_coverage_and_bias() -> None:
    scores = [Score(i, 0.0, 90.0, 100.0, 110.0, actual) for i, actual in enumerate((89.0, 91.0, 100.0, 109.0, 125.0))]
    found = summary(scores)
    assert found is not None
    assert (found.n, found.coverage, found.bias) == (5, 0.6, 0.0)
    assert scores[4].bias == pytest.approx(-0.2)
    assert summary([]) is None


def test_forecasts_are_scored_when_the_truth_is_known() -> None:
    scores = Scores()
    scores.made(5, 1.0, (9.0, 10.0, 11.0), {"a": (4.0, 5.0, 6.0), "b": (9.0, 10.0, 11.0)})
    assert scores.of() == [] and scores.sets == {} and scores.summary() is None
    scores.ended("a", 5.5)
    (one,) = scores.of("a")
    assert (one.seq, one.t, one.actual_s, one.covered) == (5, 1.0, 5.5, True)
    scores.made(9, 6.0, None, {"a": (5.5, 5.5, 5.5), "b": (9.0, 9.0, 9.0)})
    assert len(scores.of("a")) == 1, "what had ended was no forecast"
    scores.made(8, 5.0, None, {"a": (5.6, 5.7, 5.8)})
    assert [s.seq for s in scores.of("a")] == [5, 8], "it came late, and was made before"
    scores.ended("b", 12.0)
    scores.ended(CAMPAIGN, 12.0)
    assert [s.covered for s in scores.of("b")] == [False, False]
    assert [s.seq for s in scores.of()] == [5]
    total = scores.summary()
    assert total is not None and total.n == 4 and total.coverage == 0.25


def test_what_goes_on_is_scored_when_it_ends_again() -> None:
    scores = Scores()
    scores.made(1, 0.0, (9.0, 10.0, 11.0), {"a": (9.0, 10.0, 11.0)})
    scores.ended("a", 10.0)
    scores.goes_on("a")
    assert scores.of("a") == []
    scores.ended("a", 20.0)
    assert [s.actual_s for s in scores.of("a")] == [20.0]


@pytest.mark.parametrize("n", [1, 4, 20, 100])
def test_quantiles_hold_the_next_value_as_often_as_they_say(n: int) -> None:
    rng = random.Random(n)
    inside = 0
    for _ in range(2000):
        low, middle, high = quantiles([rng.expovariate(1.0) for _ in range(n)])
        assert low <= middle <= high
        inside += low <= rng.expovariate(1.0) <= high
    # Fewer than nine values cannot span 80 % of a distribution of which nothing else is known.
    assert inside / 2000 == pytest.approx(min(0.8, (n - 1) / (n + 1)), abs=0.04)


def test_the_tables_score_each_set_and_the_campaign_as_they_end() -> None:
    pool = Pool("p", 1, NodeShape(1), "virtual")
    sets = [SetSpec(name, Synthetic(), estimate=Constant(10.0)) for name in "ab"]
    run = Run([AddSet(sets[0]), AddSet(sets[1], (Edge("a", "b"),))], pool)
    foretold = {"a": (9.0, 10.0, 11.0), "b": (24.0, 25.0, 26.0)}
    run.add(ForecastMade(run.at, 20.0, made_at_seq=3, p10_s=18.0, p50_s=19.0, p90_s=22.0, sets=foretold, samples=20))
    tables = Tables()
    assert run.step()
    tables.fold(run.records)
    assert [(s.seq, s.actual_s) for s in tables.scores.of("a")] == [(3, 10.0)] and tables.scores.of() == []
    run.run()
    tables.fold(run.records)
    (whole,) = tables.scores.of()
    assert whole.actual_s == tables.makespan() == 20.0 and whole.covered and whole.bias == pytest.approx(-0.05)
    over_sets = tables.scores.summary()
    assert over_sets is not None and (over_sets.n, over_sets.coverage) == (2, 0.5)
    run.add(CommandAccepted(run.at, "more", (Invalidate(("b[0]",)),)))
    tables.fold(run.records)
    assert tables.scores.of() == [] and tables.scores.of("b") == [] and tables.scores.of("a") != []
    run.run()
    tables.fold(run.records)
    assert [s.actual_s for s in tables.scores.of("b")] == [30.0] == [s.actual_s for s in tables.scores.of()]
