"""An engine on a fake cluster in virtual time, with a disk that can be made to fail."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.core import State
from workbench.engine.feed import Feed
from workbench.engine.loop import Engine
from workbench.executors.fake import FakeCluster
from workbench.journal.writer import JournalWriter
from workbench.model import edits as ed
from workbench.model.edits import Ack, Command
from workbench.model.events import CampaignCreated, EngineStarted, Event
from workbench.model.resources import NodeShape, Pool
from workbench.testing.clock import LoopClock


class Disk:
    """The module `os`, whose writes or syncs can be told to fail; counts syncs."""

    def __init__(self) -> None:
        self.full = False
        self.broken_sync = False
        self.syncs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)

    def fdatasync(self, fd: int) -> None:
        if self.broken_sync:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.syncs += 1
        os.fdatasync(fd)


class Rig:
    """The parts of one engine. `start` joins the cluster; `settle` waits until nothing is left to do."""

    def __init__(self, directory: Path, nodes: int = 2, cores: int = 2, **options: Any) -> None:
        self.directory = directory
        self.disk = Disk()
        self.clock = LoopClock()
        self.state = State()
        self.feed = Feed(str(directory), 0)
        writer = JournalWriter(directory, 0, system=self.disk)
        foreseeing = (options.pop("forecaster", None), options.pop("chooser", None))
        self.engine = Engine(self.state, writer, self.feed, self.clock.now, *foreseeing)
        policy = options.pop("policy", "upward-rank")
        self.pool = Pool("p", nodes, NodeShape(cores, 1), "fake")
        self.cluster = FakeCluster(pools=[self.pool], clock=self.clock, **options)
        self.serving: asyncio.Task[None] | None = None
        self.n = 0
        self.engine.record(CampaignCreated(self.clock.now(), "id", "rig", 0, policy=policy))
        self.engine.record(EngineStarted(self.clock.now(), 1))

    async def __aenter__(self) -> Rig:
        self.serving = asyncio.ensure_future(self.engine.run())
        assert (await self.do(ed.AddPool(self.pool))).ok
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.stop("test")
        assert self.serving is not None
        await self.serving

    async def start(self) -> None:
        await self.engine.attach(self.cluster)

    async def do(self, *edits: ed.Edit, id: str = "", undoes: str = "") -> Ack:
        return await self.ask(*edits, id=id, undoes=undoes)

    def ask(self, *edits: ed.Edit, id: str = "", undoes: str = "") -> asyncio.Future[Ack]:
        self.n += 1
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self.engine.submit(Command(id or f"c{self.n}", edits, undoes=undoes), future.set_result)
        return future

    async def settle(self, patience_s: float = 10_000.0) -> None:
        for _ in range(int(patience_s)):
            if self.engine.decided:
                return
            await asyncio.sleep(1.0)
        raise AssertionError("the campaign does not come to rest")

    def seen(self, kind: type[Any]) -> Iterator[Any]:
        """Events of a kind that readers can see."""
        return (r.event for r in self.feed.events(0, 1_000_000) if isinstance(r.event, kind))


@contextmanager
def not_seen(rig: Rig, kind: type[Event]) -> Iterator[None]:
    """Nothing of that kind becomes visible inside."""
    before = len(list(rig.seen(kind)))
    yield
    assert len(list(rig.seen(kind))) == before
