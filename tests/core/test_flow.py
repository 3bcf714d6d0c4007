"""Inputs that arrive, fail and are mended; barriers of the modes; holds."""

from __future__ import annotations

import pytest

from workbench.core.explain import why
from workbench.core.invariants import check
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.specs import Edge

from .campaigns import Campaign


def test_a_set_waits_for_all_of_another_and_a_mapped_one_for_its_counterpart() -> None:
    c = Campaign(cores=8)
    c.add("sim", 3)
    c.add("each", 3, Edge("sim", "each", "each"))
    c.add("all", 2, "sim")
    c.go()
    c.finished("sim[1]")
    assert c.states("each") == ["waiting", "ready", "waiting"]
    assert c.states("all") == ["waiting", "waiting"]
    c.finished("sim[0]", "sim[2]")
    assert c.states("each") == ["ready"] * 3 and c.states("all") == ["ready"] * 2


def test_a_task_may_wait_for_one_task_of_its_own_set() -> None:
    c = Campaign()
    c.add("chain", 3)
    c.do(ed.AddEdges((Edge("chain[0]", "chain[1]"), Edge("chain[1]", "chain[2]"))))
    assert c.states("chain") == ["ready", "waiting", "waiting"]
    c.go()
    c.finished("chain[0]")
    assert c.states("chain") == ["done", "ready", "waiting"]


def test_a_long_chain_is_skipped_without_recursion() -> None:
    c = Campaign()
    c.add("t0")
    for i in range(1, 3000):
        c.add(f"t{i}", 1, f"t{i - 1}")
    c.go()
    c.ended("t0[0]")
    assert c["t0[0]"].state == "failed"
    assert c["t2999[0]"].state == "skipped"
    c.do(ed.Retry(("t0",)))
    assert c["t0[0]"].state == "ready" and c["t2999[0]"].state == "waiting"


@pytest.mark.parametrize("mode, order", [("adaptive", 1), ("asynchronous", 2), ("sequential", 3)])
def test_the_modes_differ_in_what_they_wait_for(mode: str, order: int) -> None:
    """b[0] needs a[0] only; asynchronous wants all of a; sequential also wants the slow set of the same stage."""
    c = Campaign(mode=mode, cores=8)
    c.add("a", 2)
    c.add("slow", 1)
    c.add("b", 2, Edge("a", "b", "each"))
    c.go()
    for i, task in enumerate(["a[0]", "a[1]", "slow[0]"], 1):
        assert (c["b[0]"].state == "ready") == (i > order)
        if i <= order:
            assert "waits for" in why(c.state, c["b[0]"])
        c.finished(task)
    assert c["b[0]"].state == "ready"


def test_a_failed_task_does_not_bar_later_stages() -> None:
    c = Campaign(mode="sequential", cores=8)
    c.add("a", 2)
    c.add("b", 2, Edge("a", "b", "each"))
    c.go()
    c.finished("a[0]")
    c.ended("a[1]")
    assert c.states("b") == ["ready", "skipped"]


def test_declared_stages_override_ranks_and_a_mode_can_change_while_running() -> None:
    c = Campaign(mode="sequential", cores=8)
    c.add("a", stage=0)
    c.add("late", stage=5)
    assert c["late[0]"].state == "waiting"
    c.do(ed.SetMode("adaptive"))
    assert c["late[0]"].state == "ready"
    c.undo()
    assert c.state.mode == "sequential" and c["late[0]"].state == "waiting"


def test_a_set_that_joins_an_earlier_stage_closes_the_barrier_again() -> None:
    c = Campaign(mode="sequential", cores=8)
    c.add("a", stage=0)
    c.add("b", stage=1)
    c.go()
    c.finished("a[0]")
    assert c["b[0]"].state == "ready"
    c.add("more", stage=0)
    assert c["b[0]"].state == "waiting" and c["more[0]"].state == "ready"


def test_an_edit_upstream_never_leaves_a_declared_stage_before_its_inputs() -> None:
    c = Campaign(mode="sequential", cores=8)
    c.add("a")
    c.add("b", 1, "a", stage=1)
    for name, before in [("x", None), ("y", "x"), ("z", "y")]:
        c.add(name, 1, *([before] if before else []))
    c.do(ed.AddEdges((Edge("z", "a"),)))
    assert [c.state.sets[name].stage for name in "xyzab"] == [0, 1, 2, 3, 3]
    for task in ["x[0]", "y[0]", "z[0]", "a[0]"]:
        c.go()
        c.finished(task)
    assert c["b[0]"].state == "ready"


def test_sets_whose_tasks_wait_for_each_other_are_in_one_stage() -> None:
    """a[0] > b[0] > c[0] > a[1]: the stage that is declared for one of them cannot come after the others."""
    c = Campaign(mode="sequential", cores=8)
    c.add("a", 2, stage=2)
    c.add("c", 1)
    c.do(ed.AddEdges((Edge("c[0]", "a[1]"),)))
    c.add("b", 1, Edge("a[0]", "b[0]"))
    c.do(ed.AddEdges((Edge("b[0]", "c[0]"),)))
    assert [c.state.sets[name].stage for name in "abc"] == [2, 2, 2]
    for task in ["a[0]", "b[0]", "c[0]"]:
        c.go()
        c.finished(task)
    assert c["a[1]"].state == "ready"


