"""Reading a journal that is whole, from any number on."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import raw, records, recovered, segment
from workbench.journal import read, scan
from workbench.journal.record import encode
from workbench.model.edits import Hold
from workbench.model.errors import JournalDamaged, NoCampaign, StorageFailed
from workbench.model.events import CommandAccepted, CommandRefused, NodeLeft


def test_reading_from_any_number(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(60)
    write_journal(campaign, sample, per_segment=7)
    for since in range(62):
        found = read(campaign, since)
        assert list(found) == records(sample)[since:]
        assert (found.tail, found.next_seq) == (None, 60)


def test_reading_on_skips_segments_that_are_not_needed(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(60), per_segment=7)
    segment(campaign, 3).write_bytes(b"rubbish\n")
    assert [record.seq for record in read(campaign, 40)] == list(range(40, 60))
    with pytest.raises(JournalDamaged):
        list(read(campaign, 20))


def test_reading_piece_by_piece(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(10)
    write_journal(campaign, sample)
    found = read(campaign)
    assert next(found).seq == 0
    assert [record.seq for record in itertools.islice(found, 3)] == [1, 2, 3]
    assert [record.seq for record in found] == list(range(4, 10))


def test_an_empty_journal(campaign: Path) -> None:
    assert list(read(campaign)) == []
    (campaign / "journal").mkdir()
    assert list(read(campaign)) == []
    segment(campaign).touch()
    found = read(campaign)
    assert (list(found), found.tail, found.next_seq) == ([], None, 0)
    assert recovered(campaign)[1:] == (0, None)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(NoCampaign, match="missing"):
        read(tmp_path / "missing")


def test_a_segment_that_cannot_be_read(campaign: Path) -> None:
    (campaign / "journal" / "00000001.jsonl").mkdir(parents=True)
    with pytest.raises(StorageFailed, match="00000001"):
        list(read(campaign))


def test_other_files_in_the_journal_are_let_be(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(5))
    for name in ("00000001.jsonl.12.torn", "salvaged-1.jsonl", "1.jsonl", "00000002.jsonl~", "notes"):
        (campaign / "journal" / name).write_text("rubbish")
    assert len(list(read(campaign))) == 5


@pytest.mark.parametrize("size", [1, 300, 5000, 1 << 18])
def test_records_are_checked_in_batches_of_any_size(
    campaign: Path, events: Any, write_journal: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(scan, "BATCH", size)
    sample = events(1200)  # their numbers grow from one digit to four
    frames = write_journal(campaign, sample, per_segment=500)
    assert [raw(seq, text) for seq, text in scan.Scan(campaign).frames()] == frames
    assert list(read(campaign)) == records(sample)


def test_a_batch_with_anything_wrong_in_it_is_not_taken_for_whole(events: Any) -> None:
    frames = [encode(seq, event) for seq, event in enumerate(events(60))][20:50]

    def whole(lines: list[bytes], first: int = 20) -> tuple[int, list[int]] | None:
        return scan.all_whole(io.BytesIO(b"".join(lines)).readlines(), first)

    start, crcs = whole(frames) or (0, [])
    assert [raw(20 + i, line[start:-1]) for i, line in enumerate(frames)] == frames and len(set(crcs)) == 30
    for i in (0, 7, 29):
        line = frames[i]
        flipped = [line[:at] + bytes([line[at] ^ 4]) + line[at + 1 :] for at in range(len(line))]
        others = [line[:-1], line[:-2] + b"\n", b"\n", raw(20 + i, b""), raw(99, line[start:-1]), line + line, b""]
        for other in flipped + others:
            assert (whole([*frames[:i], other, *frames[i + 1 :]]) is None) is (i < 29 or other != b""), (i, other)
    assert whole(frames, 21) is None and whole(frames[:-1]) is not None
    assert whole([frames[1], frames[0]]) is None


def test_what_concerns_one_task_or_set_is_picked_from_all(campaign: Path, events: Any, write_journal: Any) -> None:
    told = [
        NodeLeft(1.0, "n1"),
        CommandAccepted(2.0, "c", (Hold(("sim",)),)),
        CommandRefused(3.0, "sim[1]+", "x", "R", "m"),
    ]
    sample = [*events(100), *told, *events(60)[3:]]
    write_journal(campaign, sample, per_segment=40)
    for about, tasks in (("sim[1]", {"sim[1]"}), ("sim[10]", {"sim[10]"}), ("sim", None), ("si", set()), ("", None)):
        found = read(campaign, about=about)
        wanted = [
            record
            for record in records(sample)
            if not about
            or record.event in told
            or (hasattr(record.event, "task") and (tasks is None or record.event.task in tasks))
        ]
        assert list(found) == wanted and found.next_seq == len(sample)
        assert list(read(campaign, 100, about=about)) == [r for r in wanted if r.seq >= 100]
    path = segment(campaign, 2)
    content = bytearray(path.read_bytes())
    content[content.index(b"sim[20]") + 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match="checksum"):
        list(read(campaign, about="sim[1]"))
