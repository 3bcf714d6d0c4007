"""Time that tests control.

`Clock` is what the fake cluster (and whatever else wants to be tested) asks for the time and for timers. Three kinds:

* `LoopClock` follows the running event loop: real time on an ordinary loop, virtual time on a `VirtualTimeLoop`.
* `FakeClock` stands still until it is told to go on; its timers fire inside `advance`, in order, with no event loop.
* `VirtualTimeLoop` is an event loop whose time jumps to the next timer as soon as nothing else is left to do, so that
  hours of ``asyncio.sleep`` pass in no time, in the same order on every run. Files, sockets and threads still work:
  time stands still while a thread of `run_in_executor` is busy.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
START = 1_700_000_000.0  # virtual wall clocks begin here, so that journals of two runs are equal


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Never run it."""


class Clock(Protocol):
    """Wall clock and timers."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` in `delay_s` seconds; equal times in the order of the calls."""


class LoopClock:
    """Time of the running event loop."""

    def now(self) -> float:
        loop = asyncio.get_running_loop()
        return START + loop.time() if isinstance(loop, VirtualTimeLoop) else time.time()

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)


class _Entry:
    __slots__ = ("args", "at", "callback", "clock", "dead", "order")

    def __init__(self, clock: FakeClock, at: float, order: int, callback: Callable[..., object], args: Any) -> None:
        self.clock, self.at, self.order, self.callback, self.args = clock, at, order, callback, args
        self.dead = False

    def __lt__(self, other: _Entry) -> bool:
        return (self.at, self.order) < (other.at, other.order)

    def cancel(self) -> None:
        self.dead = True


class FakeClock:
    """A clock that stands still until `advance`.

    Examples
    --------
    >>> clock, seen = FakeClock(), []
    >>> timer = clock.call_later(5, seen.append, "five")
    >>> clock.advance(4.9), seen
    (0, [])
    >>> clock.advance(0.1), seen
    (1, ['five'])
    """

    def __init__(self, start: float = START) -> None:
        self._now = start
        self._timers: list[_Entry] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        entry = _Entry(self, self._now + max(0.0, delay_s), next(self._order), callback, args)
        heapq.heappush(self._timers, entry)
        return entry

    def next_at(self) -> float | None:
        """When the next timer fires, or None."""
        while self._timers and self._timers[0].dead:
            heapq.heappop(self._timers)
        return self._timers[0].at if self._timers else None

    def advance(self, seconds: float = 0.0) -> int:
        """Let `seconds` pass, firing what falls due on the way (what that starts, too). Returns how many fired."""
        until, fired = self._now + seconds, 0
        # Floating point: five steps of 0.1 s must reach a timer of 0.5 s.
        slack = 1e-9 * max(1.0, abs(seconds)) + 1e-6
        while (at := self.next_at()) is not None and at <= until + slack:
            entry = heapq.heappop(self._timers)
            self._now = max(self._now, min(at, until))
            entry.callback(*entry.args)
            fired += 1
        self._now = max(self._now, until)
        return fired

    def step(self) -> bool:
        """Go to the next timer and fire all that are due then; False when there is none."""
        at = self.next_at()
        if at is None:
            return False
        self.advance(at - self._now)
        return True


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Looks whether a file is ready; if none is, moves the loop's time in place of waiting."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads:
            return super().select(self.loop.patience_s)
        if timeout is None:
            # No timer at all: only another thread or process can wake us.
            ready = super().select(self.loop.patience_s)
            if not ready:
                raise RuntimeError(
                    f"the event loop has no timers left and nothing came from outside in {self.loop.patience_s:g} s: "
                    "whatever the test waits for will never happen"
                )
            return ready
        self.loop.jump(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps over waiting. See the head of the file.

    Parameters
    ----------
    patience_s : float
        Real seconds to wait for something from outside when there is no timer left.
    """

    def __init__(self, patience_s: float = 30.0) -> None:
        self._virtual = 0.0
        self.patience_s = patience_s
        self.threads = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._virtual += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self.threads -= 1


def run_virtual(main: Coroutine[Any, Any, T], patience_s: float = 30.0) -> T:
    """``asyncio.run`` in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(patience_s)) as runner:
        return runner.run(main)
