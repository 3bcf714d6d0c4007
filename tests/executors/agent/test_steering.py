"""Ending, telling, limiting: what happens to an attempt that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import rig
from tests.executors.agent.waiting import gone, opened
from workbench.executors.agent import wire
from workbench.executors.agent.context import BURST
from workbench.executors.agent.wire import Halt, Node, Tell
from workbench.model.causes import Cause


async def test_parameters_reach_a_running_attempt_and_it_may_keep_what_it_has(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.steered, (str(gate),), parameters={"lr": 1.0}))
        await opened(gate)
        hub.send(Tell("t[0]", 1, {"lr": 2.0}))
        await hub.until(lambda: [r for r in hub.reports("t[0]") if r.metrics == {"lr": 2.0}])
        hub.send(Tell("t[0]", 1, {}, True))
        assert await hub.value("t[0]") == [1.0, 2.0]


async def test_steering_before_the_start_counts(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.gated, (str(gate),)), "t[0]")
        await opened(gate)
        hub.run(hub.define(bodies.steered, (str(home / "s"),), parameters={"lr": 1.0}), "t[1]", queued=True)
        hub.send(Tell("t[1]", 1, {"lr": 3.0}), Tell("t[1]", 1, {}, True))
        gate.touch()
        assert await hub.value("t[1]") == [3.0]


async def test_a_cooperative_cancel_is_still_a_cancel(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.steered, (str(gate),), parameters={"lr": 1.0}))
        await opened(gate)
        hub.send(Halt("t[0]", 1, 50.0))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled


@pytest.mark.parametrize("isolation", ["child", "thread"])
async def test_how_an_attempt_that_was_asked_to_end_did_end_is_told(home: Path, isolation: str) -> None:
    def asked(gate: str, well: bool) -> None:
        from workbench import task

        print("step 3 of 9")
        Path(gate + ".reached").touch()
        while not task.should_stop():
            time.sleep(0.002)
        if not well:
            raise RuntimeError("nothing to keep")

    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        for i, well in enumerate((True, False)):
            gate = home / f"g{i}"
            hub.run(hub.define(asked, (str(gate), well), isolation=isolation), f"t[{i}]")
            await opened(gate)
            hub.send(Halt(f"t[{i}]", 1, 50.0))
        well_ended, raised = await hub.failure("t[0]"), await hub.failure("t[1]")
        assert well_ended.cause is raised.cause is Cause.Cancelled
        first, *words = well_ended.detail.splitlines()
        assert "50 s" in first
        assert words == (["step 3 of 9"] if isolation == "child" else [])  # a thread's output is the worker's
        assert raised.detail.splitlines()[0] == first
        assert raised.detail.rstrip().endswith("RuntimeError: nothing to keep")


@pytest.mark.parametrize("grace", [0.0, 0.1])
async def test_a_stubborn_attempt_is_killed_after_its_grace(home: Path, grace: float) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.stubborn, (str(gate),)))
        await opened(gate)
        hub.send(Halt("t[0]", 1, grace))
        end = await hub.failure("t[0]")
        assert (end.cause, end.exit_code) == (Cause.Cancelled, -9)
        hub.run(hub.define(bodies.add, (1,)), "t[1]")
        assert await hub.value("t[1]") == 1


async def test_a_second_halt_may_be_harsher(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.stubborn, (str(gate),)))
        await opened(gate)
        hub.send(Halt("t[0]", 1, 1000.0), Halt("t[0]", 1, 0.0), Halt("t[0]", 1, 1000.0))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled


async def test_cancel_takes_all_that_the_attempt_started(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.family, (str(gate),)))
        await opened(gate)
        pids = [int(p) for p in Path(f"{gate}.pids").read_text().split()]
        assert len(pids) == 3
        hub.send(Halt("t[0]", 1, 0.0))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled
        await gone(*pids)


async def test_a_campaign_inside_a_task_keeps_its_attempts_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks of the outer attempt must not make the inner ones kill each other."""
    monkeypatch.setenv("WORKBENCH_ATTEMPT", "t[0]#1")
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        gates = [home / "g0", home / "g1"]
        for i, gate in enumerate(gates):
            hub.run(hub.define(bodies.gated, (str(gate),)), f"t[{i}]")
            await opened(gate)
        hub.send(Halt("t[0]", 1, 0.0))
        assert (await hub.failure("t[0]")).cause is Cause.Cancelled
        gates[1].touch()
        assert await hub.value("t[1]")


