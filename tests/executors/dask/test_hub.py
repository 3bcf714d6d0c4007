"""The hub against agents that do as the test says: who is let in, what is sent again, what is dropped, who is lost."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workbench.executors.agent import link as links
from workbench.executors.agent import wire
from workbench.executors.agent.contact import CONTACT, read_contact
from workbench.executors.agent.link import LinkError
from workbench.executors.dask.hub import GIVEN, Hub, display_name
from workbench.model import events as ev
from workbench.model.actions import Launch, SetPlan, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.resources import Resources
from workbench.model.specs import Function, Payload, Result

PATIENCE_S = 20.0
PLAN = SetPlan("sim/1", "sim", 100, Function(Payload(b"code"), "m:f"), None, Resources())


class ScriptedAgent:
    """Speaks the agent's side of the wire, and does nothing else."""

    def __init__(self, directory: str, name: str = "a1", worker: str = "local.e1-0", n: int = 1) -> None:
        self.directory, self.name = directory, name
        bases = [worker] if n == 1 else [f"{worker}.{i}" for i in range(n)]
        self.nodes = tuple(wire.Node(f"{base}@{name}", "local", 2, prefetch=8) for base in bases)
        self.seq = 0
        self.known: tuple[tuple[str, int], ...] = ()
        self.epoch = 0
        self.orders: list[wire.FromHub] = []
        self.acked = -1
        self.link: links.Link[wire.FromHub] | None = None
        self._changed = asyncio.Event()
        self.lost = asyncio.Event()

    async def connect(self, token: str | None = None, dask: str = "tcp://worker") -> None:
        contact = read_contact(self.directory)

        def hello() -> dict[str, Any]:
            return {
                "agent": self.name, "epoch": self.epoch, "host": f"host-{self.name}", "pid": 7, "dask": dask,
                "nodes": self.nodes, "seq": self.seq, "known": self.known,
            }  # fmt: skip

        self.orders, self.lost = [], asyncio.Event()
        self.link, welcome = await links.dial(contact.address, token or contact.token, hello)
        self.epoch, self.acked = welcome.epoch, welcome.acked
        self.link.begin(self._take, lambda why: self.lost.set())

    def _take(self, batch: list[wire.FromHub]) -> None:
        self.orders.extend(batch)
        self._changed.set()

    def say(self, kind: Callable[..., wire.Report], *fields: Any, seq: int | None = None, **more: Any) -> None:
        assert self.link is not None
        if seq is None:
            self.seq += 1
            seq = self.seq
        self.link.send(kind(seq, *fields, **more))

    async def got(self, kind: type[Any], n: int = 1) -> list[Any]:
        """Wait until `n` orders of a kind have come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [o for o in self.orders if isinstance(o, kind)]) < n:
                self._changed.clear()
                await self._changed.wait()
        return found

    def drop(self) -> None:
        assert self.link is not None
        self.link.abort()


class Scene:
    """A hub and what it told."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = str(directory)
        self.told: list[ev.Event] = []
        self.alive = {"tcp://worker"}
        self._changed = asyncio.Event()
        settings = {"epoch": 1, "listed": lambda address: address in self.alive, "grace_s": 0.02, **options}
        self.hub = Hub(self.directory, self._deliver, **settings)

    def _deliver(self, events: Sequence[ev.Event]) -> None:
        assert events
        self.told.extend(events)
        self._changed.set()

    async def until(self, check: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not check():
                self._changed.clear()
                await self._changed.wait()

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.told if isinstance(e, kind)]

    async def agent(self, *args: Any, **options: Any) -> ScriptedAgent:
        agent = ScriptedAgent(self.directory, *args, **options)
        before = len(self.of(ev.NodeJoined))
        await agent.connect()
        await self.until(lambda: len(self.of(ev.NodeJoined)) == before + len(agent.nodes))
        return agent

    def launch(
        self, index: int = 0, number: int = 1, node: str = "local-0.e1", inputs: Any = None, **placed: Any
    ) -> tuple[str, int]:
        task = f"sim[{index}]"
        placed_there = ev.AttemptAssigned(0.0, task, number, node, **placed)
        self.hub.launch(Launch(PLAN, index, placed_there, inputs=inputs or {}))
        return task, number


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    await scene.hub.start()
    yield scene
    await scene.hub.close()


def test_names_for_people() -> None:
    assert display_name("local.e3-0@9f2c") == "local-0.e3"
    assert display_name("big-pool.e12-34@9f2c") == "big-pool-34.e12"
    assert display_name("summit-4.e1@9f2c") == "summit-4.e1"


