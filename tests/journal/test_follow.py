"""Reading on while a writer writes."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import records, segment
from workbench.journal import Follower, JournalWriter, follow
from workbench.journal.scan import Damage
from workbench.model.errors import StorageFull
from workbench.model.events import Record


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
