"""Which command an undo or redo chooses, and what the record says about those that it passed over."""

from __future__ import annotations

import pytest

from workbench.core import evolve
from workbench.core.undo import TOLD
from workbench.journal.record import decode, encode
from workbench.model import edits as ed
from workbench.model import errors as err
from workbench.model.events import AttemptFinished
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge

from .campaigns import Campaign, picture


def waiting() -> Campaign:
    """Set a, one of whose two tasks runs, and its dependant b; ``c1`` to ``c3`` declared them."""
    c = Campaign(cores=1)
    c.add("a", 2)
    c.add("b", 2, "a")
    c.go()
    return c


def test_an_undo_passes_over_what_came_too_late_and_says_why() -> None:
    c = Campaign(cores=1)
    c.do(ed.SetMode("sequential"))
    c.add("a")
    c.add("b", 1, "a")
    c.go()
    assert c.undo().edits == (ed.RemoveSet("b"),)
    done = c.undo()
    assert done.edits == (ed.SetMode("adaptive"),) and done.undoes == "c2" and c.state.mode == "adaptive"
    assert done.passed == (ed.Passed("c3", "a[0] is assigned: too late to remove its set; cancel it first"),)
    with pytest.raises(err.NothingToUndo, match=r"too late for the last command; a\[0\] is assigned: too late to"):
        c.undo()


def test_a_command_that_was_passed_over_is_taken_back_once_that_is_possible() -> None:
    c = Campaign(cores=1)
    c.do(ed.SetMode("sequential"))
    c.add("a")
    c.go()
    assert c.undo().undoes == "c2"
    c.leave("n0")
    assert c["a[0]"].state == "ready"
    assert c.undo().undoes == "c3" and not c.state.sets
    assert [c.redo().undoes for _ in range(2)] == ["c5", "c4"]
    assert c.state.mode == "sequential" and c.states("a") == ["ready"]


def test_a_set_that_comes_back_does_not_take_a_lost_attempt_for_its_own() -> None:
    c = Campaign(cores=1)
    c.add("a")
    c.go()
    c.leave("n0")
    c.undo()
    c.redo()
    c.join()
    assert [(d.task, d.number) for d in c.go()] == [("a[0]", 2)]
    assert not evolve(c.state, AttemptFinished(9.0, "a[0]", 1, 8.0, 9.0)) and c.states("a") == ["assigned"]
    c.finished("a[0]")
    assert c.states("a") == ["done"]


def test_redo_after_an_undo_that_passed_something_over_comes_back_to_the_same() -> None:
    c = waiting()
    c.do(ed.SetPriority("b", 4))
    c.do(ed.AddTasks("b", n=1))
    c.do(ed.ReplaceSpec("b", estimate=Constant(7.0)))
    c.do(ed.Hold(("a",)))
    before = picture(c.state)
    taken = [c.undo().undoes for _ in range(5)]
    assert taken == ["c7", "c6", "c5", "c4", "c3"] and list(c.state.sets) == ["a"]
    for _ in range(5):
        c.redo()
    assert picture(c.state) == before
    with pytest.raises(err.NothingToUndo, match="nothing to redo"):
        c.redo()


def test_an_older_value_does_not_replace_a_newer_one_that_must_stay() -> None:
    c = Campaign(cores=2)
    c.do(ed.SetPolicy("longest-first"))
    c.do(ed.AddPool(Pool("large", 1, NodeShape(8))))
    c.add("a", cores=1)
    c.do(ed.ReplaceSpec("a", resources=Resources(8)))
    c.do(ed.ReplaceSpec("a", resources=Resources(2)))
    c.do(ed.ScalePool("large", 0), author="task:a[0]")  # 8 cores fit nowhere any more
    done = c.undo()
    assert done.undoes == "c2", "neither the size that cannot come back nor the one before it"
    assert [x.id for x in done.passed] == ["c6", "c5", "c4"]
    assert "which no declared pool can ever hold" in done.passed[0].why
    assert [x.why for x in done.passed[1:]] == [
        "a later command, which cannot be taken back either, changed the same"
    ] * 2
    assert c.state.sets["a"].spec.resources == Resources(2)


