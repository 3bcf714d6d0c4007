"""The workflows of Pascuzzi, Kilic, Turilli and Jha, "Asynchronous Execution of Heterogeneous Tasks in ML-driven HPC
Workflows": synthetic task sets with the paper's resources, counts and times.

Cores are what the paper's pilot counted, hardware threads: 168 on each of 16 nodes, with 6 GPUs. Stages are declared,
because the paper's sequential runs were not a barrier for each rank of the graph: DeepDriveMD has 12 stages one after
the other (3 x 526 = 1578 s), the c-DG workflows five in Eq. 2 and four as executed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from workbench.model.errors import WorkbenchError
from workbench.model.specs import Constant, Synthetic

if TYPE_CHECKING:
    from workbench.api.declare import Declarer


@dataclasses.dataclass(frozen=True)
class Row:
    """A task set: `n` tasks of `cores` and `gpus` that take `tx_s` seconds, after the sets `after`."""

    name: str
    n: int
    cores: int
    gpus: int
    tx_s: float
    stage: int
    after: tuple[str, ...] = ()


def declare(c: Declarer, rows: Iterable[Row]) -> None:
    """Declare `rows`; each names earlier ones in `after`, and waits for all of their tasks."""
    for row in rows:
        c.tasks(
            Synthetic(), n=row.n, name=row.name, cores=row.cores, gpus=row.gpus, estimate=Constant(row.tx_s),
            stage=row.stage, after=row.after,
        )  # fmt: skip


# --- DeepDriveMD ------------------------------------------------------------------------------------------------------

# Table 1: name, tasks, cores, GPUs, seconds.
TABLE_1 = (("Sim", 96, 4, 1, 340.0), ("Aggr", 16, 32, 0, 85.0), ("Train", 1, 4, 1, 63.0), ("Infer", 96, 16, 1, 38.0))


def ddmd(c: Declarer, iterations: int = 3, graph: str = "chains", inference_cores: int = 16) -> None:
    """DeepDriveMD of Table 1.

    Parameters
    ----------
    c : Campaign
        Where to declare.
    iterations : int
        Times simulate -> aggregate -> train -> infer; the paper has three.
    graph : str
        ``chains``: the iterations are independent, as for the paper's adaptive execution. ``staggered``: also
        Sim_i -> Sim_i+1, Fig. 3a.
    inference_cores : int
        Table 1 has 16; 7 makes six inference tasks fit a node of 44 cores.
    """
    declare(c, ddmd_rows(iterations, graph, inference_cores))


def ddmd_rows(iterations: int = 3, graph: str = "chains", inference_cores: int = 16) -> list[Row]:
    """The rows of `ddmd`."""
    for what, value in {"iterations": iterations, "inference_cores": inference_cores}.items():
        if value < 1:
            raise WorkbenchError(f"paper/ddmd: {what}={value} must be at least 1")
    if graph not in ("chains", "staggered"):
        raise WorkbenchError(f"paper/ddmd: graph={graph!r} must be chains or staggered")
    rows = []
    for i in range(iterations):
        for place, (kind, n, cores, gpus, tx_s) in enumerate(TABLE_1):
            if place:
                after: tuple[str, ...] = (f"{TABLE_1[place - 1][0]}{i}",)
            else:
                after = (f"{kind}{i - 1}",) if i and graph == "staggered" else ()
            wide = inference_cores if kind == "Infer" else cores
            rows.append(Row(f"{kind}{i}", n, wide, gpus, tx_s, len(TABLE_1) * i + place, after))
    return rows


# --- the abstract graph of Fig. 3b ------------------------------------------------------------------------------------

GRAPH: Mapping[str, tuple[str, ...]] = {
    "T0": (),
    "T1": ("T0",),
    "T2": ("T0",),
    "T3": ("T1",),
    "T4": ("T1",),
    "T5": ("T2",),
    "T6": ("T2",),
    "T7": ("T4", "T5"),
}
GROUPS = {t: group for group in ("T0", "T1,T2", "T3,T6", "T4,T5", "T7") for t in group.split(",")}


@dataclasses.dataclass(frozen=True)
class Group:
    """A brace group of Table 2: `n` tasks in all its sets together, `fraction` of 2000 s each."""

    cores: int
    gpus: int
    n: int
    fraction: float
    executed_s: float


# Table 2, with the times that the runs on Summit really had (mean of the requested times in their profiles).
C_DG1 = {
    "T0": Group(16, 1, 96, 0.38, 766.16),
    "T1,T2": Group(40, 0, 32, 0.11, 234.8),
    "T3,T6": Group(4, 0, 16, 0.06, 124.7),
    "T4,T5": Group(32, 1, 16, 0.08, 152.5),
    "T7": Group(4, 1, 96, 0.36, 721.7),
}
C_DG2 = {
    "T0": Group(16, 1, 96, 0.19, 384.6),
    "T1,T2": Group(40, 0, 32, 0.08, 153.8),
    "T3,T6": Group(4, 1, 96, 0.38, 769.2),
    "T4,T5": Group(32, 1, 16, 0.12, 230.6),
    "T7": Group(4, 0, 16, 0.23, 461.5),
}
STAGES = {
    5: {"T0": 0, "T1,T2": 1, "T3,T6": 2, "T4,T5": 3, "T7": 4},
    4: {"T0": 0, "T1,T2": 1, "T3,T6": 2, "T4,T5": 2, "T7": 3},
}


def c_dg1(c: Declarer, variant: str = "executed", stages: int = 5) -> None:
    """c-DG1 of Table 2: asynchronous execution has nothing to gain.

    Parameters
    ----------
    c : Campaign
        Where to declare.
    variant : str
        ``printed``: Table 2. ``executed``: what the runs on Summit were, with T4 and T5 on 4 cores and no GPU.
    stages : int
        Of sequential mode: 5 as in Eq. 2, 4 as executed (T3 to T6 together).
    """
    declare(c, c_dg_rows(C_DG1, variant, stages, "paper/c-dg1"))


def c_dg2(c: Declarer, variant: str = "executed", stages: int = 5) -> None:
    """c-DG2 of Table 2: T3 and T6 mask the way from T4 and T5 to T7. Parameters as for `c_dg1`."""
    declare(c, c_dg_rows(C_DG2, variant, stages, "paper/c-dg2"))


def c_dg_rows(groups: Mapping[str, Group], variant: str = "executed", stages: int = 5, name: str = "c-dg") -> list[Row]:
    """The rows of `c_dg1` and `c_dg2`. Counts are per brace group: T1 and T2 share 32 tasks, 16 each."""
    if variant not in ("printed", "executed"):
        raise WorkbenchError(f"{name}: variant={variant!r} must be printed or executed")
    if stages not in STAGES:
        raise WorkbenchError(f"{name}: stages={stages} must be 5 or 4")
    rows = []
    for t, after in GRAPH.items():
        key = GROUPS[t]
        group = groups[key]
        n = group.n // len(key.split(","))
        cores, gpus, tx_s = group.cores, group.gpus, 2000.0 * group.fraction
        if variant == "executed":
            tx_s = group.executed_s
            if key == "T4,T5":
                cores, gpus = 4, 0
        rows.append(Row(t, n, cores, gpus, tx_s, STAGES[stages][key], after))
    return rows


# --- section 5.3 ------------------------------------------------------------------------------------------------------

EXAMPLE_S = {"T0": 500.0, "T1": 1000.0, "T2": 1000.0, "T3": 2000.0, "T4": 4000.0, "T5": 2000.0}
EXAMPLE_AFTER = {"T0": (), "T1": ("T0",), "T2": ("T0",), "T3": ("T1",), "T4": ("T2",), "T5": ("T3",)}
EXAMPLE_STAGE = {"T0": 0, "T1": 1, "T2": 1, "T3": 2, "T4": 2, "T5": 3}


def example(c: Declarer, tasks: int = 16, cores: int = 4, gpus: int = 0) -> None:
    """The example of section 5.3 (graph of Fig. 2b): T4 masks T5.

    The paper gives times and graph; counts and resources are free, as long as two chains fit side by side.

    Parameters
    ----------
    c : Campaign
        Where to declare.
    tasks, cores, gpus : int
        Tasks of each set, and what each asks for.
    """
    declare(c, example_rows(tasks, cores, gpus))


def example_rows(tasks: int = 16, cores: int = 4, gpus: int = 0) -> list[Row]:
    """The rows of `example`."""
    for what, value, least in (("tasks", tasks, 1), ("cores", cores, 1), ("gpus", gpus, 0)):
        if value < least:
            raise WorkbenchError(f"paper/example: {what}={value} must be at least {least}")
    return [Row(t, tasks, cores, gpus, s, EXAMPLE_STAGE[t], EXAMPLE_AFTER[t]) for t, s in EXAMPLE_S.items()]
