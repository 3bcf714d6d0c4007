"""Durations: from estimates, from what finished, from what is under way, from what other sets show."""

from __future__ import annotations

import random
from statistics import mean, median, stdev
from typing import Any

import pytest

from tests.core.campaigns import Campaign
from workbench.model.causes import Cause
from workbench.model.edits import AddSet
from workbench.model.events import AttemptEnded, AttemptFinished, AttemptReported
from workbench.model.resources import Resources
from workbench.model.specs import Constant, Estimate, LogNormal, Member, Normal, SetSpec, Synthetic, Uniform
from workbench.predict.durations import Durations
from workbench.predict.laws import draw, moments, normal_beyond, residual_mean

FUTURES = 200


def synthetic(c: Campaign, name: str, n: int, estimate: Estimate | None, **fields: Any) -> None:
    c.do(AddSet(SetSpec(name, Synthetic(), n=n, resources=Resources(1), estimate=estimate, **fields)))


def end(c: Campaign, task: str, took: float, cause: Cause | None = None) -> None:
    """End an attempt that took that long, whatever the clock of the test says."""
    from workbench.core import evolve

    number, at = c[task].number, c.tick()
    if cause is None:
        assert evolve(c.state, AttemptFinished(at, task, number, at - took, at))
    else:
        assert evolve(c.state, AttemptEnded(at, task, number, cause, started=at - took, ended=at))


def drawn(c: Campaign, name: str, index: int, at: float | None = None) -> list[float]:
    """TX of one task in many futures."""
    durations = Durations(c.state, c.now if at is None else at)
    found = []
    for tx in durations.samples(random.Random(7), FUTURES):
        each = tx[name]
        found.append(each[index] if isinstance(each, list) else each)
    return found


@pytest.mark.parametrize("estimate", [Normal(50.0, 5.0), Uniform(40.0, 60.0), LogNormal(50.0, 20.0), Constant(50.0)])
def test_as_estimated_while_nothing_is_known(estimate: Estimate) -> None:
    c = Campaign()
    synthetic(c, "a", 3, estimate)
    expected, std = moments(estimate)
    found = drawn(c, "a", 2)
    assert mean(found) == pytest.approx(expected, abs=4 * std / FUTURES**0.5 + 1e-9)
    assert stdev(found) == pytest.approx(std, rel=0.3, abs=1e-9)
    assert Durations(c.state).certain is isinstance(estimate, Constant)


def test_a_number_given_for_real_work_is_a_rough_one() -> None:
    c = Campaign()
    c.add("a", 4, tx=50.0)
    found = drawn(c, "a", 0)
    assert median(found) == pytest.approx(50.0, rel=0.01)
    assert 0.05 < stdev(found) / 50.0 < 0.2


def test_nothing_known_at_all_is_said() -> None:
    c = Campaign()
    c.add("a", 2, tx=None)
    assert not Durations(c.state).known


def test_members_estimates_count_where_no_set_has_one() -> None:
    c = Campaign()
    members = (Member(estimate=Constant(10.0)), Member(estimate=Constant(30.0)), Member())
    synthetic(c, "a", 3, None, members=members)
    c.add("other", 2, tx=None)
    durations = Durations(c.state)
    assert durations.known
    assert durations.mean() == {"a": [10.0, 30.0, 20.0], "other": pytest.approx(20.0)}


def test_what_is_unknown_is_as_uncertain_as_the_others_differ() -> None:
    def spread(means: tuple[float, ...]) -> float:
        c = Campaign()
        for i, m in enumerate(means):
            synthetic(c, f"s{i}", 1, Constant(m))
        c.add("unknown", 1, tx=None)
        found = drawn(c, "unknown", 0)
        assert median(found) == pytest.approx(10.0, rel=0.2)
        return stdev(found) / mean(found)

    assert spread((10.0,) * 12) < spread((1.0, 100.0, 10.0, 2.0, 50.0, 10.0, 3.0, 33.0, 5.0, 20.0, 10.0, 10.0))


def test_few_observations_leave_more_open_than_many() -> None:
    def spread(n: int) -> tuple[float, float]:
        c = Campaign(cores=64)
        c.add("a", 64, tx=None)
        c.go()
        rng = random.Random(n)
        for i in range(n):
            end(c, f"a[{i}]", rng.gauss(20.0, 2.0))
        for i in range(n, 63):
            end(c, f"a[{i}]", 0.0, Cause.NodeLost)  # it waits again
        found = drawn(c, "a", 62, c["a[63]"].assigned_at + 1.0)
        return mean(found), stdev(found)

    few, many = spread(3), spread(50)
    assert few[0] == pytest.approx(20.0, rel=0.15) and many[0] == pytest.approx(20.0, rel=0.05)
    assert few[1] > many[1] and many[1] == pytest.approx(2.0, rel=0.4)


