"""A pool that shrinks: which nodes leave, that nothing new comes to them, and that they stay when it grows again."""

from __future__ import annotations

import pytest

from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.drain import draining
from workbench.core.explain import why
from workbench.core.invariants import check, check_decision
from workbench.core.policies import POLICIES, pressure, work_left
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.errors import NeverFits
from workbench.model.events import AttemptAssigned, NodeJoined, Share
from workbench.model.resources import NodeShape, Pool

from .campaigns import Campaign


def leaving(c: Campaign) -> list[str]:
    return list(draining(c.state, "p"))


def three(tx: float | None = 100.0, **options: int) -> Campaign:
    """Three nodes; `busy[0]` runs on n0 and so on."""
    c = Campaign(nodes=3, **options)
    c.add("busy", 3, cores=c.shape.cores, tx=tx)
    assert [d.node for d in c.go()] == ["n0", "n1", "n2"]
    return c


def test_idle_nodes_go_first() -> None:
    c = three()
    c.finished("busy[1]")
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n1"]
    assert check(c.state) == []


def test_of_busy_nodes_those_with_the_least_work_left_go() -> None:
    c = Campaign(nodes=3)
    c.add("short", 1, cores=4, tx=50.0)
    assert [d.node for d in c.go()] == ["n0"]
    c.add("long", 2, cores=4, tx=100.0)
    assert [d.node for d in c.go()] == ["n1", "n2"]
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n0"]
    c.do(ed.ScalePool("p", 1))
    # n1 and n2 are equally far, so the younger node goes.
    assert leaving(c) == ["n0", "n2"]


def test_an_attempt_that_is_overdue_has_no_work_left_and_the_youngest_node_breaks_ties() -> None:
    c = three(tx=1.0)
    c.now += 1000.0
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n2"]


def test_work_that_queues_counts() -> None:
    c = Campaign(nodes=2, cores=1)
    c.do(ed.ScalePool("p", 3))
    c.join(prefetch=3)
    c.add("quick", 6, tx=0.01)
    placed = [(d.node, d.queued) for d in c.go()]
    assert placed == [("n0", False), ("n1", False), ("n2", False), ("n2", True), ("n2", True), ("n2", True)]
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n1"], "the youngest of those with the least work, not the one with a queue"


@pytest.mark.parametrize("policy", list(POLICIES))
def test_nothing_new_is_placed_on_a_node_that_drains(policy: str) -> None:
    c = Campaign(policy=policy, nodes=3, cores=2)
    c.do(ed.ScalePool("p", 1))
    c.add("more", 6, tx=10.0)
    assert leaving(c) == ["n1", "n2"]
    assert [d.node for d in c.go()] == ["n0", "n0"]
    c.finished("more[0]")
    assert [d.node for d in c.go()] == ["n0"]
    c.leave("n1", Cause.Preempted)
    c.leave("n2", Cause.Preempted)
    assert c.go() == [] and check(c.state) == []


def test_nothing_queues_behind_what_a_draining_node_runs_but_what_queues_there_goes_on() -> None:
    c = Campaign(nodes=0, cores=1)
    c.do(ed.ScalePool("p", 2))
    c.join(prefetch=2), c.join(prefetch=2)
    c.add("quick", 3, tx=0.01)
    assert [(d.node, d.queued) for d in c.go()] == [("n0", False), ("n1", False), ("n0", True)]
    c.do(ed.ScalePool("p", 1))
    assert leaving(c) == ["n1"]
    c.add("again", 5, tx=0.01)
    assert [(d.node, d.queued) for d in c.go()] == [("n0", True)]
    c.do(ed.ScalePool("p", 2))
    assert [(d.node, d.queued) for d in c.go()] == [("n1", True), ("n1", True)]


def test_no_slot_is_kept_on_a_node_that_drains() -> None:
    c = Campaign(policy="resource-aware", nodes=2, cores=4)
    c.add("long", 1, cores=3, tx=1000.0)
    c.add("short", 1, cores=3, tx=10.0)
    assert [d.node for d in c.go()] == ["n0", "n1"]
    c.do(ed.ScalePool("p", 1))
    assert leaving(c) == ["n1"]
    c.add("large", 1, cores=4, tx=3000.0)
    # The large one waits for n0, as n1 will never take it: only what is over before that may pass.
    c.add("slow", 1, cores=1, tx=2000.0)
    c.add("small", 1, cores=1, tx=100.0)
    assert [(d.task, d.node) for d in c.go()] == [("small[0]", "n0")]


