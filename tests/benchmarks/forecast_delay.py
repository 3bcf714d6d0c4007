"""What forecasts cost the engine: ``python -m tests.benchmarks.forecast_delay``.

An engine serves a campaign of noisy tasks (normal, 20 %) in 40 sets on an in-memory cluster of 16 nodes of 168 cores,
in real time at 1/100 of it, and forecasts while it runs; a probe on the same event loop wakes up every millisecond. How
late it wakes is the loop's delay, its rounds included; without a forecaster it is what the machine and the rounds alone
come to. *A thread* is what small campaigns get, *a child* what large ones do (`workbench.engine.aside`). One forecast
by itself is timed in CPU time of its thread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import tempfile
import time
from pathlib import Path

from tests.benchmarks.machine import describe, load
from tests.benchmarks.page import Page
from workbench.core import State
from workbench.core.copying import copy_state
from workbench.engine import aside
from workbench.engine.feed import Feed
from workbench.engine.loop import Engine
from workbench.executors.fake import FakeCluster
from workbench.journal.writer import JournalWriter
from workbench.model.edits import Ack, AddPool, AddSet, Command
from workbench.model.events import CampaignCreated, EngineStarted, ForecastMade
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Edge, Normal, SetSpec, Synthetic
from workbench.predict.forecast import forecast
from workbench.testing.clock import LoopClock

SAMPLES = 20
SETS = 40
SCALE = 0.01


def command(tasks: int) -> Command:
    """The pool, and layers of eight sets."""
    edits: list[AddPool | AddSet] = [AddPool(Pool("p", 16, NodeShape(168, 6), "fake"))]
    for i in range(SETS):
        mean = 100.0 + 5.0 * i
        spec = SetSpec(
            f"s{i}", Synthetic(), n=tasks // SETS, resources=Resources(4 + 4 * (i % 3)), estimate=Normal(mean, mean / 5)
        )
        edits.append(AddSet(spec, () if i < 8 else (Edge(f"s{i - 8}", f"s{i}"),)))
    return Command("all", tuple(edits))


class Served:
    """What a run came to: the loop's delays and the seconds of each forecast, both in milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.forecasts = 0
        self.done = 0
        self.one_ms = 0.0


async def serve(directory: Path, tasks: int, foretell: bool, seconds: float) -> Served:
    """Run for some seconds."""
    found = Served()
    clock = LoopClock()
    state = State()
    forecaster = (lambda s, at: forecast(s, at, SAMPLES)) if foretell else None
    engine = Engine(state, JournalWriter(directory, 0), Feed(str(directory), 0), clock.now, forecaster)
    engine.record(CampaignCreated(clock.now(), "id", "delay", 0, "adaptive", "upward-rank", SCALE))
    engine.record(EngineStarted(clock.now(), 1))
    serving = asyncio.ensure_future(engine.run())
    answered: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
    wanted = command(tasks)
    engine.submit(wanted, answered.set_result)
    assert (await answered).ok
    pool = next(e.pool for e in wanted.edits if isinstance(e, AddPool))
    await engine.attach(FakeCluster(pools=[pool], clock=clock))
    await asyncio.sleep(0.05)  # the first decisions of thousands of tasks are a round of their own
    gc.collect()
    until = time.perf_counter() + seconds
    while (before := time.perf_counter()) < until and not state.ended:
        await asyncio.sleep(0.001)
        found.late.append(1e3 * (time.perf_counter() - before - 0.001))
    found.forecasts = sum(isinstance(e, ForecastMade) for e in state.forecasts)
    copy = copy_state(state)
    began = time.thread_time()
    forecast(copy, clock.now(), SAMPLES)
    found.one_ms = 1e3 * (time.thread_time() - began)
    await engine.stop("measured")
    await serving
    return found


def measure(tasks: int, how: str, seconds: float) -> Served:
    """One run in a directory of its own."""
    kept = aside.LARGE
    aside.LARGE = 1 << 60 if how == "a thread" else 0
    try:
        with tempfile.TemporaryDirectory() as directory, contextlib.closing(asyncio.new_event_loop()) as loop:
            return loop.run_until_complete(serve(Path(directory), tasks, how != "none", seconds))
    finally:
        aside.LARGE = kept


def main() -> None:
    """Measure and write the page."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--seconds", type=float, default=12.0)
    ask.add_argument("--tasks", type=int, nargs="*", default=[10_000, 100_000])
    given = ask.parse_args()
    page = Page("forecast_delay", __doc__ or "")
    before = load()
    for tasks in given.tasks:
        rows = []
        for how in ("none", "a thread", "a child"):
            run = measure(tasks, how, given.seconds)
            late = sorted(run.late)
            p99, most = late[int(0.99 * len(late))], late[-1]
            rows.append((how, run.forecasts, f"{late[len(late) // 2]:.2f}", f"{p99:.2f}", f"{most:.1f}"))
            if how == "none":
                alone = most
                wanted = tasks // 10  # what 10 000 tasks may take, and in proportion
                page.figure(f"one forecast of {SAMPLES} samples, {tasks} tasks", f"< {wanted} ms",
                            f"{run.one_ms:.0f} ms", run.one_ms < wanted)  # fmt: skip
            if how == "a child":
                page.figure(f"longest delay of the loop, {tasks} tasks, beyond {alone:.1f} ms without forecasts",
                            "<= 20 ms", f"{most:.1f} ms", most - alone <= 20)  # fmt: skip
        page.table(f"{tasks} tasks: delay of the loop, ms", ("forecasts in", "made", "median", "P99", "longest"), rows)
    machine = describe(Path(__file__).parent)
    page.text(
        f"{machine['cpu']}, {machine['cores']} cores; Python {machine['python']}; load average {before:.1f} at the "
        f"start, {load():.1f} at the end; {given.seconds:g} s of each run."
    )
    page.write()


if __name__ == "__main__":
    main()
