"""Drives one executor the way an engine does: starts it, sends actions, collects events, waits for what should come."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from workbench.executors.port import Executor
from workbench.model.actions import Action, Launch, SetPlan, Stop, Tell
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    Event,
    NodeJoined,
    NodeLeft,
    Share,
)
from workbench.model.ids import task_id
from workbench.model.resources import Resources
from workbench.model.specs import Function, Member, Payload, Result, Synthetic, Work
from workbench.store import Layout, Store, codec

T = TypeVar("T")
PATIENCE_S = 30.0
POLL_S = 0.01
End = AttemptFinished | AttemptEnded


class Attempt:
    """One launched attempt."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.task, self.number = launch.placed.task, launch.placed.number

    def __repr__(self) -> str:
        return f"{self.task}#{self.number}"


class Ref:
    """Stands for the result of another task among arguments, as handles do."""

    def __init__(self, *ref: str) -> None:
        self.ref = ref

    def __workbench_ref__(self) -> tuple[str, ...]:
        return self.ref


class Bench:
    """An executor under test, with an event loop and a campaign directory of its own.

    Parameters
    ----------
    directory : Path
        Where the campaign lies; it is created.
    make : callable
        Makes the executor from the campaign's layout.
    loop_factory : callable, optional
        For an event loop of another kind, e.g. `testing.clock.VirtualTimeLoop`.

    Attributes
    ----------
    events : list of Event
        Everything that was delivered, in order.
    """

    def __init__(
        self,
        directory: Path,
        make: Callable[[Layout], Executor],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self.layout = Layout.create(directory, "bench", "bench")
        self.store = Store(directory)
        self.events: list[Event] = []
        self.closed = False
        self._runner = asyncio.Runner(loop_factory=loop_factory)
        self._loop = self._runner.get_loop()
        self._thread = threading.get_ident()
        self._changed = asyncio.Event()
        self._names = itertools.count(1)
        self._others = {p.pid for p in psutil.Process().children(recursive=True)}
        self.executor = make(self.layout)

    # --- life ---

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop."""
        return self._runner.run(work)

    def start(self, epoch: int = 1) -> None:
        """Start the executor."""
        self.run(self.executor.start(self._deliver, epoch=epoch))

    def close(self) -> None:
        """Close the executor and the loop; events from now on would be noted as `late`."""
        self.run(self.executor.close())
        self.closed = True

    def end_loop(self) -> None:
        """Nothing more will be asked."""
        self._runner.close()

    def _deliver(self, events: Sequence[Event]) -> None:
        assert threading.get_ident() == self._thread and asyncio.get_running_loop() is self._loop, (
            "events must be delivered on the engine's event loop"
        )
        assert not self.closed, f"delivered after close: {events}"
        self.events.extend(events)
        self._changed.set()

    def processes(self) -> list[psutil.Process]:
        """What this process has started since the bench was made, and what that has started."""
        return [p for p in psutil.Process().children(recursive=True) if p.pid not in self._others]

    # --- waiting ---

    def until(self, check: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
        """Run the loop until `check` gives something true; asked again after each batch of events.

        Raises
        ------
        AssertionError
            If that does not happen; the text has all events.
        """

        async def wait() -> T:
            async with asyncio.timeout(patience_s):
                while not (found := check()):
                    self._changed.clear()
                    await self._changed.wait()
                return found

        return self._told(wait(), what)

    def poll(self, check: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
        """As `until`, for what no event tells: asked again all the time."""

        async def wait() -> T:
            async with asyncio.timeout(patience_s):
                while not (found := check()):
                    await asyncio.sleep(POLL_S)
                return found

        return self._told(wait(), what)

    def _told(self, wait: Coroutine[Any, Any, T], what: str) -> T:
        try:
            return self.run(wait)
        except TimeoutError:
            raise AssertionError(f"{what}: it did not happen. Told so far:\n{self.story()}") from None

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop run for a moment (virtual seconds on a virtual loop)."""
        self.run(asyncio.sleep(seconds))

    def story(self) -> str:
        """All events, one a line."""
        return "\n".join(map(repr, self.events))

    # --- nodes ---

    def joined(self, pool: str) -> list[NodeJoined]:
        """Nodes of `pool` that joined and did not leave."""
        left = {e.node for e in self.events if isinstance(e, NodeLeft)}
        return [e for e in self.events if isinstance(e, NodeJoined) and e.pool == pool and e.node not in left]

    def nodes(self, pool: str, n: int) -> list[str]:
        """Names of `n` nodes of `pool`, once they are there; no more may be."""
        self.until(lambda: len(self.joined(pool)) >= n, f"{n} nodes of {pool} join")
        there = self.joined(pool)
        assert len(there) == n, f"{len(there)} nodes of {pool} in place of {n}"
        return [e.node for e in there]

    def left(self, node: str) -> NodeLeft | None:
        """That `node` left, if it did."""
        return next((e for e in self.events if isinstance(e, NodeLeft) and e.node == node), None)

    # --- attempts ---

    def launch(
        self,
        work: Work,
        node: str,
        *,
        args: Payload | None = None,
        cores: int = 1,
        gpus: tuple[int, ...] = (),
        memory: int = 0,
        others: tuple[Share, ...] = (),
        queued: bool = False,
        timeout_s: float | None = None,
        time_scale: float = 1.0,
        duration_s: float = 0.0,
        parameters: dict[str, Any] | None = None,
        member: Member | None = None,
        inputs: dict[str, tuple[Result, ...]] | None = None,
        name: str | None = None,
        index: int = 0,
        number: int = 1,
        n: int = 1,
    ) -> Attempt:
        """Launch one attempt, of a set of its own unless `name` says which."""
        name = name if name is not None else f"set{next(self._names)}"
        resources = Resources(cores, len(gpus), memory, 1 + len(others))
        plan = SetPlan(f"{name}/1", name, n, work, args, resources, parameters or {}, timeout_s, time_scale)
        placed = AttemptAssigned(time.time(), task_id(name, index), number, node, cores, gpus, memory, others, queued)
        attempt = Attempt(Launch(plan, index, placed, member, inputs or {}, duration_s))
        self.act(attempt.launch)
        return attempt

    def call(self, fn: Callable[..., Any], node: str, *args: Any, isolation: str = "child", **options: Any) -> Attempt:
        """Launch a call of a Python function; `Ref`s among its arguments refer to `inputs`."""
        code = self.store.payload(codec.encode_function(fn))
        packed, _ = codec.encode_call(args, {})
        work = Function(code, f"{fn.__module__}:{fn.__qualname__}", isolation)
        return self.launch(work, node, args=self.store.payload(packed), **options)

    def sleep(self, node: str, seconds: float, **options: Any) -> Attempt:
        """Launch synthetic work."""
        return self.launch(Synthetic(), node, duration_s=seconds, **options)

    def act(self, *actions: Action) -> None:
        """Send actions in one batch, on the loop."""

        async def send() -> None:
            self.executor.act(actions)

        self.run(send())

    def stop(self, attempt: Attempt, grace_s: float) -> None:
        """End an attempt."""
        self.act(Stop(attempt.task, attempt.number, attempt.launch.placed.node, grace_s))

    def tell(self, attempt: Attempt, stop: bool = False, **parameters: Any) -> None:
        """Steer an attempt."""
        self.act(Tell(attempt.task, attempt.number, attempt.launch.placed.node, parameters, stop))

    # --- what came of them ---

    def ends(self, attempt: Attempt) -> list[End]:
        """All ends that were told of `attempt`; there must never be two."""
        return [e for e in self.events if isinstance(e, (AttemptFinished, AttemptEnded)) and _is(e, attempt)]

    def started(self, attempt: Attempt) -> AttemptStarted | None:
        """That `attempt` runs, if it was told."""
        return next((e for e in self.events if isinstance(e, AttemptStarted) and _is(e, attempt)), None)

    def reports(self, attempt: Attempt) -> list[AttemptReported]:
        """Metrics and progress of `attempt`."""
        return [e for e in self.events if isinstance(e, AttemptReported) and _is(e, attempt)]

    def running(self, attempt: Attempt) -> AttemptStarted:
        """Wait until `attempt` is told to run."""
        started = self.until(lambda: self.started(attempt) or self.ends(attempt), f"{attempt} starts")
        assert isinstance(started, AttemptStarted), f"{attempt} ended at once: {started}"
        return started

    def end(self, attempt: Attempt) -> End:
        """Wait for the end of `attempt`."""
        return self.until(lambda: self.ends(attempt), f"{attempt} ends")[0]

    def finished(self, attempt: Attempt) -> AttemptFinished:
        """Wait for the end of `attempt`, which must be a good one."""
        end = self.end(attempt)
        assert isinstance(end, AttemptFinished), f"{attempt} ended with {end}"
        return end

    def ended(self, attempt: Attempt) -> AttemptEnded:
        """Wait for the end of `attempt`, which must be one without a result."""
        end = self.end(attempt)
        assert isinstance(end, AttemptEnded), f"{attempt} finished: {end}"
        return end

    def value(self, attempt: Attempt) -> Any:
        """Wait for the result of `attempt`."""
        result = self.finished(attempt).result
        return codec.decode_result(result.codec, self.store.load_result_bytes(result))


def _is(event: AttemptStarted | AttemptReported | End, attempt: Attempt) -> bool:
    return event.task == attempt.task and event.number == attempt.number
