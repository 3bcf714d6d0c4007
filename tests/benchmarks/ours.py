"""Our side of the comparison: ``python -m tests.benchmarks.ours CASE JSON`` prints one line as the peers' scripts do.

Everything goes through the public API on the Dask executor: functions run in child processes, the slots of the nodes
are counted, and the journal is kept as always: written before anything is acted upon, synced to disk before a command
is acknowledged or a result can be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.peers import common
from workbench import Campaign, LocalPool

if TYPE_CHECKING:
    from workbench.model.events import Record

SCRATCH = Path(__file__).resolve().parents[2] / ".bench" / "campaigns"
"""On the disk of the checkout: in memory (`/tmp` may be) a sync would cost nothing."""


@contextlib.contextmanager
def campaign(pool: LocalPool, fsync: bool = True, **settings: Any) -> Iterator[Campaign]:
    """A campaign in a directory of its own, which is removed afterwards."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(dir=SCRATCH)
    made = Campaign("benchmark", pool=pool, dir=directory, **settings)
    if not fsync:
        _without_sync(made, directory, **settings)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _without_sync(made: Campaign, directory: str, **settings: Any) -> None:
    """Give the campaign an engine that leaves it to the kernel when the journal reaches the disk."""
    from workbench.engine.local import LocalSession
    from workbench.predict.forecast import forecast

    session = LocalSession.create(directory, name=made.name, fsync="never", forecaster=forecast, **settings)
    made._attach(session)
    made._declare_pools({})


def two_workers(tls: bool = False) -> LocalPool:
    """Two nodes of one core, each a worker process with its own children."""
    security = None
    if tls:
        from distributed import Security

        security = Security.temporary()
    return LocalPool(nodes=2, cores=1, gpus=0, security=security)


def records(c: Campaign) -> list[Record]:
    """The whole journal."""
    found: list[Record] = []
    while more := c.session.events(len(found)):
        found += more
    return found


def spans(c: Campaign) -> list[tuple[str, str, float, float]]:
    """Set, node, start and end of each finished attempt, by the clock of the process that ran it."""
    from workbench.model.events import AttemptAssigned, AttemptFinished
    from workbench.model.ids import split_task

    where: dict[tuple[str, int], str] = {}
    found = []
    for record in records(c):
        event = record.event
        if isinstance(event, AttemptAssigned):
            where[event.task, event.number] = event.node
        elif isinstance(event, AttemptFinished):
            node = where[event.task, event.number]
            found.append((split_task(event.task)[0], node, event.started, event.ended))
    return found


def check_slots(c: Campaign) -> int:
    """The most attempts that any node ran at one time; raises if that is more than its cores."""
    worst = 0
    cores = {n.name: n.cores for n in c.tables().nodes.values()}
    for node, most in common.peaks((node, a, b, 1) for _, node, a, b in spans(c)).items():
        if most > cores[node]:
            raise AssertionError(f"{node} has {cores[node]} cores and ran {most:g} attempts of one core at one time")
        worst = max(worst, int(most))
    return worst


def finished(c: Campaign, n: int) -> None:
    """Raise unless all of the `n` tasks ended with a result."""
    counts = c.status().counts
    if counts.get("done") != n or sum(counts.values()) != n:
        raise AssertionError(f"{n} tasks should be done, there are {counts}")


def warm(c: Campaign) -> int:
    """Have both workers up and a child in each; returns the number of tasks that this took."""
    c.start()
    c.map(common.noop, range(20), name="warm")
    c.wait()
    return 20


# --- the cases --------------------------------------------------------------------------------------------------------


def bag(n: int, fsync: bool = True, tls: bool = False) -> dict[str, Any]:
    """See `common.bag`. `done_rate` counts until the last task is journalled, `rate` until all results are in hand."""
    with campaign(two_workers(tls), fsync) as c:
        extra = warm(c)
        syncs = _counted_syncs()
        t0 = time.perf_counter()
        many = c.map(common.noop, range(n), name="bag")
        declared = time.perf_counter() - t0
        c.wait()
        done = time.perf_counter() - t0
        pids = many.results()
        took = time.perf_counter() - t0
        finished(c, n + extra)
        if len(set(pids)) > 2:
            raise AssertionError(f"two slots, and {len(set(pids))} processes ran tasks")
        return {
            "tasks": n,
            "seconds": took,
            "rate": n / took,
            "done_rate": n / done,
            "declare_s": declared,
            "processes": len(set(pids)),
            "peak_per_node": check_slots(c),
            "rounds": _rounds(c),
            "syncs": len(syncs),
        }


def _rounds(c: Campaign) -> int:
    """In how many rounds the engine decided, by the time stamps of its decisions."""
    from workbench.model.events import AttemptAssigned

    return len({r.event.at for r in records(c) if isinstance(r.event, AttemptAssigned)})


def _counted_syncs() -> list[int]:
    """A list that grows by one with each sync of a file from now on; for a process that ends soon."""
    seen: list[int] = []
    sync = os.fdatasync

    def counted(fd: int) -> None:
        sync(fd)
        seen.append(fd)

    os.fdatasync = counted
    return seen


