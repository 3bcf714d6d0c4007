"""Undo and redo through the API: what is taken back, what is passed over, and a certain command of the history."""

from __future__ import annotations

import pytest

from tests.api.conftest import FAKE, Make, until
from workbench.executors.fake import FakeCluster
from workbench.executors.faults import Silent
from workbench.model.errors import BadValue, NothingToUndo, StaleBase, UnknownName
from workbench.model.states import TaskState
from workbench.store import Layout


def double(x: int) -> int:
    return x * 2


def test_undo_and_redo(make: Make) -> None:
    c = make(author="user:ada")
    a = c.tasks(double, 1, n=3, name="a")
    c.hold(a)
    c.undo()
    assert a.counts == {"ready": 3}
    c.redo()
    assert a.counts == {"held": 3}
    c.undo()
    c.undo()
    assert c.sets == []
    with pytest.raises(NothingToUndo):
        c.undo()
    c.redo()
    assert [s.name for s in c.sets] == ["a"]
    rows = c.history()
    assert {r.author for r in rows} == {"user:ada"} and rows[-1].undoes == rows[-2].id


def test_undo_tells_what_it_took_back_and_passes_over_what_cannot_be(make: Make) -> None:
    c = make()
    a = c.tasks(double, 1, n=2, name="a")
    c.prioritize(a, 7)
    c.cancel(a[1])
    row = c.undo()
    assert row.summary == "set priority of a to 0" and row.undoes == c.history()[-3].id
    assert a[1].state is TaskState.cancelled
    assert c.redo().summary == "set priority of a to 7"


def test_a_set_that_runs_does_not_keep_older_commands_from_being_taken_back(make: Make) -> None:
    c = make()
    c.set_mode("sequential")
    a = c.task(double, 1, name="a")
    fake = FakeCluster(pools=[FAKE], layout=Layout(c.directory))
    fake.script("a", Silent(), number=1)
    c.start(fake)
    until(c, lambda: a.state is TaskState.running)
    row = c.undo()
    assert row.summary == "set mode to adaptive" and c.tables().mode == "adaptive"
    assert row.passed == ("add set a (1 task): a[0] is running: too late to remove its set; cancel it first",)
    report = c.report().read_text()
    assert "passed over: add set a (1 task): a[0] is running" in report
    with pytest.raises(NothingToUndo, match="too late for the last command"):
        c.undo()
    again = c.redo()
    assert again.summary == "set mode to sequential" and again.passed == ()


def test_a_certain_command_of_the_history_is_taken_back(make: Make) -> None:
    c = make()
    a = c.tasks(double, 1, n=2, name="a")
    b = c.tasks(double, 1, n=2, name="b")
    c.hold(a)
    hold = c.history()[-1]
    c.prioritize(b, 5)
    assert c.undo(hold).summary == "release a" and a.counts == {"ready": 2}
    assert c.redo(hold.id).summary == "hold a[0], a[1]" and a.counts == {"held": 2}
    first = next(row for row in c.history() if row.summary.startswith("add set b"))
    with pytest.raises(StaleBase, match="changed the same later"):
        c.undo(first)
    with pytest.raises(UnknownName, match="no command 'c99'"):
        c.undo("c99")
    for wrong in ("", "undo", 7):
        with pytest.raises(BadValue, match="is no command"):
            c.undo(wrong)  # type: ignore[arg-type]
