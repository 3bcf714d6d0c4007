"""Attempts that queue on a node: in order, one slot at a time, taken back when that is better."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import SmallHub, rig
from tests.executors.agent.waiting import opened
from workbench.executors.agent.wire import Halt, Node
from workbench.model.causes import Cause
from workbench.model.specs import Synthetic


def overlap(directory: Path) -> int:
    """Largest number of bodies that ran at the same time, by the machine's clock."""
    edges = []
    for path in directory.glob("*.clock"):
        for line in path.read_text().splitlines():
            start, end, _ = map(int, line.split())
            edges += [(start, 1), (end, -1)]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


@pytest.mark.parametrize(("cores", "each"), [(1, 1), (2, 1), (4, 2)])
async def test_never_more_than_the_slots(home: Path, cores: int, each: int) -> None:
    async with rig(home, Node("n0", "p", cores)) as (hub, _):
        key = hub.define(bodies.clocked, (str(home),))
        for i in range(300):
            hub.run(key, f"t[{i}]", cores=each, queued=i >= cores // each)
        for i in range(300):
            await hub.value(f"t[{i}]")
        assert 1 <= overlap(home) <= cores // each
        assert len({p.name for p in home.glob("*.clock")}) <= cores // each


async def held(hub: SmallHub, home: Path, n: int) -> list[str]:
    """One attempt that runs, waiting at its gate, and `n` that queue behind it."""
    ref = type("R", (), {"__workbench_ref__": lambda self: ("item",)})()
    key = hub.define(bodies.gated_item, (ref, str(home)))
    names = [f"i{k}" for k in range(n + 1)]
    for k, name in enumerate(names):
        hub.run(key, f"t[{k}]", member=hub.item(name), queued=k > 0)
    await opened(home / names[0])
    return names


async def test_queued_attempts_start_in_order(home: Path) -> None:
    async with rig(home) as (hub, _):
        names = await held(hub, home, 4)
        for name in names:
            await opened(home / name)
            (home / name).touch()
        assert [await hub.value(f"t[{k}]") for k in range(5)] == names
        assert (home / "log").read_text().split() == [f"{sign}{n}" for n in names for sign in "+-"]


async def test_a_queued_attempt_can_be_cancelled_before_it_starts(home: Path) -> None:
    async with rig(home) as (hub, _):
        names = await held(hub, home, 3)
        hub.send(Halt("t[2]", 1, 10.0))
        end = await hub.failure("t[2]")
        assert end.cause is Cause.Cancelled
        for k in (0, 1, 3):
            await opened(home / names[k])
            (home / names[k]).touch()
            assert await hub.value(f"t[{k}]") == names[k]
        assert "+i2" not in (home / "log").read_text().split()


async def test_what_waited_behind_a_crash_runs(home: Path) -> None:
    async with rig(home) as (hub, _):
        names = await held(hub, home, 3)
        pid = (await hub.started("t[0]")).pid
        os.kill(pid, signal.SIGKILL)
        assert (await hub.failure("t[0]")).cause is Cause.WorkerLost
        for k in (1, 2, 3):
            await opened(home / names[k])
            (home / names[k]).touch()
            assert await hub.value(f"t[{k}]") == names[k]
        assert (home / "log").read_text().split() == ["+i0", "+i1", "-i1", "+i2", "-i2", "+i3", "-i3"]


async def test_what_waits_behind_a_long_one_goes_to_another_slot(home: Path) -> None:
    """Both slots are busy when the rest is queued; then one comes free, and everything behind the other moves."""
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        gate = home / "short"
        hub.run(hub.define(bodies.gated, (str(gate),)), "s[0]")
        await opened(gate)
        names = await held(hub, home, 4)
        gate.touch()
        for k in (1, 2, 3, 4):
            (home / names[k]).touch()
        for k in (1, 2, 3, 4):
            assert await hub.value(f"t[{k}]") == names[k]
        (home / names[0]).touch()
        assert await hub.value("t[0]") == names[0]


async def test_an_attempt_with_slots_of_its_own_goes_before_queued_ones(home: Path) -> None:
    async with rig(home) as (hub, _):
        names = await held(hub, home, 2)
        await hub.started("t[0]")  # nothing is in the child's pipe any more
        first = home / "first"
        hub.run(hub.define(bodies.gated, (str(first),)), "f[0]")
        await hub.looked()
        (home / names[0]).touch()
        await opened(first)
        assert "+i1" not in (home / "log").read_text().split()
        first.touch()
        for k in (1, 2):
            await opened(home / names[k])
            (home / names[k]).touch()
            await hub.value(f"t[{k}]")


async def test_mixed_shapes_never_exceed_the_node(home: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with rig(home, Node("n0", "p", 4)) as (hub, agent):
        clocked = hub.define(bodies.clocked, (str(home),))
        crash = hub.define(bodies.dies_by, (int(signal.SIGKILL),))
        thread = hub.define(bodies.noop, isolation="thread")
        timer = hub.define(Synthetic())
        for i in range(200):
            key = rng.choices((clocked, crash, thread, timer), (10, 1, 3, 3))[0]
            hub.run(key, f"t[{i}]", cores=rng.choice((1, 2, 4)), queued=rng.random() < 0.7, duration_s=0.001)
            if rng.random() < 0.1:
                hub.send(Halt(f"t[{rng.randrange(i + 1)}]", 1, rng.choice((0.0, 0.05))))
        for i in range(200):
            await hub.end(f"t[{i}]")
        assert overlap(home) <= 4
        ledger = agent.runner.ledgers["n0"]
        await hub.until(lambda: ledger.cores == 4 and not ledger.due and not ledger.queued)
