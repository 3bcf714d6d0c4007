"""Campaign directories, sample events and a file system that fails on purpose."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from workbench.journal import Tail, recover
from workbench.model.events import (
    AttemptAssigned,
    AttemptFinished,
    AttemptStarted,
    CampaignCreated,
    EngineStarted,
    Event,
    NodeJoined,
    Record,
)


class Faulty:
    """The module `os`, except that calls number `first` to `first + times - 1` fail with `code`.

    Calls are counted over all functions in `COUNTED`. A failing `write` leaves half of its data behind first.
    """

    COUNTED = (
        "open",
        "write",
        "fdatasync",
        "fsync",
        "ftruncate",
        "fstat",
        "close",
        "link",
        "unlink",
        "rename",
        "mkdir",
    )

    def __init__(self, code: int = 0, first: int = 1 << 60, times: int = 1) -> None:
        self.code, self.first, self.times = code, first, times
        self.calls = 0
        self.failed: Counter[str] = Counter()
        self.open_files: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.COUNTED:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.first <= self.calls < self.first + self.times:
                self.failed[name] += 1
                if name == "write" and self.code in (errno.ENOSPC, errno.EDQUOT):
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                if name == "close":  # Linux gives the descriptor back even then
                    os.close(args[0])
                    self.open_files.discard(args[0])
                raise OSError(self.code, os.strerror(self.code))
            result = real(*args, **kwargs)
            if name == "open":
                self.open_files.add(result)
            elif name == "close":
                self.open_files.discard(args[0])
            return result

        return call


@pytest.fixture
def faulty() -> type[Faulty]:
    return Faulty


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """An empty campaign directory."""
    (tmp_path / "campaign.json").write_text('{"id":"c1","name":"test","format":1}')
    return tmp_path


def sample_events(n: int) -> list[Event]:
    """The first `n` events of a plausible campaign."""
    events: list[Event] = [
        CampaignCreated(1000.0, "c1", "test", 7),
        EngineStarted(1000.1, 1, "host", 42, "0.1.0"),
        NodeJoined(1000.2, "n1", "local", 4),
    ]
    i = 0
    while len(events) < n:
        task, at = f"sim[{i}]", 1001.0 + i
        events += [
            AttemptAssigned(at, task, 1, "n1"),
            AttemptStarted(at + 0.1, task, 1, at + 0.1, 100 + i),
            AttemptFinished(at + 0.9, task, 1, at + 0.1, at + 0.8),
        ]
        i += 1
    return events[:n]


@pytest.fixture
def events() -> Any:
    return sample_events


@pytest.fixture
def write_journal() -> Any:
    """``write_journal(directory, events, per_segment=None)`` writes a journal; gives the frames, one for each event."""
    from workbench.journal import JournalWriter
    from workbench.journal.record import encode

    def write(directory: Path, events: list[Event], per_segment: int | None = None) -> list[bytes]:
        with JournalWriter(directory, 0, fsync="never", segment_bytes=1 << 60) as writer:
            for seq, event in enumerate(events):
                if per_segment and seq and seq % per_segment == 0:
                    writer._limit = 0  # what follows goes to the next segment
                writer.append(event)
                writer.commit()
                writer._limit = 1 << 60
        return [encode(seq, event) for seq, event in enumerate(events)]

    return write


def segment(campaign: Path, number: int = 1) -> Path:
    return campaign / "journal" / f"{number:08d}.jsonl"


def records(sample: list[Any]) -> list[Record]:
    return [Record(i, event) for i, event in enumerate(sample)]


def raw(seq: int, text: bytes) -> bytes:
    body = b"%d %b" % (seq, text)
    return b"%08x %b\n" % (crc32(body), body)


def recovered(campaign: Path, system: Any = os) -> tuple[list[Record], int, Tail | None]:
    """What `recover` gives, to its end: the records, the number of the next one, and what was cut."""
    found = recover(campaign, system)
    return list(found), found.next_seq, found.tail
