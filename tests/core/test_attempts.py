"""Attempts: slots, fences, end causes, queues behind quick tasks."""

from __future__ import annotations

import itertools

import pytest

from workbench.core import evolve
from workbench.core.invariants import check
from workbench.core.transitions import TABLE
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    Event,
)
from workbench.model.states import TaskState

from .campaigns import Campaign

BURNING = [Cause.UserError, Cause.OutOfMemory, Cause.Timeout]
FREE = [Cause.NodeLost, Cause.EngineLost, Cause.WalltimeExpired, Cause.Preempted, Cause.Recalled, Cause.DigestMismatch]


@pytest.mark.parametrize("cause", BURNING)
def test_a_cause_that_speaks_against_the_task_uses_up_its_retries(cause: Cause) -> None:
    c = Campaign()
    c.add("a", retries=1)
    for state in ("ready", "failed"):
        c.go()
        c.ended("a[0]", cause, "why")
        assert c["a[0]"].state == state
    assert (c["a[0]"].cause, c["a[0]"].detail, c["a[0]"].number) == (cause, "why", 2)


@pytest.mark.parametrize("cause", FREE)
def test_a_cause_that_does_not_speak_against_it_never_does(cause: Cause) -> None:
    c = Campaign()
    c.add("a")
    for number in range(1, 20):
        c.go()
        assert c["a[0]"].number == number
        c.ended("a[0]", cause)
        assert c["a[0]"].state == "ready"


def test_a_task_whose_process_dies_unexplained_three_times_is_taken_for_the_cause() -> None:
    c = Campaign()
    c.add("a")
    for state in ("ready", "ready", "failed"):
        c.go()
        c.ended("a[0]", Cause.WorkerLost)
        assert c["a[0]"].state == state


def test_a_full_disk_holds_the_task_until_a_person_releases_it() -> None:
    c = Campaign()
    c.add("a")
    c.go()
    c.ended("a[0]", Cause.DiskFull)
    assert c["a[0]"].state == "held" and c.state.stuck and not c.state.ended
    c.do(ed.Release(("a",)))
    assert c["a[0]"].state == "ready"


def test_a_node_that_leaves_costs_its_attempts_only() -> None:
    c = Campaign(nodes=2, cores=2)
    c.add("a", 4)
    c.go()
    mine = [t.id for t in c.state.tasks() if t.node == "n0"]
    c.leave("n0")
    assert [c[t].state.value for t in mine] == ["ready"] * 2
    assert sum(t.state == "assigned" for t in c.state.tasks()) == 2
    late = AttemptFinished(c.tick(), mine[0], 1, 0.0, 1.0)
    assert not evolve(c.state, late), "the lost node's attempt is fenced by its number only once a new one began"
    c.finished(*[t.id for t in c.state.tasks() if t.node == "n1"])
    assert [(d.task, d.number, d.node) for d in c.go()] == [(t, 2, "n1") for t in mine]
    assert not evolve(c.state, late)
    assert check(c.state) == []


def events(task: str, number: int) -> list[Event]:
    return [
        AttemptAssigned(0.0, task, number, "n0"),
        AttemptStarted(0.0, task, number, 0.0),
        AttemptReported(0.0, task, number, {}, 0.5),
        AttemptFinished(0.0, task, number, 0.0, 1.0),
        *[AttemptEnded(0.0, task, number, cause) for cause in Cause],
    ]


def in_state(state: TaskState) -> Campaign:
    """A campaign whose task t[0] is in `state`."""
    c = Campaign()
    if state in (TaskState.waiting, TaskState.skipped):
        c.add("before")
        c.add("t", 1, "before")
        if state is TaskState.skipped:
            c.go()
            c.ended("before[0]")
        return c
    c.add("t")
    if state is TaskState.held:
        c.do(ed.Hold(("t",)))
    if state in (TaskState.ready, TaskState.held):
        return c
    c.go()
    if state is TaskState.running:
        c.started("t[0]")
    elif state is TaskState.cancelling:
        c.do(ed.Cancel(("t",)))
    elif state is TaskState.done:
        c.finished("t[0]")
    elif state is TaskState.failed:
        c.ended("t[0]")
    elif state is TaskState.cancelled:
        c.ended("t[0]", Cause.Cancelled)
    return c


LEGAL = {
    TaskState.ready: {AttemptAssigned},
    TaskState.assigned: {AttemptStarted, AttemptReported, AttemptFinished, AttemptEnded},
    TaskState.running: {AttemptReported, AttemptFinished, AttemptEnded},
    TaskState.cancelling: {AttemptStarted, AttemptReported, AttemptFinished, AttemptEnded},
}


@pytest.mark.parametrize("state", list(TaskState))
def test_every_event_outside_the_table_changes_nothing(state: TaskState) -> None:
    checked = 0
    base = in_state(state)
    assert base["t[0]"].state is state
    current = base["t[0]"].number
    for number, index in itertools.product(
        (current - 1, current, current + 1, current + 2), range(len(events("t[0]", 1)))
    ):
        c = in_state(state)
        event = events("t[0]", number)[index]
        right = current + 1 if isinstance(event, AttemptAssigned) else current
        if type(event) in LEGAL.get(state, set()) and number == right:
            continue
        before, seq = c.state.digest(), c.state.seq
        assert not evolve(c.state, event), f"{event} in state {state}"
        c.state.seq, c.state.fenced = seq, c.state.fenced - 1
        assert c.state.digest() == before
        checked += 1
    assert checked > 40


def test_the_table_leads_from_every_state_to_an_end() -> None:
    reached = {TaskState.waiting}
    while True:
        more = reached | {after for row in TABLE.values() for before, after in row.items() if before in reached}
        if more == reached:
            break
        reached = more
    assert reached == set(TaskState)


def test_quick_functions_queue_behind_one_another_and_never_exceed_the_slots() -> None:
    c = Campaign(nodes=0, cores=2)
    c.join(prefetch=3)
    c.add("micro", 20, tx=None)
    assert [d.queued for d in c.go()] == [False, False], "nothing is known yet, so nothing may queue"
    c.finished("micro[0]", took=0.001)
    made = c.go()
    assert [d.queued for d in made] == [False, True, True, True]
    node = c.state.nodes["n0"]
    assert node.free_cores == 0 and len(node.holding) == 2 and len(node.queue) == 3
    c.finished("micro[1]", took=0.001)
    assert not c[made[1].task].queued, "the first that queued has taken the slot"
    assert check(c.state) == []


def test_nothing_queues_behind_a_long_task_or_asks_for_a_gpu() -> None:
    c = Campaign(nodes=0, cores=1, gpus=1)
    c.join(prefetch=3)
    c.add("long", 1, tx=100.0)
    c.add("micro", 5, tx=0.001)
    c.add("gpu", 5, tx=0.001, gpus=1)
    assert [(d.task, d.queued) for d in c.go()] == [("long[0]", False)]
