"""One sweep, twenty times a second while anything runs: starts to tell, timeouts, memory, grace, live output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from workbench.executors.agent import proctree
from workbench.executors.agent.attempts import Attempt, Key, Phase
from workbench.executors.agent.wire import STARTED_AFTER_S
from workbench.model.causes import Cause

SWEEP_S = 0.05
MEMORY_EVERY = 4
OUTPUT_EVERY = 20


class Watch:
    """Watches attempts that run in processes or threads.

    Parameters
    ----------
    lasting : callable
        Called for an attempt that has had its slots for 50 ms; says whether its body has begun, else is asked again.
    announce, kill, show : callable
        Called for an attempt whose start must be told, that must be killed, that may have output to show.
    keepers : callable
        Process ids of the keepers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        announce: Callable[[Attempt], None],
        lasting: Callable[[Attempt], bool],
        kill: Callable[[Attempt], None],
        show: Callable[[Attempt], None],
        keepers: Callable[[], list[int]],
    ) -> None:
        self._loop = loop
        self._announce, self._lasting, self._kill, self._show, self._keepers = announce, lasting, kill, show, keepers
        self._watched: dict[Key, Attempt] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0

    def add(self, a: Attempt) -> None:
        """Watch a running attempt."""
        self._watched[a.key] = a
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def drop(self, a: Attempt) -> None:
        """Watch it no longer."""
        self._watched.pop(a.key, None)

    def close(self) -> None:
        """Stop sweeping."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        self._timer = None
        self._turn += 1
        now = self._loop.time()
        for a in list(self._watched.values()):
            if a.phase is Phase.running:
                self._look(a, now)
        if self._watched:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    def _look(self, a: Attempt, now: float) -> None:
        if a.began + STARTED_AFTER_S <= now and a.pid:
            if not a.announced and self._lasting(a):
                self._announce(a)
            if a.limit and self._turn % MEMORY_EVERY == 0:
                self._weigh(a)
            if self._turn % OUTPUT_EVERY == 0:
                self._show(a)
        if a.doom is None and a.deadline <= now:
            a.doom = (Cause.Timeout, f"ran longer than its timeout of {a.plan.timeout_s:g} s")
            a.grace_at = now
        if a.grace_at <= now:
            self._kill(a)

    def _weigh(self, a: Attempt) -> None:
        if a.pid == os.getpid() or a.doom is not None:
            return  # a thread's memory is the worker's
        others = {b.pid for b in self._watched.values() if b is not a}
        used = proctree.memory_of(proctree.members(a.pid, a.id, self._keepers(), others), a.limit)
        a.peak = max(a.peak, used)
        if used > a.limit:
            a.doom = (Cause.OutOfMemory, f"used {amount(used)} where the task asked for {amount(a.limit)}")
            a.grace_at = self._loop.time()


def amount(size: float) -> str:
    """Bytes for people: ``"1.5 GiB"``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} TiB"
