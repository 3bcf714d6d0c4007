"""The thread that keeps views up to date: session -> tables -> views.

It reads records from the session, folds them into its own tables and lets each view show them when that view's pace
allows. It runs beside the cells of a notebook: messages from a thread reach the browser while a cell runs. It ends by
itself when the campaign is closed or nobody looks any more, and an error in one view neither stops the others nor
goes unsaid.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from workbench.model.events import Record
from workbench.report.tables import Tables

from .pace import Pacer

BEAT_S = 1.0
"""A live campaign is heard of at least this often; the browser calls it stale after 3.5 s of silence."""
_BATCH = 20_000


class Source(Protocol):
    """What the feed needs of a `workbench.api.session.Session`."""

    def events(self, since: int, limit: int = 100_000) -> Sequence[Record]: ...

    def wait(self, since: int, timeout_s: float) -> bool: ...

    @property
    def alive(self) -> bool: ...


class View(Protocol):
    """Something that shows tables. Methods are called from the feed's thread, one at a time."""

    hz: float
    """Most updates per second."""

    @property
    def closed(self) -> bool:
        """Whether nobody can see it any more."""

    def show(self, tables: Tables, phase: str) -> int:
        """Show the tables; give the number of bytes that were sent."""

    def beat(self, phase: str) -> None:
        """Say that the campaign is still heard of."""

    def complain(self, text: str) -> None:
        """Say what went wrong, or with ``""`` that it is over."""


class _Entry:
    """A view, its pace, and what it has seen."""

    def __init__(self, view: View) -> None:
        self.ref = weakref.ref(view)
        self.pacer = Pacer(view.hz)
        self.shown: tuple[int, str] | None = None
        self.shown_at = 0.0
        self.trouble = ""


class Feed:
    """Keeps `views` up to date with `source` until the campaign is closed or the views are.

    Views are held weakly. `tables` belongs to the feed's thread.
    """

    def __init__(self, source: Source, views: Sequence[View], clock: Callable[[], float] = time.monotonic) -> None:
        self.tables = Tables()
        self._source = source
        self._entries = [_Entry(view) for view in views]
        self._clock = clock
        self._stop = threading.Event()
        self._beaten = clock()
        self._behind = False
        self._reading = ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; calling it again while it runs changes nothing."""
        if not self.running:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="workbench-feed", daemon=True)
            self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread and wait for it (not from itself)."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the feed ended by itself; False on timeout."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.running

    # ------------------------------------------------------------------ the thread
    def _run(self) -> None:
        while not self._stop.is_set():
            wait_s = self.turn()
            if wait_s is None:
                return
            if self._behind:
                continue
            if self._waits_for_records():
                # Not longer than a beat, and a closed campaign is noticed within it.
                self._source.wait(self.tables.next_seq, max(0.01, wait_s))
            else:
                self._stop.wait(max(0.01, wait_s))

    def turn(self) -> float | None:
        """Read, show what is due, beat.

        Returns
        -------
        float or None
            Seconds until something may be due again; None when there is nothing left to do for good.
        """
        phase = "live" if self._source.alive else "closed"  # before reading: what it wrote last is still read
        self._read(phase)
        views = self._views()
        if not views:
            return None
        now = self._clock()
        key = (self.tables.next_seq, phase)
        final = phase == "closed" and not self._behind
        for entry, view in views:
            if entry.trouble != self._reading and self._reading:
                self._tell(entry, view, self._reading)
            if (self._dirty(entry, key, now) and now >= entry.pacer.due) or (final and entry.shown != key):
                self._show(entry, view, key, now)
        if now - self._beaten >= BEAT_S:
            self._beaten = now
            for entry, view in views:
                self._guard(entry, view, lambda view=view: view.beat(phase))  # type: ignore[misc]
        if final and all(entry.shown == key or entry.trouble for entry, _ in views):
            return None
        dues = [entry.pacer.due - now for entry, _ in views if self._dirty(entry, key, now)]
        return max(0.0, min([self._beaten + BEAT_S - now, *dues]))

    def _views(self) -> list[tuple[_Entry, View]]:
        found = [(entry, view) for entry in self._entries if (view := entry.ref()) is not None and not view.closed]
        self._entries = [entry for entry, _ in found]
        return found

    def _read(self, phase: str) -> None:
        try:
            records = self._source.events(self.tables.next_seq, _BATCH)
            self.tables.fold(records)
            self._behind = len(records) >= _BATCH
            if phase == "live":
                self.tables.observe(time.time())
            self._reading = ""
        except Exception as error:
            # What was folded half is of no use: the next turn begins anew from the journal's first record.
            self._behind = False
            self._reading = f"The campaign cannot be read at the moment: {_sentence(error)}"
            self.tables = Tables()
            self._stop.wait(BEAT_S)

    def _dirty(self, entry: _Entry, key: tuple[int, str], now: float) -> bool:
        """Whether a view has something to show: news, or attempts that run on."""
        if entry.shown != key or entry.trouble:
            return not self._reading
        return bool(self.tables.running) and now - entry.shown_at >= BEAT_S

    def _waits_for_records(self) -> bool:
        """Whether every view has seen everything, so that only a new record can bring news before the next beat."""
        return not self._reading and all(
            entry.shown is not None and entry.shown[0] == self.tables.next_seq for entry in self._entries
        )

    def _show(self, entry: _Entry, view: View, key: tuple[int, str], now: float) -> None:
        sizes: list[int] = []
        spent = time.thread_time()  # time on a core: waiting for the cells' turn to end costs nobody anything
        if self._guard(entry, view, lambda: sizes.append(view.show(self.tables, key[1]))):
            entry.shown, entry.shown_at = key, now
            entry.pacer.sent(now, sizes[0], time.thread_time() - spent)
            if entry.trouble:
                self._tell(entry, view, "")
        else:
            entry.pacer.failed(now)

    def _guard(self, entry: _Entry, view: View, step: Callable[[], object]) -> bool:
        """Run a step of a view; what goes wrong is said in the view and does not spread."""
        try:
            step()
        except Exception as error:
            self._tell(entry, view, f"This view could not be updated: {_sentence(error)}")
            return False
        return True

    def _tell(self, entry: _Entry, view: View, text: str) -> None:
        entry.trouble = text
        try:
            view.complain(text)
        except Exception:
            # A view that cannot even complain is beyond help; it keeps its trouble and is tried again later.
            entry.trouble = text or "no answer"


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