async def test_the_contact_file_is_the_owners_alone(scene: Scene) -> None:
    path = os.path.join(scene.directory, CONTACT)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    contact = read_contact(scene.directory)
    assert contact.address.startswith("tcp://127.0.0.1:") and contact.epoch == 1 and len(contact.token) == 64


async def test_an_agents_nodes_join_under_names_for_people(scene: Scene) -> None:
    await scene.agent()
    (joined,) = scene.of(ev.NodeJoined)
    assert (joined.node, joined.pool, joined.cores, joined.prefetch) == ("local-0.e1", "local", 2, 8)
    assert joined.host == "host-a1"


async def test_who_does_not_know_the_token_is_refused(scene: Scene) -> None:
    with pytest.raises(LinkError):
        await ScriptedAgent(scene.directory).connect(token="00" * 32)
    await scene.agent("honest")
    assert [e.host for e in scene.of(ev.NodeJoined)] == ["host-honest"]


async def test_an_agent_of_a_later_engine_is_refused(scene: Scene) -> None:
    agent = ScriptedAgent(scene.directory)
    agent.epoch = 2
    with pytest.raises(LinkError):
        await agent.connect()
    assert scene.told == []


async def test_a_definition_goes_before_the_first_run_and_once(scene: Scene) -> None:
    agent = await scene.agent()
    for index in range(3):
        scene.launch(index, queued=index > 0)
    runs = await agent.got(wire.Run, 3)
    assert [type(o).__name__ for o in agent.orders] == ["Define", "Run", "Run", "Run"]
    assert [r.node for r in runs] == ["local.e1-0@a1"] * 3, "the agent hears its own name of the node"
    assert [r.queued for r in runs] == [False, True, True]


def results(n: int, each: int = 100) -> tuple[Result, ...]:
    return tuple(Result(inline=b"%0*d" % (each, i)) for i in range(n))


async def test_what_many_take_is_sent_once_for_each_connection(scene: Scene) -> None:
    agent = await scene.agent()
    whole, own = results(50), (Result(inline=b"7"),)
    for i in range(3):
        scene.launch(i, inputs={"all": whole, "each/each": own})
    runs = await agent.got(wire.Run, 3)
    assert [type(o).__name__ for o in agent.orders] == ["Define", "Given", "Run", "Run", "Run"]
    (given,) = await agent.got(wire.Given)
    assert wire.decode_results(given.results) == whole
    assert [(r.shared, r.inputs) for r in runs] == [({"all": given.key}, {"each/each": own})] * 3
    agent.drop()
    agent.known = (("sim[0]", 1), ("sim[1]", 1))
    await agent.connect()
    (run,) = await agent.got(wire.Run)
    assert [type(o).__name__ for o in agent.orders] == ["Define", "Given", "Run"], "again on a new connection"
    assert (run.task, run.shared, (await agent.got(wire.Given))[0]) == ("sim[2]", {"all": given.key}, given)


async def test_an_agent_forgets_what_was_unused_for_longest(scene: Scene) -> None:
    agent = await scene.agent()
    lists = [results(10 + i) for i in range(GIVEN + 2)]
    for i, whole in enumerate([*lists[:GIVEN], lists[0], *lists[GIVEN:], lists[1]]):
        scene.launch(i, inputs={"all": whole})
    await agent.got(wire.Run, GIVEN + 4)
    keys = [g.key for g in await agent.got(wire.Given, GIVEN + 3)]
    assert [f.keys for f in await agent.got(wire.Forget, 3)] == [(keys[1],), (keys[2],), (keys[3],)]
    assert keys[-1] == keys[1] and len(set(keys)) == GIVEN + 2, "given again where it is used again"
    held: set[str] = set()
    for order in agent.orders:
        if isinstance(order, wire.Given):
            held.add(order.key)
        elif isinstance(order, wire.Forget):
            held.difference_update(order.keys)
        elif isinstance(order, wire.Run):
            assert order.shared is not None and set(order.shared.values()) <= held


