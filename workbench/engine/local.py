"""The session that serves an engine from a thread of this process.

For notebooks, lessons and the command line. The engine and its executor live on the event loop of one thread; callers
in any other thread see `workbench.api.session.Session`. When the process dies, so does the engine, and the campaign is
resumed from its directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, TypeVar

from workbench.core import State, evolve
from workbench.core.explain import why
from workbench.core.story import story
from workbench.executors.port import Executor
from workbench.journal.lease import Lease
from workbench.journal.reader import read, recover
from workbench.journal.scan import Tail
from workbench.journal.writer import JournalWriter
from workbench.model.edits import Ack, Command
from workbench.model.errors import UnknownName, WorkbenchError
from workbench.model.events import CampaignCreated, Record
from workbench.model.ids import is_task
from workbench.store.layout import Layout

from .choice import Chooser
from .feed import Feed
from .foresight import Forecaster
from .loop import Engine
from .reconcile import takeover

T = TypeVar("T")
log = logging.getLogger("workbench.engine")


class LocalSession:
    """A campaign's engine in a thread. Make one with `create` or `resume`.

    Attributes
    ----------
    tail : Tail or None
        What was cut from a damaged end of the journal when the campaign was resumed.
    name, pools : str, tuple of Pool
        The campaign's name, and the pools that were declared when this session began.
    """

    def __init__(self, layout: Layout, lease: Lease, engine: Engine, feed: Feed, tail: Tail | None) -> None:
        self.layout = layout
        self.tail = tail
        self.name = engine.state.name
        self.pools = tuple(engine.state.pools.values())
        self._lease = lease
        self._engine = engine
        self._feed = feed
        self._loop = asyncio.new_event_loop()
        self._settled = threading.Condition()
        self._alive = True
        self._decided = False
        self._broke: BaseException | None = None
        self._lock = threading.Lock()
        engine.on_round = self._after_round
        self._thread = threading.Thread(target=self._serve, name="workbench-engine", daemon=True)
        self._thread.start()

    # --- making one ---
    @classmethod
    def create(
        cls,
        directory: str | Path,
        *,
        name: str,
        seed: int = 0,
        mode: str = "adaptive",
        policy: str = "upward-rank",
        time_scale: float = 1.0,
        fsync: str = "batch",
        forecaster: Forecaster | None = None,
        chooser: Chooser | None = None,
        clock: Callable[[], float] = time.time,
    ) -> LocalSession:
        """Begin a new campaign in `directory`, which must be new or empty.

        Raises
        ------
        WorkbenchError
            If the directory is taken, cannot be written, or mode or policy are unknown.
        """
        identity = uuid.uuid4().hex
        check_choices(mode, policy, time_scale)
        layout = Layout.create(directory, identity, name)
        lease = Lease.take(directory)
        try:
            writer = JournalWriter(directory, 0, fsync="never" if fsync == "never" else "batch")
            state = State()
            feed = Feed(str(layout.directory), 0)
            engine = Engine(state, writer, feed, clock, forecaster, chooser)
            engine.record(
                CampaignCreated(
                    at=clock(), id=identity, name=name, seed=seed, mode=mode, policy=policy, time_scale=time_scale
                )
            )
            _begin(engine, lease, clock)
        except BaseException:
            lease.release()
            raise
        return cls(layout, lease, engine, feed, None)

    @classmethod
    def resume(
        cls,
        directory: str | Path,
        *,
        fsync: str = "batch",
        forecaster: Forecaster | None = None,
        chooser: Chooser | None = None,
        clock: Callable[[], float] = time.time,
    ) -> LocalSession:
        """Go on with the campaign in `directory`, after a stop, a kill or a crash.

        Raises
        ------
        NoCampaign, CampaignHeld, JournalDamaged, StorageFull, WorkbenchError
            With one sentence that says what to do.
        """
        layout = Layout.open(directory)
        lease = Lease.take(directory)
        try:
            records = recover(directory)
            state = State()
            for record in records:
                evolve(state, record.event)
            next_seq = records.next_seq
            writer = JournalWriter(directory, next_seq, fsync="never" if fsync == "never" else "batch")
            feed = Feed(str(layout.directory), next_seq)
            engine = Engine(state, writer, feed, clock, forecaster, chooser)
            if not state.id:  # killed before its first record was on disk
                info = layout.info()
                engine.record(CampaignCreated(at=clock(), id=info.id, name=info.name, seed=0))
            _begin(engine, lease, clock)
        except BaseException:
            lease.release()
            raise
        return cls(layout, lease, engine, feed, records.tail)

    # --- the thread ---
    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._engine.run())
        except BaseException as error:  # a defect of ours: whoever waits must hear of it, and nothing may be left held
            log.exception("the engine of %s broke", self.directory)
            self._broke = error
            self._loop.run_until_complete(self._abandon())
        finally:
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
                self._loop.close()
            self._over()

    async def _abandon(self) -> None:
        """Give back what a broken engine holds; its journal is as after a kill, so the campaign can be resumed."""
        with contextlib.suppress(Exception):
            await self._engine.abandon()

    def _over(self) -> None:
        self._alive = False
        self._feed.close()
        with self._settled:
            self._settled.notify_all()
        with contextlib.suppress(WorkbenchError):
            self._lease.release()

    def _call(self, make: Callable[[], Coroutine[Any, Any, T]], timeout_s: float | None) -> T:
        """Run a coroutine on the engine's loop and wait for it."""
        coro = make()
        try:
            future = asyncio.run_coroutine_threadsafe(coro, self._loop)
        except RuntimeError:
            coro.close()
            raise WorkbenchError(f"the engine of {self.directory} has stopped; resume the campaign") from None
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                return future.result(1.0 if until is None else max(0.0, min(1.0, until - time.monotonic())))
            except FutureTimeout:
                if not self._thread.is_alive():
                    raise WorkbenchError(f"the engine of {self.directory} has stopped; resume the campaign") from None
                if until is not None and time.monotonic() >= until:
                    future.cancel()
                    raise

    def _after_round(self) -> None:
        decided = self._engine.decided
        if decided != self._decided:
            with self._settled:
                self._decided = decided
                self._settled.notify_all()

    # --- the session ---
    @property
    def directory(self) -> str:
        return str(self.layout.directory)

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def trouble(self) -> str:
        """Why the engine cannot make progress now (a full disk), or nothing."""
        return str(self._engine.trouble or "")

    def start(self, executor: Executor, timeout_s: float = 120.0) -> None:
        """Begin to execute on `executor`, which this session closes at its end."""
        self._call(lambda: self._engine.attach(executor), timeout_s)

    def submit(self, command: Command, timeout_s: float = 60.0) -> Ack:
        """See `Session.submit`. While the disk is full the answer waits; `TimeoutError` tells that it still does."""
        answer: Future[Ack] = Future()

        def give(ack: Ack) -> None:
            if not answer.done():
                answer.set_result(ack)

        if not self._alive:
            raise WorkbenchError(f"the engine of {self.directory} has stopped; resume the campaign to change it")
        with self._settled:
            self._decided = False
        self._loop.call_soon_threadsafe(self._engine.submit, command, give)
        try:
            return answer.result(timeout_s)
        except FutureTimeout:
            why_not = self.trouble or "the engine did not answer"
            raise WorkbenchError(
                f"command {command.id} is not acknowledged after {timeout_s:g} s: {why_not} (it was handed over and is "
                "carried out as soon as that is mended: do not repeat it)"
            ) from None

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
        return self._feed.events(since, limit)

    def wait(self, since: int, timeout_s: float) -> bool:
        return self._feed.wait(since, timeout_s)

    def wait_ended(self, timeout_s: float | None = None) -> bool:
        with self._settled:
            settled = self._settled.wait_for(lambda: self._decided or not self._alive, timeout_s) and self._decided
        if self._broke is not None:
            raise WorkbenchError(
                f"the engine of {self.directory} broke ({type(self._broke).__name__}: {self._broke}); nothing accepted "
                "is lost: resume the campaign, and please report the log"
            )
        return settled

    def story(self, target: str) -> str:
        now = self._call(lambda: self._tell(target), 60.0)
        return "\n".join([*story(read(self.directory, about=target.partition("#")[0]), target), f"now: {now}"])

    async def _tell(self, target: str) -> str:
        state = self._engine.state
        name = target.partition("#")[0]
        if is_task(name):
            task = state.task(name)
            if task is None:
                raise UnknownName(f"there is no task {name!r}", name)
            return why(state, task)
        if name not in state.sets:
            raise UnknownName(f"there is no task set {name!r}", name)
        counts = ", ".join(f"{v} {k}" for k, v in state.sets[name].counts.items() if v)
        return f"{name} has {counts or 'no tasks'}"

    def close(self, reason: str = "") -> None:
        with self._lock:
            if self._alive:
                try:
                    self._call(lambda: self._engine.stop(reason), None)
                except WorkbenchError:
                    if self._alive:
                        raise
            self._thread.join(10.0)


def _begin(engine: Engine, lease: Lease, clock: Callable[[], float]) -> None:
    from workbench import __version__

    for event in list(takeover(engine.state, lease.epoch, __version__, clock())):
        engine.record(event)
    engine.round()
    if engine.trouble is not None:
        raise engine.trouble


def check_choices(mode: str, policy: str, time_scale: float) -> None:
    """Raise `BadValue` for a mode, policy or time scale that means nothing."""
    from workbench.core.edits import validate
    from workbench.model.edits import SetMode, SetPolicy
    from workbench.model.errors import BadValue

    validate(State(), Command("check", (SetMode(mode), SetPolicy(policy))))
    if not 0 < time_scale <= 1000:
        raise BadValue(f"time scale {time_scale!r} makes no sense; use a number above 0, such as 0.01")
