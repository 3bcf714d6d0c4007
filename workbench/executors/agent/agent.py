"""The agent: dials the engine, runs the attempts that it is sent, and keeps their ends until the engine has them.

It lives in a worker, in a thread and event loop of its own, so that neither side's lag disturbs the other; but nothing
here knows of Dask. The rules of the conversation are in `wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import os
import random
import socket
import ssl
import threading
import uuid
from typing import Any

from workbench.executors.agent import link as links
from workbench.executors.agent import wire
from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.contact import read_contact
from workbench.executors.agent.link import Link
from workbench.executors.agent.nursery import Nursery, NurseryError
from workbench.executors.agent.runner import Runner
from workbench.store.layout import Layout

log = logging.getLogger("workbench.agent")

EAGER_S, EAGER_FOR_S, PATIENT_S = 0.1, 10.0, 1.0
"""How often it looks for an engine, at first and later."""


class Agent:
    """See the head of the file. What it is ordered, its `runner` carries out.

    Parameters
    ----------
    config : AgentConfig
        Of the campaign.
    worker : str
        Name of the worker, which says what nodes it carries.
    address : str
        Of the worker in its cluster: evidence of life for the engine.
    ssl_context : ssl.SSLContext, optional
        Dial with TLS, and accept nothing else.
    dask : dict, optional
        Address and security settings of the cluster, for functions that ask for a client.
    """

    def __init__(
        self,
        config: AgentConfig,
        worker: str,
        *,
        address: str = "",
        ssl_context: ssl.SSLContext | None = None,
        dask: dict[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.id = uuid.uuid4().hex[:12]
        self.nodes = config.nodes_of(worker, self.id)
        self.layout = Layout(config.directory)
        self.ended_event = threading.Event()
        self.loop: asyncio.AbstractEventLoop
        self.runner: Runner
        self._address, self._ssl, self._dask = address, ssl_context, dask
        self._host = socket.gethostname()
        self._epoch = 0
        self._stopping: asyncio.Event | None = None
        self._stop_early = False

    # --- life ---

    def start_thread(self) -> None:
        """Run in a thread of its own; `ended_event` is set when it is over."""
        threading.Thread(target=self._thread, name="workbench-agent", daemon=True).start()

    def _thread(self) -> None:
        try:
            asyncio.run(self.main())
        except Exception:
            log.exception("the agent failed")
        finally:
            self.ended_event.set()

    def stop_threadsafe(self) -> None:
        """Ask it to end, from any thread: everything it runs is killed, within `config.stop_s`."""
        self._stop_early = True
        with contextlib.suppress(AttributeError, RuntimeError):  # not begun, or over
            self.loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """Ask it to end, from its own loop."""
        self._stop_early = True
        if self._stopping is not None:
            self._stopping.set()

    async def main(self) -> None:
        """Serve until stopped, dismissed by the engine, or orphaned for too long."""
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for directory in (self.layout.logs, self.layout.scratches):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        nursery = Nursery(self.config.preload)
        self.runner = Runner(self.id, self.nodes, self.layout, nursery, self._host, self._dask)
        try:
            if any(not n.virtual for n in self.nodes) and self.config.warm:
                with contextlib.suppress(NurseryError):
                    nursery.start()
                self.runner.functions.warm()
            if not self._stop_early:
                await self._serve()
        finally:
            await self._close()

    async def _close(self) -> None:
        await self.runner.close(self.config.stop_s)
        for _ in range(2):
            await asyncio.sleep(0)  # aborted transports close their sockets in the next turns
        for path in glob.glob(os.path.join(glob.escape(os.fspath(self.layout.logs)), f".{self.id}-*")):
            with contextlib.suppress(OSError):
                os.unlink(path)

    async def _serve(self) -> None:
        assert self._stopping is not None
        stopped: asyncio.Future[Any] = self.loop.create_task(self._stopping.wait())
        try:
            alone_since, pause = self.loop.time(), 0.02
            while not stopped.done():
                try:
                    lost = await self._connect()
                except Exception as e:
                    alone = self.loop.time() - alone_since
                    log.debug("no engine yet: %s", e)
                    if alone > self.config.orphan_s:
                        log.warning("found no engine for %.0f s (%s): giving up", alone, e)
                        return
                    pause = min(EAGER_S if alone < EAGER_FOR_S else PATIENT_S, pause * 1.5)
                    await asyncio.wait([stopped], timeout=pause * random.uniform(0.8, 1.2))
                    continue
                await asyncio.wait({stopped, lost}, return_when=asyncio.FIRST_COMPLETED)
                self.runner.outbox.disconnect()
                alone_since, pause = self.loop.time(), 0.02
        finally:
            stopped.cancel()

    async def _connect(self) -> asyncio.Future[Any]:
        """Find the engine and greet it; the future is done when the connection has ended."""
        contact = read_contact(self.config.directory)
        link, welcome = await links.dial(
            contact.address, contact.token, self._hello, ssl_context=self._ssl, least_epoch=self._epoch
        )
        self._epoch = welcome.epoch
        self.runner.forget_all_given()
        self.runner.acknowledged(welcome.acked)
        lost: asyncio.Future[Any] = self.loop.create_future()
        self.runner.outbox.connect(link)
        link.begin(
            lambda batch: self._obey(link, batch), lambda why: lost.set_result(None) if not lost.done() else None
        )
        return lost

    def _hello(self) -> dict[str, Any]:
        return {
            "agent": self.id,
            "epoch": self._epoch,
            "host": self._host,
            "pid": os.getpid(),
            "dask": self._address,
            "nodes": self.nodes,
            "seq": self.runner.outbox.seq,
            "known": tuple(self.runner.known),
        }

    # --- orders ---

    def _obey(self, link: Link[wire.FromHub], batch: list[wire.FromHub]) -> None:
        runner = self.runner
        touched: dict[str, None] = {}
        for order in batch:
            if isinstance(order, wire.Run):
                if runner.run(order):
                    touched[order.node] = None
            elif isinstance(order, wire.Ack):
                runner.acknowledged(order.seq)
            elif isinstance(order, wire.Define):
                runner.define(order.plan)
            elif isinstance(order, wire.Given):
                runner.give(order)
            elif isinstance(order, wire.Forget):
                runner.forget(order.keys)
            elif isinstance(order, wire.Halt):
                runner.halt((order.task, order.number), order.grace_s)
            elif isinstance(order, wire.Tell):
                runner.tell(order)
            elif isinstance(order, wire.Bye):
                self.stop()
                return
            else:
                link.abort(links.LinkError(f"{type(order).__name__} is out of place here"))
                return
        for node in touched:
            runner.pump(node)
