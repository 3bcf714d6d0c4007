"""The one walk over the lines of a journal; reading, following, recovering and repairing all stand on it.

Rules:

1. A record counts only if its checksum fits and its number is the next one.
2. A record that was seen already is skipped when it is identical (a segment was copied), and damage when it is not.
3. What cannot be read at the end of the *last* segment, with no whole record behind it, is a torn tail: the write
   that a crash interrupted. It is reported and left out.
4. Everything else that cannot be read is damage, and reading stops there: nothing behind it can be trusted to follow
   from what came before.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import msgspec

from workbench.model.errors import JournalDamaged, storage_error

from .disk import segments
from .record import HEAD, BadFrame, unframe

_START = re.compile(rb"[0-9a-f]{8} \d+ \{")


class Tail(msgspec.Struct, frozen=True):
    """What was cut from the end of a journal: `dropped` bytes of `segment` from byte `position` on, and why."""

    segment: Path
    position: int
    dropped: int
    reason: str

    def __str__(self) -> str:
        return f"{self.segment}: {self.dropped} bytes from byte {self.position} on are no whole record ({self.reason})"


class Damage(JournalDamaged):
    """`JournalDamaged` with `segment`, byte `position`, `reason` and `seq`, the number that was expected there."""

    def __init__(self, directory: Path, segment: Path, position: int, reason: str, seq: int) -> None:
        super().__init__(
            f"{segment} is damaged at byte {position}: {reason}; `workbench repair {directory}` keeps the {seq} "
            "records before it and exports what can be read behind it"
        )
        self.segment, self.position, self.reason, self.seq = segment, position, reason, seq


class Scan:
    """Walks the frames of the journal in `directory`, beginning at or before record `since`.

    Iterate over `frames` once. Afterwards `next_seq` is the number of the next record to write, and `tail` says what
    was left out, if anything. `segment` and `position` are where reading stands.
    """

    def __init__(self, directory: str | os.PathLike[str], since: int = 0) -> None:
        self.directory = Path(directory)
        self.paths = segments(directory)
        self.tail: Tail | None = None
        self.next_seq = 0
        self.segment: Path | None = None
        self.position = 0
        if since > 0 and len(self.paths) > 1:
            self._skip_to(since)

    def first(self) -> bytes:
        """JSON of the journal's record 0, or nothing if it cannot be read."""
        for path in self.paths[:1] and segments(self.directory)[:1]:
            with _open(path) as file:
                try:
                    return unframe(file.readline())[1]
                except BadFrame:
                    return b""
        return b""

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Sequence number and JSON of each record, in order.

        Raises
        ------
        JournalDamaged
            At damage that is no torn tail; the exception is a `Damage`.
        StorageFailed
            If a segment cannot be read.
        """
        base = expected = self.next_seq
        seen = array("I")
        for path in self.paths:
            self.segment = path
            position = 0
            with _open(path) as file:
                for line in file:
                    body = line[HEAD:-1]
                    crc = crc32(body)
                    # The comparison below is `unframe`, spelled out: this loop is the cost of opening a campaign.
                    digits, _, text = body.partition(b" ")
                    if line[:HEAD] != b"%08x " % crc or line[-1:] != b"\n" or not text or not digits.isdigit():
                        self.position, self.next_seq = position, expected
                        self._end(file, path, position, line)
                        return
                    seq = int(digits)
                    if seq == expected:
                        expected += 1
                        seen.append(crc)
                        self.position = position
                        yield seq, text
                    elif seq > expected:
                        self._damage(path, position, f"record {seq} follows where {expected} belongs", expected)
                    elif seq >= base and seen[seq - base] != crc:
                        self._damage(path, position, f"a second, different record {seq}", expected)
                    position += len(line)
            self.position, self.next_seq = position, expected

    def _skip_to(self, since: int) -> None:
        best, start = 0, 0
        for i, path in enumerate(self.paths):
            with _open(path) as file:
                try:
                    seq = unframe(file.readline())[0]
                except BadFrame:
                    continue
            if best < seq <= since:
                best, start = seq, i
        self.paths, self.next_seq = self.paths[start:], best

    def _end(self, file: BinaryIO, path: Path, position: int, line: bytes) -> None:
        """Decide what the bad `line` is: the beginning of a torn tail, or damage."""
        try:
            unframe(line)
            reason = "unreadable"
        except BadFrame as error:
            reason = str(error)
        if path != self.paths[-1]:
            self._damage(path, position, reason, self.next_seq)
        dropped = len(line)
        if any(whole_records(line, behind=1)):
            self._damage(path, position, reason, self.next_seq)
        for later in file:
            dropped += len(later)
            if any(whole_records(later)):
                self._damage(path, position, f"{reason}, and whole records follow", self.next_seq)
        self.tail = Tail(path, position, dropped, reason)

    def _damage(self, path: Path, position: int, reason: str, seq: int) -> None:
        raise Damage(self.directory, path, position, reason, seq)


def whole_records(line: bytes, behind: int = 0) -> Iterator[bytes]:
    """Whole records in a line that may have rubbish before, between or behind them, each as a line of its own.

    Only those that begin at byte `behind` or later are given.
    """
    starts = [match.start() for match in _START.finditer(line, behind)]
    for start, stop in pairwise([*starts, len(line)]):
        piece = line[start:stop]
        # Where a newline was overwritten, one byte stands in its place.
        for candidate in (piece, piece[:-1] + b"\n"):
            try:
                unframe(candidate)
            except BadFrame:
                continue
            yield candidate
            break


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=1 << 20)
    except OSError as error:
        raise storage_error(error, "read", path) from error