def test_what_depends_on_a_failure_is_skipped_or_held_as_its_set_says_and_mended_by_a_retry() -> None:
    c = Campaign(cores=8)
    c.add("a")
    c.add("skip", 2, "a")
    c.add("hold", 1, "a", on_failed_input="hold")
    c.add("after", 1, "skip")
    c.go()
    c.ended("a[0]", Cause.UserError, "Traceback")
    assert (c.states("skip"), c.states("hold"), c.states("after")) == (["skipped"] * 2, ["held"], ["skipped"])
    assert "held because a[0] failed" in why(c.state, c["hold[0]"])
    c.do(ed.Retry(("a",)))
    assert (c.states("skip"), c.states("hold"), c.states("after")) == (["waiting"] * 2, ["waiting"], ["waiting"])
    c.go()
    c.finished("a[0]")
    assert c.states("skip") == ["ready"] * 2 and c.states("hold") == ["ready"]
    assert check(c.state) == []


def test_a_cancelled_task_breaks_its_dependants_only_when_its_attempt_has_ended() -> None:
    c = Campaign()
    c.add("a")
    c.add("b", 1, "a")
    c.go()
    c.do(ed.Cancel(("a",)))
    assert c["a[0]"].state == "cancelling" and c["b[0]"].state == "waiting"
    c.ended("a[0]", Cause.Cancelled)
    assert c["a[0]"].state == "cancelled" and c["b[0]"].state == "skipped"


def test_a_result_that_arrives_while_the_task_is_being_cancelled_is_not_published() -> None:
    c = Campaign()
    c.add("a")
    c.go()
    c.do(ed.Cancel(("a",)))
    c.finished("a[0]")
    assert c["a[0]"].state == "cancelled" and c["a[0]"].result is None


def test_invalidating_takes_back_everything_downstream() -> None:
    c = Campaign(cores=8)
    c.add("a")
    c.add("b", 2, "a")
    c.add("other")
    for task in ("a[0]", "other[0]", "b[0]", "b[1]"):
        c.go()
        c.finished(task)
    c.do(ed.Invalidate(("a",)))
    assert c.states("a") == ["ready"] and c.states("b") == ["waiting"] * 2 and c.states("other") == ["done"]
    assert c["b[0]"].result is None


def test_an_empty_set_is_done_at_once() -> None:
    c = Campaign()
    c.add("none", 0)
    c.add("b", 1, "none")
    assert c["b[0]"].state == "ready"


def test_a_retry_of_a_set_leaves_its_holds() -> None:
    c = Campaign(cores=8)
    c.add("a", 2, retries=0)
    c.go()
    c.ended("a[0]", Cause.UserError)
    c.ended("a[1]", Cause.NodeLost)
    assert c.states("a") == ["failed", "ready"]
    c.do(ed.Hold(("a[1]",)))
    c.do(ed.Retry(("a",)))
    assert c.states("a") == ["ready", "held"] and c["a[1]"].held
    assert check(c.state) == []
    c.do(ed.Release(("a[1]",)))
    assert c.states("a") == ["ready", "ready"]


def test_a_task_that_lost_an_attempt_before_its_input_failed_is_mended_too() -> None:
    c = Campaign(cores=8)
    c.add("a", retries=0)
    c.add("b", on_failed_input="hold")
    c.go()
    c.ended("a[0]", Cause.UserError)
    c.ended("b[0]", Cause.NodeLost)
    assert c.states("b") == ["ready"]
    c.do(ed.AddEdges((Edge("a", "b"),)))
    assert c.states("b") == ["held"] and "held because a[0] failed" in why(c.state, c["b[0]"])
    c.do(ed.RemoveEdges((Edge("a", "b"),)))
    assert c.states("b") == ["ready"]
    assert check(c.state) == []


def test_why_always_has_an_answer() -> None:
    c = Campaign(nodes=0)
    c.add("a", 2)
    c.add("b", 1, "a")
    assert "first node" in why(c.state, c["a[0]"])
    assert why(c.state, c["b[0]"]) == "b[0] waits for a (2 of 2 left)"
    c.do(ed.Hold(("a",)))
    assert "held by a person" in why(c.state, c["a[0]"])
    c.do(ed.Release(("a",)))
    c.join()
    c.add("big", 2, cores=4)
    c.go()
    assert "is starting on" in why(c.state, c["a[0]"])
    assert "4 cores" in why(c.state, c["big[0]"])
    c.started("a[0]")
    assert "runs on n0 (attempt 1)" in why(c.state, c["a[0]"])
    c.ended("a[0]")
    assert "failed after 1 attempt, UserError" in why(c.state, c["a[0]"])
    assert "skipped because a[0] failed" in why(c.state, c["b[0]"])
