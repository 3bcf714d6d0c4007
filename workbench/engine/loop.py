"""The engine's loop.

One round: commands and reports come in, each is judged or fenced, appended and folded; then decisions are made,
appended and folded; then the batch is written; only then is anything acted upon. So an engine that is killed between
any two steps loses nothing that it acted on.

The disk's sync costs more than a short task. A round that accepted a command waits for it before anything is done
about the command or anybody is told. A round of reports and decisions alone does not: the sync runs in a thread, and
readers see results once they are on disk. A power cut may then take back decisions whose attempts it took as well;
those tasks run again (execution is at least once, publication exactly once).

When the disk is full the round stops before its commit: nothing is acknowledged or started, running attempts go on,
and the engine tries again until there is room (`StorageFull` in `trouble`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from workbench.core import State, decide, evolve
from workbench.core.edits import validate
from workbench.core.undo import resolve
from workbench.executors.port import Executor
from workbench.journal.record import normalize
from workbench.journal.writer import JournalWriter
from workbench.model.actions import Action
from workbench.model.causes import Cause
from workbench.model.edits import Ack, Command
from workbench.model.errors import BadValue, EditRefused, WorkbenchError
from workbench.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    CommandAccepted,
    CommandRefused,
    EngineStopped,
    Event,
    NodeLeft,
)
from workbench.model.states import TaskState

from .choice import Choices, Chooser
from .effects import Effects, provide
from .feed import Feed
from .foresight import Forecaster, Foresight
from .relief import relieve, without_room

log = logging.getLogger("workbench.engine")

SYNC_S = 0.005  # least time between syncs: handing one to a thread costs as much as a round of a micro-task
TOGETHER = 32  # launches that leave at once: agents begin with these while more are decided
RETRY_S = 0.5  # between attempts to commit while the disk is full
Answer = Callable[[Ack], None]


class Engine:
    """Runs one campaign. Everything here happens on one event loop.

    Parameters
    ----------
    state : State
        The campaign as replayed from its journal.
    writer : JournalWriter
        The journal, at its end.
    feed : Feed
        Where committed records go.
    clock : callable
        Seconds since the epoch.
    forecaster, chooser : callable or None
        Predict the makespan, and choose what policy ``auto`` does (see `choice`).
    """

    def __init__(
        self,
        state: State,
        writer: JournalWriter,
        feed: Feed,
        clock: Callable[[], float] = time.time,
        forecaster: Forecaster | None = None,
        chooser: Chooser | None = None,
    ) -> None:
        self.state = state
        self.trouble: WorkbenchError | None = None
        self._writer = writer
        self._feed = feed
        self._clock = clock
        self._choices = None if chooser is None else Choices(state, chooser, clock, self.deliver, self._poke)
        self._effects = Effects(state)
        self._executor: Executor | None = None
        self._inbox: list[Event] = []
        self._asked: list[tuple[Command, Answer]] = []
        self._batch: deque[Event] = deque()  # appended, not on disk
        self._careful = False  # this round holds something that must be on disk before it is acted upon
        self._syncing: asyncio.Task[None] | None = None
        self._actions: list[Action] = []
        self._acks: list[tuple[Answer, Ack]] = []
        self._due = False  # a round is scheduled
        self._wanted = False  # there is more to do in it than to take in what came
        self._at_work = False  # one is under way
        self._synced_at = -SYNC_S
        self._end: asyncio.Future[None] | None = None
        self._closing = False
        self._foresight = Foresight(state, forecaster, self._choices, clock, self.deliver)
        self._relieving: asyncio.Task[None] | None = None
        self.on_round: Callable[[], None] = lambda: None

    # --- what comes in (on the loop) ---
    def submit(self, command: Command, answer: Answer) -> None:
        """Queue a command; `answer` is called once it is on disk, or refused."""
        self._asked.append((command, answer))
        self._poke()

    def deliver(self, events: Sequence[Event]) -> None:
        """Queue reports of the executor."""
        self._inbox.extend(events)
        alone = not self._due and not self._at_work and self._end is not None
        self._schedule()
        # Where nothing is ready, what waits is waiting for this. Else reports of one turn of the event loop share a
        # round: slots are busy, and rounds cost.
        if alone and not self.state.counts[TaskState.ready]:
            self._turn()

    async def attach(self, executor: Executor) -> None:
        """Start to execute: decisions are made from now on."""
        await executor.start(self.deliver, epoch=self.state.epoch)
        self._executor = executor
        executor.act([provide(self.state, name) for name in self.state.pools])
        if without_room(self.state):
            self._relieve_later()
        self._poke()

    def record(self, event: Event) -> None:
        """Append and fold an event of the engine's own."""
        self._append(event)
        self._careful = True
        self._poke()

    # --- the loop ---
    async def run(self) -> None:
        """Serve until `stop`; raises what broke a round."""
        self._end = asyncio.get_running_loop().create_future()
        self._poke()
        # The executor closes on this loop, which must not end before it has.
        await self._end

    def _poke(self) -> None:
        """Have a round in this turn of the event loop, whether or not something comes in."""
        self._wanted = True
        self._schedule()

    def _schedule(self) -> None:
        # A task that wakes up in place of a callback would cost a micro-task a fifth more.
        if not self._due and self._end is not None and not self._closing:
            self._due = True
            self._end.get_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._due = False
        if self._asked or self._inbox or self._wanted:
            self._turn()

    def _turn(self) -> None:
        if self._closing or self.trouble is not None:
            return
        self._at_work, self._wanted = True, False
        try:
            self.round()
            if self._executor is not None:
                self._foresight.begin()
        except BaseException as broken:
            self._break(broken)
        finally:
            self._at_work = False

    def _break(self, broken: BaseException) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_exception(broken)

    def _retry(self) -> None:
        """Try to write again what found no room."""
        if not self._closing:
            self._finish_round()
            self._poke()

    def round(self) -> None:
        """One round, up to the commit and what follows from it."""
        asked, self._asked = self._asked, []
        inbox, self._inbox = self._inbox, []
        now = self._clock()
        for command, answer in asked:
            self._judge(command, answer, now)
        for event in inbox:
            self._report(event)
        if self.state.growths:
            self._grow(now)
        if self._executor is not None and not self._closing and not (self._choices and self._choices.hold_back()):
            for decision in decide(self.state, now):
                self._append(decision)
                launch = self._effects.launch(decision)
                if launch is not None:
                    self._actions.append(launch)
                    if len(self._actions) >= TOGETHER and not self._careful and self.trouble is None:
                        self._carry_out()
        self._finish_round()

    def _report(self, event: Event) -> None:
        """Take in what an executor says; text and numbers of tasks are first made what JSON can hold."""
        kind = type(event)
        if kind is AttemptReported or kind is AttemptEnded or (isinstance(event, AttemptFinished) and event.growth):
            try:
                event = normalize(event)
            except BadValue as bad:
                log.warning("%s", bad)
                if not isinstance(event, AttemptFinished):
                    return  # a report with a meaningless number
                event = msgspec.structs.replace(event, growth=())
        self._append(event)

    def _append(self, event: Event) -> None:
        self._writer.append(event)
        self._batch.append(event)
        evolve(self.state, event)
        if type(event) is AttemptEnded and event.cause is Cause.DiskFull:
            self._relieve_later()

    def _finish_round(self) -> None:
        if self._carry_out():
            self._publish()
            if self._batch and self._syncing is None:
                self._syncing = asyncio.get_running_loop().create_task(self._sync())

    def _carry_out(self) -> bool:
        """Write what was appended, then act; False if it cannot be written now."""
        try:
            if self._careful or self.trouble is not None:
                self._writer.commit()
            else:
                self._writer.write()
        except WorkbenchError as error:
            self._in_trouble(error)
            return False
        self.trouble = None
        self._careful = False
        if self._actions:
            actions, self._actions = self._actions, []
            if self._executor is not None:
                self._executor.act(actions)
        return True

    def _in_trouble(self, error: WorkbenchError) -> None:
        if self.trouble is None:
            log.error("%s", error)
        self.trouble = error
        if self._end is not None and not self._closing:  # before the loop runs, whoever begins the engine is told
            self._end.get_loop().call_later(RETRY_S, self._retry)

    def _publish(self) -> None:
        """Show readers what is on disk, and answer whoever waited for it."""
        done = len(self._batch) - (self._writer.next_seq - self._writer.committed)
        if done > 0:
            self._feed.publish([self._batch.popleft() for _ in range(done)])
        acks, self._acks = self._acks, []
        for answer, ack in acks:
            answer(ack)
        self.on_round()

    async def _sync(self) -> None:
        """Wait for the disk in a thread, round after round, while there is something to wait for."""
        loop = asyncio.get_running_loop()
        try:
            while self.trouble is None:
                await asyncio.sleep(max(0.0, self._synced_at + SYNC_S - loop.time()))
                sync = self._writer.begin_sync()
                if sync is None:
                    break
                await loop.run_in_executor(None, sync.run)
                self._synced_at = loop.time()
                self._writer.finish_sync(sync)
                self._publish()
        except WorkbenchError as error:
            self._in_trouble(error)
        finally:
            self._syncing = None

    # --- commands ---
    def _judge(self, command: Command, answer: Answer, now: float) -> None:
        if command.id in self.state.commands:  # sent twice: applied once
            self._acks.append((answer, Ack(command.id, True, self.state.commands[command.id].seq)))
            return
        try:
            self._accept(command, now)
        except EditRefused as refusal:
            answer(Ack(command.id, False, rule=refusal.rule, message=str(refusal), subject=refusal.subject))
        else:
            self._acks.append((answer, Ack(command.id, True, self.state.seq)))

    def _accept(self, command: Command, now: float) -> None:
        command = resolve(self.state, command)
        inverse = validate(self.state, command)
        event = CommandAccepted(
            at=now,
            id=command.id,
            edits=command.edits,
            inverse=inverse,
            author=command.author,
            base=command.base,
            reason=command.reason,
            undoes=command.undoes,
            passed=command.passed,
            passed_more=command.passed_more,
        )
        self._append(event)
        self._careful = True
        self._actions.extend(self._effects.after_command(event))

    def _grow(self, now: float) -> None:
        """Answer what tasks asked for: the same command that a person's edit would be."""
        for key, (task, edits) in list(self.state.growths.items()):
            command = Command(key, edits, author=f"task:{task}", reason="asked for by the task's result")
            try:
                self._accept(command, now)
            except EditRefused as refusal:
                log.warning("growth of %s refused, %s: %s", task, refusal.rule, refusal)
                self._append(
                    CommandRefused(at=now, id=key, author=command.author, rule=refusal.rule, message=str(refusal))
                )

    # --- a disk that was full ---
    def _relieve_later(self) -> None:
        if self._relieving is None and not self._closing:
            self._relieving = asyncio.get_running_loop().create_task(self._relieve())

    async def _relieve(self) -> None:
        try:
            await relieve(self.state, self._writer.segment.parent, self.submit)
        finally:
            self._relieving = None
            self._poke()

    # --- the end ---
    async def stop(self, reason: str = "") -> None:
        """End attempts, journal what they report, and close the journal."""
        self._closing = True
        self._poke()
        try:
            if self._choices is not None:
                await self._choices.end()
            await self._foresight.end()
            if self._relieving is not None:
                self._relieving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._relieving
            executor, self._executor = self._executor, None
            if executor is not None:
                await executor.close()
            self.round()
            # Its nodes end with it: who looks at a stopped campaign must not find tasks that seem to run.
            for node in list(self.state.nodes):
                self.record(NodeLeft(at=self._clock(), node=node, cause=Cause.EngineLost))
            self.record(EngineStopped(at=self._clock(), reason=reason))
            self._finish_round()
            if self._syncing is not None:  # it still holds the file that is closed next
                await asyncio.gather(self._syncing, return_exceptions=True)
            with contextlib.suppress(WorkbenchError):
                self._writer.close()
        finally:
            if self._end is not None and not self._end.done():
                self._end.set_result(None)

    async def abandon(self) -> None:
        """Give the executor back without another record: this engine broke, and its state cannot be trusted."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await executor.close()

    @property
    def decided(self) -> bool:
        """Whether nothing is left to do: every task has ended, or only a person can bring the rest forward."""
        if self._asked or self._inbox or self._batch or self._relieving is not None:
            return False
        return self.state.ended or (self._executor is not None and self.state.stuck)
