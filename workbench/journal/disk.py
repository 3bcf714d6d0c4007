"""Where segments lie, and the few steps that make a change of a directory last."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Any

SEGMENT = re.compile(r"(\d{8})\.jsonl")

System = Any
"""The module `os`, or something with the same functions that fails on purpose."""


def journal_of(directory: str | os.PathLike[str]) -> Path:
    """Directory of the journal of the campaign in `directory`."""
    return Path(directory) / "journal"


def segment_name(number: int) -> str:
    """``segment_name(1) == "00000001.jsonl"``."""
    return f"{number:08d}.jsonl"


def segments(directory: str | os.PathLike[str]) -> list[Path]:
    """All segments of the campaign in `directory`, oldest first; empty when there is no journal."""
    journal = journal_of(directory)
    try:
        names = os.listdir(journal)
    except FileNotFoundError:
        return []
    return [journal / name for name in sorted(name for name in names if SEGMENT.fullmatch(name))]


def segment_number(path: Path) -> int:
    """Inverse of `segment_name`."""
    return int(path.name[:8])


def sync_directory(path: str | os.PathLike[str], system: System = os) -> None:
    """Make created, renamed and removed entries of `path` last. File systems that cannot say so are let be."""
    fd = system.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        system.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        with contextlib.suppress(OSError):
            system.close(fd)


def write_all(fd: int, data: bytes, system: System = os) -> None:
    """Write `data` with one call; a short write is followed by another, which then tells why."""
    done = system.write(fd, data)
    while done < len(data):
        done += system.write(fd, memoryview(data)[done:])