def test_a_certain_command_is_taken_back_by_its_id() -> None:
    c = waiting()
    hold = c.do(ed.Hold(("b",)))
    c.do(ed.SetPriority("a", 3))
    done = c.undo(hold.id)
    assert done.edits == (ed.Release(("b",)),) and done.undoes == hold.id and not done.passed
    assert c.states("b") == ["waiting"] * 2 and c["a[1]"].rank_priority == 3
    with pytest.raises(err.NothingToUndo, match=f"taken back already, by {done.id}; redo brings it back"):
        c.undo(hold.id)
    again = c.undo(done.id)  # the undo of an undo
    assert c.states("b") == ["held"] * 2
    assert c.undo(hold.id).undoes == again.id, "what stands is the command that brought it back"
    assert c.states("b") == ["waiting"] * 2


def test_a_certain_command_that_a_later_one_overwrote_is_not_taken_back_alone() -> None:
    c = waiting()
    first = c.do(ed.SetPriority("b", 3))
    second = c.do(ed.SetPriority("b", 5))
    with pytest.raises(err.StaleBase, match=f"command {second.id} changed the same later; take that one back first"):
        c.undo(first.id)
    assert c["b[0]"].rank_priority == 5
    c.undo(second.id)
    c.undo(first.id)
    assert c["b[0]"].rank_priority == 0


@pytest.mark.parametrize(
    ("later", "meets"),
    [
        (ed.Hold(("b[1]",)), True),
        (ed.SetPriority("b[1]", 2), False),
        (ed.ReplaceSpec("b", parameters={"x": 1}), False),
        (ed.AddEdges((Edge("x", "b"),)), False),
        (ed.Hold(("x",)), False),
        (ed.RemoveSet("b"), True),
    ],
)
def test_what_counts_as_the_same(later: ed.Edit, meets: bool) -> None:
    c = waiting()
    c.add("x")
    hold = c.do(ed.Hold(("b[0]", "b[1]")))
    if isinstance(later, ed.Hold) and later.targets == ("b[1]",):
        c.do(ed.Release(("b[1]",)))
    c.do(later)
    if meets:
        with pytest.raises(err.StaleBase, match="changed the same later"):
            c.undo(hold.id)
    else:
        assert c.undo(hold.id).undoes == hold.id


def test_a_command_that_is_unknown_too_late_or_has_no_inverse_cannot_be_taken_back() -> None:
    c = waiting()
    with pytest.raises(err.AlreadyRunning, match="too late to remove its set"):
        c.undo("c2")
    cancel = c.do(ed.Cancel(("b",)))
    with pytest.raises(err.NotUndoable, match=f"command {cancel.id} cannot be taken back"):
        c.undo(cancel.id)
    with pytest.raises(err.UnknownName, match="there is no command 'nothing'"):
        c.undo("nothing")


def test_a_tasks_command_can_be_taken_back_by_its_id_and_redone() -> None:
    c = waiting()
    grown = c.do(ed.AddTasks("b", n=2), author="task:a[0]")
    c.undo(grown.id)
    assert len(c.states("b")) == 2
    c.redo()
    assert len(c.states("b")) == 4
    assert c.undo().edits == (ed.RemoveTasks(("b[2]", "b[3]")),)


def test_an_undo_from_before_a_new_command_can_be_taken_back_by_its_id() -> None:
    c = waiting()
    c.do(ed.Hold(("b",)))
    undo = c.undo()
    c.do(ed.SetPriority("a", 3))
    assert not c.state.redo_stack
    again = c.undo(undo.id)
    assert c.states("b") == ["held"] * 2
    assert c.undo().undoes == again.id and c.states("b") == ["waiting"] * 2


def test_of_very_many_that_are_passed_over_the_rest_is_counted() -> None:
    c = Campaign(cores=64)
    c.do(ed.SetMode("sequential"))
    for i in range(TOLD + 3):
        c.add(f"s{i}")
    c.go()
    done = c.undo()
    assert done.undoes == "c2"
    assert [x.id for x in done.passed] == [f"c{TOLD + 5 - i}" for i in range(TOLD)] and done.passed_more == 3
    assert decode(encode(0, done)).event == done
