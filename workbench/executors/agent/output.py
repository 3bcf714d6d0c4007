"""The last lines of what an attempt printed, for the record of how it ended."""

from __future__ import annotations

import os

TAIL = 4 << 10
"""Bytes of each stream that are looked at."""

LINES = 20
"""Lines of both streams together that a record carries."""

_BETWEEN = "standard output before that:"


def tail(path: str, most: int = TAIL) -> str:
    """The last `most` bytes of a file as text; empty if there is none."""
    try:
        with open(path, "rb") as f:
            size = f.seek(0, os.SEEK_END)
            f.seek(max(0, size - most))
            return f.read(most).decode(errors="replace")
    except OSError:
        return ""


def last_words(err: str, out: str) -> str:
    """The last lines of the files `err` and `out`: standard error first, standard output where there is room.

    Returns
    -------
    str
        At most `LINES` lines and `TAIL` bytes of the streams; empty if the attempt printed nothing.
    """
    said = _lines(tail(err), LINES)
    printed = _lines(tail(out, TAIL - sum(len(line.encode()) + 1 for line in said)), LINES - len(said))
    return "\n".join([*said, *([_BETWEEN] if said and printed else []), *printed])


def _lines(text: str, most: int) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()][-most:] if most > 0 else []