def test_scaling_up_again_keeps_what_has_not_left_the_longest_work_first() -> None:
    c = three()
    c.finished("busy[0]", took=100.0)
    c.add("short", 1, cores=4, tx=5.0)
    c.go()
    c.do(ed.ScalePool("p", 1))
    assert leaving(c) == ["n0", "n2"]
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n0"]
    c.do(ed.ScalePool("p", 5))
    assert leaving(c) == []
    assert check(c.state) == []


def test_undo_takes_a_drain_back() -> None:
    c = three()
    c.do(ed.ScalePool("p", 1))
    assert len(leaving(c)) == 2
    c.undo()
    assert leaving(c) == [] and c.state.pools["p"].nodes == 3
    c.redo()
    assert len(leaving(c)) == 2


def test_a_node_that_joins_a_full_pool_drains_from_the_start() -> None:
    c = Campaign(nodes=2)
    c.do(ed.ScalePool("p", 1))
    c.leave("n1", Cause.Preempted)
    late = c.join()
    assert leaving(c) == [late] and check(c.state) == []
    c.leave("n0")
    assert leaving(c) == [late], "its executor was told to take it back, and brings another"
    assert c.join() not in leaving(c)


def test_a_node_that_leaves_empty_costs_no_attempt() -> None:
    c = three()
    c.do(ed.ScalePool("p", 1))
    gone = leaving(c)
    c.finished("busy[0]", "busy[1]", "busy[2]")
    for node in gone:
        c.leave(node, Cause.Preempted)
    assert [(t.state.value, t.number) for t in c.state.tasks()] == [("done", 1)] * 3
    assert check(c.state) == []


def test_a_pool_that_shrinks_is_judged_by_what_stays() -> None:
    c = three()
    c.do(ed.ScalePool("p", 1))
    with pytest.raises(NeverFits):
        c.do(ed.ScalePool("p", 0))
    assert c.state.pools["p"].nodes == 1 and len(leaving(c)) == 2


def test_what_is_scarce_is_judged_without_nodes_that_drain() -> None:
    c = Campaign(nodes=2, cores=2)
    c.add("a", 4, tx=10.0)
    assert pressure(c.state)[0] == 10.0 and work_left(c.state) == 10.0
    c.do(ed.ScalePool("p", 1))
    assert pressure(c.state)[0] == 20.0 and work_left(c.state) == 20.0


def test_a_ready_task_says_that_the_nodes_are_leaving() -> None:
    c = Campaign(nodes=1)
    c.do(ed.ScalePool("p", 0))
    assert leaving(c) == ["n0"]
    c.do(ed.AddPool(Pool("q", 1, NodeShape(4))))
    c.add("a", 1)
    assert why(c.state, c["a[0]"]) == (
        "a[0] is ready and waits for another node to join; those that are there are leaving"
    )


def test_a_replay_and_a_copy_drain_the_same_nodes() -> None:
    c = three()
    c.finished("busy[2]")
    c.do(ed.ScalePool("p", 2))
    assert leaving(c) == ["n2"]
    copy = copy_state(c.state)
    assert draining(copy, "p") == ("n2",) and copy.digest() == c.state.digest()
    copy.nodes["n2"].draining = False
    assert copy.digest() != c.state.digest() and leaving(c) == ["n2"]


def test_an_assignment_onto_a_draining_node_is_found_and_still_folded() -> None:
    """Journals of versions without draining hold such assignments: a replay must keep their results."""
    c = Campaign(nodes=2)
    c.do(ed.ScalePool("p", 1))
    c.add("a", 1)
    wrong = AttemptAssigned(c.tick(), "a[0]", 1, "n0", others=(Share("n1"), Share("moon")))
    assert check_decision(c.state, wrong) == [
        "a[0] is given to n1, which is draining",
        "a[0] is given to moon, which is not there",
    ]
    assert evolve(c.state, AttemptAssigned(c.tick(), "a[0]", 1, "n1"))
    c.finished("a[0]")
    assert c["a[0]"].result is not None


def test_too_many_nodes_that_take_work_are_found() -> None:
    c = Campaign(nodes=2)
    c.state.pools["p"] = Pool("p", 1, NodeShape(4))
    assert "2 nodes of pool p take work, it wants 1" in check(c.state)


def test_nodes_of_an_unknown_pool_do_not_drain() -> None:
    state = State()
    for i in range(2):
        evolve(state, NodeJoined(float(i), f"n{i}", "who", 1))
    assert draining(state, "who") == ()
