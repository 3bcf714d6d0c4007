"""Events on their way to the hub: numbered, and kept until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from workbench.executors.agent.link import Link
from workbench.executors.agent.wire import FromHub, Report, Reported

TOGETHER = 16
"""Ends that leave at once."""

R = TypeVar("R", bound=Report)

MOST_REPORTS = 20_000
"""While nobody acknowledges, metrics beyond so many events are dropped; starts and ends never are."""


class Outbox:
    """Numbers events, sends them at once where there is a link, and again after a new greeting."""

    def __init__(self) -> None:
        self.seq = 0
        self.waiting: deque[Report] = deque()
        self.link: Link[FromHub] | None = None
        self._kept = -1  # events that have not left in this turn of the loop, since something urgent has; -1: none has

    def emit(self, make: Callable[[int], Report], urgent: bool = False) -> None:
        """Send the event that `make` builds from its number, with others of this turn of the loop.

        The first `urgent` one of a turn leaves at once: slots stay idle until the engine has it. Where many end at one
        time, the next leave `TOGETHER`, so that the engine goes on while this process does.
        """
        event = make(self.seq + 1)
        if isinstance(event, Reported) and len(self.waiting) >= MOST_REPORTS:
            return
        self.seq += 1
        self.waiting.append(event)
        if self.link is not None:
            self.link.send(event)
            if urgent and self._kept < 0:
                self._kept = 0
                self.link.flush()
                asyncio.get_running_loop().call_soon(self._calm)
            elif self._kept >= 0:
                self._kept += 1
                if self._kept >= TOGETHER:
                    self._kept = 0
                    self.link.flush()

    def _calm(self) -> None:
        self._kept = -1

    def acknowledged(self, seq: int) -> list[Report]:
        """Forget events up to `seq` and give them."""
        gone = []
        waiting = self.waiting
        while waiting and waiting[0].seq <= seq:
            gone.append(waiting.popleft())
        return gone

    def connect(self, link: Link[FromHub]) -> None:
        """Send everything that waits over `link`, and what comes from now on."""
        self.link = link
        link.send(*self.waiting)

    def disconnect(self) -> None:
        """There is no link for now."""
        if self.link is not None:
            self.link.abort()
        self.link = None
