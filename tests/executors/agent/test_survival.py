"""Who may die, and what is lost then: connections, engines, keepers, workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import SmallHub, agent_in, rig
from tests.executors.agent.waiting import alive, gone, opened
from workbench.executors.agent import wire
from workbench.executors.agent.wire import Ack, Halt, Node
from workbench.model.causes import Cause


async def test_what_is_not_acknowledged_is_sent_again_after_a_redial(home: Path) -> None:
    async with rig(home, acks=False) as (hub, _):
        key = hub.define(bodies.add, (1,))
        hub.run(key, "t[0]")
        await hub.end("t[0]")
        hub.run(key, "t[1]")
        await hub.end("t[1]")
        first = list(hub.said)
        hub.send(Ack(first[0].seq))
        hub.seen, hub.said, hub.ends = 1, [], {}
        assert hub.link is not None
        hub.link.abort()
        hello = await hub.greeted(2)
        assert ("t[1]", 1) in hello.known
        await hub.end("t[1]")
        assert hub.said == first[1:]
        assert hello.seq == first[-1].seq


async def test_a_run_is_carried_out_once_however_often_it_is_sent(home: Path) -> None:
    async with rig(home) as (hub, _):
        key = hub.define(bodies.gated_item, ("x", str(home)))
        for _i in range(3):
            hub.run(key, "t[0]")
        await opened(home / "x")
        hub.run(key, "t[0]")
        (home / "x").touch()
        await hub.value("t[0]")
        hub.run(key, "t[0]")  # ended, and acknowledged with what follows
        hub.run(hub.define(bodies.noop), "t[1]")
        await hub.end("t[1]")
        hub.run(key, "t[0]")
        hub.run(hub.define(bodies.noop), "t[2]")
        await hub.end("t[2]")
        assert (home / "log").read_text().split() == ["+x", "-x"]


async def test_a_new_engine_adopts_what_runs(home: Path) -> None:
    old = SmallHub(home, epoch=1)
    await old.start()
    async with agent_in(home, Node("n0", "p", 2)):
        await old.greeted()
        gate, lost = home / "g", home / "lost"
        old.run(old.define(bodies.gated, (str(gate),)), "t[0]")
        old.run(old.define(bodies.gated, (str(lost),)), "u[0]")
        await opened(gate)
        await opened(lost)
        await old.close()
        gate.touch()  # it ends while nobody listens
        new = SmallHub(home, epoch=2)
        await new.start()
        hello = await new.greeted()
        assert (hello.epoch, hello.agent) == (1, old.hellos[0].agent)
        assert {("t[0]", 1), ("u[0]", 1)} == set(hello.known)
        new.send(Halt("u[0]", 1, 0.0))  # this engine never ordered it
        assert await new.value("t[0]")
        assert (await new.failure("u[0]")).cause is Cause.Cancelled
        await new.close()


async def test_an_engine_of_a_lower_epoch_is_refused(home: Path) -> None:
    new = SmallHub(home, epoch=5)
    await new.start()
    async with agent_in(home):
        await new.greeted()
        await new.close()
        old = SmallHub(home, epoch=4)
        await old.start()
        refusals = 0

        def counted(link: object) -> None:
            nonlocal refusals
            refusals += 1
            SmallHub._connected(old, link)  # type: ignore[arg-type]

        old.server.close()
        old.server, address = await wire_serve(counted)
        wire_contact(home, address, 4)
        while refusals < 3:
            await asyncio.sleep(0.01)
        last = SmallHub(home, epoch=6)
        await last.start()
        assert (await last.greeted()).epoch == 5
        await old.close()
        await last.close()


async def wire_serve(connected: object) -> tuple[asyncio.Server, str]:
    from workbench.executors.agent import link as links

    return await links.serve(connected)  # type: ignore[arg-type]


def wire_contact(home: Path, address: str, epoch: int) -> None:
    from tests.executors.agent.small_hub import TOKEN
    from workbench.executors.agent.contact import Contact, write_contact

    write_contact(str(home), Contact(address, TOKEN, epoch))


async def test_an_agent_waits_for_its_engine(home: Path) -> None:
    async with agent_in(home):
        hub = SmallHub(home)
        await hub.start()
        hello = await hub.greeted()
        assert hello.nodes == (Node("n0", "p", 1),)
        await hub.close()


async def test_an_orphan_ends_itself_and_what_it_runs(home: Path) -> None:
    hub = SmallHub(home)
    await hub.start()
    async with agent_in(home, orphan_s=0.2) as agent:
        await hub.greeted()
        hub.run(hub.define(bodies.stubborn, (str(home / "g"),)))
        pid = (await hub.started("t[0]")).pid
        await hub.close()
        await asyncio.get_running_loop().run_in_executor(None, agent.ended_event.wait, 30)
        assert agent.ended_event.is_set()
        await gone(pid)


async def test_bye_ends_everything(home: Path) -> None:
    async with rig(home) as (hub, agent):
        gate = home / "g"
        hub.run(hub.define(bodies.family, (str(gate),)))
        await opened(gate)
        pids = [int(p) for p in Path(f"{gate}.pids").read_text().split()]
        keepers = agent.runner.nursery.pids
        hub.send(wire.Bye("over"))
        await asyncio.get_running_loop().run_in_executor(None, agent.ended_event.wait, 30)
        assert agent.ended_event.is_set()
        assert not any(map(alive, [*pids, *keepers]))


async def test_a_keeper_that_dies_takes_its_children_and_is_replaced(home: Path) -> None:
    async with rig(home) as (hub, agent):
        gate = home / "g"
        hub.run(hub.define(bodies.gated, (str(gate),)))
        pid = (await hub.started("t[0]")).pid
        (keeper,) = agent.runner.nursery.pids
        os.kill(keeper, signal.SIGKILL)
        end = await hub.failure("t[0]")
        assert (end.cause, end.detail) == (Cause.WorkerLost, "disappeared with its keeper")
        await gone(pid, keeper)
        hub.run(hub.define(bodies.add, (1,)), "t[1]")
        assert await hub.value("t[1]") == 1
        assert agent.runner.nursery.pids != [keeper]


async def test_idle_children_do_not_outlive_their_keeper(home: Path) -> None:
    async with rig(home) as (hub, agent):
        key = hub.define(bodies.who)
        hub.run(key, "t[0]")
        idle = (await hub.value("t[0]"))["pid"]
        os.kill(agent.runner.nursery.pids[0], signal.SIGKILL)
        await gone(idle)
        hub.run(key, "t[1]")
        assert (await hub.value("t[1]"))["pid"] != idle


async def test_a_call_that_a_dead_child_had_not_begun_is_given_to_another(home: Path) -> None:
    async with rig(home) as (hub, _):
        key = hub.define(bodies.who)
        hub.run(key, "t[0]")
        pid = (await hub.value("t[0]"))["pid"]
        os.kill(pid, signal.SIGSTOP)
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.002)
        hub.run(hub.define(bodies.who), "t[1]")
        await hub.looked()
        assert not [m for m in hub.said if m.task == "t[1]"]
        os.kill(pid, signal.SIGKILL)
        assert (await hub.value("t[1]"))["pid"] != pid


async def test_batch_systems_signals_do_not_reach_the_keeper(home: Path) -> None:
    async with rig(home) as (hub, agent):
        hub.run(hub.define(bodies.noop), "w[0]")
        await hub.value("w[0]")
        (keeper,) = agent.runner.nursery.pids
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(keeper, number)
        hub.run(hub.define(bodies.who))
        assert (await hub.value("t[0]"))["parent"] == keeper


async def test_a_keeper_that_dies_while_it_starts_is_started_again(home: Path) -> None:
    async with rig(home, warm=False) as (hub, agent):
        key = hub.define(bodies.add, (1,))

        def start_and_kill() -> None:
            agent.runner.nursery.start()
            os.kill(agent.runner.nursery.pids[0], signal.SIGKILL)

        agent.loop.call_soon_threadsafe(start_and_kill)
        hub.run(key)
        assert await hub.value("t[0]") == 1


WORKER = """
import sys, threading
from workbench.executors.agent.agent import Agent
from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.wire import Node
agent = Agent(AgentConfig(sys.argv[1], {"*": (Node("n0", "p", 2),)}, ()), "w0")
agent.start_thread()
agent.ended_event.wait()
"""


async def test_nothing_outlives_a_worker_that_is_killed(home: Path) -> None:
    hub = SmallHub(home)
    await hub.start()
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(home)])
    try:
        await hub.greeted()
        gate = home / "g"
        hub.run(hub.define(bodies.family, (str(gate),)))
        await opened(gate)
        below = [p.pid for p in psutil.Process(worker.pid).children(recursive=True)]
        pids = [*below, *(int(p) for p in Path(f"{gate}.pids").read_text().split())]
        assert len(pids) >= 5
        worker.kill()
        worker.wait()
        await gone(*pids)
        assert not [p for p in os.listdir(home / "logs") if p.startswith(".")]
    finally:
        worker.kill()
        worker.wait()
        await hub.close()


async def test_killed_engines_and_children_lose_and_double_nothing(home: Path) -> None:
    """Connections cut at random while attempts run: each body runs once, each end arrives."""
    hub = SmallHub(home)
    await hub.start()
    async with agent_in(home, Node("n0", "p", 2)):
        await hub.greeted()
        store_key = hub.define(bodies.clocked, (str(home),))
        for i in range(200):
            hub.run(store_key, f"t[{i}]", queued=i > 1)
        cuts = 0
        while len(hub.ends) < 200:
            have = len(hub.ends)
            if hub.link is not None and cuts < 15:
                hub.link.abort()
                hub.link = None
                cuts += 1
                await hub.greeted(cuts + 1)
                missing = {(f"t[{i}]", 1) for i in range(200)} - hub.ends.keys() - set(hub.hellos[-1].known)
                for task, _n in missing:  # lost on the way
                    hub.run(store_key, task, queued=True)
            else:
                await hub.until(lambda have=have: len(hub.ends) > have)  # type: ignore[misc]
    await hub.close()
    assert [e for e in hub.ends.values() if isinstance(e, wire.Ended)] == []
    bodies_run = sum(len(p.read_text().splitlines()) for p in home.glob("*.clock"))
    assert bodies_run == 200
    assert json.dumps(sorted(hub.ends)) == json.dumps(sorted([f"t[{i}]", 1] for i in range(200)))
