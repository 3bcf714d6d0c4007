"""The one writer of a journal.

`append` frames an event and keeps it in memory; `commit` writes everything kept with one write and one
``fdatasync``. `write` does the first half alone, and `begin_sync` / `finish_sync` the second, so that an engine need
not wait for the disk between two tasks: the sync itself may run in another thread. Rules:

1. What is written survives the death of this process; what is committed survives a power cut.
2. When `write` or `commit` raises, the file ends where it ended before, and the batch is still in memory: calling
   `commit` again, once there is room, writes it. Nothing is appended behind half a batch, whatever failed.
3. After a failure the segment is opened anew, and the batch is written anew: a kernel that failed to write a page
   may forget about it, so a second ``fdatasync`` alone would prove nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal, NamedTuple

from workbench.model.errors import CampaignHeld, JournalDamaged, storage_error
from workbench.model.events import Event

from .disk import System, journal_of, segment_name, segment_number, segments, sync_directory, write_all
from .record import BadFrame, encode, unframe

SEGMENT_BYTES = 64 << 20


class _Loose(NamedTuple):
    """A batch in the kernel's hands: where it ends, the number after its last record, its lines."""

    end: int
    next_seq: int
    lines: list[bytes]


class Sync:
    """One sync of the segment `number` up to `end`. `run` is the only call here that any thread may make."""

    def __init__(self, fd: int, number: int, end: int, system: System) -> None:
        self._fd = fd
        self._os = system
        self.number, self.end = number, end
        self.error: OSError | None = None

    def run(self) -> None:
        """Wait for the disk."""
        try:
            self._os.fdatasync(self._fd)
        except OSError as error:
            self.error = error


