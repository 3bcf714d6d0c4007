"""Torn ends: what a crash left of the last write is cut, kept beside, and never taken for damage."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import records, recovered, segment
from workbench.journal import JournalWriter, read
from workbench.journal.scan import Scan
from workbench.model.errors import JournalDamaged, StorageFailed, StorageFull
from workbench.model.events import EngineStopped


def test_cut_at_every_byte(campaign: Path, events: Any, write_journal: Any) -> None:
    """From the end to the start of 520 records in 4 segments, byte by byte: always the longest whole prefix."""
    sample = events(520)
    frames = write_journal(campaign, sample, per_segment=150)
    texts = [(seq, frame.split(b" ", 2)[2][:-1]) for seq, frame in enumerate(frames)]
    whole = len(frames)
    checked = 0
    for number in (4, 3, 2, 1):
        path = segment(campaign, number)
        first = 150 * (number - 1)
        starts = list(itertools.accumulate((len(frame) for frame in frames[first:whole]), initial=0))
        assert path.stat().st_size == starts[-1]
        for size in range(starts[-1], -1, -1):
            os.truncate(path, size)
            if size < starts[whole - first]:
                whole -= 1
            start = starts[whole - first]
            scan = Scan(campaign, since=first)
            # Where not even its first record is whole, reading begins a segment earlier.
            got = [(seq, text) for seq, text in scan.frames() if seq >= first]
            assert got == texts[first:whole]
            assert scan.next_seq == whole
            torn = None if size == start else (path, start, size - start)
            assert torn == (scan.tail and (scan.tail.segment, scan.tail.position, scan.tail.dropped))
            checked += 1
            if size == start or size % 97 == 0:  # the whole of it, with recovery and writing on, is dearer
                content = path.read_bytes()
                found, next_seq, tail = recovered(campaign)
                assert list(found) == records(sample[:whole])
                assert next_seq == whole and (tail is None) == (torn is None)
                with JournalWriter(campaign, next_seq, fsync="never") as writer:
                    writer.append(EngineStopped(9.0, "again"))
                assert [record.event for record in read(campaign)] == [*sample[:whole], EngineStopped(9.0, "again")]
                for aside in (campaign / "journal").glob("*.torn"):
                    assert torn is not None and aside.read_bytes() == content[start:]
                    aside.unlink()
                path.write_bytes(content)
        path.unlink()
    assert checked == sum(map(len, frames)) + 4 and whole == 0


TAILS = [b"\0", b"\0" * 5000, b"\n", b"\n\n\n", b"half a line", b"a line\n", b"\xff\xfe\x00\n" * 10, b"0" * 100_000]


@pytest.mark.parametrize("rubbish", TAILS, ids=lambda value: repr(value[:12]))
def test_rubbish_at_the_end_is_cut_and_kept_beside(
    campaign: Path, events: Any, write_journal: Any, rubbish: bytes
) -> None:
    sample = events(30)
    frames = write_journal(campaign, sample, per_segment=20)
    path = segment(campaign, 2)
    size = sum(map(len, frames[20:]))
    with open(path, "ab") as file:
        file.write(rubbish)
    found = read(campaign)
    assert list(found) == records(sample)
    assert found.tail is not None and path.stat().st_size == size + len(rubbish)
    assert (found.tail.segment, found.tail.position, found.tail.dropped) == (path, size, len(rubbish))
    assert str(path) in str(found.tail) and str(size) in str(found.tail)
    again, next_seq, tail = recovered(campaign)
    assert (list(again), next_seq, tail) == (records(sample), 30, found.tail)
    assert path.stat().st_size == size
    assert (campaign / "journal" / f"00000002.jsonl.{size}.torn").read_bytes() == rubbish
    assert recovered(campaign)[2] is None


def test_zeros_in_place_of_the_last_records(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(100)
    frames = write_journal(campaign, sample)
    path = segment(campaign)
    content = path.read_bytes()
    start = len(content) - 700
    path.write_bytes(content[:start] + b"\0" * 700)
    whole = sum(1 for end in itertools.accumulate(map(len, frames)) if end <= start)
    found = read(campaign)
    assert list(found) == records(sample)[:whole]
    assert found.tail is not None and found.tail.position + found.tail.dropped == len(content)


def test_a_torn_segment_that_is_not_the_last_is_damage(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(30), per_segment=20)
    path = segment(campaign)
    os.truncate(path, path.stat().st_size - 1)
    before = {p.name: p.read_bytes() for p in (campaign / "journal").iterdir()}
    with pytest.raises(JournalDamaged, match="cut short"):
        recovered(campaign)
    assert before == {p.name: p.read_bytes() for p in (campaign / "journal").iterdir()}


def test_recovery_on_a_failing_disk_changes_nothing_and_can_be_repeated(
    campaign: Path, events: Any, write_journal: Any, faulty: Any
) -> None:
    sample = events(10)
    write_journal(campaign, sample)
    path = segment(campaign)
    os.truncate(path, path.stat().st_size - 5)
    content = path.read_bytes()
    counting = faulty()
    recovered(campaign, counting)
    assert counting.calls > 5
    for code, first in itertools.product((28, 122, 5, 116), range(1, counting.calls + 1)):
        path.write_bytes(content)
        system = faulty(code, first)
        try:
            recovered(campaign, system)
        except (StorageFull, StorageFailed) as error:
            assert str(path) in str(error)
        else:
            assert system.failed["close"], "the error of a call was swallowed"
        found, next_seq, _ = recovered(campaign)
        assert (list(found), next_seq) == (records(sample[:9]), 9)
        assert not system.open_files