def dag(depth: int, width: int, fan_in: int, fsync: bool = True) -> dict[str, Any]:
    """See `common.dag`: each layer is one `map` over lists of handles of the layer before."""
    graph = common.layers(depth, width, fan_in)
    with campaign(two_workers(), fsync) as c:
        extra = warm(c)
        t0 = time.perf_counter()
        layer = c.map(common.noop, range(width), name="layer0")
        for number, needs in enumerate(graph[1:], start=1):
            layer = c.map(common.after_all, [[layer[j] for j in need] for need in needs], name=f"layer{number}")
        declared = time.perf_counter() - t0
        c.wait()
        done = time.perf_counter() - t0
        for s in c.sets[1:]:
            s.results()
        took = time.perf_counter() - t0
        n = depth * width
        finished(c, n + extra)
        return {
            "tasks": n,
            "seconds": took,
            "rate": n / took,
            "done_rate": n / done,
            "declare_s": declared,
            "peak_per_node": check_slots(c),
        }


def chain(n: int, fsync: bool = True, tls: bool = False) -> dict[str, Any]:
    """See `common.chain`. `hop_ms` is from the end of the declaration; `own_hop_ms` by the clocks of the tasks."""
    with campaign(two_workers(tls), fsync) as c:
        extra = warm(c)
        t0 = time.perf_counter()
        with c.batch():
            last = c.task(common.follow, name="hop0")
            for i in range(n):
                last = c.task(common.follow, last, name=f"hop{i + 1}")
        declared = time.perf_counter() - t0
        last.result()
        took = time.perf_counter() - t0
        finished(c, n + 1 + extra)
        own = [(a, b) for name, _, a, b in spans(c) if name.startswith("hop")]
        apart = max(b for _, b in own) - min(a for a, _ in own)
        return {
            "hops": n,
            "seconds": took,
            "hop_ms": 1e3 * took / n,
            "own_hop_ms": 1e3 * apart / n,
            "declare_s": declared,
        }


def start(since: float) -> dict[str, Any]:
    """See `common.start`."""
    with campaign(two_workers()) as c:
        c.start()
        c.task(common.noop, 0, name="first").result()
        return {"first_result_s": time.time() - since}


def idle() -> dict[str, Any]:
    """See `common.idle`: engine and scheduler in this process, two workers, their keepers and children."""
    with campaign(two_workers()) as c:
        warm(c)
        return common.settled_memory()


def paper(
    workflow: str, nodes: int, cores: int, gpus: int, scale: float, mode: str, policy: str, fsync: bool = True
) -> dict[str, Any]:
    """A workflow of the gallery, executed on virtual nodes; the limits of each node are checked by the tasks' clocks.

    `makespan_s` and `predicted_s` are what `workbench run --json` prints; `seen_s` lasts until the caller of `wait`
    knows. All unscaled. `off` is by how many percent the makespan missed its prediction.
    """
    from workbench.gallery.registry import resolve

    pool = LocalPool(nodes=nodes, cores=cores, gpus=gpus, virtual=True)
    with campaign(pool, fsync, mode=mode, policy=policy, time_scale=scale) as c:
        resolve(workflow).build(c)
        total = sum(len(s) for s in c.sets)
        c.run()
        seen = time.time()
        finished(c, total)
        asks = {name: s.spec.resources for name, s in c.tables().state.sets.items()}
        held = {
            what: max(common.peaks((node, a, b, getattr(asks[name], what)) for name, node, a, b in spans(c)).values())
            for what in ("cores", "gpus")
        }
        if held["cores"] > cores or held["gpus"] > gpus:
            raise AssertionError(f"a node of {cores} cores and {gpus} GPUs ran {held} at one time")
        began = next(r.event.at for r in records(c) if type(r.event).__name__ == "AttemptAssigned")
        predicted = c.tables().forecasts[0].makespan_s
        return {
            "makespan_s": c.makespan,
            "predicted_s": predicted,
            "off": 100 * abs(c.makespan / predicted - 1),
            "seen_s": (seen - began) / scale,
            "peak_cores": held["cores"],
            "peak_gpus": held["gpus"],
        }


def large(n: int) -> dict[str, Any]:
    """A campaign of `n` tasks, run to its end: memory of the process of API, engine and scheduler at its largest."""
    with campaign(two_workers()) as c:
        extra = warm(c)
        t0 = time.perf_counter()
        c.map(common.noop, range(n), name="bag")
        c.wait()
        took = time.perf_counter() - t0
        own = common.memory([os.getpid()])
        finished(c, n + extra)
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
        return {"tasks": n, "rate": n / took, "peak_mib": peak, "pss_mib": own["pss_mib"]}


def rows_of(workflow: str) -> list[dict[str, Any]]:
    """The task sets of a paper workflow as the peers' scripts take them."""
    from workbench.gallery import paper as papers
    from workbench.gallery.registry import resolve

    choice = resolve(workflow)
    if choice.name != "paper/ddmd":
        raise ValueError(f"peers run paper/ddmd only, not {workflow}")
    return [dataclasses.asdict(row) for row in papers.ddmd_rows(**choice.parameters)]


CASES = {"bag": bag, "dag": dag, "chain": chain, "start": start, "idle": idle, "paper": paper, "large": large}

if __name__ == "__main__":
    import json

    common.report(CASES[sys.argv[1]](**json.loads(sys.argv[2])))
