"""The core and the journal alone: ``python -m tests.benchmarks.core CASE JSON``. No processes, no Dask, one thread.

Rates are per second of CPU time, which is wall time on a machine that does nothing else; both are given.
"""

from __future__ import annotations

import gc
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import deque
from typing import Any

from tests.benchmarks.ours import SCRATCH
from tests.benchmarks.peers import common
from workbench.core import State, decide, evolve
from workbench.journal.reader import read
from workbench.journal.writer import JournalWriter
from workbench.model.edits import AddPool, AddSet
from workbench.model.events import AttemptFinished, CampaignCreated, CommandAccepted, Event, NodeJoined
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Function, Payload, SetSpec

NODES = 2
LATENCY = 3  # reports that come in one round, as with two busy workers
POLICY = "upward-rank"  # the default


def opening(n: int) -> list[Event]:
    """A campaign of one set of `n` functions on two nodes of one core."""
    work = Function(Payload(b"code"), "benchmark:noop")
    return [
        CampaignCreated(0.0, "benchmark", "benchmark", 0, "adaptive", POLICY),
        CommandAccepted(0.0, "pool", (AddPool(Pool("local", NODES, NodeShape(1), "local")),)),
        CommandAccepted(0.0, "bag", (AddSet(SetSpec("bag", work, n=n)),)),
        *(NodeJoined(0.0, f"local-{i}", "local", 1, 0, 0, "", 4) for i in range(NODES)),
    ]


def drive(n: int) -> tuple[State, list[Event], float]:
    """Run a campaign of `n` tasks; its state, its events, and the CPU seconds spent in `decide` and `evolve`."""
    state = State()
    events = opening(n)
    for event in events:
        evolve(state, event)
    under_way: deque[Any] = deque()
    now = spent = 0.0
    clock = time.thread_time
    while True:
        t0 = clock()
        for decision in decide(state, now):
            evolve(state, decision)
            events.append(decision)
            under_way.append(decision)
        spent += clock() - t0
        if not under_way:
            break
        reports = []
        for _ in range(min(LATENCY, len(under_way))):
            a = under_way.popleft()
            now += 0.001
            reports.append(AttemptFinished(now, a.task, a.number, now - 0.001, now))
        t0 = clock()
        for report in reports:
            evolve(state, report)
        spent += clock() - t0
        events += reports
    if not state.ended:
        raise AssertionError("the campaign did not end")
    return state, events, spent


def rate(n: int) -> dict[str, Any]:
    """Events per second of `evolve` alone, and of `decide` with `evolve`, in a campaign of `n` tasks."""
    _, events, spent = drive(n)
    gc.collect()
    state = State()
    t0, cpu0 = time.perf_counter(), time.thread_time()
    for event in events:
        evolve(state, event)
    alone, cpu = time.perf_counter() - t0, time.thread_time() - cpu0
    if not state.ended:
        raise AssertionError("the replayed campaign did not end")
    many = len(events)
    return {"events": many, "rate": many / spent, "evolve_rate": many / cpu, "evolve_wall_rate": many / alone}


def size(n: int) -> dict[str, Any]:
    """Memory of a process that holds a campaign of `n` tasks, from its declaration to its end, without its journal."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    state = State()
    for event in opening(n):
        evolve(state, event)
    now = 0.0
    while True:
        decisions = []
        for decision in decide(state, now):
            evolve(state, decision)
            decisions.append(decision)
        if not decisions:
            break
        for d in decisions:
            now += 0.001
            evolve(state, AttemptFinished(now, d.task, d.number, now - 0.001, now))
    if not state.ended:
        raise AssertionError("the campaign did not end")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tasks": n, "peak_mib": peak, "state_mib": peak - before}


def replay(n: int) -> dict[str, Any]:
    """Seconds to read, check and fold a journal of `n` records: what `Campaign.resume` does first."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(dir=SCRATCH)
    try:
        head = len(opening(1))
        tasks = (n - head) // 2
        _, events, _ = drive(tasks)
        t0 = time.perf_counter()
        with JournalWriter(directory, fsync="never") as writer:
            for place, event in enumerate(events, start=1):
                writer.append(event)
                if place % 1000 == 0:
                    writer.commit()
        wrote = time.perf_counter() - t0
        count = len(events)
        del events
        gc.collect()
        t0 = time.perf_counter()
        for _record in read(directory):
            pass
        reading = time.perf_counter() - t0
        state = State()
        t0, cpu0 = time.perf_counter(), time.thread_time()
        for record in read(directory):
            evolve(state, record.event)
        took, cpu = time.perf_counter() - t0, time.thread_time() - cpu0
        if not state.ended or state.size != tasks:
            raise AssertionError("the replayed campaign did not end")
        return {"records": count, "seconds": took, "cpu_s": cpu, "read_s": reading, "write_s": wrote}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


CASES = {"rate": rate, "size": size, "replay": replay}

if __name__ == "__main__":
    common.report(CASES[sys.argv[1]](**json.loads(sys.argv[2])))
