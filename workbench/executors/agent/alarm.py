"""Callbacks at exact times: the loop rounds its own timers up to whole milliseconds, and a campaign adds them up."""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import os
import struct
from collections.abc import Callable
from itertools import count

_TIMESPEC = struct.Struct("@4l")  # interval (s, ns) and time (s, ns) of `struct itimerspec`
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
_CLOCK_MONOTONIC = 1  # what `loop.time` reads


class Alarm:
    """One call that is to come."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    @property
    def pending(self) -> bool:
        """Whether it has neither rung nor been cancelled."""
        return self._call is not None

    def cancel(self) -> None:
        """Have it never ring."""
        self._call = None

    def ring(self) -> None:
        """Call now, unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Clock:
    """Rings alarms on an event loop: by one kernel timer (Linux), elsewhere by the loop's own.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Alarms ring there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._order = count()
        self._set_for = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._timer = _timer()
        if self._timer >= 0:
            loop.add_reader(self._timer, self._ring)

    def at(self, when: float, call: Callable[[], None]) -> Alarm:
        """Have `call` called at `when`, by `loop.time`; in the next turn of the loop if that is over."""
        alarm = Alarm(call)
        heapq.heappush(self._waiting, (when, next(self._order), alarm))
        self._set()
        return alarm

    def _set(self) -> None:
        """Set the timer for the alarm that is next."""
        waiting = self._waiting
        while waiting and not waiting[0][2].pending:
            heapq.heappop(waiting)
        if not waiting or waiting[0][0] == self._set_for:
            return
        self._set_for = waiting[0][0]
        if self._timer < 0:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(self._set_for, self._ring)
            return
        whole, part = divmod(max(1, round(self._set_for * 1e9)), 1_000_000_000)
        _libc.timerfd_settime(self._timer, _ABSOLUTE, _TIMESPEC.pack(0, 0, whole, part), None)

    def _ring(self) -> None:
        try:
            if self._timer >= 0:
                os.read(self._timer, 8)
        except BlockingIOError:  # it was set anew in the meantime
            return
        self._set_for = 0.0
        now = self._loop.time() + 1e-6
        while self._waiting and self._waiting[0][0] <= now:
            heapq.heappop(self._waiting)[2].ring()
        self._set()

    def close(self) -> None:
        """Ring no more."""
        for _, _, alarm in self._waiting:
            alarm.cancel()
        self._waiting.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._timer >= 0:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._timer = -1


_libc = ctypes.CDLL(None, use_errno=True)


def _timer() -> int:
    """Descriptor of a new kernel timer; -1 where there is none."""
    try:
        return int(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    except AttributeError:
        return -1
