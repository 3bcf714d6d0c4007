"""Attempts that queue on a node: in order, one slot at a time, taken back when that is better."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import SmallHub, rig
from tests.executors.agent.waiting import opened
from workbench.executors.agent.functions import PASSED
from workbench.executors.agent.slots import Ledger
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


async def emptied(ledger: Ledger) -> None:
    """Until nobody has or awaits a slot; an attempt's end is told before its slots are given back."""
    while ledger.cores < ledger.node.cores or ledger.due or ledger.queued:
        await asyncio.sleep(0.002)


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
        await emptied(agent.runner.ledgers["n0"])


async def test_a_slow_call_is_passed_by_a_bounded_number_of_later_ones(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks for long calls here: what waits behind one goes elsewhere although it may yet be a short one."""
    monkeypatch.setattr("workbench.executors.agent.watch.SWEEP_S", 1000.0)
    async with rig(home, Node("n0", "p", 2)) as (hub, agent):
        slow = home / "slow"
        hub.run(hub.define(bodies.gated, (str(slow),)), "s[0]")
        await opened(slow)
        ref = type("R", (), {"__workbench_ref__": lambda self: ("item",)})()
        key = hub.define(bodies.logged_item, (ref, str(home)))
        n = 300
        for i in range(n):
            hub.run(key, f"t[{i}]", member=hub.item(str(i)), queued=i > 0)
        for i in range(n):
            await hub.value(f"t[{i}]")  # although the slow one has not ended
        slow.touch()
        await hub.value("s[0]")
        places = list(map(int, (home / "log").read_text().split()))
        assert sorted(places) == list(range(n))
        farthest = max(max(places[:k], default=0) - place for k, place in enumerate(places))
        assert farthest <= 2 * PASSED
        await emptied(agent.runner.ledgers["n0"])


async def test_a_free_slot_takes_what_waits_behind_a_slow_call(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.executors.agent.watch.SWEEP_S", 1000.0)
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        gates = [home / "g0", home / "g1"]
        for i, gate in enumerate(gates):
            hub.run(hub.define(bodies.gated, (str(gate),)), f"s[{i}]")
            await opened(gate)
        for i in range(4):
            hub.run(hub.define(bodies.add, (i,)), f"t[{i}]", queued=True)
        await hub.looked()
        gates[1].touch()
        assert [await hub.value(f"t[{i}]") for i in range(4)] == [0, 1, 2, 3]
        gates[0].touch()
        await hub.value("s[0]")


class Interrupted:
    """The agent's end of a child's pipe; after its first datagram, `meanwhile` happens."""

    def __init__(self, take: socket.socket, meanwhile: Callable[[], None]) -> None:
        self._take, self._meanwhile = take, meanwhile
        self.count = 0

    def recv(self, size: int, flags: int) -> bytes:
        raw = self._take.recv(size, flags)
        self.count += 1
        if self.count == 1:
            self._meanwhile()
        return raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._take, name)


def logged(home: Path, text: str) -> None:
    """Wait, in the agent's own thread, until a body has said `text`."""
    until = time.monotonic() + 60
    while not (home / "log").exists() or text not in (home / "log").read_text().split():
        assert time.monotonic() < until, text
        time.sleep(0.002)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_child_takes_a_call_while_others_are_taken_back(
    home: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Both read the same pipe. The child finds the second call while the agent holds the first and goes on to more."""
    monkeypatch.setattr("workbench.executors.agent.watch.SWEEP_S", 1000.0)
    async with rig(home) as (hub, agent):
        ref = type("R", (), {"__workbench_ref__": lambda self: ("item",)})()
        key = hub.define(bodies.gated_item, (ref, str(home)))
        names = [f"i{k}" for k in range(5)]
        hub.run(key, "w[0]", member=hub.item("warm"))
        (home / "warm").touch()
        await hub.value("w[0]")
        (c,) = agent.runner.functions._children.values()
        if not begun:
            os.kill(c.pid, signal.SIGSTOP)
            while psutil.Process(c.pid).status() != psutil.STATUS_STOPPED:
                await asyncio.sleep(0.002)
        for k, name in enumerate(names):
            hub.run(key, f"t[{k}]", member=hub.item(name), queued=k > 0)
        if begun:
            await opened(home / names[0])
        await hub.looked()

        def meanwhile() -> None:
            if begun:
                (home / names[0]).touch()
            else:
                os.kill(c.pid, signal.SIGCONT)
            logged(home, f"+{names[1 + begun]}")

        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def take_back() -> None:
            c.take = Interrupted(c.take, meanwhile)  # type: ignore[assignment]
            agent.runner.functions.reclaim(c)
            loop.call_soon_threadsafe(done.set)

        agent.runner.loop.call_soon_threadsafe(take_back)
        await done.wait()
        for name in names:
            (home / name).touch()
        assert [await hub.value(f"t[{k}]") for k in range(5)] == names
        log = (home / "log").read_text().split()
        assert sorted(log) == sorted([*(f"+{n}" for n in [*names, "warm"]), *(f"-{n}" for n in [*names, "warm"])])
        assert [entry[0] for entry in log] == ["+", "-"] * 6, "one after the other"
        await emptied(agent.runner.ledgers["n0"])
