from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import recovered
from workbench.journal import JournalWriter, read
from workbench.journal.writer import last_line
from workbench.model.errors import BadValue, CampaignHeld, JournalDamaged, StorageFailed, StorageFull, WorkbenchError
from workbench.model.events import EngineStopped, Record

CODES = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE]


def names(campaign: Path) -> list[str]:
    return sorted(path.name for path in (campaign / "journal").iterdir())


def test_what_is_committed_is_read_back_in_order(campaign: Path, events: Any) -> None:
    sample = events(50)
    with JournalWriter(campaign, 0) as writer:
        assert [writer.append(event) for event in sample[:20]] == list(range(20))
        assert (writer.pending, writer.committed, writer.next_seq) == (20, 0, 20)
        assert list(read(campaign)) == []
        assert writer.commit() == 20
        assert (writer.pending, writer.committed) == (0, 20)
        for event in sample[20:]:
            writer.append(event)
    assert list(read(campaign)) == [Record(i, event) for i, event in enumerate(sample)]


def test_a_batch_is_one_write_and_one_sync(campaign: Path, events: Any, faulty: Any) -> None:
    calls: list[str] = []

    class Counting(faulty):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return super().__getattr__(name)

    writer = JournalWriter(campaign, 0, system=Counting())
    writer.append(events(1)[0])
    writer.commit()
    calls.clear()
    for event in events(100):
        writer.append(event)
    writer.commit()
    assert calls == ["write", "fdatasync"]
    calls.clear()
    writer.commit()
    assert calls == []
    writer.close()
    writer.close()


def test_without_sync_nothing_is_synced(campaign: Path, events: Any, faulty: Any) -> None:
    system = faulty(errno.EIO, 1, 1 << 60)
    system.COUNTED = ("fsync", "fdatasync")
    with JournalWriter(campaign, 0, fsync="never", system=system) as writer:
        writer.append(events(1)[0])
    assert system.calls == 0 and len(list(read(campaign))) == 1


def test_an_unknown_fsync_is_refused(campaign: Path) -> None:
    with pytest.raises(ValueError, match="sometimes"):
        JournalWriter(campaign, 0, fsync="sometimes")  # type: ignore[arg-type]


def test_only_the_owner_may_read(campaign: Path, events: Any) -> None:
    with JournalWriter(campaign, 0) as writer:
        writer.append(events(1)[0])
    assert stat.S_IMODE((campaign / "journal").stat().st_mode) == 0o700
    assert stat.S_IMODE((campaign / "journal" / "00000001.jsonl").stat().st_mode) == 0o600


def test_full_segments_are_left_and_the_next_engine_goes_on(campaign: Path, events: Any) -> None:
    sample = events(300)
    for start in range(0, 300, 100):
        _, next_seq, tail = recovered(campaign)
        assert (next_seq, tail) == (start, None)
        with JournalWriter(campaign, next_seq, segment_bytes=2000) as writer:
            for event in sample[start : start + 100]:
                writer.append(event)
                writer.commit()
    assert len(names(campaign)) > 10
    assert all(path.stat().st_size < 2300 for path in (campaign / "journal").iterdir())
    assert [record.event for record in read(campaign)] == sample


def test_an_event_that_cannot_be_written_leaves_no_trace(campaign: Path, events: Any) -> None:
    with JournalWriter(campaign, 0) as writer:
        writer.append(events(1)[0])
        with pytest.raises(BadValue):
            writer.append(EngineStopped(float("nan")))
        assert writer.append(EngineStopped(1.0)) == 1
    assert [record.seq for record in read(campaign)] == [0, 1]


def run(campaign: Path, sample: list[Any], system: Any) -> int:
    """Write `sample` in batches of 4 with rotation, and try again whatever fails; gives the number of failures."""
    failures = 0
    done = 0
    writer = JournalWriter(campaign, 0, segment_bytes=800, system=system)
    for start in range(0, len(sample), 4):
        for event in sample[start : start + 4]:
            writer.append(event)
        could_not_cut = system.failed["ftruncate"]
        while True:
            try:
                assert writer.commit() == start + len(sample[start : start + 4])
                break
            except WorkbenchError as error:
                failures += 1
                assert isinstance(error, StorageFull if system.code in (errno.ENOSPC, errno.EDQUOT) else StorageFailed)
                assert str(campaign) in str(error)
                assert writer.committed == done and writer.pending == 4
                if system.failed["ftruncate"] == could_not_cut:
                    seen = [record.event for record in read(campaign)]
                    assert seen == sample[:done], "half a batch, or an unacknowledged one, was left behind"
        done = writer.committed
        assert [record.event for record in read(campaign)] == sample[:done]
    writer.close()
    assert not system.open_files
    return failures


def calls_of_a_good_run(campaign: Path, sample: list[Any], faulty: Any) -> int:
    campaign.mkdir()
    system = faulty()
    assert run(campaign, sample, system) == 0
    return int(system.calls)


