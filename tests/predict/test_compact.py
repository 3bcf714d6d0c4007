"""Counts and core schedule alike: from random states, under every policy, packing rule and mode."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import pytest

from tests.core.campaigns import FUNCTION, Campaign
from tests.core.machine import Machine
from tests.predict.test_live_and_simulated import declare
from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.flow import regate, requeue
from workbench.core.placement import PACKINGS
from workbench.core.policies import AUTO, POLICIES
from workbench.core.state import Task
from workbench.model import edits as ed
from workbench.model.events import AttemptFinished, AttemptStarted, CampaignCreated, CommandAccepted
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, Edge, Member, Plan, SetSpec
from workbench.model.states import ACTIVE, ENDED, MODES, TaskState
from workbench.predict.compact import NotCompact, Outcome, Tx, compile_state, why_not
from workbench.predict.forecast import change_mode
from workbench.predict.simulate import provide_nodes, simulate

T = TypeVar("T")
CAMPAIGNS = int(os.environ.get("WORKBENCH_CAMPAIGNS", "60"))
SEED = int(os.environ.get("WORKBENCH_SEED", "-1"))


class Drawn:
    """A seeded source for `Machine`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def choice(self, values: Sequence[T]) -> T:
        return self.rng.choice(values)

    def integer(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)


def reference(state: State, at: float, tx: Tx, plan: Plan | None = None, mode: str = "") -> Outcome:
    """What the core comes to on a copy."""
    copy = copy_state(state)
    if mode:
        change_mode(copy, mode)
    if plan is not None:
        gate = copy.gate
        copy.policy, copy.plan = AUTO, plan
        requeue(copy)
        if copy.gate != gate:
            regate(copy)
    provide_nodes(copy, at)
    before = {t.id: (t.started or t.assigned_at) if t.state in ACTIVE else None for t in copy.tasks()}

    def duration(task: Task) -> float:
        x = tx[task.set.name]
        return x if isinstance(x, float) else x[task.index]

    ended = {t.id for t in copy.tasks() if t.state in ENDED}
    run = simulate(copy, at, duration)
    origin = state.first_assigned_at if state.first_assigned_at is not None else at
    sets = {
        s.name: (max(t.ended for t in s.live()) - origin) / copy.time_scale
        for s in copy.sets.values()
        if s.size and not s.n_open and any(t.ended for t in s.live())
    }
    cores = gpus = 0.0
    for t in copy.tasks():
        if t.id not in ended and t.ended and t.state.value in ("done", "cancelled"):
            begun = before[t.id]
            spent = t.ended - (t.started if begun is None else max(at, begun))
            cores += spent / copy.time_scale * t.cores * t.set.spec.resources.nodes
    return Outcome(run.makespan_s, run.ended, sets, {"cores": cores, "gpus": gpus})


def durations(state: State, rng: random.Random, each: bool) -> Tx:
    """Random TX: one for each set, or one for each task; some are equal, some zero."""

    def draw() -> float:
        return rng.choice([0.0, 1.0, 2.0, 10.0, rng.uniform(0.5, 30.0), rng.uniform(0.5, 30.0)])

    return {s.name: [draw() for _ in s.tasks] if each else draw() for s in state.sets.values()}


def agree(state: State, at: float, tx: Tx, label: str, plan: Plan | None = None, mode: str = "") -> Outcome:
    compact = compile_state(state, at)
    assert compact is not None, label
    mine = compact.run(tx, plan, mode, want_sets=True)
    real = reference(state, at, tx, plan, mode)
    label += f" plan {plan} mode {mode!r}"
    assert mine.ended == real.ended, label
    assert mine.finish_s == pytest.approx(real.finish_s, rel=1e-9, abs=1e-9), label
    assert mine.sets == pytest.approx(real.sets, rel=1e-9, abs=1e-9), label
    assert mine.used["cores"] == pytest.approx(real.used["cores"], rel=1e-6, abs=1e-6), label
    assert compact.run(tx, plan, mode, want_sets=True) == mine, f"{label}: a second run comes to something else"
    return mine


def plans(state: State, rng: random.Random) -> list[tuple[Plan | None, str]]:
    """As declared; each policy with each packing rule; modes; an order."""
    order = list(state.sets)
    rng.shuffle(order)
    found: list[tuple[Plan | None, str]] = [(None, ""), *((None, mode) for mode in MODES)]
    found += [(Plan(policy, packing), "") for policy in POLICIES for packing in PACKINGS]
    found += [(Plan(policy, mode=mode), "") for policy in POLICIES for mode in MODES[:2]]
    found += [(Plan("fifo", "best", order=tuple(order)), ""), (Plan("resource-aware", order=tuple(order[:2])), "")]
    found.append((Plan("upward-rank", mode="asynchronous"), "adaptive"))
    return found


def declared(rng: random.Random, seed: int) -> State:
    """A campaign at its start."""
    state = State()
    scale = rng.choice([1.0, 1.0, 0.01])
    policy = rng.choice(list(POLICIES))
    evolve(state, CampaignCreated(0.0, "id", "random", seed, rng.choice(MODES), policy, scale))
    edits = [varied(e.spec, e.edges, rng) if isinstance(e, ed.AddSet) else e for e in declare(rng)]
    if rng.random() < 0.4:  # nodes of another kind, which serve synthetic tasks alone where there are real ones
        edits.append(ed.AddPool(Pool("v", rng.randint(1, 3), NodeShape(6, 2, rng.choice([0, 90])), "virtual")))
    evolve(state, CommandAccepted(0.0, "all", tuple(edits)))
    return state


