"""What is measured: each case, who takes part, with which sizes, and the figures that we want to reach."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.benchmarks.ours import rows_of

OURS = "ours"
TABLES = {
    "rates": ("bag", "dag", "chain", "start", "idle"),
    "placement": ("ddmd", "c-dg1", "c-dg2", "ddmd-44", "core", "size", "replay"),
}
"""The pages under ``results/``, and the cases on each; every case is on one."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One column of a case.

    Attributes
    ----------
    label : str
        As the table shows it; those that begin with `OURS` are ours.
    peer : str
        Environment that it runs in; empty for ours.
    module : str
        ``tests.benchmarks.MODULE`` for ours, the script ``peers/MODULE.py`` for a peer.
    case : str
        What to call there.
    given : dict
        Its parameters.
    """

    label: str
    peer: str
    module: str
    case: str
    given: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """A table.

    Attributes
    ----------
    name, title : str
        For the command line and for people.
    measure, unit : str
        Key of a result that is compared, and what it is counted in.
    more_is_better : bool
        Of `measure`.
    details : tuple of str
        Further keys to show, as medians.
    entries : tuple of Entry
        In the order in which each round runs them.
    rounds : int
        At most so many.
    """

    name: str
    title: str
    measure: str
    unit: str
    more_is_better: bool
    entries: tuple[Entry, ...]
    details: tuple[str, ...] = ()
    rounds: int = 1000


def _ours(label: str, case: str, module: str = "ours", **given: Any) -> Entry:
    return Entry(f"{OURS}{', ' if label else ''}{label}", "", module, case, given)


def _all(case: str, *ours: Entry, dask_slots: bool = False, **given: Any) -> tuple[Entry, ...]:
    """Ours, and every system with futures."""
    peers = [
        Entry("executorlib, block allocation", "executorlib", "on_executorlib", case, given),
        Entry("Ray", "ray", "on_ray", case, given),
        # Parsl's default is no prefetch; eight tasks ahead for two workers, as we have, made it faster.
        Entry("Parsl HTEX", "parsl", "on_parsl", case, {**given, "make_prefetch": 8}),
        Entry("Dask client.submit", "dask", "on_dask", case, given),
    ]
    if dask_slots:
        peers.append(Entry("Dask resources=", "dask", "on_dask", case, {**given, "make_slots": True}))
    return (*ours, *peers)


def plan(quick: bool) -> tuple[Case, ...]:
    """All cases; `quick` ones say nothing about speed and show within minutes that everything works."""
    n = 200 if quick else 10_000
    graph = {"depth": 4, "width": 10, "fan_in": 3} if quick else {"depth": 20, "width": 50, "fan_in": 3}
    shape = "{depth} x {width}, fan-in {fan_in}".format(**graph)
    hops = 20 if quick else 300
    scale = 0.002 if quick else 0.01
    large = 2_000 if quick else 100_000
    many = 20_000 if quick else 1_000_000
    both = (("adaptive", "auto"), ("adaptive", "upward-rank"))
    return (
        Case(
            "bag",
            f"Bag of {n} functions that do nothing, 2 at a time in child processes",
            "rate",
            "tasks/s",
            True,
            _all("bag", _ours("", "bag", n=n), _ours("no fsync", "bag", n=n, fsync=False), dask_slots=True, n=n),
            ("done_rate", "peak_per_node", "processes", "rounds", "syncs"),
        ),
        Case(
            "dag",
            f"Layered graph, {shape}, of functions that do nothing",
            "rate",
            "tasks/s",
            True,
            _all("dag", _ours("", "dag", **graph), **graph),
            ("done_rate", "peak_per_node"),
        ),
        Case(
            "chain",
            f"Chain of {hops} dependent functions that do nothing",
            "hop_ms",
            "ms per hop",
            False,
            _all(
                "chain",
                _ours("no fsync", "chain", n=hops, fsync=False),
                _ours("fsync", "chain", n=hops),
                _ours("fsync and TLS", "chain", n=hops, tls=True),
                n=hops,
            ),
            ("own_hop_ms", "declare_s"),
        ),
        Case(
            "start",
            "From the start of the process to the first result",
            "first_result_s",
            "s",
            False,
            _all("start", _ours("", "start")),
        ),
        Case(
            "idle",
            "Memory at rest: engine, scheduler, 2 workers and all their processes",
            "pss_mib",
            "MiB PSS",
            False,
            _all("idle", _ours("", "idle")),
            ("uss_mib", "processes"),
            rounds=3,
        ),
        _placed(
            "ddmd",
            "DeepDriveMD of the paper, adaptive",
            "paper/ddmd",
            168,
            scale,
            (("adaptive", "auto"), ("adaptive", "upward-rank"), ("adaptive", "resource-aware"), ("adaptive", "fifo")),
            ("dask",),
            modes=("asynchronous",),
        ),
        _placed("c-dg1", "Abstract graph c-DG1", "paper/c-dg1", 168, scale, both, ()),
        _placed("c-dg2", "Abstract graph c-DG2", "paper/c-dg2", 168, scale, both, ()),
        _placed(
            "ddmd-44",
            "DeepDriveMD on nodes of 44 cores, inference on 7",
            "paper/ddmd?inference_cores=7",
            44,
            scale,
            (("sequential", "upward-rank"), ("asynchronous", "upward-rank"), ("adaptive", "upward-rank")),
            ("colmena", "dask"),
            modes=("sequential", "asynchronous"),
        ),
        Case(
            "core",
            f"Core: events per second of CPU time in a campaign of {large} tasks",
            "rate",
            "events/s",
            True,
            (_ours("decide and evolve", "rate", "core", n=large),),
            ("evolve_rate", "evolve_wall_rate"),
        ),
        Case(
            "size",
            f"Memory of a campaign of {large} tasks",
            "peak_mib",
            "MiB at most",
            False,
            (
                _ours("core alone", "size", "core", n=large),
                _ours("API, engine and scheduler, executed", "large", n=large),
            ),
            ("rate",),
            rounds=1,
        ),
        Case(
            "replay",
            f"Read, check and fold a journal of {many} records",
            "seconds",
            "s",
            False,
            (_ours("", "replay", "core", n=many),),
            ("cpu_s", "read_s", "write_s"),
            rounds=3,
        ),
    )


def _placed(
    name: str,
    title: str,
    workflow: str,
    cores: int,
    scale: float,
    ours: tuple[tuple[str, str], ...],
    peers: tuple[str, ...],
    modes: tuple[str, ...] = (),
) -> Case:
    where = {"nodes": 16, "cores": cores, "gpus": 6, "scale": scale}
    entries = [
        _ours(f"{mode}, {policy}", "paper", workflow=workflow, mode=mode, policy=policy, **where)
        for mode, policy in ours
    ]
    for peer in peers:
        for mode in modes:
            given = {"rows": rows_of(workflow), "mode": mode, **where}
            if peer == "colmena":
                entries.append(Entry(f"Colmena, slots by hand, {mode}", peer, "on_colmena", "placed", given))
            else:
                entries.append(Entry(f"Dask resources=, {mode}", peer, "on_dask", "placed", given))
                if mode == "asynchronous":
                    best = {**given, "priorities": True}
                    entries.append(Entry(f"Dask resources= and priority=, {mode}", peer, "on_dask", "placed", best))
    return Case(
        name,
        f"{title}: 16 nodes of {cores} cores and 6 GPUs, at 1/{round(1 / scale)} time",
        "makespan_s",
        "s, unscaled",
        False,
        tuple(entries),
        ("predicted_s", "seen_s", "peak_cores", "peak_gpus"),
        rounds=3,
    )


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure to reach: the median of `label` in `case`, at most or at least `limit` or `times` that of `peer`."""

    text: str
    case: str
    label: str
    at_most: bool
    limit: float = 0.0
    peer: str = ""
    times: float = 1.0
    key: str = ""


