"""Policy ``auto``: what a chosen plan means for decisions, barriers, replays and people."""

from __future__ import annotations

import dataclasses

import pytest

from tests.core.campaigns import Campaign
from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.explain import why
from workbench.core.invariants import check
from workbench.core.policies import AUTO, POLICIES, planned, policy_names, register, scheduling
from workbench.model import edits as ed
from workbench.model.errors import BadValue
from workbench.model.events import PolicyChosen
from workbench.model.specs import Plan


def choose(c: Campaign, plan: Plan) -> bool:
    return evolve(c.state, PolicyChosen(c.tick(), plan, 1.0, "because"))


def bag(policy: str = AUTO, mode: str = "adaptive", nodes: int = 1, cores: int = 1) -> Campaign:
    """Three sets that compete for the same slots, the longest declared last."""
    c = Campaign(mode, policy, nodes=nodes, cores=cores)
    for name, tx in (("short", 1.0), ("middle", 5.0), ("long", 9.0)):
        c.add(name, 1, tx=tx)
    return c


def started(c: Campaign) -> list[str]:
    """The order in which sets start on one slot."""
    order = []
    while made := c.go():
        for m in made:
            order.append(m.task.partition("[")[0])
            c.finished(m.task)
    return order


def test_auto_is_a_policy_that_people_can_name() -> None:
    c = bag("fifo")
    c.do(ed.SetPolicy(AUTO))
    assert c.state.policy == AUTO
    c.undo()
    assert c.state.policy == "fifo"
    with pytest.raises(BadValue, match="did you mean 'auto'"):
        c.do(ed.SetPolicy("autp"))
    assert policy_names() == (*POLICIES, AUTO)
    with pytest.raises(ValueError, match="exists"):
        register(dataclasses.replace(POLICIES["fifo"], name=AUTO))


def test_without_a_plan_auto_is_upward_rank() -> None:
    c = bag()
    assert scheduling(c.state) == (POLICIES["upward-rank"], "best")
    assert started(c) == started(bag("upward-rank")) == ["long", "middle", "short"]


def test_every_policy_names_its_own_packing() -> None:
    for name, policy in POLICIES.items():
        assert scheduling(bag(name).state) == (policy, policy.packing)
        assert planned(Plan(name)) == (policy, policy.packing)
        assert planned(Plan(name, "spread")) == (policy, "spread")
    with pytest.raises(KeyError):
        planned(Plan("unknown"))


def test_a_plan_orders_what_is_ready_already() -> None:
    c = bag()
    assert choose(c, Plan("fifo"))
    assert started(c) == ["short", "middle", "long"]


def test_an_order_of_sets_takes_the_place_of_the_key_and_new_sets_come_last() -> None:
    c = bag()
    assert choose(c, Plan("upward-rank", order=("middle", "gone", "long", "short")))
    c.add("late", 1, tx=100.0)
    assert started(c) == ["middle", "long", "short", "late"]
    c = bag()
    c.do(ed.SetPriority("short", 1))
    choose(c, Plan("upward-rank", order=("middle", "long", "short")))
    assert started(c) == ["short", "middle", "long"], "a person's priority comes before any order"


def test_a_plan_can_change_the_packing_rule() -> None:
    def nodes(packing: str) -> set[str]:
        c = Campaign("adaptive", AUTO, nodes=2, cores=2)
        c.add("a", 2)
        assert choose(c, Plan("fifo", packing))
        return {m.node for m in c.go()}

    assert len(nodes("best")) == 1 and len(nodes("spread")) == 2


def test_barriers_of_a_plan_hold_inside_adaptive_only() -> None:
    c = Campaign("adaptive", AUTO, cores=4)
    c.add("a", 2)
    c.add("b", 2, after=("a[0]",))
    c.go()
    c.finished("a[0]")
    assert c.states("b") == ["ready", "ready"]
    assert choose(c, Plan("upward-rank", mode="asynchronous"))
    assert (c.state.gate, c.state.mode) == ("asynchronous", "adaptive")
    assert c.states("b") == ["waiting", "waiting"]
    assert why(c.state, c["b[0]"]) == "b[0] waits for all of a to end (asynchronous barriers, chosen by policy auto)"
    assert choose(c, Plan("upward-rank", mode="sequential"))
    assert "stage 0 to end (sequential barriers, chosen by policy auto;" in why(c.state, c["b[0]"])
    assert check(c.state) == []
    assert choose(c, Plan("upward-rank"))
    assert c.states("b") == ["ready", "ready"]
    choose(c, Plan("upward-rank", mode="asynchronous"))
    c.do(ed.SetPolicy("fifo"))
    assert c.state.gate == "adaptive" and c.states("b") == ["ready", "ready"], "another policy has no plan"
    c.do(ed.SetPolicy(AUTO))
    assert c.states("b") == ["waiting", "waiting"]
    c.do(ed.SetMode("sequential"))
    assert c.state.gate == "sequential", "the campaign's own mode is never loosened"
    c.do(ed.SetMode("adaptive"))
    c.finished("a[1]")
    assert c.states("b") == ["ready", "ready"] and check(c.state) == []


@pytest.mark.parametrize(
    "plan", [Plan("unknown"), Plan("fifo", "unknown"), Plan("fifo", "", "unknown")], ids=lambda p: p.name
)
def test_a_plan_that_means_nothing_here_changes_nothing(plan: Plan) -> None:
    c = bag()
    assert not choose(c, plan)
    assert c.state.plan is None and c.state.fenced == 1


def test_a_choice_that_comes_after_a_persons_is_late() -> None:
    c = bag("longest-first")
    assert not choose(c, Plan("fifo"))
    assert started(c) == ["long", "middle", "short"]


def test_a_copy_and_a_replay_follow_the_same_plan() -> None:
    c = bag()
    before = c.state.digest()
    plan = Plan("fifo", "spread", order=("middle", "short", "long"))
    choose(c, plan)
    copy = copy_state(c.state)
    assert copy.plan == plan and copy.digest() == c.state.digest() != before
    evolve(copy, PolicyChosen(c.tick(), Plan("longest-first"), 1.0))
    assert copy.plan == Plan("longest-first") and scheduling(c.state).packing == "spread"
    assert isinstance(copy, State) and scheduling(copy) == (POLICIES["longest-first"], "best")


def test_plans_have_names_and_tasks_say_what_was_chosen() -> None:
    assert Plan("upward-rank", "best").name == "upward-rank/best"
    assert Plan("fifo", "first", "sequential", ("a",)).name == "fifo/first@sequential+order"
    c = bag()
    choose(c, Plan("fifo", "spread"))
    assert "(policy auto: fifo/spread)" in why(c.state, c["long[0]"])
