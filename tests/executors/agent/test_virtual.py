"""Synthetic tasks, virtual nodes, and threads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import rig
from tests.executors.agent.waiting import opened
from workbench.executors.agent import wire
from workbench.executors.agent.wire import Halt, Node, Tell
from workbench.model.causes import Cause
from workbench.model.specs import Executable, Synthetic


async def test_timers_hold_their_slots_for_as_long_as_told(home: Path) -> None:
    nodes = [Node(f"v{i}", "p", 4, 2, virtual=True) for i in range(16)]
    async with rig(home, *nodes) as (hub, agent):
        key = hub.define(Synthetic())
        for i in range(64):
            hub.run(key, f"t[{i}]", node=f"v{i % 16}", cores=2, gpus=(i // 16 % 2,), duration_s=0.1)
        ends = [await hub.end(f"t[{i}]") for i in range(64)]
        assert all(isinstance(e, wire.Finished) and e.ended - e.started >= 0.099 for e in ends)
        for i in range(16):  # two at a time fit on a node, so the second pair follows the first
            starts = sorted(e.started for e in ends[i::16])
            assert starts[2] - starts[0] >= 0.099
        assert agent.runner.nursery.pids == []  # no process for what only waits


async def test_virtual_nodes_refuse_programs_with_a_way_out(home: Path) -> None:
    async with rig(home, Node("v0", "p", 64, virtual=True)) as (hub, _):
        hub.run(hub.define(Executable(("true",))), node="v0")
        end = await hub.failure("t[0]")
        assert end.cause is Cause.LaunchRefused
        assert "v0 is a virtual node" in end.detail and "LocalPool()" in end.detail


async def test_functions_on_virtual_nodes_share_the_real_cores(home: Path) -> None:
    real = len(os.sched_getaffinity(0))
    async with rig(home, Node("v0", "p", 64, virtual=True)) as (hub, _):
        keys = [hub.define(bodies.gated, (str(home / f"g{i}"),)) for i in range(real + 2)]
        for i, key in enumerate(keys):
            hub.run(key, f"t[{i}]", node="v0")
        for i in range(real):
            await hub.started(f"t[{i}]")
            await opened(home / f"g{i}")
        hub.send(Halt(f"t[{real}]", 1, 0.0))  # waits for a real core
        assert (await hub.failure(f"t[{real}]")).cause is Cause.Cancelled
        assert not (home / f"g{real + 1}.reached").exists()
        (home / "g0").touch()
        await opened(home / f"g{real + 1}")
        for i in [*range(1, real), real + 1]:
            (home / f"g{i}").touch()
            await hub.value(f"t[{i}]")


async def test_ends_of_timers(home: Path) -> None:
    async with rig(home, Node("v0", "p", 4, virtual=True)) as (hub, _):
        key = hub.define(Synthetic())
        for i in range(3):
            hub.run(key, f"t[{i}]", node="v0", duration_s=1000)
        hub.run(hub.define(Synthetic(), timeout_s=0.05), "late[0]", node="v0", duration_s=1000)
        await hub.started("t[0]", process=False)
        hub.send(Halt("t[0]", 1, 100.0), Halt("t[1]", 1, 0.0), Tell("t[2]", 1, {"x": 1}, True))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled
        assert (await hub.failure("t[1]")).cause is Cause.Cancelled
        assert await hub.value("t[2]") is None
        assert (await hub.failure("late[0]")).cause is Cause.Timeout
        for i in range(4):
            hub.run(key, f"u[{i}]", node="v0")
            await hub.value(f"u[{i}]")


async def test_threads(home: Path) -> None:
    def seen(gate: str) -> tuple[int, str, int]:
        from workbench import task

        task.report(x=1)
        bodies.reached(gate)
        return os.getpid(), task.id(), task.attempt()

    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        for i in range(2):
            hub.run(hub.define(seen, (str(home / f"g{i}"),), isolation="thread"), f"t[{i}]", 7)
        for i in range(2):
            await opened(home / f"g{i}")
            (home / f"g{i}").touch()
        for i in range(2):
            assert tuple(await hub.value(f"t[{i}]", 7)) == (os.getpid(), f"t[{i}]", 7)
        assert [r.metrics for r in hub.reports("t[0]")] == [{"x": 1}]
        hub.run(hub.define(bodies.boom, ("x",), isolation="thread"), "b[0]")
        end = await hub.failure("b[0]")
        assert end.cause is Cause.UserError and end.detail.rstrip().endswith("ValueError: x")
        from workbench import task

        assert not task.inside()


async def test_threads_are_steered_and_asked(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.steered, (str(home / "g"),), isolation="thread", parameters={"lr": 1.0}))
        await opened(home / "g")
        hub.send(Tell("t[0]", 1, {"lr": 2.0}))
        await hub.until(lambda: [r for r in hub.reports("t[0]") if r.metrics == {"lr": 2.0}])
        hub.send(Halt("t[0]", 1, 1000.0))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled


@pytest.mark.parametrize("by", ["timeout", "halt"])
async def test_a_thread_that_is_given_up_keeps_its_slot(home: Path, by: str) -> None:
    async with rig(home) as (hub, _):
        gate, after = home / "g", home / "after"
        body = hub.define(bodies.gated, (str(gate),), isolation="thread", timeout_s=0.1 if by == "timeout" else None)
        hub.run(body)
        await opened(gate)
        if by == "halt":
            hub.send(Halt("t[0]", 1, 0.0))
        end = await hub.failure("t[0]")
        assert end.cause is (Cause.Timeout if by == "timeout" else Cause.Cancelled)
        assert "cannot be killed" in end.detail
        hub.run(hub.define(bodies.gated, (str(after),)), "t[1]")
        await hub.looked()
        assert not Path(f"{after}.reached").exists()
        gate.touch()
        await opened(after)
        after.touch()
        await hub.value("t[1]")


async def test_many_threads_in_order(home: Path) -> None:
    async with rig(home, Node("n0", "p", 2)) as (hub, agent):
        key = hub.define(bodies.noop, isolation="thread")
        for i in range(500):
            hub.run(key, f"t[{i}]", queued=i > 1)
        for i in range(500):
            await hub.value(f"t[{i}]")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        agent.loop.call_soon_threadsafe(lambda: loop.call_soon_threadsafe(done.set_result, agent.runner.threads._count))
        assert await done <= 2
