"""Ctrl-C and SIGTERM: the first asks for a stop in good order, the second ends everything at once."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType, TracebackType
from typing import Any

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, remembers the first signal in `signum` (0: none) instead of raising in the middle of anything."""

    def __init__(self) -> None:
        self.signum = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended."""
        return 128 + self.signum

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self.signum == 0:
            self.signum = number
            return
        kill_children()
        os._exit(128 + number)


def kill_children() -> None:
    """Kill every process that this one started, the grandchildren too."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.kill()
