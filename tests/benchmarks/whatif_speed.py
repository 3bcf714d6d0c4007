"""What-ifs of a running campaign: ``python -m tests.benchmarks.whatif_speed``.

Forty sets in layers of four, each set after one of the layer before; 4 to 12 cores and no or one GPU a task; TX normal
(60 s, 10 %), some of it in real time: at 1/20 about 100 tasks end in a second, at 1/100 about 500; 16 nodes of 168
cores and 6 GPUs on the cluster in memory; policy upward-rank.
The engine runs in the same process and thread pool as who asks, as in a notebook, so both share one interpreter. While
tasks start and end, one edit after the other is asked about, 50 ms after the answer to the last: scale up, scale down
at once, other cores for a set, cancel, a new set, another mode. A what-if folds what happened since the last one,
judges the edit and plays both futures, in two processes beside this one (`workbench.api.foreseer`). Wall time as a
person waits for it, and CPU time of the asking thread alone.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe, load, step_ns
from tests.benchmarks.page import Page
from workbench import Campaign, Normal, Synthetic
from workbench.executors.fake import FakeCluster
from workbench.model.resources import NodeShape, Pool
from workbench.store import Layout

POOL = Pool("v", 16, NodeShape(168, 6), "fake")
SETS = 40
PAUSE_S = 0.05  # between two questions: a person takes longer, and an editor waits for the end of the typing
CASES = ((10_000, 0.05, 0.05), (10_000, 0.01, 0.05), (100_000, 0.01, 1.0))  # tasks, time scale, P99 wanted in seconds
EDITS: dict[str, Callable[[Any], Any]] = {
    "scale up": lambda c: c.scale("v", 24),
    "scale down at once": lambda c: c.scale("v", 8, drain=False),
    "other cores": lambda c: c.replace(f"s{SETS - 1}", cores=16),
    "cancel a set": lambda c: c.cancel(f"s{SETS - 2}"),
    "a new set": lambda c: c.tasks(Synthetic(), n=100, name="new", cores=4, estimate=60, after=f"s{SETS - 1}"),
    "other mode": lambda c: c.set_mode("asynchronous"),
}


def declare(c: Campaign, tasks: int) -> None:
    rng = random.Random(1)
    with c.batch():
        for i in range(SETS):
            after = (f"s{rng.randrange(i // 4 * 4 - 4, i // 4 * 4)}",) if i >= 4 else ()
            c.tasks(
                Synthetic(),
                n=tasks // SETS,
                name=f"s{i}",
                cores=rng.randint(4, 12),
                gpus=rng.randint(0, 1),
                estimate=Normal(60.0, 6.0),
                after=after,
            )


def measure(tasks: int, scale: float, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of each what-if, by edit, asked for `seconds` while the campaign runs."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in EDITS}
    with tempfile.TemporaryDirectory() as folder:
        c = Campaign("speed", pool=POOL, dir=Path(folder) / "c", policy="upward-rank", time_scale=scale)
        with c:
            declare(c, tasks)
            c.start(FakeCluster(pools=[POOL], layout=Layout(c.directory)))
            while c.tables().state.counts["done"] < 100:  # type: ignore[index]
                c.session.wait(c.tables().next_seq, 1.0)
            c.whatif(EDITS["scale up"])
            gc.collect()
            until = time.monotonic() + seconds
            while time.monotonic() < until and not c.tables().ended:
                for name, edit in EDITS.items():
                    wall, cpu = time.perf_counter(), time.thread_time()
                    w = c.whatif(edit)
                    took = time.perf_counter() - wall, time.thread_time() - cpu
                    if c.tables().ended:
                        break
                    if w.before is None or (w.after is None and not w.refused):
                        raise AssertionError(f"{name}: {w}")
                    if not w.refused:  # an edit that comes too late is no measure
                        found[name].append(took)
                    time.sleep(PAUSE_S)
    return found


def quantile(values: list[float], q: float) -> float:
    """The smallest value that at least a share `q` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=25.0)
    given = parser.parse_args()
    page = Page("whatif_speed", __doc__ or "")
    on = describe(Path(tempfile.gettempdir()))
    speed, busy = step_ns(), load()
    for tasks, scale, limit in CASES:
        found = measure(tasks, scale, given.seconds)
        rows = []
        every = [x for taken in found.values() for x in taken]
        for name, taken in [*found.items(), ("all", every)]:
            if taken:
                wall, cpu = [w * 1e3 for w, _ in taken], [x * 1e3 for _, x in taken]
                figures = (
                    quantile(wall, 0.5),
                    quantile(wall, 0.99),
                    max(wall),
                    quantile(cpu, 0.5),
                    quantile(cpu, 0.99),
                )
                rows.append((name, len(taken), *(f"{f:.1f}" for f in figures)))
        head = ("edit", "asked", "P50 ms", "P99 ms", "max ms", "CPU P50 ms", "CPU P99 ms")
        what = f"{tasks} tasks, at 1/{1 / scale:.0f} time"
        page.table(what, head, rows)
        p99 = quantile([w for w, _ in every], 0.99)
        page.figure(f"what-if on a running campaign of {what}: P99", f"< {limit * 1e3:.0f} ms", f"{p99 * 1e3:.1f} ms",
                    p99 < limit)  # fmt: skip
    page.text(
        f"{on['cpu']}, {os.cpu_count()} cores; load average {busy:.1f} at the start; a step of a Python loop "
        f"{speed:.0f} ns at the start, {step_ns():.0f} ns at the end."
    )
    page.write()


if __name__ == "__main__":
    main()