class JournalWriter:
    """Appends records to the journal of the campaign in `directory`.

    Hold the lease (`lease.Lease`) and call `reader.recover` first: the writer goes on at the end of the last segment.

    Parameters
    ----------
    directory : path
        The campaign's directory; segments lie in ``directory/journal``.
    next_seq : int
        Sequence number of the next record, as `reader.recover` gives it; 0 for a new campaign.
    fsync : {"batch", "never"}
        ``"never"`` leaves it to the kernel when a batch reaches the disk; for tests and simulations.
    segment_bytes : int
        A segment that has this size is not appended to any more.
    system : module
        Stands in for `os`; tests make it fail.

    Raises
    ------
    JournalDamaged
        If the last segment ends in half a record or beyond `next_seq`.
    StorageFull, StorageFailed
        If the journal cannot be opened.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        next_seq: int = 0,
        fsync: Literal["batch", "never"] = "batch",
        segment_bytes: int = SEGMENT_BYTES,
        system: System = os,
    ) -> None:
        if fsync not in ("batch", "never"):
            raise ValueError(f'fsync is "batch" or "never", not {fsync!r}')
        self._os = system
        self._directory = journal_of(directory)
        self._sync = fsync == "batch"
        self._limit = segment_bytes
        self._next = next_seq
        self._committed = next_seq
        self._batch: list[bytes] = []
        self._loose: list[_Loose] = []  # written, not known to be on disk
        self._fd = -1
        self._number = 0
        self._size = 0  # of the segment, as far as it is on disk
        self._end = 0  # of the segment, as far as it is written
        self._closed = False
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            existing = segments(directory)
            if existing:
                self._number = segment_number(existing[-1])
                self._size = self._end = existing[-1].stat().st_size
                self._check_end(existing[-1])
        except OSError as error:
            raise storage_error(error, "open the journal in", self._directory) from error

    @property
    def next_seq(self) -> int:
        """Sequence number that the next `append` will give."""
        return self._next

    @property
    def committed(self) -> int:
        """Records below this sequence number are on disk."""
        return self._committed

    @property
    def pending(self) -> int:
        """Number of records that wait for `commit`."""
        return len(self._batch)

    @property
    def segment(self) -> Path:
        """The segment that is written at present."""
        return self._directory / segment_name(max(self._number, 1))

    def append(self, event: Event) -> int:
        """Keep `event` for the next `commit` and give its sequence number.

        Raises
        ------
        BadValue
            If the event cannot be written (see `record`); nothing is kept then.
        """
        seq = self._next
        self._batch.append(encode(seq, event))
        self._next = seq + 1
        return seq

    def write(self) -> None:
        """Hand the batch to the kernel, without waiting for the disk.

        Raises
        ------
        StorageFull, StorageFailed
            As `commit`.
        """
        if not self._batch:
            return
        if self._closed:
            raise ValueError("the journal's writer is closed")
        data = b"".join(self._batch)
        try:
            self._open()
            write_all(self._fd, data, self._os)
        except OSError as error:
            self._retreat(self._end)
            raise storage_error(error, "write the journal", self.segment) from error
        self._end += len(data)
        self._loose.append(_Loose(self._end, self._next, self._batch))
        self._batch = []
        if not self._sync:
            self._settle(self._end)

    def commit(self) -> int:
        """Write what was appended, make it last, and give `committed`.

        Raises
        ------
        StorageFull
            If there is no room. The batch is kept; call `commit` again later.
        StorageFailed
            If the file system fails in another way. The batch is kept as well.
        """
        self.write()
        sync = self.begin_sync()
        if sync is not None:
            sync.run()
            self.finish_sync(sync)
        return self._committed

    def begin_sync(self) -> Sync | None:
        """What has to be synced now, or None. Call its `run` in any thread and then `finish_sync` in this one."""
        return Sync(self._fd, self._number, self._end, self._os) if self._loose else None

    def finish_sync(self, sync: Sync) -> int:
        """Take the outcome of a sync into account, and give `committed`.

        Raises
        ------
        StorageFull, StorageFailed
            If it failed. Everything that is not known to be on disk goes back into the batch.
        """
        if sync.number != self._number or sync.end <= self._size:
            return self._committed  # a later sync has covered it
        if sync.error is not None:
            self._batch[:0] = [line for loose in self._loose for line in loose.lines]
            self._loose.clear()
            self._end = self._size
            self._retreat(self._size)
            raise storage_error(sync.error, "write the journal", self.segment) from sync.error
        self._settle(sync.end)
        return self._committed

    def _settle(self, end: int) -> None:
        kept = 0
        for loose in self._loose:
            if loose.end > end:
                break
            self._committed = loose.next_seq
            kept += 1
        del self._loose[:kept]
        self._size = end

    def close(self) -> None:
        """Commit what is pending and close the file; closing twice does no harm."""
        if self._closed:
            return
        try:
            self.commit()
        finally:
            self._closed = True
            self._drop()

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> None:
        """Have a file open that ends after the last committed record and has room for more."""
        if self._number == 0 or (self._size >= self._limit and not self._loose):
            self._create(self._number + 1)
        elif self._fd < 0:
            fd = self._os.open(self.segment, os.O_WRONLY | os.O_APPEND)
            try:
                size = self._os.fstat(fd).st_size
                if size > self._end:
                    self._os.ftruncate(fd, self._end)
            except OSError:
                self._close(fd)
                raise
            if size < self._end:
                self._close(fd)
                raise JournalDamaged(
                    f"{self.segment} has {size} bytes, and {self._end} were written; something else changed it"
                )
            self._fd = fd

    def _create(self, number: int) -> None:
        path = self._directory / segment_name(number)
        fd = self._os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if self._os.fstat(fd).st_size > 0:
                raise CampaignHeld(
                    f"{path} was written by another engine; two of them must not run one campaign: stop one"
                )
            if self._sync:
                sync_directory(self._directory, self._os)
        except BaseException:
            self._close(fd)
            raise
        self._drop()
        self._fd, self._number, self._size, self._end = fd, number, 0, 0

    def _retreat(self, end: int) -> None:
        """Cut off what a failed write may have left, so that readers do not see it; `_open` makes sure of it later."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._os.ftruncate(self._fd, end)
        self._drop()

    def _drop(self) -> None:
        if self._fd >= 0:
            self._close(self._fd)
            self._fd = -1

    def _close(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            self._os.close(fd)

    def _check_end(self, path: Path) -> None:
        line = last_line(path)
        if not line:
            return
        try:
            seq, _ = unframe(line)
        except BadFrame as error:
            raise JournalDamaged(
                f"{path} ends in half a record ({error}); recover the journal before writing"
            ) from None
        if seq >= self._next:
            raise JournalDamaged(f"{path} ends with record {seq}, so the next one cannot be {self._next}")


def last_line(path: Path, block: int = 1 << 16) -> bytes:
    """The last line of `path`, with its newline if it has one; empty for an empty file."""
    with open(path, "rb") as file:
        start = file.seek(0, os.SEEK_END)
        tail = b""
        while start > 0 and b"\n" not in tail[:-1]:
            start = max(0, start - block)
            block *= 2
            file.seek(start)
            tail = file.read()
        return tail[tail.rfind(b"\n", 0, len(tail) - 1) + 1 :] if tail else b""