@pytest.mark.parametrize("times", [1, 2, 3, 7])
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_every_call_may_fail_and_nothing_is_lost_or_doubled(
    tmp_path: Path, events: Any, faulty: Any, code: int, times: int
) -> None:
    sample = events(40)
    total = calls_of_a_good_run(tmp_path / "good", sample, faulty)
    assert total > 30
    failures = 0
    for first in range(1, total + 1):
        campaign = tmp_path / f"at-{first}"
        campaign.mkdir()
        failures += run(campaign, sample, faulty(code, first, times))
        records, next_seq, tail = recovered(campaign)
        assert [record.event for record in records] == sample
        assert (next_seq, tail) == (40, None)
    assert failures > total // 2


def test_half_a_batch_that_could_not_be_taken_back_is_cut_before_more_is_written(
    campaign: Path, events: Any, faulty: Any
) -> None:
    sample = events(8)
    system = faulty(errno.ENOSPC)
    writer = JournalWriter(campaign, 0, system=system)
    for event in sample[:4]:
        writer.append(event)
    writer.commit()
    for event in sample[4:]:
        writer.append(event)
    system.first, system.times = system.calls + 1, 2  # the write and the cut that follows it
    with pytest.raises(StorageFull, match="nothing accepted is lost"):
        writer.commit()
    assert system.failed == {"write": 1, "ftruncate": 1}
    segment = campaign / "journal" / "00000001.jsonl"
    grown = segment.stat().st_size
    system.first, system.times = system.calls + 2, 1  # opening succeeds, the cut fails again
    with pytest.raises(StorageFull):
        writer.commit()
    assert segment.stat().st_size == grown, "something was appended behind half a batch"
    assert writer.commit() == 8
    writer.close()
    assert [record.event for record in read(campaign)] == sample


def test_a_crash_after_half_a_batch_costs_that_batch_only(campaign: Path, events: Any, faulty: Any) -> None:
    sample = events(12)
    system = faulty(errno.ENOSPC)
    writer = JournalWriter(campaign, 0, system=system)
    for event in sample[:4]:
        writer.append(event)
    writer.commit()
    for event in sample[4:]:
        writer.append(event)
    system.first, system.times = system.calls + 1, 1 << 60
    with pytest.raises(StorageFull):
        writer.commit()
    with pytest.raises(StorageFull):
        writer.close()
    records, next_seq, tail = recovered(campaign)
    got = [record.event for record in records]
    assert tail is not None and tail.dropped > 0
    assert 4 <= next_seq < 12 and got == sample[:next_seq]


def test_close_on_a_full_disk_says_so_and_closes(campaign: Path, events: Any, faulty: Any) -> None:
    system = faulty(errno.ENOSPC)
    writer = JournalWriter(campaign, 0, system=system)
    writer.append(events(1)[0])
    system.first, system.times = 1, 1 << 60
    with pytest.raises(StorageFull):
        writer.close()
    writer.append(events(1)[0])
    with pytest.raises(ValueError, match="closed"):
        writer.commit()


def test_a_full_disk_for_real(campaign: Path, events: Any) -> None:
    """`/dev/full` answers every write with ENOSPC; it has no length to cut, which the writer must survive as well."""
    (campaign / "journal").mkdir(mode=0o700)
    segment = campaign / "journal" / "00000001.jsonl"
    segment.symlink_to("/dev/full")
    writer = JournalWriter(campaign, 0)
    writer.append(events(1)[0])
    with pytest.raises(StorageFull):
        writer.commit()
    segment.unlink()
    segment.touch(0o600)
    assert writer.commit() == 1
    writer.close()
    assert len(list(read(campaign))) == 1


def test_a_journal_that_was_not_recovered_is_not_written(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(10))
    segment = campaign / "journal" / "00000001.jsonl"
    with pytest.raises(JournalDamaged, match="record 9, so the next one cannot be 5"):
        JournalWriter(campaign, 5)
    os.truncate(segment, segment.stat().st_size - 3)
    with pytest.raises(JournalDamaged, match="recover"):
        JournalWriter(campaign, 10)


def test_a_segment_that_another_engine_began_is_not_written(campaign: Path, events: Any) -> None:
    writer = JournalWriter(campaign, 0, segment_bytes=1)
    writer.append(events(1)[0])
    writer.commit()
    (campaign / "journal" / "00000002.jsonl").write_text("something\n")
    writer.append(events(2)[1])
    with pytest.raises(CampaignHeld, match="00000002"):
        writer.commit()


def test_a_segment_that_lost_bytes_is_not_written(campaign: Path, events: Any, faulty: Any) -> None:
    system = faulty(errno.EIO)
    writer = JournalWriter(campaign, 0, system=system)
    writer.append(events(1)[0])
    writer.commit()
    writer.append(events(2)[1])
    system.first = system.calls + 1
    with pytest.raises(StorageFailed):
        writer.commit()
    os.truncate(writer.segment, 10)
    with pytest.raises(JournalDamaged, match="has 10 bytes"):
        writer.commit()


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the directory belongs")
    with pytest.raises(StorageFailed, match="journal"):
        JournalWriter(tmp_path, 0)


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_last_line(tmp_path: Path, block: int) -> None:
    path = tmp_path / "file"
    for content, expected in [
        (b"", b""),
        (b"\n", b"\n"),
        (b"a\n", b"a\n"),
        (b"first\nsecond\n", b"second\n"),
        (b"first\nsec", b"sec"),
        (b"first\n\n", b"\n"),
    ]:
        path.write_bytes(content)
        assert last_line(path, block) == expected
