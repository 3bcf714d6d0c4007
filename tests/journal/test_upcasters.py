"""Journals of other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.journal.conftest import raw, recovered, segment
from workbench.journal import Follower, JournalWriter, read, reader, upcasters
from workbench.model.errors import NewerFormat
from workbench.model.events import FORMAT, EngineStopped, Record


def test_a_newer_format_is_refused_before_anything_is_read(campaign: Path) -> None:
    (campaign / "journal").mkdir()
    text = b'{"ev":"CampaignCreated","at":1.0,"id":"c","name":"n","seed":0,"format":%d}' % (FORMAT + 1)
    segment(campaign).write_bytes(raw(0, text))
    for attempt in (lambda: read(campaign), lambda: recovered(campaign), lambda: Follower(campaign).poll()):
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
        file.write(b"torn")
    size = segment(campaign).stat().st_size
    with pytest.raises(NewerFormat, match=r"record 1 in .*00000001\.jsonl.*newer version"):
        recovered(campaign)
    assert segment(campaign).stat().st_size == size, "a journal that cannot be read is not changed"
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
    assert [record.seq for record in recovered(campaign)[0]] == [0, 1, 2]


def test_the_table_of_upcasters_reaches_every_older_format() -> None:
    assert sorted(upcasters.UPCASTERS) == list(range(1, FORMAT))


def test_upcasting_keeps_bytes_and_unicode() -> None:
    text = msgspec.json.encode(EngineStopped(1.5, "\u2028 \0 ü"))
    assert upcasters.upcast(text, FORMAT) == text