def varied(spec: SetSpec, edges: tuple[Edge, ...], rng: random.Random) -> ed.AddSet:
    """Some sets span nodes, run functions, have priorities, or tasks with estimates of their own."""
    if rng.random() < 0.15:
        spec = msgspec.structs.replace(spec, resources=msgspec.structs.replace(spec.resources, nodes=2))
    if rng.random() < 0.3:
        spec = msgspec.structs.replace(spec, work=FUNCTION)
    if rng.random() < 0.3:
        spec = msgspec.structs.replace(spec, priority=rng.randint(-1, 1))
    if rng.random() < 0.2:
        members = tuple(
            Member(estimate=Constant(rng.uniform(1.0, 50.0)) if rng.random() < 0.7 else None) for _ in range(spec.n)
        )
        spec = msgspec.structs.replace(spec, members=members)
    return ed.AddSet(spec, edges)


def cancelled(rng: random.Random, seed: int) -> State:
    """A campaign on its way in which attempts are being cancelled; what follows them is skipped or held."""
    return played(rng, seed, cancels=True)


def played(rng: random.Random, seed: int, cancels: bool = False) -> State:
    """A campaign on its way: some attempts ended, some run, at a time of their own."""
    from workbench.core import decide

    state = declared(rng, seed)
    for s in state.sets.values() if cancels else ():
        s.spec = msgspec.structs.replace(s.spec, on_failed_input=rng.choice(["skip", "hold"]))
    provide_nodes(state, 0.0)
    now = 1.0
    for _ in range(rng.randint(0, 40)):
        for decision in decide(state, now):
            evolve(state, decision)
        active = [t for t in state.tasks() if t.state in ACTIVE]
        if not active:
            break
        now += rng.choice([0.0, 0.5, 3.0])
        task = rng.choice(active)
        if cancels and rng.random() < 0.2:
            targets = rng.sample(active, min(len(active), rng.randint(1, 3)))
            evolve(state, CommandAccepted(now, f"c{now}", (ed.Cancel(tuple(t.id for t in targets)),)))
        elif rng.random() < 0.3:
            evolve(state, AttemptStarted(now, task.id, task.number, now))
        else:
            started = task.started or task.assigned_at
            evolve(state, AttemptFinished(now, task.id, task.number, started, now))
    return state


def wild(rng: random.Random, seed: int) -> State:
    """A campaign to which anything may have happened."""
    machine = Machine(Drawn(rng))
    for _ in range(rng.randint(5, 80)):
        machine.step()
    return machine.state


@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [declared, played, cancelled, wild])
def test_counts_and_core_come_to_the_same(make: Callable[[random.Random, int], State]) -> None:
    compared = refused = cancelling = 0
    for seed in [SEED] if SEED >= 0 else range(CAMPAIGNS):
        rng = random.Random(seed)
        state = make(rng, seed)
        label = f"seed {seed}; repeat with WORKBENCH_SEED={seed} pytest {__file__} -k {make.__name__}"
        if compile_state(state) is None:
            assert why_not(state)
            refused += 1
            continue
        cancelling += state.counts[TaskState.cancelling] > 0
        digest = state.digest()
        at = state.at + rng.choice([0.0, 2.5])
        every = plans(state, rng)
        for plan, mode in [every[0], *rng.sample(every, 6)]:
            for each in (False, True):
                try:
                    agree(state, at, durations(state, rng, each), label, plan, mode)
                except NotCompact as short:
                    assert "queue behind one another" in str(short), label
                    assert any(n.prefetch for n in state.nodes.values()), label
                    refused += 1
                    continue
                compared += 1
        assert state.digest() == digest, f"{label}: the state was changed"
    assert SEED >= 0 or compared > 4 * CAMPAIGNS
    assert SEED >= 0 or refused < CAMPAIGNS
    assert SEED >= 0 or make is not cancelled or cancelling > CAMPAIGNS / 4


def test_a_held_task_leaves_the_campaign_open() -> None:
    c = Campaign(nodes=1, cores=2)
    c.add("a", 4, tx=10.0)
    c.add("b", 2, after="a", tx=5.0)
    c.do(ed.Hold(("a[1]",)))
    compact = compile_state(c.state, c.now)
    assert compact is not None
    outcome = compact.run(want_sets=True)
    assert not outcome.ended and outcome.sets == {} and outcome.finish_s == 20.0
    assert outcome.used["cores"] == 30.0


def test_what_is_expected_holds_where_no_tx_is_given() -> None:
    c = Campaign(nodes=1, cores=2)
    c.add("a", 4, tx=10.0)
    c.add("b", 1, after="a", tx=None)  # nothing known: as long as the others
    compact = compile_state(c.state, c.now)
    assert compact is not None and compact.known
    assert compact.run(want_sets=True).sets == {"a": 20.0, "b": 30.0}
    assert compact.run({"b": 1.0}).finish_s == 21.0


def test_without_any_known_tx_one_must_be_given() -> None:
    c = Campaign(nodes=1, cores=2)
    c.add("a", 2, tx=None)
    compact = compile_state(c.state, c.now)
    assert compact is not None and not compact.known
    with pytest.raises(ValueError, match="no TX is known"):
        compact.run()
    assert compact.run({"a": 3.0}).finish_s == 3.0


def test_micro_tasks_that_queue_on_a_node_are_left_to_the_core() -> None:
    c = Campaign(nodes=0, cores=1)
    c.join(prefetch=4)
    c.add("quick", 8, tx=0.01)
    assert compile_state(c.state) is None
    assert "queue behind one another" in why_not(c.state)
