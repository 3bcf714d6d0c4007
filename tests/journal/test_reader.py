from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.journal import Follower, JournalWriter, follow, read, reader, recover, upcasters
from workbench.journal.record import encode
from workbench.journal.scan import Damage, Scan
from workbench.model.errors import JournalDamaged, NewerFormat, NoCampaign, StorageFailed, StorageFull
from workbench.model.events import FORMAT, EngineStopped, Record


def segment(campaign: Path, number: int = 1) -> Path:
    return campaign / "journal" / f"{number:08d}.jsonl"


def records(sample: list[Any]) -> list[Record]:
    return [Record(i, event) for i, event in enumerate(sample)]


def raw(seq: int, text: bytes) -> bytes:
    from zlib import crc32

    body = b"%d %b" % (seq, text)
    return b"%08x %b\n" % (crc32(body), body)


# --- reading --------------------------------------------------------------------------------------------------------


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
    assert recover(campaign)[1:] == (0, None)


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


# --- torn ends ------------------------------------------------------------------------------------------------------


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
                found, next_seq, tail = recover(campaign)
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
    again, next_seq, tail = recover(campaign)
    assert (list(again), next_seq, tail) == (records(sample), 30, found.tail)
    assert path.stat().st_size == size
    assert (campaign / "journal" / f"00000002.jsonl.{size}.torn").read_bytes() == rubbish
    assert recover(campaign)[2] is None


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
        recover(campaign)
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
    recover(campaign, counting)
    assert counting.calls > 5
    for code, first in itertools.product((28, 122, 5, 116), range(1, counting.calls + 1)):
        path.write_bytes(content)
        system = faulty(code, first)
        try:
            recover(campaign, system)
        except (StorageFull, StorageFailed) as error:
            assert str(path) in str(error)
        else:
            assert system.failed["close"], "the error of a call was swallowed"
        found, next_seq, _ = recover(campaign)
        assert (list(found), next_seq) == (records(sample[:9]), 9)
        assert not system.open_files


# --- damage ---------------------------------------------------------------------------------------------------------


