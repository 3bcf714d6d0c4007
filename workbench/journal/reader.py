"""Reading a journal: from the start, from a number on, while another process writes it, and before writing it.

What may be cut off its end, and what is damage, is told in `scan`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from workbench.model.errors import JournalDamaged, NewerFormat, NoCampaign, storage_error
from workbench.model.events import FORMAT, Event, Record

from .disk import System, journal_of, segments, sync_directory
from .record import BadFrame, parse, unframe
from .scan import Damage, Scan, Tail, Wanted
from .upcasters import format_of, upcast

__all__ = ["Damage", "Follower", "Reader", "Recovery", "Tail", "follow", "read", "recover"]


class Reader(Iterator[Record]):
    """An iterator over records. After its end, `next_seq` and `tail` say where and why reading stopped.

    Attributes
    ----------
    tail : Tail or None
        The torn end that was left out; known once the iterator is exhausted.
    next_seq : int
        Number of the record that will be written next; known once the iterator is exhausted.
    """

    def __init__(self, directory: str | os.PathLike[str], since: int = 0, about: str = "") -> None:
        if not Path(directory).is_dir():
            raise NoCampaign(f"{directory} is no directory, so there is no journal to read; check the path")
        self._scan = Scan(directory, since)
        self._format = format_of(self._scan.first())
        # In a journal of an older format a record may look otherwise before it is upcast.
        self._wanted = _concerning(about) if about and self._format == FORMAT else None
        self._records = self._walk(since)

    @property
    def tail(self) -> Tail | None:
        return self._scan.tail

    @property
    def next_seq(self) -> int:
        return self._scan.next_seq

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def __next__(self) -> Record:
        return next(self._records)

    def _walk(self, since: int) -> Iterator[Record]:
        scan = self._scan
        if self._format == FORMAT:
            for seq, text in scan.frames(self._wanted):
                if seq >= since:
                    try:
                        record = Record(seq, parse(text))
                    except msgspec.MsgspecError as error:
                        raise _unknown(seq, error, scan.segment) from None
                    yield record
        else:
            for seq, text in scan.frames():
                if seq >= since:
                    yield Record(seq, _understand(seq, text, self._format, scan.segment))


def read(directory: str | os.PathLike[str], since: int = 0, about: str = "") -> Reader:
    """Iterate over the records of the campaign in `directory`, from number `since` on.

    Changes nothing on disk, and needs no lease.

    Parameters
    ----------
    directory : path
        Of the campaign.
    since : int
        Number of the first record to give.
    about : str
        A task id or the name of a set: give only the records that may concern it, which are those of its attempts, all
        commands, and the nodes that left. The others are checked, too, but not decoded, which is most of the time.

    Raises
    ------
    JournalDamaged
        While iterating, at damage that is no torn tail; with segment and byte position.
    NewerFormat
        If a newer version wrote the journal.
    NoCampaign, StorageFailed
        If there is no such directory, or it cannot be read.
    """
    return Reader(directory, since, about)


class Recovery(Reader):
    """A `Reader` that cuts the torn tail off on disk when it comes to its end."""

    def __init__(self, directory: str | os.PathLike[str], system: System = os) -> None:
        super().__init__(directory)
        self._system = system

    def _walk(self, since: int) -> Iterator[Record]:
        yield from super()._walk(since)
        if self.tail is not None:
            cut(self.tail.segment, self.tail.position, self._system)


def recover(directory: str | os.PathLike[str], system: System = os) -> Recovery:
    """Iterate over all records, and make the journal ready for its writer: cut a torn tail off on disk. Hold the lease.

    The bytes that are cut are kept beside the segment, as ``SEGMENT.POSITION.torn``. They are cut when the last record
    has been given; `next_seq`, for `writer.JournalWriter`, and `tail`, what was cut, are known then.

    Raises
    ------
    JournalDamaged
        While iterating, at damage that is no torn tail; nothing is changed then.
    NewerFormat, NoCampaign, StorageFull, StorageFailed
        As `read`, and if the disk refuses.
    """
    return Recovery(directory, system)


def cut(segment: Path, position: int, system: System = os) -> Path:
    """Cut `segment` off at `position`; give the file beside it that keeps what was behind.

    Raises
    ------
    StorageFull, StorageFailed
        If the disk refuses; `segment` is as it was.
    """
    aside = segment.with_name(f"{segment.name}.{position}.torn")
    try:
        _copy(segment, position, aside, system)
        sync_directory(segment.parent, system)
        fd = system.open(segment, os.O_WRONLY)
        try:
            system.ftruncate(fd, position)
            system.fsync(fd)
        finally:
            system.close(fd)
    except OSError as error:
        raise storage_error(error, "cut a torn end off", segment) from error
    return aside


def _copy(source: Path, position: int, target: Path, system: System) -> None:
    out = system.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(source, "rb") as file:
            file.seek(position)
            while block := file.read(1 << 20):
                view = memoryview(block)
                while view:
                    view = view[system.write(out, view) :]
        system.fsync(out)
    finally:
        system.close(out)


class Follower:
    """Reads a journal that another process is writing.

    `poll` gives the records that are new since the last call, without waiting. Half a record at the end is awaited.
    Bytes that are no record are looked at again on the next call, since a writer on a full disk takes back what it
    wrote; they are damage once a whole record follows.
    """

    def __init__(self, directory: str | os.PathLike[str], since: int = 0) -> None:
        self._directory = Path(directory)
        self._since = since
        self._expected = 0
        self._format: int | None = None
        self._path: Path | None = None
        self._position = 0

    def poll(self, limit: int = 100_000) -> list[Record]:
        """At most `limit` new records, oldest first; empty when there are none.

        Raises
        ------
        JournalDamaged, NewerFormat, StorageFailed
            As `read`.
        """
        if self._format is None:
            scan = Scan(self._directory, self._since)
            first = scan.first()
            if not first:
                return []
            self._format = format_of(first)
            self._path, self._expected = scan.paths[0], scan.next_seq
        found: list[Record] = []
        while len(found) < limit:
            # Listed before reading: the writer leaves a segment for good before it begins the next one.
            later = [path for path in segments(self._directory) if self._path and path.name > self._path.name]
            complete = self._drain(found, limit, last=not later)
            if not complete or not later:
                break
            self._path, self._position = later[0], 0
        return found

    def _drain(self, found: list[Record], limit: int, last: bool) -> bool:
        """Read the current segment from where it was left; True if its end was reached."""
        assert self._path is not None and self._format is not None
        try:
            file = open(self._path, "rb", buffering=1 << 20)
        except OSError as error:
            raise storage_error(error, "read", self._path) from error
        with file:
            file.seek(self._position)
            for line in file:
                try:
                    seq, text = unframe(line)
                except BadFrame as error:
                    behind = any(_is_whole(later) for later in file)
                    if behind or not last:
                        raise Damage(self._directory, self._path, self._position, str(error), self._expected) from None
                    return False
                if seq > self._expected:
                    reason = f"record {seq} follows where {self._expected} belongs"
                    raise Damage(self._directory, self._path, self._position, reason, self._expected)
                self._position += len(line)
                if seq < self._expected:
                    continue
                self._expected += 1
                if seq >= self._since:
                    found.append(Record(seq, _understand(seq, text, self._format, self._path)))
                    if len(found) >= limit:
                        return False
        return True


def follow(
    directory: str | os.PathLike[str],
    since: int = 0,
    *,
    poll_s: float = 0.1,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """Iterate over the records from `since` on and then over new ones as they are written, until `stop` says so.

    `stop` is asked whenever there is nothing new; what was written before it said so has been given then.

    Raises
    ------
    JournalDamaged, NewerFormat, StorageFailed
        As `read`.
    """
    follower = Follower(directory, since)
    while True:
        ending = stop()
        new = follower.poll()
        yield from new
        if not new:
            if ending:
                return
            sleep(poll_s)


def _concerning(target: str) -> Wanted:
    """How the JSON of a record looks that may concern a task or set. Names need no escapes in JSON."""
    name = target.encode(errors="replace")
    return Wanted(
        b'"%b"' % name if name.endswith(b"]") else b'"%b[' % name,
        (b'{"ev":"CommandAccepted"', b'{"ev":"CommandRefused"', b'{"ev":"NodeLeft"'),
    )


def _is_whole(line: bytes) -> bool:
    with contextlib.suppress(BadFrame):
        unframe(line)
        return True
    return False


def _understand(seq: int, text: bytes, found: int, segment: Path | None) -> Event:
    try:
        return parse(text if found == FORMAT else upcast(text, found))
    except msgspec.MsgspecError as error:
        raise _unknown(seq, error, segment) from None


def _unknown(seq: int, error: Exception, segment: Path | None) -> JournalDamaged | NewerFormat:
    return NewerFormat(
        f"record {seq} in {segment} is unharmed, but this version of campaign-workbench does not understand it "
        f"({error}); it was written by a newer version: upgrade campaign-workbench to open the campaign"
    )


def is_journal(directory: str | os.PathLike[str]) -> bool:
    """Whether `directory` holds at least one segment."""
    return journal_of(directory).is_dir() and bool(segments(directory))
