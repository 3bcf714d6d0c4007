"""Why a task is where it is: the sentence names what a person can do something about."""

from __future__ import annotations

from tests.core.campaigns import Campaign
from workbench.core.explain import broken_input, why
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.specs import Edge


def chain() -> Campaign:
    """a > b > c, one task each; a is running."""
    c = Campaign()
    c.add("a")
    c.add("b", 1, "a")
    c.add("c", 1, "b")
    c.go()
    return c


def test_a_skipped_task_names_the_task_that_failed_however_far_away() -> None:
    c = chain()
    c.ended("a[0]", Cause.OutOfMemory)
    said = "was skipped because a[0] failed (OutOfMemory: the attempt used more memory than the task asked for)"
    assert why(c.state, c["b[0]"]) == f"b[0] {said}"
    assert why(c.state, c["c[0]"]) == f"c[0] {said}"
    assert broken_input(c["c[0]"]) is c["a[0]"] and broken_input(c["a[0]"]) is None


def test_a_task_held_for_its_input_names_it_and_the_way_out() -> None:
    c = Campaign()
    c.add("a")
    c.add("b", 1, "a", on_failed_input="hold")
    c.do(ed.Cancel(("a",)))
    assert why(c.state, c["b[0]"]) == "b[0] is held because a[0] was cancelled; retry a[0]"


def test_a_task_that_waits_behind_a_held_one_says_so() -> None:
    c = chain()
    c.do(ed.Hold(("b",)))
    assert why(c.state, c["c[0]"]) == (
        "c[0] waits for b (1 of 1 left); b[0] is held by a person; release it to let it run"
    )
    c.do(ed.Release(("b",)))
    assert why(c.state, c["c[0]"]) == "c[0] waits for b (1 of 1 left)"


def test_each_tasks_own_input_is_blamed() -> None:
    c = Campaign(cores=4)
    c.add("a", 3)
    c.add("b", 3, Edge("a", "b", "each"))
    c.go()
    c.ended("a[1]", Cause.UserError)
    assert broken_input(c["b[1]"]) is c["a[1]"] and broken_input(c["b[0]"]) is None
