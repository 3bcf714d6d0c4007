"""Predictions from a state in which nodes are draining."""

from __future__ import annotations

import pytest

from tests.core.campaigns import Campaign
from workbench.core.copying import copy_state
from workbench.core.drain import draining
from workbench.core.invariants import check
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.predict.bounds import actual_bound, lower_bounds
from workbench.predict.forecast import expected, forecast
from workbench.predict.simulate import provide_nodes, simulate


def shrunk() -> Campaign:
    """Three nodes of one core, each with 100 s of work, two of which drain since the first 10 s."""
    c = Campaign(nodes=3, cores=1)
    c.add("first", 3, tx=100.0)
    assert len(c.go()) == 3
    c.now += 10.0
    c.do(ed.ScalePool("p", 1))
    c.add("second", 4, tx=10.0)
    assert len(draining(c.state, "p")) == 2
    return c


def test_a_simulation_gives_draining_nodes_nothing_and_lets_them_leave() -> None:
    c = shrunk()
    (stays,) = set(c.state.nodes) - set(draining(c.state, "p"))
    duration = expected(c.state)
    assert duration is not None
    future = copy_state(c.state)
    provide_nodes(future, c.now)
    assert set(future.nodes) == set(c.state.nodes), "nothing is missing"
    run = simulate(future, c.now, duration, keep_decisions=True)
    assert run.ended and {d.node for d in run.decisions} == {stays} and len(run.decisions) == 4
    assert set(future.nodes) == {stays} and check(future) == []
    begun = c.state.first_assigned_at
    assert begun is not None
    assert run.makespan_s == pytest.approx(100.0 + 4 * 10.0)
    assert all(t.number == 1 for t in future.tasks())


def test_idle_nodes_that_drain_leave_before_the_first_decision() -> None:
    c = Campaign(nodes=3, cores=1)
    c.do(ed.ScalePool("p", 1))
    c.add("a", 3, tx=10.0)
    made = forecast(copy_state(c.state), c.now)
    assert made is not None and made.makespan_s == pytest.approx(30.0, rel=1e-3)
    c.do(ed.ScalePool("p", 3))
    made = forecast(copy_state(c.state), c.now)
    assert made is not None and made.makespan_s == pytest.approx(10.0, rel=1e-3)


def test_nodes_that_are_missing_are_told_from_nodes_that_drain() -> None:
    c = shrunk()
    (stays,) = set(c.state.nodes) - set(draining(c.state, "p"))
    c.leave(stays)
    future = copy_state(c.state)
    provide_nodes(future, c.now)
    assert len(future.nodes) == 3 and len(draining(future, "p")) == 2


def test_the_bound_counts_what_the_campaign_had() -> None:
    """On one node the work alone would need 340 s; two more did their part before they left."""
    c = shrunk()
    duration = expected(c.state)
    assert duration is not None
    before = lower_bounds(c.state, duration)
    assert before.work["cores"] == pytest.approx((3 * 100.0 + 4 * 10.0) / 3)
    c.finished("first[0]", "first[1]", "first[2]", took=100.0)
    for node in draining(c.state, "p"):
        c.leave(node, Cause.Preempted)
    for i in range(4):
        c.go()
        c.finished(f"second[{i}]", took=10.0)
    assert c.state.ended and len(c.state.nodes) == 1
    assert actual_bound(c.state) == pytest.approx((3 * 100.0 + 4 * 10.0) / 3)
