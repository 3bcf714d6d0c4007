"""What every group of rules stands on: the pools, the benches, and two helpers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.executors.port import Executor
from workbench.model.causes import Cause
from workbench.model.resources import NodeShape, Pool
from workbench.store import Layout
from workbench.testing.bench import Bench

REAL, VIRTUAL = "real", "virtual"
POOLS = (
    Pool(REAL, 2, NodeShape(2, 2), "local"),
    Pool(VIRTUAL, 3, NodeShape(4, 1), "virtual"),
)

HOARD = 256 << 20
BY_FORCE: dict[str, tuple[dict[str, Any], Cause, str]] = {
    "timeout": ({"timeout_s": 3.0}, Cause.Timeout, "timeout of 3 s"),
    "memory": ({"memory": HOARD // 2}, Cause.OutOfMemory, "128 MiB"),
    "signal": ({}, Cause.WorkerLost, "SIGABRT"),
    "stop": ({}, Cause.Cancelled, "0.1 s"),
}
"""Ways in which an attempt is made to end: options of its launch, cause, what the first line of the detail names."""


class Base:
    """What every suite stands on: a bench for all tests of a class, and one of a test's own."""

    without: Mapping[str, str] = {}
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def make(self, layout: Layout) -> Executor:
        """The executor under test, which provides `POOLS`."""
        raise NotImplementedError

    def break_node(self, bench: Bench, node: str) -> None:
        """Let `node` die without a word."""
        raise NotImplementedError

    def bench_in(self, directory: Path) -> Bench:
        """A started bench with an executor under test."""
        factory = type(self).__dict__.get("loop_factory")
        bench = Bench(directory / "campaign", self.make, factory)
        bench.start()
        return bench

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        """One bench for all tests of the class that leave it as they found it."""
        bench = cls().bench_in(tmp_path_factory.mktemp("shared"))
        yield bench
        bench.close()
        bench.end_loop()

    @pytest.fixture
    def bench(self, shared: Bench) -> Bench:
        """The shared bench, whose earlier attempts have all ended."""
        shared.nodes(REAL, 2), shared.nodes(VIRTUAL, 3)
        return shared

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Iterator[Bench]:
        """A bench for a test that breaks something."""
        bench = self.bench_in(tmp_path)
        yield bench
        if not bench.closed:
            bench.close()
        bench.end_loop()


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that is dead and not reaped does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def peak(spans: list[tuple[float, float, int]]) -> int:
    """The most that was in use at once; an end and a start at the same instant do not overlap."""
    changes = sorted([(end, -use) for _, end, use in spans] + [(start, use) for start, _, use in spans])
    peak = now = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak
