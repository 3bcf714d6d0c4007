"""A campaign's records without its engine: read from the directory, while another process may be writing it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from workbench.journal import Follower, Lease
from workbench.journal.reader import is_journal
from workbench.model.errors import NoCampaign
from workbench.model.events import Record

_POLL_S = 0.1


class DirectorySource:
    """The part of a session that views need, for the campaign in `directory`.

    It is alive as long as an engine holds the campaign. Records that were read are not kept: `events` can go on, or
    begin again at the first record.

    Raises
    ------
    NoCampaign
        If `directory` holds no campaign.
    """

    def __init__(
        self, directory: str | os.PathLike[str], clock: Callable[[], float] = time.monotonic, poll_s: float = _POLL_S
    ) -> None:
        self.directory = os.fspath(directory)
        if not is_journal(self.directory):
            raise NoCampaign(f"{self.directory} holds no campaign (there is no journal in it); check the path")
        self._lock = threading.Lock()
        self._clock = clock
        self._poll_s = poll_s
        self._pause = threading.Event()
        self._begin(0)

    def _begin(self, since: int) -> None:
        self._follower = Follower(self.directory, since)
        self._next = since
        self._pending: list[Record] = []

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
        """Records from `since` on, oldest first; empty when there are none yet."""
        with self._lock:
            if since != self._next:
                self._begin(since)
            records = self._pending or self._follower.poll(limit)
            taken, self._pending = records[:limit], records[limit:]
            if taken:
                self._next = taken[-1].seq + 1
            return taken

    def wait(self, since: int, timeout_s: float) -> bool:
        """Block until there is a record `since` or later; False on timeout."""
        deadline = self._clock() + timeout_s
        while True:
            with self._lock:
                if since != self._next:
                    return True
                if not self._pending:
                    self._pending = self._follower.poll()
                if self._pending:
                    return True
            left = deadline - self._clock()
            if left <= 0:
                return False
            self._pause.wait(min(left, self._poll_s))

    @property
    def alive(self) -> bool:
        """Whether an engine holds the campaign."""
        return Lease.holder(self.directory) is not None
