"""What runs in a worker: carries out the engine's orders on the slots of its nodes, and says how each attempt ended.

Here is decided who starts when (slots are kept by `slots.Ledger`), who launches what, and what is told; how an attempt
is run is the launchers' business, how orders come and news go the agent's.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from workbench.executors.agent import wire
from workbench.executors.agent.attempts import Attempt, Key, Phase, Spent
from workbench.executors.agent.children import Child
from workbench.executors.agent.desk import UNKNOWN, Launcher
from workbench.executors.agent.functions import Functions
from workbench.executors.agent.nursery import Nursery
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

REMEMBERED = 10_000
"""Attempts that ended and were acknowledged, which a late repetition of their `Run` must not start again."""

NO_PLAN = SetPlan("", "", 0, Synthetic(), None, Resources())


class Runner:
    """See the head of the file; implements `desk.Desk`.

    Parameters
    ----------
    id : str
        Of the agent, for names of files.
    nodes : iterable of wire.Node
        Whose slots there are.
    layout : Layout
        Of the campaign.
    nursery : Nursery
        Starts processes.
    host : str
        Name of this machine.
    dask : dict, optional
        Address and security settings of the cluster, for functions that ask for a client.

    Attributes
    ----------
    outbox : Outbox
        What is told to the engine.
    known : dict
        Attempts that are under way, or whose end is not acknowledged.
    """

    def __init__(
        self,
        id: str,
        nodes: Iterable[wire.Node],
        layout: Layout,
        nursery: Nursery,
        host: str,
        dask: dict[str, Any] | None,
    ) -> None:
        self.id, self.layout, self.nursery = id, layout, nursery
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox()
        self.known: dict[Key, Attempt] = {}
        self.ledgers = {n.name: Ledger(n) for n in nodes}
        self.functions = Functions(self, dask, len(os.sched_getaffinity(0)))
        self.threads = Threads(self, dask)
        self._programs = Programs(self, host)
        self._timers = Timers(self)
        self._places = 0
        self._plans: dict[str, SetPlan] = {}
        self._given: dict[str, wire.Given] = {}
        self._past: OrderedDict[Key, None] = OrderedDict()
        self._pumping: set[str] = set()
        self._again: set[str] = set()
        self._watch = Watch(
            self.loop,
            announce=self.announce,
            lasting=self._lasting,
            kill=self.kill,
            show=self.functions.show_output,
            keepers=lambda: self.nursery.pids,
        )

    async def close(self, timeout_s: float) -> None:
        """Kill everything; returns when it is gone, after `timeout_s` at the latest."""
        self._watch.close()
        self.threads.close()
        self._timers.close()
        await self.nursery.close(timeout_s)
        self.functions.close()

    # --- orders ---

    def define(self, plan: SetPlan) -> None:
        """Know what `Run`s with this plan's key mean."""
        self._plans[plan.key] = plan

    def give(self, given: wire.Given) -> None:
        """Know the inputs that `Run`s name by this key."""
        self._given[given.key] = given

    def forget(self, keys: Iterable[str]) -> None:
        """No further `Run` names these."""
        for key in keys:
            self._given.pop(key, None)

    def forget_all_given(self) -> None:
        """A new connection begins."""
        self._given.clear()

    def run(self, run: wire.Run) -> bool:
        """Take an order in; whether `pump` may have something to start. One that is known changes nothing."""
        key = (run.task, run.number)
        if key in self.known or key in self._past:
            return False
        plan = self._plans.get(run.key)
        ledger = self.ledgers.get(run.node)
        self._places += 1
        a = self.known[key] = Attempt(run, plan or NO_PLAN, self._places)
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
                self._pump_once(self.ledgers[node])
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
        while not due:
            if not queued:
                # A slot is free while somebody waits behind a call that takes longer: that one begins now.
                if ledger.cores <= 0 or not self.functions.recall_for_free_slot(ledger):
                    return
                continue
            a = queued[0]
            if ledger.fits(a):
                queued.popleft()
                self._start(ledger, a)
            elif self.functions.recall_passed(a):
                continue  # they stand before it now
            elif self.functions.prefetch(a):
                queued.popleft()
            else:
                return

    def _start(self, ledger: Ledger, a: Attempt) -> None:
        ledger.take(a)
        self._launcher(a).start(a)

    def _launcher(self, a: Attempt) -> Launcher:
        work = a.plan.work
        if isinstance(work, Function):
            return self.functions if work.isolation == "child" else self.threads
        return self._timers if isinstance(work, Synthetic) else self._programs

    def tell(self, order: wire.Tell) -> None:
        """Steer an attempt; an unknown one is ignored."""
        a = self.known.get((order.task, order.number))
        if a is None or a.phase is Phase.ended:
            return
        if a.phase is not Phase.running:  # kept too, in case it is taken back and begins elsewhere
            a.parameters = {**(a.parameters or {}), **order.parameters}
            a.stop = a.stop or order.stop
        if a.phase is not Phase.queued:
            self._launcher(a).tell(a, order.parameters, order.stop)

    def halt(self, key: Key, grace_s: float) -> None:
        """End an attempt; an unknown one is ignored."""
        a = self.known.get(key)
        if a is None or a.phase is Phase.ended:
            return
        waiting = a.phase is Phase.queued and self.ledgers[a.run.node].drop(a)
        if waiting or (a.phase is Phase.piped and self.functions.withdraw(a)):
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
        begun = self.functions.reclaim(a.owner)
        a.long = True
        self.pump(a.run.node)
        return begun

    # --- what launchers ask (`desk.Desk`) ---

    def ledger(self, a: Attempt) -> Ledger:
        return self.ledgers[a.run.node]

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
            self.outbox.emit(lambda seq: wire.Started(seq, a.task, a.number, a.started, a.pid))

    def said(self, a: Attempt, metrics: dict[str, Any], progress: float | None) -> None:
        if a.phase is Phase.running:
            self.announce(a)
            self.outbox.emit(lambda seq: wire.Reported(seq, a.task, a.number, metrics, progress))

    def finished(self, a: Attempt, result: Result, spent: Spent, growth: bytes = b"") -> None:
        if a.phase is Phase.ended:
            return
        if a.doom is not None:
            said = last_words(*map(os.fspath, (self.layout.stderr(*a.key), self.layout.stdout(*a.key))))
            self.ended(a, a.doom[0], said, spent)
            return
        a.phase = Phase.ended
        self._watch.drop(a)
        started, ended, cpu_s, max_rss = spent
        peak = max(max_rss, a.peak)
        self.outbox.emit(
            lambda seq: wire.Finished(seq, a.task, a.number, started, ended, result, growth, cpu_s, peak),
            urgent=not self._followed(a),
        )

    def ended(
        self, a: Attempt, cause: Cause, detail: str, spent: Spent = UNKNOWN, exit_code: int | None = None
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
        started, ended = spent.started or a.started, spent.ended or time.time()
        peak = max(spent.max_rss, a.peak)
        self.outbox.emit(
            lambda seq: wire.Ended(seq, a.task, a.number, cause, detail, started, ended, exit_code, spent.cpu_s, peak),
            urgent=not self._followed(a),
        )

    def _followed(self, a: Attempt) -> bool:
        """Whether something waits here for the slots of `a`."""
        ledger = self.ledgers.get(a.run.node)
        if ledger is not None and (ledger.queued or ledger.due):
            return True
        return isinstance(a.owner, Child) and bool(a.owner.piped)

    def free(self, a: Attempt) -> None:
        if a.holds:
            self.ledger(a).give(a)
        self.pump(a.run.node)

    # --- what the engine has ---

    def acknowledged(self, seq: int) -> None:
        """The engine has all events up to `seq`."""
        for event in self.outbox.acknowledged(seq):
            if isinstance(event, wire.Finished | wire.Ended):
                key = (event.task, event.number)
                if self.known.pop(key, None) is not None:
                    self._past[key] = None
        while len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