def test_an_estimate_holds_until_tasks_speak_against_it() -> None:
    def odds(took: float) -> tuple[float, float]:
        c = Campaign(cores=8)
        synthetic(c, "a", 16, Normal(100.0, 5.0))
        c.go()
        for i in range(6):
            end(c, f"a[{i}]", took + i)
        made = Durations(c.state, c.now)
        return made._sets["a"].odds, mean(drawn(c, "a", 15))

    right, as_estimated = odds(98.0)
    assert right > 3 and as_estimated == pytest.approx(100.0, rel=0.02)
    wrong, learned = odds(140.0)
    assert wrong < 0.01 and learned == pytest.approx(142.5, rel=0.03)


def test_the_first_to_finish_are_not_taken_for_all() -> None:
    """40 tasks began together; those four that ended so far are the shortest ones."""
    rng = random.Random(5)
    truth = sorted(rng.gauss(100.0, 20.0) for _ in range(40))
    c = Campaign(cores=40)
    c.add("a", 40, tx=None)
    c.add("b", 2, tx=100.0)
    c.go()
    begun = c.now
    for i in range(4):
        end(c, f"a[{i}]", truth[i])
    found = drawn(c, "a", 39, at=begun + truth[4])
    assert mean(truth[:4]) < 70.0
    assert median(found) == pytest.approx(100.0, rel=0.2)
    assert min(found) >= truth[4]


def test_running_tasks_last_longer_than_they_have() -> None:
    c = Campaign(cores=2)
    synthetic(c, "a", 2, Normal(10.0, 1.0))
    c.go()
    begun = c["a[0]"].assigned_at
    assert min(drawn(c, "a", 0, begun + 20.0)) > 20.0
    for elapsed in (5.0, 9.0, 10.0):
        found = drawn(c, "a", 0, begun + elapsed)
        assert min(found) > elapsed
        assert mean(found) == pytest.approx(residual_mean(10.0, 1.0, elapsed), rel=0.03)


def test_what_has_run_for_long_tells_though_nothing_finished() -> None:
    c = Campaign(cores=4)
    c.add("a", 8, tx=None)
    c.add("b", 1, tx=10.0)
    c.go()
    assert median(drawn(c, "a", 7)) == pytest.approx(10.0, rel=0.4)
    later = c["a[0]"].assigned_at + 200.0
    assert median(drawn(c, "a", 7, later)) > 150.0


def test_progress_tells_the_end_the_better_the_later_it_was_reported() -> None:
    from workbench.core import evolve

    c = Campaign(cores=2)
    synthetic(c, "a", 2, Normal(100.0, 40.0))
    c.go()
    begun = c["a[0]"].assigned_at
    spreads = []
    for progress in (0.2, 0.9):
        assert evolve(c.state, AttemptReported(begun + 60.0 * progress, "a[0]", 1, progress=progress))
        found = drawn(c, "a", 0, begun + 60.0 * progress + 1.0)
        spreads.append(stdev(found))
    assert mean(found) == pytest.approx(60.0, rel=0.05)
    assert spreads[1] < spreads[0] < 40.0
    # An old report is one of then: half of it by 30 s means 60 s, whenever it is looked at.
    assert evolve(c.state, AttemptReported(begun + 54.0, "a[0]", 1, progress=0.9))
    assert mean(drawn(c, "a", 0, begun + 58.0)) == pytest.approx(61.0, rel=0.05)


def test_attempts_that_fail_take_their_time_again() -> None:
    c = Campaign(cores=40)
    synthetic(c, "a", 80, Constant(10.0), retries=5)
    c.go()
    for i in range(40):
        end(c, f"a[{i}]", 10.0, Cause.UserError if i % 4 == 0 else None)
    found = [x for i in range(60, 80) for x in drawn(c, "a", i)]
    assert mean(found) == pytest.approx(10.0 / 0.75, rel=0.08)
    none = Campaign(cores=40)
    synthetic(none, "a", 80, Constant(10.0), retries=5)
    assert max(drawn(none, "a", 70)) == 10.0


def test_the_same_state_draws_the_same() -> None:
    c = Campaign(cores=4)
    c.add("a", 8, tx=None)
    c.add("b", 8, tx=3.0)
    c.go()
    end(c, "a[0]", 2.0)
    assert drawn(c, "a", 5) == drawn(c, "a", 5)
    assert drawn(c, "b", 5) == drawn(c, "b", 5)


@pytest.mark.parametrize("past", [-3.0, 0.0, 1.0, 4.0, 12.0])
def test_the_normal_law_beyond_a_value(past: float) -> None:
    rng = random.Random(3)
    found = [normal_beyond(rng, 0.0, 1.0, past) for _ in range(4000)]
    assert min(found) > past
    assert mean(found) == pytest.approx(residual_mean(10.0, 1.0, 10.0 + past) - 10.0, abs=0.05)


def test_what_lasts_longer_than_an_estimate_allows_goes_on_a_little() -> None:
    rng = random.Random(3)
    assert draw(Constant(5.0), rng, 6.0) == 6.0
    assert all(7.0 < draw(Uniform(1.0, 5.0), rng, 7.0) < 14.0 for _ in range(50))
    assert all(draw(LogNormal(5.0, 1.0), rng, 50.0) > 50.0 for _ in range(50))