async def test_reports_become_events_in_one_batch(scene: Scene) -> None:
    agent = await scene.agent()
    key = scene.launch()
    await agent.got(wire.Run)
    agent.say(wire.Started, *key, 10.0, 99)
    agent.say(wire.Reported, *key, {"loss": 1.5}, 0.5)
    agent.say(wire.Finished, *key, 10.0, 11.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    assert [type(e) for e in scene.told[1:]] == [ev.AttemptStarted, ev.AttemptReported, ev.AttemptFinished]
    assert scene.told[1].at > 1e9, "stamped by the engine's clock"


async def test_events_seen_before_are_dropped_and_all_are_acknowledged(scene: Scene) -> None:
    agent = await scene.agent()
    keys = [scene.launch(i) for i in range(3)]
    await agent.got(wire.Run, 3)
    for key in keys[:2]:
        agent.say(wire.Finished, *key, 1.0, 2.0)
    assert (await agent.got(wire.Ack))[-1].seq == 2
    agent.drop()
    agent.known = tuple(keys)  # the acknowledgement was lost
    await agent.connect()
    assert agent.acked == 2
    agent.say(wire.Finished, *keys[0], 1.0, 2.0, seq=1)
    agent.say(wire.Finished, *keys[1], 1.0, 2.0, seq=2)
    agent.say(wire.Reported, *keys[2], {"again": True}, seq=2)
    agent.say(wire.Reported, *keys[2], {"again": False})
    agent.say(wire.Finished, *keys[2], 1.0, 2.0)
    await scene.until(lambda: len(scene.of(ev.AttemptFinished)) == 3)
    assert [e.metrics for e in scene.of(ev.AttemptReported)] == [{"again": False}]
    assert [e.task for e in scene.of(ev.AttemptFinished)] == ["sim[0]", "sim[1]", "sim[2]"]


async def test_journalled_events_are_acknowledged_when_the_engine_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, journalled=True)
    await scene.hub.start()
    agent = await scene.agent()
    key = scene.launch()
    await agent.got(wire.Run)
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    agent.drop()
    await agent.connect()
    assert agent.acked == 0, "not on disk yet"
    scene.hub.acknowledge()
    assert (await agent.got(wire.Ack))[-1].seq == 1
    await scene.hub.close()


async def test_a_lost_order_is_sent_again_and_an_adopted_one_is_not(scene: Scene) -> None:
    agent = await scene.agent()
    scene.launch(0)
    scene.launch(1)
    await agent.got(wire.Run, 2)
    agent.drop()
    scene.launch(2)  # ordered while it is away
    agent.known = (("sim[0]", 1),)
    await agent.connect()
    runs = await agent.got(wire.Run, 2)
    assert [r.task for r in runs] == ["sim[1]", "sim[2]"]
    assert [type(o).__name__ for o in agent.orders] == ["Define", "Run", "Run"], "defined again on a new connection"


async def test_what_nobody_ordered_is_killed(scene: Scene) -> None:
    agent = ScriptedAgent(scene.directory)
    agent.known = (("old[0]", 3),)
    await agent.connect()
    (halt,) = await agent.got(wire.Halt)
    assert (halt.task, halt.number, halt.grace_s) == ("old[0]", 3, 0.0)
    agent.say(wire.Ended, "old[0]", 3, Cause.Cancelled)
    key = scene.launch()
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    assert not scene.of(ev.AttemptEnded), "what nobody ordered is nobody's news"


async def test_launches_are_repeatable_and_the_ended_stay_ended(scene: Scene) -> None:
    agent = await scene.agent()
    key = scene.launch()
    scene.launch()
    await agent.got(wire.Run)
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    scene.launch()
    scene.launch(0, number=2)
    runs = await agent.got(wire.Run, 2)
    assert [(r.task, r.number) for r in runs] == [("sim[0]", 1), ("sim[0]", 2)]


async def test_stop_and_tell_reach_the_attempts_agent_and_nobody_else(scene: Scene) -> None:
    first = await scene.agent("a1", "local.e1-0")
    second = await scene.agent("a2", "local.e1-1")
    key = scene.launch(0, node="local-1.e1")
    scene.hub.tell(Tell(*key, "local-1.e1", {"lr": 0.1}))
    scene.hub.tell(Tell("sim[9]", 1, "local-1.e1", {"lr": 0.1}))
    scene.hub.stop(Stop(*key, "local-1.e1", 5.0))
    (halt,) = await second.got(wire.Halt)
    (tell,) = await second.got(wire.Tell)
    assert tell.parameters == {"lr": 0.1} and halt.grace_s == 5.0
    assert first.orders == []


async def test_a_silent_agent_lives_while_the_cluster_lists_its_worker(scene: Scene) -> None:
    agent = await scene.agent()
    key = scene.launch()
    await agent.got(wire.Run)
    asked = asyncio.Event()
    alive = scene.hub._listed

    def listed(address: str) -> bool:
        asked.set()
        return alive(address)

    scene.hub._listed = listed
    agent.drop()
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
    assert not scene.of(ev.NodeLeft)
    agent.known = (key,)
    await agent.connect()
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    assert not scene.of(ev.NodeLeft)


