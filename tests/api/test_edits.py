"""Edits of a live campaign: what the engine refuses, and what accepted ones change."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.api.conftest import Make, cluster, double, total, until
from workbench.api.taskset import TaskSet
from workbench.executors.faults import Silent, Takes
from workbench.journal import read
from workbench.model.errors import (
    AlreadyRunning,
    BadValue,
    DuplicateName,
    EditRefused,
    NeverFits,
    StaleBase,
    TaskFailed,
    UnknownName,
    WouldCycle,
)
from workbench.model.events import AttemptAssigned
from workbench.model.states import TaskState

# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_breaks_a_rule_is_refused_by_its_name_and_changes_nothing(make: Make) -> None:
    c = make()
    a, b = c.task(double, 1, name="a"), c.task(double, 2, name="b")
    c.connect(a, b)
    before = c.tables().state.digest()
    refused: list[tuple[Any, type[EditRefused]]] = [
        (lambda: c.connect(b, a), WouldCycle),
        (lambda: c.task(double, 1, cores=5), NeverFits),
        (lambda: c.task(double, 1, gpus=2), NeverFits),
        (lambda: c.task(double, 1, after="nowhere"), UnknownName),
        (lambda: c.task(double, 1, after="a[7]"), UnknownName),
        (lambda: c.task(double, 1, name="a"), DuplicateName),
        (lambda: c.add(TaskSet("b", double, args=(1,))), DuplicateName),
        (lambda: c.task(double, 1, estimate=-1), BadValue),
        (lambda: c.hold("nowhere"), UnknownName),
        (lambda: c.scale("moon", 3), UnknownName),
        (lambda: c["nowhere"], UnknownName),
    ]
    for wrong, rule in refused:
        with pytest.raises(rule) as caught:
            wrong()
        assert "\n" not in str(caught.value) and caught.value.rule == rule.__name__
    assert c.tables().state.digest() == before
    with pytest.raises(UnknownName, match="did you mean 'a'"):
        c["aa"]


def test_a_handle_outlives_its_set_only_as_a_name(make: Make) -> None:
    c = make()
    h, s = c.task(double, 1, name="a"), c.tasks(double, 1, n=3, name="s")
    c.remove(h, s[1])
    with pytest.raises(UnknownName, match="removed"):
        h.state  # noqa: B018
    assert [t.id for t in s] == ["s[0]", "s[2]"] and len(s) == 2 and s[-1].id == "s[2]"
    with pytest.raises(BadValue, match=r"map over list\(handle\)"):
        c.map(double, s)
    assert len(c.map(double, list(s), name="rest")) == 2
    c.run()
    assert c["rest"].results() == [4, 4]


# --- edits -----------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_command_or_nothing(make: Make) -> None:
    c = make()
    with c.batch(reason="set up"):
        a = c.tasks(double, 1, n=2)
        b = c.map(double, a)
        with c.batch():
            c.hold(b[0])
            c.replace(b, cores=2)
            c.replace(b, gpus=1)
    assert (a.name, b.name) == ("double", "double-2")
    rows = c.history()
    assert [r.reason for r in rows] == ["pools", "set up"]
    r = c.tables().state.sets["double-2"].spec.resources
    assert (r.cores, r.gpus) == (2, 1) and b.counts == {"waiting": 1, "held": 1}
    before = c.tables().next_seq
    with pytest.raises(ZeroDivisionError), c.batch():
        c.task(double, 1, name="never")
        raise ZeroDivisionError
    with pytest.raises(NeverFits), c.batch():
        lost = c.task(double, 1, name="never")
        c.task(double, 1, gpus=99)
    assert c.tables().next_seq == before and "never" not in c.tables().state.sets
    with pytest.raises(UnknownName):
        lost.result()
    c.task(double, 1, name="never")


def test_a_batch_against_an_old_state_is_refused(make: Make) -> None:
    c = make()
    h = c.task(double, 1, name="a")
    seen = c.tables().state.seq
    c.prioritize(h, 3)
    with pytest.raises(StaleBase), c.batch(base=seen):
        c.prioritize(h, 5)
    with c.batch(base=c.tables().state.seq):
        c.prioritize(h, 5)


def test_edits_of_a_running_campaign(make: Make) -> None:
    c = make()
    first = c.task(total, [1], name="first")
    later = c.task(total, [2], name="later", after=first, extra=1)
    long = c.task(double, 3, name="long")
    fake = cluster(c)
    fake.script("first", Takes(3600), number=1)
    fake.script("long", Silent(), number=1)
    c.start(fake)
    until(c, lambda: long.state is TaskState.running and first.state is TaskState.running)
    c.replace(later, parameters={"extra": 10}, estimate=3)
    with pytest.raises(AlreadyRunning):
        c.remove(first)
    new = c.task(double, later, name="new")
    c.cancel(long, first, grace_s=0)
    assert c.wait().counts == {"cancelled": 2, "skipped": 2}
    with pytest.raises(TaskFailed, match=r"new\[0\] was skipped because first\[0\] was cancelled"):
        new.result()
    c.retry(first, long)
    assert (first.result(30), later.result(30), new.result(30), long.result(30)) == (1, 12, 24, 6)
    c.invalidate(first)
    assert new.result(30) == 24
    numbers = [
        r.event.number for r in read(c.directory) if isinstance(r.event, AttemptAssigned) and r.event.task == "new[0]"
    ]
    assert numbers == [1, 2]


def test_threads_declare_under_names_of_their_own(make: Make) -> None:
    c = make()
    threads = [threading.Thread(target=lambda: [c.task(double, 1) for _ in range(10)]) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({s.name for s in c.sets}) == 40
    collected = threading.Event()

    def elsewhere() -> None:
        c.task(double, 1, name="elsewhere")
        collected.set()

    with pytest.raises(KeyError), c.batch():
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        raise KeyError  # takes nothing along that another thread declared
    assert collected.is_set() and c["elsewhere"].name == "elsewhere"


def test_stages_are_numbered_in_order_of_declaration(make: Make) -> None:
    c = make(mode="sequential")
    for _ in range(2):
        with c.stage():
            c.task(double, 1)
            c.task(double, 1)
    with c.batch(), c.stage():
        c.task(double, 1, name="last")
    assert [s.spec.stage for s in c.tables().state.sets.values()] == [0, 0, 1, 1, 2]
