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
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
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


BATCH = 1 << 18


def all_whole(lines: list[bytes], first: int) -> tuple[int, list[int]] | None:
    """Whether `lines`, as ``readlines`` splits them, are whole records numbered from `first` on, without a gap.

    Checking is the cost of opening a campaign, so a whole batch is compared at once: its checksums and numbers, written
    as they should be, with what is there. Where this fails, the lines must be looked at one by one to find out why.

    Returns
    -------
    start : int
        Where the JSON of each line begins.
    crcs : list of int
        Their checksums.
    None
        If any line is something else (or their numbers differ in length).
    """
    n = len(lines)
    digits = len(b"%d" % first)
    start = HEAD + digits + 1
    if len(b"%d" % (first + n - 1)) != digits or len(min(lines, key=len)) <= start + 1 or lines[-1][-1:] != b"\n":
        return None
    crcs = [crc32(line[HEAD:-1]) for line in lines]
    there = b"".join([line[:start] for line in lines])
    meant = (b"%08x %d " * n) % tuple(chain.from_iterable(zip(crcs, range(first, first + n), strict=True)))
    return (start, crcs) if there == meant else None


class Wanted(msgspec.Struct, frozen=True):
    """Records to pick by their JSON: those that hold some bytes, or begin with one of several."""

    holding: bytes
    beginning: tuple[bytes, ...] = ()

    def maybe_in(self, lines: bytes) -> bool:
        """Whether any of the lines may be wanted; asked of many at once, since most are not."""
        return self.holding in lines or any(start in lines for start in self.beginning)


class Scan:
    """Walks the frames of the journal in `directory`, beginning at or before record `since`.

    Iterate over `frames` once. Afterwards `next_seq` is the number of the next record to write, and `tail` says what
    was left out, if anything. `segment` is where reading stands.
    """

    def __init__(self, directory: str | os.PathLike[str], since: int = 0) -> None:
        self.directory = Path(directory)
        self.paths = segments(directory)
        self.tail: Tail | None = None
        self.next_seq = 0
        self.segment: Path | None = None
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

    def frames(self, wanted: Wanted | None = None) -> Iterator[tuple[int, bytes]]:
        """Sequence number and JSON of each record, in order; of all of them, or of those that are `wanted`.

        Every record is checked, wanted or not.

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
                while lines := file.readlines(BATCH):
                    whole = all_whole(lines, expected)
                    if whole is not None:
                        start, crcs = whole
                        seen.extend(crcs)
                        first, expected = expected, expected + len(lines)
                        if wanted is None:
                            for seq, line in enumerate(lines, first):
                                yield seq, line[start:-1]
                        elif wanted.maybe_in(b"".join(lines)):
                            for seq, line in enumerate(lines, first):
                                if wanted.holding in line or line.startswith(wanted.beginning, start):
                                    yield seq, line[start:-1]
                        position += sum(map(len, lines))
                        continue
                    rest = iter(lines)
                    for line in rest:
                        try:
                            seq, text = unframe(line)
                        except BadFrame as error:
                            self.next_seq = expected
                            self._end(chain(rest, file), path, position, line, str(error))
                            return
                        crc = int(line[:8], 16)
                        if seq == expected:
                            expected += 1
                            seen.append(crc)
                            if wanted is None or wanted.holding in text or text.startswith(wanted.beginning):
                                yield seq, text
                        elif seq > expected:
                            self._damage(path, position, f"record {seq} follows where {expected} belongs", expected)
                        elif seq >= base and seen[seq - base] != crc:
                            self._damage(path, position, f"a second, different record {seq}", expected)
                        position += len(line)
            self.next_seq = expected

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

    def _end(self, behind: Iterable[bytes], path: Path, position: int, line: bytes, reason: str) -> None:
        """Decide what the bad `line` is: the beginning of a torn tail, or damage."""
        if path != self.paths[-1]:
            self._damage(path, position, reason, self.next_seq)
        dropped = len(line)
        if any(whole_records(line, behind=1)):
            self._damage(path, position, reason, self.next_seq)
        for later in behind:
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
