"""A hub of one agent, small enough to see through: tests order, and wait for what the agent says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from workbench.executors.agent import link as links
from workbench.executors.agent import wire
from workbench.executors.agent.agent import Agent
from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.contact import Contact, write_contact
from workbench.executors.agent.wire import Node
from workbench.model.actions import SetPlan
from workbench.model.resources import Resources
from workbench.model.specs import Function, Member, Payload, Work
from workbench.store import Store, codec

TOKEN = "t" * 64
Key = tuple[str, int]


class SmallHub:
    """Listens in `directory`, remembers everything that agents say, acknowledges when told to."""

    def __init__(self, directory: Path, *, epoch: int = 1, acks: bool = True, seen: int = 0) -> None:
        self.directory, self.epoch, self.acks, self.seen = directory, epoch, acks, seen
        self.hellos: list[wire.Hello] = []
        self.said: list[wire.Report] = []
        self.ends: dict[Key, wire.Finished | wire.Ended] = {}
        self.link: links.Link[wire.FromAgent] | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes = 0
        self._plans: list[SetPlan] = []

    async def start(self) -> None:
        self.server, self.address = await links.serve(self._connected)
        write_contact(str(self.directory), Contact(self.address, TOKEN, self.epoch))

    async def close(self) -> None:
        self.server.close()
        if self.link is not None:
            self.link.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _connected(self, link: links.Link[wire.FromAgent]) -> None:
        task = asyncio.get_running_loop().create_task(self._greet(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _greet(self, link: links.Link[wire.FromAgent]) -> None:
        with contextlib.suppress(OSError):
            hello, proof = await links.greet(link, TOKEN)
            link.send(wire.Welcome(self.epoch, proof, self.seen), *map(wire.Define, self._plans))
            link.begin(self._received)
            self.hellos.append(hello)
            self.link = link
            self._note()

    def _received(self, batch: list[wire.FromAgent]) -> None:
        for m in batch:
            assert not isinstance(m, wire.Hello)
            self.said.append(m)
            self.seen = m.seq
            if isinstance(m, wire.Finished | wire.Ended):
                assert (m.task, m.number) not in self.ends, f"{m.task}#{m.number} ended twice"
                self.ends[m.task, m.number] = m
        if self.acks:
            self.send(wire.Ack(self.seen))
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- what tests use ---

    def send(self, *messages: wire.FromHub) -> None:
        assert self.link is not None
        self.link.send(*messages)

    async def until(self, condition: Callable[[], Any], timeout_s: float = 60) -> Any:
        """Wait until something that an agent said makes `condition` true, and give its value."""

        async def wait() -> Any:
            while not (value := condition()):
                await self._changed.wait()
            return value

        try:
            return await asyncio.wait_for(wait(), timeout_s)
        except TimeoutError:
            raise AssertionError(f"the agent never said so; it said {self.said[-20:]}") from None

    async def greeted(self, n: int = 1) -> wire.Hello:
        await self.until(lambda: len(self.hellos) >= n)
        return self.hellos[-1]

    async def end(self, task: str, number: int = 1) -> wire.Finished | wire.Ended:
        found: wire.Finished | wire.Ended = await self.until(lambda: self.ends.get((task, number)))
        return found

    async def started(self, task: str, number: int = 1, process: bool = True) -> wire.Started:
        def found() -> wire.Started | None:
            return next(
                (m for m in self.said if isinstance(m, wire.Started) and (m.task, m.number) == (task, number)), None
            )

        told: wire.Started = await self.until(found)
        assert told.pid > 1 or not process
        return told

    async def looked(self) -> None:
        """Until the agent has looked at everything that it was sent: it answers in order."""
        self._probes += 1
        self.run("nonsense", f"probe[{self._probes}]")
        await self.end(f"probe[{self._probes}]")

    def reports(self, task: str) -> list[wire.Reported]:
        return [m for m in self.said if isinstance(m, wire.Reported) and m.task == task]

    def define(
        self,
        work: Work | Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        *,
        isolation: str = "child",
        preload: tuple[str, ...] = (),
        dask: bool = False,
        parameters: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> str:
        """Define a set and give its key."""
        key = f"k{len(self._plans)}.{self.epoch}"
        store = Store(self.directory)
        if not isinstance(work, Work):
            work = Function(store.payload(codec.encode_function(work)), work.__qualname__, isolation, preload, dask)
        payload: Payload | None = None
        if args is not None:
            payload = store.payload(codec.encode_call(args, {})[0])
        plan = SetPlan(key, "t", 1, work, payload, Resources(), parameters or {}, timeout_s)
        self._plans.append(plan)
        self.send(wire.Define(plan))
        return key

    def run(self, key: str, task: str = "t[0]", number: int = 1, node: str = "n0", **more: Any) -> str:
        """Order an attempt."""
        self.send(wire.Run(task, number, key, int(task.partition("[")[2][:-1]), node, **more))
        return task

    def item(self, value: Any) -> Member:
        return Member(Store(self.directory).payload(codec.encode_call((value,), {})[0]))

    async def value(self, task: str, number: int = 1) -> Any:
        """The result of an attempt that must end well."""
        end = await self.end(task, number)
        assert isinstance(end, wire.Finished), end
        return codec.decode_result(end.result.codec, Store(self.directory).load_result_bytes(end.result))

    async def failure(self, task: str, number: int = 1) -> wire.Ended:
        """The end of an attempt that must end badly."""
        end = await self.end(task, number)
        assert isinstance(end, wire.Ended), end
        return end


@contextlib.asynccontextmanager
async def agent_in(
    directory: Path, *nodes: Node, preload: tuple[str, ...] = (), warm: bool = True, orphan_s: float = 60
) -> AsyncIterator[Agent]:
    """An agent in a thread of its own, as in a worker, without Dask."""
    config = AgentConfig(str(directory), {"*": nodes or (Node("n0", "p", 1),)}, preload, warm, orphan_s)
    agent = Agent(config, "w0")
    agent.start_thread()
    try:
        yield agent
    finally:
        agent.stop_threadsafe()
        assert await asyncio.get_running_loop().run_in_executor(None, agent.ended_event.wait, 20)


@contextlib.asynccontextmanager
async def rig(directory: Path, *nodes: Node, acks: bool = True, **more: Any) -> AsyncIterator[tuple[SmallHub, Agent]]:
    """A hub with one agent that has said hello."""
    hub = SmallHub(directory, acks=acks)
    await hub.start()
    try:
        async with agent_in(directory, *nodes, **more) as agent:
            await hub.greeted()
            yield hub, agent
    finally:
        await hub.close()
