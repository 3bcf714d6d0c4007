"""The paper's workflows: tables, graphs and stages against the published figures."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from workbench.gallery import paper
from workbench.model.errors import WorkbenchError
from workbench.model.specs import Constant, Synthetic


class Recorder:
    """Keeps what is declared."""

    def __init__(self) -> None:
        self.sets: dict[str, dict[str, Any]] = {}

    def tasks(self, work: Any, **options: Any) -> None:
        assert isinstance(work, Synthetic)
        assert all(name in self.sets for name in options["after"]), "an edge from a set that is declared later"
        self.sets[options["name"]] = options


def sequential_s(rows: list[paper.Row]) -> float:
    """Eq. 2: the longest TX of each stage, summed."""
    longest: dict[int, float] = collections.defaultdict(float)
    for row in rows:
        longest[row.stage] = max(longest[row.stage], row.tx_s)
    assert sorted(longest) == list(range(len(longest)))
    return sum(longest.values())


def critical_path_s(rows: list[paper.Row]) -> float:
    """The longest chain of the graph: what unlimited resources would need."""
    ends: dict[str, float] = {}
    for row in rows:
        ends[row.name] = row.tx_s + max((ends[a] for a in row.after), default=0.0)
    return max(ends.values())


def test_ddmd_is_table_1() -> None:
    c = Recorder()
    paper.ddmd(c)
    assert list(c.sets) == [f"{kind}{i}" for i in range(3) for kind in ("Sim", "Aggr", "Train", "Infer")]
    table = {
        "Sim": (96, 4, 1, 340.0),
        "Aggr": (16, 32, 0, 85.0),
        "Train": (1, 4, 1, 63.0),
        "Infer": (96, 16, 1, 38.0),
    }
    for name, options in c.sets.items():
        n, cores, gpus, tx_s = table[name[:-1]]
        assert (options["n"], options["cores"], options["gpus"]) == (n, cores, gpus)
        assert options["estimate"] == Constant(tx_s)


def test_ddmd_sequential_is_1578_s_in_12_stages() -> None:
    for graph in ("chains", "staggered"):
        rows = paper.ddmd_rows(graph=graph)
        assert sequential_s(rows) == 1578.0
        assert [r.stage for r in rows] == list(range(12))


def test_ddmd_graphs() -> None:
    chains = {r.name: r.after for r in paper.ddmd_rows(graph="chains")}
    assert chains["Sim0"] == chains["Sim1"] == chains["Sim2"] == ()
    assert chains["Aggr1"] == ("Sim1",) and chains["Train1"] == ("Aggr1",) and chains["Infer1"] == ("Train1",)
    assert critical_path_s(paper.ddmd_rows(graph="chains")) == 526.0
    staggered = {r.name: r.after for r in paper.ddmd_rows(graph="staggered")}
    assert staggered["Sim1"] == ("Sim0",) and staggered["Sim2"] == ("Sim1",)
    assert {k: v for k, v in staggered.items() if not k.startswith("Sim")} == {
        k: v for k, v in chains.items() if not k.startswith("Sim")
    }
    assert critical_path_s(paper.ddmd_rows(graph="staggered")) == 2 * 340.0 + 526.0


def test_ddmd_for_nodes_of_44_cores() -> None:
    rows = {r.name: r for r in paper.ddmd_rows(inference_cores=7)}
    assert rows["Infer2"].cores == 7 and rows["Sim2"].cores == 4
    assert 44 // rows["Infer2"].cores == 6


@pytest.mark.parametrize(
    ("groups", "t0", "t12", "t36", "t45", "t7", "eq2_s", "four_s", "path_s"),
    [
        (paper.C_DG1, 766.16, 234.8, 124.7, 152.5, 721.7, 1999.86, 1875.16, 1875.16),
        (paper.C_DG2, 384.6, 153.8, 769.2, 230.6, 461.5, 1999.7, 1769.1, 1307.6),
    ],
)
def test_c_dg_as_executed(
    groups: Any, t0: float, t12: float, t36: float, t45: float, t7: float, eq2_s: float, four_s: float, path_s: float
) -> None:
    rows = {r.name: r for r in paper.c_dg_rows(groups)}
    assert [rows[f"T{i}"].tx_s for i in range(8)] == [t0, t12, t12, t36, t45, t45, t36, t7]
    assert sequential_s(list(rows.values())) == pytest.approx(eq2_s)
    assert sequential_s(paper.c_dg_rows(groups, stages=4)) == pytest.approx(four_s)
    assert critical_path_s(list(rows.values())) == pytest.approx(path_s)
    assert (rows["T4"].cores, rows["T4"].gpus) == (rows["T5"].cores, rows["T5"].gpus) == (4, 0)


TABLE_2 = {  # tasks, cores, GPUs and TX (of 2000 s) of c-DG1 and of c-DG2
    "T0": ((96, 16, 1, 0.38), (96, 16, 1, 0.19)),
    "T1": ((16, 40, 0, 0.11), (16, 40, 0, 0.08)),
    "T2": ((16, 40, 0, 0.11), (16, 40, 0, 0.08)),
    "T3": ((8, 4, 0, 0.06), (48, 4, 1, 0.38)),
    "T4": ((8, 32, 1, 0.08), (8, 32, 1, 0.12)),
    "T5": ((8, 32, 1, 0.08), (8, 32, 1, 0.12)),
    "T6": ((8, 4, 0, 0.06), (48, 4, 1, 0.38)),
    "T7": ((96, 4, 1, 0.36), (16, 4, 0, 0.23)),
}


@pytest.mark.parametrize(("column", "groups"), [(0, paper.C_DG1), (1, paper.C_DG2)])
def test_c_dg_as_printed_is_table_2(column: int, groups: Any) -> None:
    rows = {r.name: (r.n, r.cores, r.gpus, round(r.tx_s / 2000, 4)) for r in paper.c_dg_rows(groups, "printed")}
    assert rows == {name: columns[column] for name, columns in TABLE_2.items()}


def test_c_dg_graph_is_figure_3b() -> None:
    edges = {(a, r.name) for r in paper.c_dg_rows(paper.C_DG1) for a in r.after}
    assert edges == {
        ("T0", "T1"), ("T0", "T2"), ("T1", "T3"), ("T1", "T4"), ("T2", "T5"), ("T2", "T6"), ("T4", "T7"), ("T5", "T7"),
    }  # fmt: skip
    five = {r.name: r.stage for r in paper.c_dg_rows(paper.C_DG1)}
    assert five == {"T0": 0, "T1": 1, "T2": 1, "T3": 2, "T6": 2, "T4": 3, "T5": 3, "T7": 4}
    four = {r.name: r.stage for r in paper.c_dg_rows(paper.C_DG1, stages=4)}
    assert four == {"T0": 0, "T1": 1, "T2": 1, "T3": 2, "T6": 2, "T4": 2, "T5": 2, "T7": 3}


def test_example_of_section_5_3() -> None:
    rows = paper.example_rows()
    assert sequential_s(rows) == 7500.0
    assert critical_path_s(rows) == 5500.0
    assert round(1 - 5500 / 7500, 3) == 0.267
    chains = {r.name: r.after for r in rows}
    assert chains == {"T0": (), "T1": ("T0",), "T2": ("T0",), "T3": ("T1",), "T4": ("T2",), "T5": ("T3",)}
    # Two chains side by side must fit on the paper's allocation, else there is nothing to mask with.
    assert 2 * rows[0].n * rows[0].cores <= 16 * 168


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: paper.ddmd(c, iterations=0), "iterations=0 must be at least 1"),
        (lambda c: paper.ddmd(c, graph="ring"), "graph='ring' must be chains or staggered"),
        (lambda c: paper.c_dg1(c, stages=3), "stages=3 must be 5 or 4"),
        (lambda c: paper.c_dg2(c, variant="new"), "variant='new' must be printed or executed"),
        (lambda c: paper.example(c, cores=0), "cores=0 must be at least 1"),
    ],
)
def test_bad_values_are_refused_before_anything_is_declared(call: Any, message: str) -> None:
    c = Recorder()
    with pytest.raises(WorkbenchError, match=message):
        call(c)
    assert not c.sets