BLOCK = "executorlib, block allocation"
FIGURES = (
    Figure("bag, at least executorlib's block allocation", "bag", OURS, False, peer=BLOCK),
    Figure("bag, 3 x Parsl HTEX", "bag", OURS, False, peer="Parsl HTEX", times=3),
    Figure("bag, 3 x Ray", "bag", OURS, False, peer="Ray", times=3),
    Figure("layered graph, 2 x Ray", "dag", OURS, False, peer="Ray", times=2),
    Figure("layered graph, 8 x executorlib", "dag", OURS, False, peer=BLOCK, times=8),
    Figure("one dependent hop, ms", "chain", f"{OURS}, no fsync", True, 0.5),
    Figure("one dependent hop with fsync and TLS, ms", "chain", f"{OURS}, fsync and TLS", True, 1.0),
    Figure("start to first result, s", "start", OURS, True, 1.2),
    Figure("memory at rest, MiB PSS", "idle", OURS, True, 200),
    Figure("paper/ddmd adaptive, 1.02 x 1235 s", "ddmd", f"{OURS}, adaptive, *", True, 1.02 * 1235),
    Figure("paper/c-dg1 adaptive, 1.015 x 1875.2 s", "c-dg1", f"{OURS}, adaptive, upward-rank", True, 1.015 * 1875.2),
    Figure("paper/c-dg2 adaptive, 1.015 x 1307.6 s", "c-dg2", f"{OURS}, adaptive, upward-rank", True, 1.015 * 1307.6),
    Figure("paper/ddmd, auto, 1.015 x 1235 s", "ddmd", f"{OURS}, adaptive, auto", True, 1.015 * 1235),
    Figure("paper/c-dg1, auto, 1.01 x 1875.2 s", "c-dg1", f"{OURS}, adaptive, auto", True, 1.01 * 1875.2),
    Figure("paper/c-dg2, auto, 1.01 x 1307.6 s", "c-dg2", f"{OURS}, adaptive, auto", True, 1.01 * 1307.6),
    *(
        Figure(
            f"paper/{name}, auto: executed against predicted, % off",
            name,
            f"{OURS}, adaptive, auto",
            True,
            1,
            key="off",
        )
        for name in ("ddmd", "c-dg1", "c-dg2")
    ),
    Figure("44 cores, sequential, s", "ddmd-44", f"{OURS}, sequential, upward-rank", True, 1595),
    Figure("44 cores, asynchronous, s", "ddmd-44", f"{OURS}, asynchronous, upward-rank", True, 1390),
    Figure("core, events/s", "core", f"{OURS}, decide and evolve", False, 200_000),
    Figure("100 000 tasks, core alone, 600 MB in MiB", "size", f"{OURS}, core alone", True, 600e6 / 2**20),
    Figure(
        "100 000 tasks, executed, 600 MB in MiB",
        "size",
        f"{OURS}, API, engine and scheduler, executed",
        True,
        600e6 / 2**20,
    ),
    Figure("10^6 records replayed, s", "replay", OURS, True, 20),
)
