"""Synthetic tasks: alarms on the event loop, on real and on virtual nodes."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from workbench.executors.agent.alarm import Alarm, Clock
from workbench.executors.agent.attempts import Attempt, Spent
from workbench.executors.agent.desk import Desk
from workbench.executors.agent.wire import STARTED_AFTER_S
from workbench.model.causes import Cause
from workbench.model.specs import Result

NOTHING = Result(inline=b"null")


class Timers:
    """Holds slots for as long as told and does nothing else (a `desk.Launcher`).

    A timer is due at a time reckoned from when its slots were given, so that lateness of the loop does not add up.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._clock = Clock(desk.loop)

    def start(self, a: Attempt) -> None:
        self._desk.began(a)
        timeout = None if a.plan.timeout_s is None else a.plan.timeout_s * a.plan.time_scale
        if a.run.duration_s > STARTED_AFTER_S:
            self._desk.announce(a)
        late = timeout is not None and timeout < a.run.duration_s
        lasts = timeout if late and timeout is not None else a.run.duration_s
        a.owner = self._clock.at(a.began + lasts, partial(self._due, a, late))

    def _due(self, a: Attempt, late: bool) -> None:
        spent = Spent(a.started, time.time())
        if late:
            self._desk.ended(a, Cause.Timeout, f"ran longer than its timeout of {a.plan.timeout_s:g} s", spent)
        else:
            self._desk.finished(a, NOTHING, spent)
        self._desk.free(a)

    def tell(self, a: Attempt, parameters: dict[str, Any], stop: bool) -> None:
        """Parameters mean nothing to a timer; a request to stop lets it end now, with its result."""
        if stop and isinstance(a.owner, Alarm) and a.owner.pending:
            a.owner.cancel()
            a.owner = self._clock.at(a.began, partial(self._due, a, False))

    def ask(self, a: Attempt) -> None:
        self.kill(a)

    def kill(self, a: Attempt) -> None:
        if isinstance(a.owner, Alarm):
            a.owner.cancel()
        self._desk.ended(a, Cause.Cancelled, "")
        self._desk.free(a)

    def close(self) -> None:
        """Let what still lasts end without a word."""
        self._clock.close()
