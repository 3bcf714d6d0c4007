"""The bookkeeping: slots of a node, events on their way, how a process died."""

from __future__ import annotations

import signal

from hypothesis import given
from hypothesis import strategies as st

from workbench.executors.agent import wire
from workbench.executors.agent.attempts import Attempt, how_it_died
from workbench.executors.agent.outbox import MOST_REPORTS, Outbox
from workbench.executors.agent.proctree import close_over
from workbench.executors.agent.slots import Ledger
from workbench.executors.agent.watch import amount
from workbench.executors.agent.wire import Node, Run
from workbench.model.actions import SetPlan
from workbench.model.resources import Resources
from workbench.model.specs import Synthetic

PLAN = SetPlan("k", "t", 1, Synthetic(), None, Resources())


def attempt(cores: int = 1, gpus: tuple[int, ...] = (), memory: int = 0) -> Attempt:
    return Attempt(Run("t[0]", 1, "k", 0, "n", cores, gpus, memory), PLAN)


shapes = st.tuples(st.integers(1, 5), st.sets(st.integers(0, 2)), st.integers(0, 10))


@given(st.lists(st.tuples(shapes, st.booleans()), max_size=40))
def test_a_ledger_never_gives_more_than_there_is_and_gets_everything_back(steps: list[tuple[tuple, bool]]) -> None:
    ledger = Ledger(Node("n", "p", 4, 3, 12, cpus=(1, 3, 5, 7)))
    held: list[Attempt] = []
    for (cores, gpus, memory), release in steps:
        if release and held:
            ledger.give(held.pop(0))
            continue
        a = attempt(cores, tuple(sorted(gpus)), memory)
        if ledger.can_ever(a) and ledger.fits(a):
            ledger.take(a)
            held.append(a)
        used = [g for h in held for g in h.run.gpus]
        bound = [c for h in held for c in h.cpus]
        assert sum(h.run.cores for h in held) <= 4
        assert sum(h.run.memory for h in held) <= 12
        assert len(used) == len(set(used))
        assert len(bound) == len(set(bound)) == sum(h.run.cores for h in held)
    for h in held:
        ledger.give(h)
    assert (ledger.cores, ledger.memory, ledger.gpus, sorted(ledger.cpus)) == (4, 12, {0, 1, 2}, [1, 3, 5, 7])


def test_slots_pass_to_the_one_behind_without_being_free_between() -> None:
    ledger = Ledger(Node("n", "p", 1, cpus=(2,)))
    before, after = attempt(), attempt()
    ledger.take(before)
    assert ledger.can_follow(after, before)
    ledger.hand_over(before, after)
    assert (ledger.cores, before.cpus, after.cpus) == (0, (), (2,))
    assert (before.holds, after.holds) == (False, True)
    assert not ledger.can_follow(attempt(2), after)
    assert not ledger.can_follow(attempt(1, (0,)), after)


def test_too_few_cpu_ids_bind_nothing() -> None:
    ledger = Ledger(Node("n", "p", 4, cpus=(0, 1)))
    a = attempt(2)
    ledger.take(a)
    assert a.cpus == ()


def test_the_outbox_numbers_without_gaps_and_keeps_what_matters() -> None:
    box = Outbox()
    for _ in range(MOST_REPORTS + 10):
        box.emit(lambda seq: wire.Reported(seq, "t[0]", 1))
    box.emit(lambda seq: wire.Finished(seq, "t[0]", 1, 0.0, 1.0))
    assert box.seq == len(box.waiting) == MOST_REPORTS + 1
    assert [m.seq for m in box.acknowledged(MOST_REPORTS)] == list(range(1, MOST_REPORTS + 1))
    assert [type(m) for m in box.acknowledged(10**9)] == [wire.Finished]


def test_wait_statuses_in_words() -> None:
    assert how_it_died(3 << 8) == (3, "exited with status 3")
    assert how_it_died(int(signal.SIGSEGV) | 0x80) == (-11, "killed by signal 11 (SIGSEGV)")
    assert how_it_died(-1)[0] is None


def test_descendants() -> None:
    assert close_over({2}, {2: 1, 3: 2, 4: 3, 5: 1, 6: 4}) == {2, 3, 4, 6}


def test_amounts_in_words() -> None:
    texts = [amount(x) for x in (5, 2048, 200 << 20, 3 << 29, 5 << 40)]
    assert texts == ["5 bytes", "2 KiB", "200 MiB", "1.5 GiB", "5 TiB"]
