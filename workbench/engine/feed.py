"""Committed records for readers in other threads.

The newest records stay in memory; older ones are read from the journal. Readers never see a record that is not on
disk, and never touch the engine's state.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice

from workbench.journal.reader import read
from workbench.model.events import Event, Record

KEPT = 50_000


class Feed:
    """One engine's stream of records, by sequence number."""

    def __init__(self, directory: str, next_seq: int) -> None:
        self._directory = directory
        self._next = next_seq
        self._recent: deque[Record] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Add events that were just committed, in order."""
        with self._changed:
            seq = self._next
            for event in events:
                self._recent.append(Record(seq, event))
                seq += 1
            self._next = seq
            self._changed.notify_all()

    def close(self) -> None:
        """Wake everyone who waits, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def next_seq(self) -> int:
        """Sequence number that the next record will have."""
        return self._next

    def events(self, since: int, limit: int) -> Sequence[Record]:
        """Records from `since` on, at most `limit`."""
        since = max(since, 0)
        with self._changed:
            if since >= self._next:
                return []
            first = self._recent[0].seq if self._recent else self._next
            if since >= first:
                return list(islice(self._recent, since - first, since - first + limit))
            last = self._next
        return list(islice(read(self._directory, since), min(limit, last - since)))

    def wait(self, since: int, timeout_s: float) -> bool:
        """Block until there is a record `since` or later."""
        with self._changed:
            return self._changed.wait_for(lambda: self._next > since or self._closed, timeout_s) and self._next > since
