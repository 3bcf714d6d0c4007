"""The agent: dials the engine, runs the attempts that it is sent, and keeps their ends until the engine has them.

It lives in a worker, in a thread and event loop of its own, so that neither side's lag disturbs the other; but nothing
here knows of Dask. The rules of the conversation are in `wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import math
import os
import random
import socket
import ssl
import threading
import time
import uuid
from collections import OrderedDict
from typing import Any

from workbench.executors.agent import link as links
from workbench.executors.agent import wire
from workbench.executors.agent.attempts import Attempt, Key, Phase
from workbench.executors.agent.children import Child
from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.desk import Launcher
from workbench.executors.agent.functions import Functions
from workbench.executors.agent.link import Link
from workbench.executors.agent.nursery import Nursery, NurseryError
from workbench.executors.agent.outbox import Outbox
from workbench.executors.agent.output import last_words
from workbench.executors.agent.programs import Programs
from workbench.executors.agent.slots import Ledger
from workbench.executors.agent.threads import Threads
from workbench.executors.agent.virtual import Timers
from workbench.executors.agent.watch import Watch, amount
from workbench.model.actions import SetPlan
from workbench.model.causes import Cause
from workbench.model.resources import Resources
from workbench.model.specs import Function, Result, Synthetic
from workbench.store.layout import Layout

log = logging.getLogger("workbench.agent")

REMEMBERED = 10_000
"""Attempts that ended and were acknowledged, which a late repetition of their `Run` must not start again."""

EAGER_S, EAGER_FOR_S, PATIENT_S = 0.1, 10.0, 1.0
"""How often it looks for an engine, at first and later."""


class Agent:
    """See the head of the file; implements `desk.Desk`.

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
        self.nursery: Nursery
        self._address, self._ssl, self._dask = address, ssl_context, dask
        self._host = socket.gethostname()
        self._epoch = 0
        self._outbox = Outbox()
        self._ledgers = {n.name: Ledger(n) for n in self.nodes}
        self._plans: dict[str, SetPlan] = {}
        self._given: dict[str, wire.Given] = {}
        self._known: dict[Key, Attempt] = {}
        self._past: OrderedDict[Key, None] = OrderedDict()
        self._pumping: set[str] = set()
        self._again: set[str] = set()
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
        self.nursery = Nursery(self.config.preload)
        cores = len(os.sched_getaffinity(0))
        self._functions = Functions(self, self._dask, cores)
        self._programs = Programs(self, self._host)
        self._threads = Threads(self, self._dask)
        self._timers = Timers(self)
        self._watch = Watch(
            self.loop,
            announce=self.announce,
            lasting=self._lasting,
            kill=self.kill,
            show=self._functions.show_output,
            keepers=lambda: self.nursery.pids,
        )
        try:
            if any(not n.virtual for n in self.nodes) and self.config.warm:
                with contextlib.suppress(NurseryError):
                    self.nursery.start()
                self._functions.warm()
            if not self._stop_early:
                await self._serve()
        finally:
            await self._close()

    async def _close(self) -> None:
        self._watch.close()
        self._threads.close()
        for a in self._known.values():
            if isinstance(a.owner, asyncio.Handle):
                a.owner.cancel()
        await self.nursery.close(self.config.stop_s)
        self._functions.close()
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
                self._outbox.disconnect()
                alone_since, pause = self.loop.time(), 0.02
        finally:
            stopped.cancel()

    async def _connect(self) -> asyncio.Future[Any]:
        """Find the engine and greet it; the future is done when the connection has ended."""
        contact = links.read_contact(self.config.directory)
        link, welcome = await links.dial(
            contact.address, contact.token, self._hello, ssl_context=self._ssl, least_epoch=self._epoch
        )
        self._epoch = welcome.epoch
        self._given.clear()
        self._acknowledged(welcome.acked)
        lost: asyncio.Future[Any] = self.loop.create_future()
        self._outbox.connect(link)
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
            "seq": self._outbox.seq,
            "known": tuple(self._known),
        }

    # --- orders ---

    def _obey(self, link: Link[wire.FromHub], batch: list[wire.FromHub]) -> None:
        touched: dict[str, None] = {}
        for order in batch:
            if isinstance(order, wire.Run):
                if self._run(order):
                    touched[order.node] = None
            elif isinstance(order, wire.Ack):
                self._acknowledged(order.seq)
            elif isinstance(order, wire.Define):
                self._plans[order.plan.key] = order.plan
            elif isinstance(order, wire.Given):
                self._given[order.key] = order
            elif isinstance(order, wire.Forget):
                for key in order.keys:
                    self._given.pop(key, None)
            elif isinstance(order, wire.Halt):
                self._halt((order.task, order.number), order.grace_s)
            elif isinstance(order, wire.Tell):
                self._tell(order)
            elif isinstance(order, wire.Bye):
                self.stop()
                return
            else:
                link.abort(links.LinkError(f"{type(order).__name__} is out of place here"))
                return
        for node in touched:
            self.pump(node)

    def _run(self, run: wire.Run) -> bool:
        key = (run.task, run.number)
        if key in self._known or key in self._past:
            return False
        plan = self._plans.get(run.key)
        ledger = self._ledgers.get(run.node)
        a = self._known[key] = Attempt(run, plan or _NO_PLAN)
        if run.shared:
            a.shared = {name: self._given[key] for name, key in run.shared.items() if key in self._given}
        if plan is None:
            refusal = f"the worker was not told what {run.key!r} means"
        elif run.shared and len(a.shared) < len(run.shared):
            refusal = f"the worker was not given the results of {', '.join(run.shared.keys() - a.shared.keys())}"
        elif ledger is None:
            refusal = f"there is no node {run.node!r} on this worker"
        elif not ledger.can_ever(a):
            refusal = f"{run.node} has not got {run.cores} cores, GPUs {list(run.gpus)} and {run.memory} bytes"
        elif run.others and isinstance(plan.work, Function):
            refusal = f"{run.task} is a function and cannot span several nodes; declare it as Mpi([...])"
        else:
            (ledger.queued if run.queued else ledger.due).append(a)
            return True
        self.ended(a, Cause.LaunchRefused, refusal)
        return False

    def pump(self, node: str) -> None:
        if node in self._pumping:
            self._again.add(node)
            return
        self._pumping.add(node)
        try:
            while True:
                self._again.discard(node)
                self._pump_once(self._ledgers[node])
                if node not in self._again:
                    return
        finally:
            self._pumping.discard(node)

    def _pump_once(self, ledger: Ledger) -> None:
        due, queued = ledger.due, ledger.queued
        if due:
            for a in list(due):
                if ledger.fits(a):
                    due.remove(a)
                    self._start(ledger, a)
        while queued and not due:
            a = queued[0]
            if ledger.fits(a):
                queued.popleft()
                self._start(ledger, a)
            elif self._functions.prefetch(a):
                queued.popleft()
            else:
                return

    def _start(self, ledger: Ledger, a: Attempt) -> None:
        ledger.take(a)
        self._launcher(a).start(a)

    def _launcher(self, a: Attempt) -> Launcher:
        work = a.plan.work
        if isinstance(work, Function):
            return self._functions if work.isolation == "child" else self._threads
        return self._timers if isinstance(work, Synthetic) else self._programs

    def _tell(self, order: wire.Tell) -> None:
        a = self._known.get((order.task, order.number))
        if a is None or a.phase is Phase.ended:
            return
        if a.phase is not Phase.running:  # kept too, in case it is taken back and begins elsewhere
            a.parameters = {**(a.parameters or {}), **order.parameters}
            a.stop = a.stop or order.stop
        if a.phase is not Phase.queued:
            self._launcher(a).tell(a, order.parameters, order.stop)

    def _halt(self, key: Key, grace_s: float) -> None:
        a = self._known.get(key)
        if a is None or a.phase is Phase.ended:
            return
        waiting = a.phase is Phase.queued and self._ledgers[a.run.node].drop(a)
        if waiting or (a.phase is Phase.piped and self._functions.withdraw(a)):
            self.ended(a, Cause.Cancelled, "it had not started")
            self.pump(a.run.node)
            return
        first = a.doom is None
        if a.doom is None:
            a.doom = (Cause.Cancelled, f"it was given {grace_s:g} s to end by itself" if grace_s > 0 else "")
        a.grace_at = min(a.grace_at, self.loop.time() + grace_s)
        if grace_s <= 0:
            self.kill(a)
        elif first:
            self._launcher(a).ask(a)

    def kill(self, a: Attempt) -> None:
        """End a running attempt and all that it started; its doom says why."""
        if not a.killed and a.phase is not Phase.piped:
            a.killed = True
            self._launcher(a).kill(a)

    def _lasting(self, a: Attempt) -> bool:
        """It is no micro-task: what waits behind it had better go elsewhere. Says whether it has begun."""
        if not isinstance(a.owner, Child):
            return True
        begun = self._functions.reclaim(a.owner)
        a.long = True
        self.pump(a.run.node)
        return begun

    # --- what launchers ask (`desk.Desk`) ---

    def ledger(self, a: Attempt) -> Ledger:
        return self._ledgers[a.run.node]

    def began(self, a: Attempt) -> None:
        a.phase = Phase.running
        a.deadline, a.long = math.inf, False
        a.started = time.time()
        a.began = self.loop.time()
        if isinstance(a.plan.work, Synthetic):
            return
        if a.plan.timeout_s is not None:
            a.deadline = a.began + a.plan.timeout_s
        self._watch.add(a)

    def announce(self, a: Attempt) -> None:
        if not a.announced and a.phase is Phase.running:
            a.announced = True
            self._outbox.emit(lambda seq: wire.Started(seq, a.task, a.number, a.started, a.pid))

    def said(self, a: Attempt, metrics: dict[str, Any], progress: float | None) -> None:
        if a.phase is Phase.running:
            self.announce(a)
            self._outbox.emit(lambda seq: wire.Reported(seq, a.task, a.number, metrics, progress))

    def finished(
        self, a: Attempt, result: Result, started: float, ended: float, growth: bytes, cpu_s: float, max_rss: int
    ) -> None:
        if a.phase is Phase.ended:
            return
        if a.doom is not None:
            said = last_words(*map(os.fspath, (self.layout.stderr(*a.key), self.layout.stdout(*a.key))))
            self.ended(a, a.doom[0], said, started, ended, None, cpu_s, max_rss)
            return
        a.phase = Phase.ended
        self._watch.drop(a)
        peak = max(max_rss, a.peak)
        self._outbox.emit(lambda seq: wire.Finished(seq, a.task, a.number, started, ended, result, growth, cpu_s, peak))

    def ended(
        self,
        a: Attempt,
        cause: Cause,
        detail: str,
        started: float = 0.0,
        ended: float = 0.0,
        exit_code: int | None = None,
        cpu_s: float = 0.0,
        max_rss: int = 0,
    ) -> None:
        if a.phase is Phase.ended:
            return
        a.phase = Phase.ended
        self._watch.drop(a)
        if a.doom is not None:
            cause, why = a.doom
            detail = f"{why}\n{detail}".strip()
        elif cause is Cause.OutOfMemory and a.limit:
            detail = f"the task asked for {amount(a.limit)}\n{detail}".strip()
        when = ended or time.time()
        peak = max(max_rss, a.peak)
        self._outbox.emit(
            lambda seq: wire.Ended(
                seq, a.task, a.number, cause, detail, started or a.started, when, exit_code, cpu_s, peak
            )
        )

    def free(self, a: Attempt) -> None:
        if a.holds:
            self.ledger(a).give(a)
        self.pump(a.run.node)

    # --- what the engine has ---

    def _acknowledged(self, seq: int) -> None:
        for event in self._outbox.acknowledged(seq):
            if isinstance(event, wire.Finished | wire.Ended):
                key = (event.task, event.number)
                if self._known.pop(key, None) is not None:
                    self._past[key] = None
        while len(self._past) > REMEMBERED:
            self._past.popitem(last=False)


_NO_PLAN = SetPlan("", "", 0, Synthetic(), None, Resources())
