"""Text on its way to a terminal, and JSON on its way to a program."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec


def plain(text: str) -> str:
    """`text` with every control character but newline and tab written out, so that a name cannot steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in text)


def line(text: str) -> str:
    """`plain` on one line."""
    return " ".join(plain(text).split())


def seconds(value: float | None) -> str:
    """A duration as a person would say it: ``"8.4 s"``, ``"1248 s"``; ``"-"`` where there is none."""
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value * 1000:.2g} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def count(n: int, what: str) -> str:
    """``count(1, "task") == "1 task"``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader (head, less) has enough. What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def put_json(value: Any) -> None:
    """One value on one line of stdout."""
    _write(msgspec.json.encode(value).decode())


def put(text: str = "") -> None:
    """A line on stdout."""
    _write(plain(text))


def tell(text: str) -> None:
    """A line on stderr; one that has just been told is not told again."""
    global _told
    if text != _told:
        _told = text
        print(plain(text), file=sys.stderr, flush=True)


_told = ""


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tell(f"workbench: {line(record.getMessage())}")
        if record.exc_info:
            tell(logging.Formatter().formatException(record.exc_info))


@contextmanager
def telling_log(logger: logging.Logger) -> Iterator[None]:
    """While entered, warnings and errors of `logger` are lines on stderr, and nothing has been told yet."""
    global _told
    _told = ""
    teller, propagate = _Teller(logging.WARNING), logger.propagate
    logger.addHandler(teller)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(teller)
        logger.propagate = propagate
