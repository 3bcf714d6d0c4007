"""Damage that is no torn end: found, named with its place, and never read past."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import records, recovered, segment
from workbench.journal import Follower, JournalWriter, read
from workbench.journal.record import encode
from workbench.journal.scan import Damage
from workbench.model.errors import JournalDamaged
from workbench.model.events import EngineStopped, Record


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
    found, next_seq, tail = recovered(campaign)
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
