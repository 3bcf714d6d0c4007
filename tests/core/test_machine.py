"""The core does what it promises whatever happens: invariants after each step, replay equals live, the table visited.

Repeat a failing seed with ``WORKBENCH_SEED=N pytest tests/core/test_machine.py``; run more of everything with
``WORKBENCH_CAMPAIGNS=50000``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.invariants import check
from workbench.core.transitions import TABLE
from workbench.journal.record import decode, encode
from workbench.model.states import ENDED, TaskState

from .machine import Machine

T = TypeVar("T")
CAMPAIGNS = int(os.environ.get("WORKBENCH_CAMPAIGNS", "1000"))
SEED = int(os.environ.get("WORKBENCH_SEED", "-1"))


class Seeded:
    """A source of choices from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def choice(self, values: Sequence[T]) -> T:
        return self.rng.choice(values)

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)


class FromData:
    """A source of choices that hypothesis can shrink."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data

    def choice(self, values: Sequence[T]) -> T:
        return self.data.draw(st.sampled_from(values))

    def integer(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))


def seeds() -> list[int]:
    return [SEED] if SEED >= 0 else list(range(CAMPAIGNS))


def repeat(seed: int) -> str:
    return f"seed {seed}; repeat with WORKBENCH_SEED={seed} pytest tests/core/test_machine.py"


class Campaigns(RuleBasedStateMachine):
    """Every move may come at any time; after each the invariants hold."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.machine = Machine(FromData(data))

    @invariant()
    def sound(self) -> None:
        if hasattr(self, "machine"):
            assert check(self.machine.state) == []


def _rule(move: str) -> None:
    def run(self: Campaigns, data: st.DataObject) -> None:
        self.machine.source = FromData(data)
        getattr(self.machine, move)()

    setattr(Campaigns, move, rule(data=st.data())(run))


for _move in dict.fromkeys(Machine.MOVES):
    _rule(_move)

TestCampaigns = Campaigns.TestCase
TestCampaigns.settings = settings(
    max_examples=int(os.environ.get("WORKBENCH_EXAMPLES", "150")),
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_random_campaigns_keep_the_invariants_and_end() -> None:
    visited: set[tuple[str, TaskState]] = set()
    rows = {(trigger, before) for trigger, row in TABLE.items() for before in row}
    further = range(CAMPAIGNS, 4 * CAMPAIGNS) if SEED < 0 else ()  # rare rows may need some more
    for seed in (*seeds(), *further):
        if seed in further and visited >= rows:
            break
        machine = Machine(Seeded(seed))
        for _ in range(80):
            move = machine.step()
            wrong = check(machine.state)
            assert wrong == [], f"after {move}: {wrong[:5]}; {repeat(seed)}"
        machine.finish_everything()
        assert check(machine.state) == [], repeat(seed)
        left = [t for t in machine.state.tasks() if t.state not in ENDED]
        assert machine.state.stuck, repeat(seed)
        assert not left or any(t.state is TaskState.held for t in left), f"{left} wait for nothing; {repeat(seed)}"
        visited |= machine.state.visited or set()
    if SEED < 0:
        assert visited == rows, f"never visited: {rows - visited}; not in the table: {visited - rows}"


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_replay_equals_live_at_every_prefix_through_the_journals_bytes() -> None:
    for seed in seeds()[: max(20, CAMPAIGNS // 5)]:
        machine = Machine(Seeded(seed))
        digests = [machine.state.digest()]
        lengths = [len(machine.events)]
        for _ in range(60):
            machine.step()
            digests.append(machine.state.digest())
            lengths.append(len(machine.events))
        replay = State()
        at = 0
        for n, digest in zip(lengths, digests, strict=True):
            for seq in range(at, n):
                record = decode(encode(seq, machine.events[seq]))
                evolve(replay, record.event)
            at = n
            assert replay.digest() == digest, f"differs after {n} records; {repeat(seed)}"


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_a_copy_is_equal_and_independent() -> None:
    for seed in seeds()[:60]:
        machine = Machine(Seeded(seed))
        for _ in range(60):
            machine.step()
        before = machine.state.digest()
        copy = copy_state(machine.state)
        assert copy.digest() == before, repeat(seed)
        assert check(copy) == [], repeat(seed)
        original, machine.state = machine.state, copy
        for _ in range(30):
            machine.step()
            assert check(machine.state) == [], repeat(seed)
        assert original.digest() == before, f"driving a copy changed the original; {repeat(seed)}"