async def test_timeout(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.stubborn, (str(home / "g"),), timeout_s=0.1))
        end = await hub.failure("t[0]")
        assert end.cause is Cause.Timeout
        assert "0.1 s" in end.detail
        assert end.ended - end.started >= 0.1


async def test_the_timeout_of_a_queued_attempt_begins_with_its_slot(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.gated, (str(gate),)), "t[0]")
        hub.run(hub.define(bodies.add, (1,), timeout_s=0.15), "t[1]", queued=True)
        await hub.started("t[0]")
        while time.time() < (await hub.started("t[0]")).started + 0.3:  # longer than the other's timeout
            await asyncio.sleep(0.01)
        gate.touch()
        assert await hub.value("t[1]") == 1


async def test_memory_of_the_whole_tree_is_limited(home: Path) -> None:
    async with rig(home, Node("n0", "p", 2, memory=1 << 40)) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.hoards, (str(gate), 300 << 20)), memory=200 << 20)
        end = await hub.failure("t[0]")
        assert end.cause is Cause.OutOfMemory
        assert "200 MiB" in end.detail
        assert end.max_rss > 200 << 20
        hub.run(hub.define(bodies.add, (1,)), "t[1]", memory=200 << 20)
        assert await hub.value("t[1]") == 1


async def test_starts_are_told_for_those_that_last(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.gated, (str(gate),)))
        started = await hub.started("t[0]")
        gate.touch()
        assert await hub.value("t[0]") == started.pid
        hub.run(hub.define(bodies.noop), "t[1]")
        await hub.end("t[1]")
        assert not [m for m in hub.said if isinstance(m, wire.Started) and m.task == "t[1]"]


async def test_metrics_and_progress(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.reports))
        await hub.value("t[0]")
        first, second, third = hub.reports("t[0]")
        assert first.metrics == {"loss": 0.5, "step": 1, "phase": "warm", "ok": True}
        assert (second.progress, third.progress) == (0.25, 1.0)
        told = next(m for m in hub.said if isinstance(m, wire.Started))
        assert told.seq < first.seq


async def test_a_flood_of_metrics_is_thinned_and_its_last_value_kept(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.floods, (20_000,)))
        await hub.value("t[0]")
        steps = [r.metrics["step"] for r in hub.reports("t[0]")]
        assert steps[: int(BURST)] == list(range(int(BURST)))
        assert len(steps) < 2000
        assert steps[-1] == 19_999


async def test_a_child_killed_from_outside(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(bodies.gated, (str(gate),)))
        pid = (await hub.started("t[0]")).pid
        await opened(gate)
        os.kill(pid, signal.SIGKILL)
        end = await hub.failure("t[0]")
        assert end.cause is Cause.WorkerLost
        assert "killed by signal 9 (SIGKILL)" in end.detail


async def test_what_means_nothing_is_ignored_or_refused(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.send(Halt("x[0]", 1), Tell("x[0]", 1, {"a": 1}), wire.Ack(10**9))
        hub.run("never defined", "t[0]")
        assert "never defined" in (await hub.failure("t[0]")).detail
        key = hub.define(bodies.noop)
        hub.run(key, "t[1]", node="elsewhere")
        hub.run(key, "t[2]", cores=2)
        hub.run(key, "t[3]", gpus=(0,))
        for i in (1, 2, 3):
            assert (await hub.failure(f"t[{i}]")).cause is Cause.LaunchRefused
        hub.run(key, "t[4]")
        assert await hub.value("t[4]") is None