def test_bit_flips_never_give_a_wrong_record(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(80)
    frames = write_journal(campaign, sample, per_segment=30)
    ends = [list(itertools.accumulate(map(len, frames[i : i + 30]))) for i in (0, 30, 60)]
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    tails = damages = 0
    for _ in range(1500):
        number = rng.randrange(3)
        path = segment(campaign, number + 1)
        content = path.read_bytes()
        at = rng.randrange(len(content)) if rng.random() < 0.9 else rng.choice(ends[number]) - 1
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        whole = 30 * number + sum(1 for end in ends[number] if end <= at)
        found = read(campaign)
        got: list[Record] = []
        try:
            got.extend(found)
            tails += 1
            assert found.tail is not None and whole == 79, f"damage in the middle was cut off, seed {seed}"
        except Damage as damage:
            damages += 1
            assert damage.seq == whole < 79, f"seed {seed}"
            assert (damage.segment, damage.position) == (path, ([0, *ends[number]])[whole - 30 * number])
            text = str(damage)
            assert str(path) in text and f"byte {damage.position}" in text and f"workbench repair {campaign}" in text
        assert got == records(sample)[:whole], f"seed {seed}"
        path.write_bytes(content)
    assert damages > 1000 and tails > 5


@pytest.mark.parametrize("start", [0, 100, 250, 1000])
@pytest.mark.parametrize("length", [1, 64, 512, 2000])
def test_zero_blocks_in_the_middle_are_damage(
    campaign: Path, events: Any, write_journal: Any, start: int, length: int
) -> None:
    sample = events(60)
    frames = write_journal(campaign, sample)
    path = segment(campaign)
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    whole = sum(1 for end in itertools.accumulate(map(len, frames)) if end <= start)
    found = read(campaign)
    got: list[Record] = []
    with pytest.raises(Damage) as caught:
        got.extend(found)
    assert got == records(sample)[:whole]
    assert caught.value.position == sum(map(len, frames[:whole]))


def test_zeros_up_to_the_last_record_are_damage_not_a_tail(campaign: Path, events: Any, write_journal: Any) -> None:
    """The last record is whole, but stands on one line with the zeros before it."""
    frames = write_journal(campaign, events(20))
    path = segment(campaign)
    keep = sum(map(len, frames[:15]))
    path.write_bytes(b"".join(frames[:15]) + b"\0" * (path.stat().st_size - keep - len(frames[19])) + frames[19])
    with pytest.raises(Damage) as caught:
        list(read(campaign))
    assert (caught.value.position, caught.value.seq) == (keep, 15)


def test_a_missing_segment_is_damage(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(40), per_segment=10)
    segment(campaign, 2).unlink()
    with pytest.raises(JournalDamaged, match="record 20 follows where 10 belongs"):
        list(read(campaign))
    segment(campaign, 1).unlink()
    with pytest.raises(JournalDamaged, match="record 20 follows where 0 belongs"):
        list(read(campaign))


@pytest.mark.parametrize("source", [1, 2, 3, 4])
@pytest.mark.parametrize("since", [0, 15, 25, 39])
def test_a_copied_segment_is_read_once(
    campaign: Path, events: Any, write_journal: Any, source: int, since: int
) -> None:
    sample = events(40)
    write_journal(campaign, sample, per_segment=10)
    shutil.copy(segment(campaign, source), segment(campaign, 5))
    assert list(read(campaign, since)) == records(sample)[since:]
    found, next_seq, tail = recover(campaign)
    assert (list(found), next_seq, tail) == (records(sample), 40, None)
    with JournalWriter(campaign, 40) as writer:
        writer.append(EngineStopped(1.0))
    assert [record.event for record in read(campaign)] == [*sample, EngineStopped(1.0)]


def test_lines_that_were_written_twice_are_read_once(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(20)
    frames = write_journal(campaign, sample)
    segment(campaign).write_bytes(b"".join([*frames[:10], *frames[3:10], *frames[8:]]))
    assert list(read(campaign)) == records(sample)
    assert Follower(campaign).poll() == records(sample)


def test_a_second_different_record_of_a_number_is_damage(campaign: Path, events: Any, write_journal: Any) -> None:
    frames = write_journal(campaign, events(20))
    segment(campaign).write_bytes(b"".join([*frames, encode(12, EngineStopped(5.0))]))
    with pytest.raises(JournalDamaged, match="second, different record 12"):
        list(read(campaign))


# --- formats --------------------------------------------------------------------------------------------------------


def test_a_newer_format_is_refused_before_anything_is_read(campaign: Path) -> None:
    (campaign / "journal").mkdir()
    text = b'{"ev":"CampaignCreated","at":1.0,"id":"c","name":"n","seed":0,"format":%d}' % (FORMAT + 1)
    segment(campaign).write_bytes(raw(0, text))
    for attempt in (lambda: read(campaign), lambda: recover(campaign), lambda: Follower(campaign).poll()):
        with pytest.raises(NewerFormat, match=f"format {FORMAT + 1}.*upgrade"):
            attempt()


@pytest.mark.parametrize(
    "text",
    [
        b'{"ev":"MoonLanded","at":1.0}',
        b'{"ev":"NodeLeft","at":1.0,"node":"n","cause":"Meteorite"}',
        b'{"ev":"EngineStopped","at":"noon"}',
        b"[1,2]",
        b"not json",
    ],
)
def test_a_whole_record_that_is_not_understood_is_never_cut_off(campaign: Path, events: Any, text: bytes) -> None:
    with JournalWriter(campaign, 0) as writer:
        writer.append(events(1)[0])
    with open(segment(campaign), "ab") as file:
        file.write(raw(1, text))
    size = segment(campaign).stat().st_size
    found, next_seq, tail = recover(campaign)
    assert (next_seq, tail, segment(campaign).stat().st_size) == (2, None, size)
    with pytest.raises(NewerFormat, match=r"record 1 in .*00000001\.jsonl.*newer version"):
        list(found)
    with pytest.raises(NewerFormat, match="record 1"):
        Follower(campaign, 1).poll()


def test_fields_of_a_newer_version_are_let_be(campaign: Path) -> None:
    (campaign / "journal").mkdir()
    segment(campaign).write_bytes(raw(0, b'{"ev":"EngineStopped","at":1.0,"mood":"good"}'))
    assert list(read(campaign)) == [Record(0, EngineStopped(1.0))]


def test_an_older_format_is_brought_up_record_by_record(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Format 1, where FORMAT is 3: `EngineStopped.why` became `cause` in 2 and `reason` in 3."""
    (campaign / "journal").mkdir()
    lines = [
        b'{"ev":"CampaignCreated","at":1.0,"id":"c","name":"n","seed":0}',
        b'{"ev":"EngineStopped","at":2.0,"why":"tired"}',
        b'{"ev":"EngineStopped","at":3.0,"reason":"written by the newer engine"}',
    ]
    lines[0] = lines[0][:-1] + b',"format":1}'
    segment(campaign).write_bytes(b"".join(raw(seq, text) for seq, text in enumerate(lines)))

    def rename(old: str, new: str) -> upcasters.Upcaster:
        return lambda record: {new if key == old else key: value for key, value in record.items()}

    for module in (upcasters, reader):
        monkeypatch.setattr(module, "FORMAT", 3)
    monkeypatch.setitem(upcasters.UPCASTERS, 1, rename("why", "cause"))
    with pytest.raises(NewerFormat, match="no longer reads"):
        list(read(campaign, 1))
    monkeypatch.setitem(upcasters.UPCASTERS, 2, rename("cause", "reason"))
    expected = [EngineStopped(2.0, "tired"), EngineStopped(3.0, "written by the newer engine")]
    assert [record.event for record in read(campaign, 1)] == expected
    assert [record.event for record in Follower(campaign, 1).poll()] == expected
    assert [record.seq for record in recover(campaign)[0]] == [0, 1, 2]


def test_the_table_of_upcasters_reaches_every_older_format() -> None:
    assert sorted(upcasters.UPCASTERS) == list(range(1, FORMAT))


def test_upcasting_keeps_bytes_and_unicode() -> None:
    text = msgspec.json.encode(EngineStopped(1.5, "\u2028 \0 ü"))
    assert upcasters.upcast(text, FORMAT) == text


# --- following ------------------------------------------------------------------------------------------------------


def test_following_a_journal_from_before_its_first_byte(campaign: Path, events: Any) -> None:
    sample = events(90)
    follower = Follower(campaign)
    assert follower.poll() == []
    got: list[Record] = []
    writer = JournalWriter(campaign, 0, segment_bytes=1500)
    rng = random.Random(3)
    for event in sample:
        writer.append(event)
        if rng.random() < 0.3:
            writer.commit()
        if rng.random() < 0.3:
            new = follower.poll(limit=rng.choice([1, 3, 1000]))
            assert [record.seq for record in new] == list(range(len(got), len(got) + len(new)))
            got += new
            assert len(got) <= writer.committed
    writer.close()
    while new := follower.poll(limit=7):
        got += new
    assert got == records(sample)
    assert segment(campaign, 3).exists()


@pytest.mark.parametrize("since", [0, 5, 25, 60, 75])
def test_following_from_a_number(campaign: Path, events: Any, write_journal: Any, since: int) -> None:
    sample = events(60)
    write_journal(campaign, sample, per_segment=20)
    assert Follower(campaign, since).poll() == records(sample)[since:]


def test_half_a_record_is_awaited(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(5)
    write_journal(campaign, sample)
    path = segment(campaign)
    content = path.read_bytes()
    follower = Follower(campaign)
    path.write_bytes(b"")
    got: list[Record] = []
    for byte in content:
        with open(path, "ab") as file:
            file.write(bytes([byte]))
        got += follower.poll()
    assert got == records(sample)


def test_what_a_writer_takes_back_is_awaited_too(campaign: Path, events: Any, faulty: Any) -> None:
    """On a full disk half a batch appears and goes away again."""
    sample = events(20)
    system = faulty(28, first=1, times=2)
    system.COUNTED = ("write", "ftruncate")
    writer = JournalWriter(campaign, 0, system=system)
    follower = Follower(campaign)
    for event in sample:
        writer.append(event)
    with pytest.raises(StorageFull):
        writer.commit()
    assert system.failed["write"] and system.failed["ftruncate"]
    got = follower.poll()
    assert 0 < len(got) < 20
    writer.close()
    got += follower.poll()
    assert got == records(sample)


def test_damage_is_found_while_following(campaign: Path, events: Any, write_journal: Any) -> None:
    frames = write_journal(campaign, events(30))
    path = segment(campaign)
    follower = Follower(campaign)
    path.write_bytes(b"".join(frames[:10]) + b"rubbish\n")
    assert len(follower.poll()) == 10
    assert follower.poll() == []
    path.write_bytes(b"".join(frames[:10]) + b"rubbish\n" + frames[11])
    with pytest.raises(Damage) as caught:
        follower.poll()
    assert (caught.value.seq, caught.value.position) == (10, sum(map(len, frames[:10])))
    path.write_bytes(b"".join(frames[:10]) + frames[11])
    with pytest.raises(Damage, match="record 11 follows where 10 belongs"):
        follower.poll()


def test_follow_waits_between_looks_and_ends_with_everything_given(campaign: Path, events: Any) -> None:
    sample = events(30)
    writer = JournalWriter(campaign, 0)
    waits: list[float] = []
    left = iter(sample)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        for event in itertools.islice(left, 10):
            writer.append(event)
        writer.commit()

    def stop() -> bool:
        return writer.committed == 30

    assert list(follow(campaign, 2, poll_s=0.25, stop=stop, sleep=sleep)) == records(sample)[2:]
    assert waits == [0.25] * 3
    writer.close()
