"""A session that plays canned records, for tests of the views: no engine, no executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from workbench.model.edits import Ack, Command
from workbench.model.events import CampaignCreated, Record

_TIMES = ("at", "started", "ended")


class ScriptedSession:
    """Serves `records` as far as `release` has let them out. Implements `workbench.api.session.Session`."""

    def __init__(self, records: Sequence[Record], released: int = 0) -> None:
        self._records = list(records)
        self._released = released
        self._alive = True
        self._news = threading.Condition()

    @property
    def directory(self) -> str:
        return ""

    def submit(self, command: Command, timeout_s: float = 60.0) -> Ack:
        return Ack(command.id, ok=False, rule="ReadOnly", message="a scripted session takes no commands")

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
        with self._news:
            return self._records[since : min(self._released, since + limit)]

    def wait(self, since: int, timeout_s: float) -> bool:
        with self._news:
            self._news.wait_for(lambda: self._released > since or not self._alive, timeout_s)
            return self._released > since

    def wait_ended(self, timeout_s: float | None = None) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._released == len(self._records), timeout_s)

    def story(self, target: str) -> str:
        return ""

    def close(self, reason: str = "") -> None:
        with self._news:
            self._alive = False
            self._news.notify_all()

    @property
    def alive(self) -> bool:
        return self._alive

    def release(self, n: int | None = None) -> None:
        """Let `n` more records out; all when `n` is None."""
        with self._news:
            left = len(self._records) - self._released
            self._released += left if n is None else min(n, left)
            self._news.notify_all()


def from_now(records: Sequence[Record]) -> list[Record]:
    """The records as if their campaign had begun just now, so that the clock of the machine fits them."""
    zero, now = records[0].event.at, time.time()
    return [_moved(record, zero, now, 1.0) for record in records]


class Playback(ScriptedSession):
    """Plays records at the pace of their time stamps, squeezed into `seconds`, from now on, from a thread."""

    def __init__(self, records: Sequence[Record], seconds: float, sleep: Callable[[float], Any] = time.sleep) -> None:
        first, last = records[0].event.at, records[-1].event.at
        scale = seconds / max(1e-9, last - first)
        now = time.time()
        super().__init__([_moved(r, first, now, scale) for r in records])
        self._sleep = sleep
        threading.Thread(target=self._play, name="playback", daemon=True).start()

    def _play(self) -> None:
        while self._released < len(self._records) and self._alive:
            now = time.time()
            due = sum(1 for r in self._records[self._released : self._released + 5000] if r.event.at <= now)
            if due:
                self.release(due)
            self._sleep(0.02)


def _moved(record: Record, zero: float, now: float, scale: float) -> Record:
    """The record as if its campaign had begun `now` and time ran by `scale`."""
    changes = {name: now + (value - zero) * scale for name in _TIMES if (value := getattr(record.event, name, 0.0)) > 0}
    if isinstance(record.event, CampaignCreated):
        changes["time_scale"] = record.event.time_scale * scale
    return Record(record.seq, msgspec.structs.replace(record.event, **changes))