async def test_an_agent_whose_worker_is_gone_is_given_up_with_its_nodes(scene: Scene) -> None:
    agent = await scene.agent(n=2)
    key = scene.launch(node="local.e1-0.0")
    await agent.got(wire.Run)
    scene.alive.clear()
    agent.drop()
    await scene.until(lambda: len(scene.of(ev.NodeLeft)) == 2)
    assert {(e.node, e.cause) for e in scene.of(ev.NodeLeft)} == {
        ("local.e1-0.0", Cause.NodeLost),
        ("local.e1-0.1", Cause.NodeLost),
    }
    assert "process 7" in scene.of(ev.NodeLeft)[0].detail
    assert not scene.of(ev.AttemptEnded), "the node's leaving is the attempt's end"
    # It was only a partition: it returns, under new names, and what it still runs is killed.
    agent.known = (key,)
    await agent.connect()
    await agent.got(wire.Halt)
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: len(scene.of(ev.NodeJoined)) == 4)
    names = [e.node for e in scene.of(ev.NodeJoined)]
    assert len(set(names)) == 4
    again = scene.launch(1, node=names[2])
    agent.say(wire.Finished, *again, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    assert [e.task for e in scene.of(ev.AttemptFinished)] == ["sim[1]"], "the late finisher changes nothing"


async def test_an_agent_that_has_given_itself_up_is_given_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path, orphan_s=0.05)
    await scene.hub.start()
    agent = await scene.agent()
    agent.drop()  # the cluster goes on listing its worker
    await scene.until(lambda: scene.of(ev.NodeLeft))
    await scene.hub.close()


async def test_a_second_connection_takes_the_place_of_a_half_open_one(scene: Scene) -> None:
    agent = await scene.agent()
    first = agent.link
    await agent.connect()
    assert agent.link is not first
    key = scene.launch()
    await agent.got(wire.Run)
    agent.say(wire.Finished, *key, 1.0, 2.0)
    await scene.until(lambda: scene.of(ev.AttemptFinished))
    assert len(scene.of(ev.NodeJoined)) == 1


async def test_an_attempt_over_several_nodes_hears_their_hosts_and_ends_with_them(scene: Scene) -> None:
    first = await scene.agent("a1", "local.e1-0")
    second = await scene.agent("a2", "local.e1-1")
    scene.alive = {"tcp://worker"}
    key = scene.launch(others=(ev.Share("local-1.e1"),))
    (run,) = await first.got(wire.Run)
    assert run.hosts == ("host-a1", "host-a2")
    scene.alive.clear()
    second.drop()
    await first.got(wire.Halt)
    first.say(wire.Ended, *key, Cause.Cancelled)
    await scene.until(lambda: scene.of(ev.AttemptEnded))
    assert scene.of(ev.AttemptEnded)[0].cause is Cause.NodeLost
    assert [e.node for e in scene.of(ev.NodeLeft)] == ["local-1.e1"]


async def test_a_node_given_back_can_be_taken_again_under_another_name(scene: Scene) -> None:
    agent = await scene.agent()
    key = scene.launch()
    await agent.got(wire.Run)
    offered = scene.hub.retire("local-0.e1")
    assert offered is not None
    (halt,) = await agent.got(wire.Halt)
    assert (halt.task, halt.number) == key
    agent.say(wire.Ended, *key, Cause.Cancelled)
    assert scene.hub.revive(offered)
    assert not scene.hub.revive(offered), "it is in service"
    assert [e.node for e in scene.of(ev.NodeJoined)] == ["local-0.e1", "local-0.e1.2"]
    assert scene.of(ev.NodeLeft)[0].cause is Cause.Preempted and not scene.of(ev.AttemptEnded)


@pytest.mark.parametrize("rubbish", [b"\0" * 64, b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"x"])
async def test_rubbish_costs_its_sender_the_connection_only(scene: Scene, rubbish: bytes) -> None:
    contact = read_contact(scene.directory)
    host, _, port = contact.address.removeprefix("tcp://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(rubbish)
    async with asyncio.timeout(PATIENCE_S):
        await reader.read()  # the challenge, then the end
    writer.close()
    await scene.agent()


async def test_close_says_goodbye_and_tells_nothing_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.hub.start()
    agent = await scene.agent()
    key = scene.launch()
    await agent.got(wire.Run)
    agent.say(wire.Finished, *key, 1.0, 2.0)
    before = len(scene.told)
    await scene.hub.close()
    await agent.got(wire.Bye)
    async with asyncio.timeout(PATIENCE_S):
        await agent.lost.wait()
    assert len(scene.told) == before
    with pytest.raises(OSError):
        await ScriptedAgent(scene.directory).connect()
