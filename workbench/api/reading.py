"""A session without an engine: the journal of a directory, read only.

For finished campaigns, for those that another process runs, and for what is left of one after a stop. Changes are
refused; everything that only reads (tables, views, reports, results) works as on a live session.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice

from workbench.core import State, evolve
from workbench.core.explain import why
from workbench.core.story import story
from workbench.journal import Lease, read
from workbench.journal.reader import Follower
from workbench.model.edits import Ack, Command
from workbench.model.errors import UnknownName, WorkbenchError
from workbench.model.events import Record
from workbench.model.ids import is_task
from workbench.report.tables import Tables
from workbench.store.layout import Layout

KEPT = 50_000
_POLL_S = 0.1
_LEASE_EVERY_S = 0.5


class ReadOnly(WorkbenchError):
    """The campaign is open for reading only."""


class ReadingSession:
    """`Session` over the journal in a directory.

    Parameters
    ----------
    directory : path
        Of a campaign.

    Raises
    ------
    NoCampaign, NewerFormat, StorageFailed
        If there is none that can be read.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._layout = Layout.open(os.path.abspath(directory))
        self._follower = Follower(self._layout.directory)
        self._recent: deque[Record] = deque(maxlen=KEPT)
        self._next = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._looked, self._held = 0.0, False

    @property
    def directory(self) -> str:
        return str(self._layout.directory)

    def submit(self, command: Command, timeout_s: float = 60.0) -> Ack:
        """Refuses.

        Raises
        ------
        ReadOnly
            Always; says how to change the campaign.
        """
        holder = Lease.holder(self._layout.directory)
        way = f"{holder} runs it: change it there" if holder else f"Campaign.resume({self.directory!r}) goes on with it"
        raise ReadOnly(f"this campaign is open for reading only, so it cannot be changed here; {way}")

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]:
        since = max(since, 0)
        with self._lock:
            if since == self._next and (new := self._follower.poll(limit)):
                # Who reads on from where this session has read to, such as a first reader, need not wait for the rest.
                self._keep(new)
                return new
            self._poll()
            if since >= self._next:
                return []
            first = self._recent[0].seq
            if since >= first:
                return list(islice(self._recent, since - first, since - first + limit))
            last = self._next
        return list(islice(read(self._layout.directory, since), min(limit, last - since)))

    def _poll(self) -> None:
        while new := self._follower.poll():
            self._keep(new)

    def _keep(self, new: Sequence[Record]) -> None:
        self._recent.extend(new)
        self._next = new[-1].seq + 1

    def wait(self, since: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._poll()
                if self._next > since:
                    return True
            left = deadline - time.monotonic()
            if left <= 0 or self._closed.wait(min(left, _POLL_S)):
                return False

    def wait_ended(self, timeout_s: float | None = None) -> bool:
        """As `Session.wait_ended`; False as soon as no engine runs the campaign, too."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        tables = Tables()
        while True:
            serving = self.alive
            while tables.fold(self.events(tables.next_seq)):
                pass
            if tables.ended or tables.state.stuck:
                return True
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if not serving or left <= 0:
                return False
            self.wait(tables.next_seq, min(left, 1.0))

    def story(self, target: str) -> str:
        state = State()
        for record in read(self._layout.directory):
            evolve(state, record.event)
        name = target.partition("#")[0]
        lines = story(read(self._layout.directory, about=name), target)
        if is_task(name):
            task = state.task(name)
            if task is None:
                raise UnknownName(f"there is no task {name!r}", name)
            lines.append("now: " + why(state, task))
        elif name not in state.sets:
            raise UnknownName(f"there is no task set {name!r}", name)
        return "\n".join(lines)

    def close(self, reason: str = "") -> None:
        """Wake whoever waits. Nothing on disk changes."""
        self._closed.set()

    @property
    def alive(self) -> bool:
        """Whether an engine, in whatever process, runs the campaign."""
        now = time.monotonic()
        if now - self._looked >= _LEASE_EVERY_S or not self._looked:
            self._looked, self._held = now, Lease.holder(self._layout.directory) is not None
        return self._held and not self._closed.is_set()
