"""The work that every system does, and how a script reports it. Standard library only: peers have no more.

A script is called as ``python SCRIPT CASE JSON`` and prints one line, `MARK` and a JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

MARK = "@@ "
TAG = "WORKBENCH_BENCHMARK"  # environment variable that all processes of one measurement share
MIB = 1024 * 1024

# --- the tasks --------------------------------------------------------------------------------------------------------


def noop(i: int) -> int:
    """Nothing; says in which process."""
    return os.getpid()


def follow(*before: Any) -> int:
    """Nothing, after its inputs."""
    return 0


def after_all(before: list[Any]) -> int:
    """Nothing, after a list of inputs."""
    return 0


def hold(seconds: float, *after: Any) -> list[float]:
    """Take time and nothing else; says from when to when."""
    began = time.time()
    time.sleep(seconds)
    return [began, time.time()]


def layers(depth: int, width: int, fan_in: int, seed: int = 0) -> list[list[tuple[int, ...]]]:
    """A layered graph: for each layer and each of its tasks, which tasks of the layer before it needs."""
    rng = random.Random(seed)
    fan = min(fan_in, width)
    first: list[tuple[int, ...]] = [()] * width
    return [first, *([tuple(rng.sample(range(width), fan)) for _ in range(width)] for _ in range(depth - 1))]


# --- the cases, for systems with futures ------------------------------------------------------------------------------


class Futures(Protocol):
    """A system with two worker processes that takes functions, with futures among the arguments."""

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """A future."""

    def results(self, futures: Sequence[Any]) -> list[Any]:
        """Wait for all and fetch them."""

    def close(self) -> None:
        """End it."""


def warm(system: Futures) -> None:
    """Have both workers up and the functions known to them."""
    system.results([system.submit(noop, i) for i in range(20)])
    system.results([system.submit(follow, system.submit(follow))])


def bag(system: Futures, n: int) -> dict[str, Any]:
    """`n` functions that do nothing: from the first submission until all results are in hand."""
    warm(system)
    t0 = time.perf_counter()
    pids = system.results([system.submit(noop, i) for i in range(n)])
    took = time.perf_counter() - t0
    return {"tasks": n, "seconds": took, "rate": n / took, "processes": len(set(pids))}


def dag(system: Futures, depth: int, width: int, fan_in: int) -> dict[str, Any]:
    """A layered graph of functions that do nothing."""
    warm(system)
    graph = layers(depth, width, fan_in)
    t0 = time.perf_counter()
    everything: list[Any] = []
    layer: list[Any] = []
    for needs in graph:
        layer = [system.submit(follow, *(layer[j] for j in need)) for need in needs]
        everything += layer
    system.results(everything)
    took = time.perf_counter() - t0
    n = depth * width
    return {"tasks": n, "seconds": took, "rate": n / took}


def chain(system: Futures, n: int) -> dict[str, Any]:
    """`n` functions that do nothing, each after the one before."""
    warm(system)
    t0 = time.perf_counter()
    futures = [system.submit(follow)]
    for _ in range(n):
        futures.append(system.submit(follow, futures[-1]))
    system.results(futures[-1:])
    took = time.perf_counter() - t0
    return {"hops": n, "seconds": took, "hop_ms": 1e3 * took / n}


def start(system: Futures, since: float) -> dict[str, Any]:
    """From the start of the process to the first result."""
    system.results([system.submit(noop, 0)])
    return {"first_result_s": time.time() - since}


def idle(system: Futures) -> dict[str, Any]:
    """Memory of the whole system while it has nothing to do."""
    warm(system)
    return settled_memory()


def serve(make: Callable[..., Futures], more: dict[str, Callable[..., dict[str, Any]]] | None = None) -> None:
    """Run the case that the command line names. `make` gets those of the parameters that start with ``make_``."""
    case, given = sys.argv[1], json.loads(sys.argv[2])
    if more and case in more:
        report(more[case](**given))
        return
    options = {k.removeprefix("make_"): given.pop(k) for k in list(given) if k.startswith("make_")}
    system = make(**options)
    try:
        result = {"bag": bag, "dag": dag, "chain": chain, "start": start, "idle": idle}[case](system, **given)
        report(result)
    finally:
        system.close()


def report(result: dict[str, Any]) -> None:
    """Print the result where `run.py` finds it."""
    print(MARK + json.dumps(result), flush=True)


# --- schedules --------------------------------------------------------------------------------------------------------


class Row(Protocol):
    """A task set of the paper, as `workbench.gallery.paper.Row`."""

    name: str
    n: int
    cores: int
    gpus: int
    tx_s: float
    stage: int
    after: tuple[str, ...]


KINDS = ("Sim", "Aggr", "Train", "Infer")
"""The best order for DeepDriveMD that a person finds: simulations first, inference last."""


def rank_of(name: str) -> int:
    """Place of a set in `KINDS`; 0 is most urgent."""
    return next(i for i, kind in enumerate(KINDS) if name.startswith(kind))


def peaks(spans: Iterable[tuple[str, float, float, float]]) -> dict[str, float]:
    """The largest sum of amounts that were held at one time, for each place.

    Parameters
    ----------
    spans : iterable of (place, start, end, amount)
        What ends at an instant is gone when what starts at that instant comes.
    """
    steps: dict[str, list[tuple[float, int, float]]] = {}
    for place, begin, end, amount in spans:
        steps.setdefault(place, []).extend(((begin, 1, amount), (end, 0, -amount)))
    found = {}
    for place, changes in steps.items():
        level = most = 0.0
        for _, _, change in sorted(changes):
            level += change
            most = max(most, level)
        found[place] = most
    return found


# --- memory -----------------------------------------------------------------------------------------------------------


def family() -> list[int]:
    """This process, its descendants, and every other process of this measurement, also those that detached."""
    parents: dict[int, int] = {}
    found = {os.getpid()}
    mark = f"{TAG}={os.environ[TAG]}".encode() if os.environ.get(TAG) else None
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat") as stat:
                parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            if mark is not None:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if mark in environ.read().split(b"\0"):
                        found.add(int(name))
    grew = True
    while grew:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grew = bool(more)
    return sorted(found)


def memory(pids: Iterable[int]) -> dict[str, Any]:
    """Proportional and unique set sizes in MiB, in all."""
    pss = uss = 0.0
    processes = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
            sizes = {k: int(v.split()[0]) for k, _, v in (line.partition(":") for line in file) if v.endswith("kB\n")}
            pss += sizes["Pss"] / 1024
            uss += (sizes["Private_Clean"] + sizes["Private_Dirty"]) / 1024
            processes += 1
    return {"pss_mib": pss, "uss_mib": uss, "processes": processes}


def settled_memory(at_most_s: float = 15.0) -> dict[str, Any]:
    """Memory of the family once it changes by less than one percent in a second."""
    found = memory(family())
    deadline = time.monotonic() + at_most_s
    while time.monotonic() < deadline:
        time.sleep(1.0)
        before, found = found, memory(family())
        if abs(found["pss_mib"] - before["pss_mib"]) < 0.01 * before["pss_mib"]:
            break
    return found
