"""A file system that fails on purpose."""

from __future__ import annotations

import os
from typing import Any

import pytest


class Faulty:
    """The module `os`, except that calls number `first` to `first + times - 1` of `COUNTED` fail with `code`."""

    COUNTED = ("open", "write", "fsync", "close", "link", "unlink", "rename", "mkdir")

    def __init__(self, code: int = 0, first: int = 1 << 60, times: int = 1) -> None:
        self.code, self.first, self.times = code, first, times
        self.calls = 0
        self.failed: list[str] = []
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.COUNTED:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            self.names.append(name)
            if self.first <= self.calls < self.first + self.times:
                self.failed.append(name)
                if name == "write":
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                if name == "close":  # Linux gives the descriptor back even then
                    os.close(args[0])
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **kwargs)

        return call


@pytest.fixture
def faulty() -> type[Faulty]:
    return Faulty
