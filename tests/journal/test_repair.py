from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.journal.conftest import recovered
from workbench.journal import JournalWriter, Lease, read, repair
from workbench.journal.record import decode
from workbench.model.errors import CampaignHeld, JournalDamaged, NewerFormat, NoCampaign
from workbench.model.events import EngineStopped, Record


def segment(campaign: Path, number: int = 1) -> Path:
    return campaign / "journal" / f"{number:08d}.jsonl"


def exported(path: Path | None) -> list[Record]:
    assert path is not None
    return [decode(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_everything_before_is_kept_and_everything_readable_behind_is_exported(
    campaign: Path, events: Any, write_journal: Any
) -> None:
    sample = events(60)
    frames = write_journal(campaign, sample, per_segment=20)
    path = segment(campaign, 2)
    content = bytearray(path.read_bytes())
    start = len(frames[20]) + len(frames[21])
    content[start + 20 : start + 25] = b"\0" * 5
    path.write_bytes(content)
    third = segment(campaign, 3).read_bytes()
    with pytest.raises(JournalDamaged):
        list(read(campaign))

    report = repair(campaign)
    assert (report.kept, report.segment, report.position, report.salvaged) == (22, path, start, 37)
    assert exported(report.export) == [Record(i, sample[i]) for i in range(23, 60)]
    assert [aside.name for aside in report.set_aside] == [
        f"00000002.jsonl.{start}.torn",
        "00000003.jsonl.damaged",
    ]
    assert report.set_aside[0].read_bytes() == content[start:]
    assert report.set_aside[1].read_bytes() == third
    text = str(report)
    assert "22 records" in text and "37 readable" in text and str(report.export) in text and f"byte {start}" in text

    found, next_seq, tail = recovered(campaign)
    assert (list(found), next_seq, tail) == ([Record(i, sample[i]) for i in range(22)], 22, None)
    with JournalWriter(campaign, 22) as writer:
        writer.append(EngineStopped(1.0))
    assert len(list(read(campaign))) == 23
    again = repair(campaign)
    assert (again.kept, again.reason, again.export) == (23, "", None)
    assert "nothing to repair" in str(again)


def test_any_damage_can_be_repaired(tmp_path: Path, events: Any, write_journal: Any) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    sample = events(60)
    kinds = {"kept all": 0, "cut": 0, "salvaged": 0}
    for round_ in range(60):
        campaign = tmp_path / str(round_)
        campaign.mkdir()
        (campaign / "campaign.json").write_text("{}")
        write_journal(campaign, sample, per_segment=25)
        for _ in range(rng.randrange(1, 4)):
            path = segment(campaign, rng.randrange(1, 4))
            if not path.exists():
                continue
            content = bytearray(path.read_bytes())
            kind, at = rng.randrange(5), rng.randrange(len(content) + 1)
            if kind == 0:
                content[at : at + 1] = b"\n" if content[at : at + 1] != b"\n" else b"x"
            elif kind == 1:
                content[at : at + 600] = bytes(len(content[at : at + 600]))
            elif kind == 2:
                del content[at:]
            elif kind == 3:
                del content[at : at + rng.randrange(1, 300)]
            else:
                path.unlink()
                continue
            path.write_bytes(content)
        expected: list[Record] = []
        try:
            expected.extend(read(campaign))
        except JournalDamaged:
            pass
        report = repair(campaign)
        found = read(campaign)
        assert list(found) == expected and found.tail is None, f"seed {seed}"
        assert expected == [Record(i, sample[i]) for i in range(report.kept)], f"seed {seed}"
        if report.export is not None:
            kinds["salvaged"] += 1
            for record in exported(report.export):
                assert record == Record(record.seq, sample[record.seq]), f"seed {seed}"
        else:
            kinds["cut" if report.reason else "kept all"] += 1
    assert kinds["salvaged"] > 10, kinds


def test_a_newline_that_was_overwritten_costs_no_record(campaign: Path, events: Any, write_journal: Any) -> None:
    sample = events(10)
    frames = write_journal(campaign, sample)
    path = segment(campaign)
    content = bytearray(path.read_bytes())
    content[sum(map(len, frames[:4])) - 1] = 0
    path.write_bytes(content)
    report = repair(campaign)
    assert report.kept == 3
    assert exported(report.export) == [Record(i, sample[i]) for i in range(3, 10)]


def test_a_torn_end_is_cut(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(10))
    os.truncate(segment(campaign), segment(campaign).stat().st_size - 4)
    report = repair(campaign)
    assert (report.kept, report.salvaged, len(report.set_aside)) == (9, 0, 1)
    assert "cut short" in str(report)


def test_an_interrupted_repair_goes_on(
    campaign: Path, events: Any, write_journal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = events(80)
    write_journal(campaign, sample, per_segment=20)
    path = segment(campaign, 2)
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    salvaged: dict[int, Record] = {}
    steps = 0
    while True:
        calls = 0

        def stop(real: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        real = Path.rename
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", lambda self, target, real=real: stop(real, self, target))
            try:
                report = repair(campaign)
                break
            except KeyboardInterrupt:
                steps += 1
    assert steps == 1 and report.kept == 20
    for export in (campaign / "journal").glob("salvaged-*"):
        salvaged.update({record.seq: record for record in exported(export)})
    assert [salvaged[i] for i in range(20, 80)] == [Record(i, sample[i]) for i in range(20, 80)]
    assert [record.event for record in read(campaign)] == sample[:20]


def test_a_campaign_that_runs_is_not_repaired(campaign: Path, events: Any, write_journal: Any) -> None:
    write_journal(campaign, events(3))
    with Lease.take(campaign), pytest.raises(CampaignHeld):
        repair(campaign)
    assert repair(campaign).kept == 3
    assert Lease.holder(campaign) is None


def test_no_campaign(tmp_path: Path) -> None:
    with pytest.raises(NoCampaign):
        repair(tmp_path)


def test_a_newer_format_is_no_damage(campaign: Path) -> None:
    from zlib import crc32

    (campaign / "journal").mkdir()
    body = b'0 {"ev":"CampaignCreated","at":1.0,"id":"c","name":"n","seed":0,"format":99}'
    content = b"%08x %b\n" % (crc32(body), body) + b"rubbish\n" * 3
    segment(campaign).write_bytes(content)
    with pytest.raises(NewerFormat):
        repair(campaign)
    assert segment(campaign).read_bytes() == content
