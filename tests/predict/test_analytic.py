"""The analytic model against every number of the paper that can be reproduced, small graphs, and brute force."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tests.core.campaigns import Campaign
from workbench.gallery import paper
from workbench.gallery.printed import SUMMIT, TABLE_3, printed, set_rows
from workbench.model import edits as ed
from workbench.model.errors import BadValue, DuplicateName, NeverFits, UnknownName, WouldCycle
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Member, SetSpec, Synthetic
from workbench.predict.analytic import Model, SetRow, Times, analyse
from workbench.predict.fitting import Allocation
from workbench.predict.setrows import model_of, rows_of
from workbench.report.explained import Explained

ROOMY = Allocation.of(100, 100)


def model(rows: list[paper.Row], allocation: Allocation = SUMMIT) -> Model:
    return analyse(set_rows(rows), allocation)


def explained(rows: list[paper.Row], allocation: Allocation = SUMMIT) -> Explained:
    found = model(rows, allocation)
    return Explained("a name", found, printed(found))


def graph(edges: dict[str, str], tx_s: float = 1.0) -> list[SetRow]:
    """``{"T1": "T0 T2"}``: T1 after T0 and T2."""
    return [SetRow.of(name, tx_s, after.split()) for name, after in edges.items()]


def times(m: Model) -> Times:
    assert m.times is not None
    return m.times


def hidden(m: Model) -> dict[tuple[str, str], tuple[float, bool]]:
    return {(k.hidden, k.by): (pytest.approx(k.seconds), k.fits) for k in times(m).masks}


# --- degrees of asynchronicity ----------------------------------------------------------------------------------------

FIG_2B = {"T0": "", "T1": "T0", "T2": "T0", "T3": "T1", "T4": "T2", "T5": "T3"}
FIVE_ENDS = {  # T0 and T1 independent, T2 to T9 behind them, as section 5.2 tells of Fig. 2c
    "T0": "", "T1": "", "T2": "T0", "T3": "T0", "T4": "T1", "T5": "T2", "T6": "T3", "T7": "T4", "T8": "T4", "T9": "T4",
}  # fmt: skip


@pytest.mark.parametrize(
    ("edges", "dep", "adaptive"),
    [
        ({"T0": "", "T1": "T0", "T2": "T1"}, 0, 0),
        (FIG_2B, 1, 1),
        (FIVE_ENDS, 4, 4),
        ({f"T{i}": "" for i in range(8)}, 7, 7),
        ({**FIG_2B, "T6": "T4 T5"}, 0, 1),
    ],
    ids=["chain", "Fig. 2b", "Fig. 2c", "no edges", "a join hides branches from DOA_dep"],
)
def test_degrees_of_the_small_examples(edges: dict[str, str], dep: int, adaptive: int) -> None:
    m = analyse(graph(edges), ROOMY)
    assert (m.doa_dep, m.doa_adaptive) == (dep, adaptive)
    assert len(m.widest) == adaptive + 1


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (paper.ddmd_rows(graph="staggered"), (2, 2, 1, 1)),
        (paper.ddmd_rows(graph="chains"), (2, 2, 2, 2)),
        (paper.c_dg_rows(paper.C_DG1), (2, 3, 2, 2)),
        (paper.c_dg_rows(paper.C_DG1, "printed"), (2, 3, 2, 2)),
        (paper.c_dg_rows(paper.C_DG2), (2, 3, 2, 2)),
        (paper.c_dg_rows(paper.C_DG2, "printed"), (2, 3, 1, 1)),
        (paper.example_rows(), (1, 1, 1, 1)),
    ],
)
def test_degrees_of_the_paper(rows: list[paper.Row], expected: tuple[int, ...]) -> None:
    m = model(rows)
    assert (m.doa_dep, m.doa_adaptive, m.doa_res, m.wla) == expected


def test_converging_sets_are_one_branch() -> None:
    m = model(paper.c_dg_rows(paper.C_DG1))
    assert m.side_by_side == (("T3",), ("T4", "T5"), ("T6",)) and m.rank == 2
    assert m.widest == ("T3", "T4", "T5", "T6")


def test_resources_decide_doa_res() -> None:
    rows = [SetRow.of(f"T{i}", 1.0, n=10) for i in range(4)]
    assert [analyse(rows, Allocation.of(1, c)).doa_res for c in (1, 10, 19, 20, 39, 40, 1000)] == [0, 0, 0, 1, 2, 3, 3]


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "t_seq", "t_async"),
    [
        (paper.example_rows(), 7500.0, 5500.0),
        (paper.ddmd_rows(graph="staggered"), 1578.0, 1320.0),
        (paper.ddmd_rows(graph="chains"), 1578.0, 1320.0),
        (paper.ddmd_rows(1), 526.0, 526.0),
        (paper.c_dg_rows(paper.C_DG1, "printed"), 1980.0, 1860.0),
        (paper.c_dg_rows(paper.C_DG2, "printed"), 2000.0, 1300.0),
        (paper.c_dg_rows(paper.C_DG1), 1999.86, 1875.16),
        (paper.c_dg_rows(paper.C_DG2), 1999.7, 1307.6),
        (paper.c_dg_rows(paper.C_DG1, stages=4), 1875.16, 1875.16),
        (paper.c_dg_rows(paper.C_DG2, stages=4), 1769.1, 1307.6),
    ],
)
def test_equations_2_3_and_5(rows: list[paper.Row], t_seq: float, t_async: float) -> None:
    e = explained(rows).as_dict()
    assert e["t_seq"] == pytest.approx(t_seq) and e["t_async"] == pytest.approx(t_async)
    assert e["improvement"] == pytest.approx(1 - t_async / t_seq)


def test_example_improves_by_267_thousandths() -> None:
    e = explained(paper.example_rows())
    assert e.improvement is not None and round(e.improvement, 3) == 0.267
    assert "roughly 26 %" in " ".join(e.notes)


@pytest.mark.parametrize("form", ["staggered", "chains"])
def test_equation_3_counts_a_set_twice_as_the_paper_does(form: str) -> None:
    t = times(model(paper.ddmd_rows(graph=form)))
    assert t.repeated == ("Infer2",) and t.t_async_s == 1282.0 and t.t_async_repeated_s == 1320.0
    assert t.branch.own == ("Sim2", "Aggr2", "Train2", "Infer2") and t.branch.tx_s == 526.0
    assert {*t.branch.shared, *t.sequential} == {"Sim0", "Sim1", "Infer0", "Infer1"}
    assert "Eq. 3 counts Infer2 twice" in " ".join(explained(paper.ddmd_rows(graph=form)).notes)


def test_equation_3_counts_each_set_once_where_nothing_is_printed() -> None:
    e = explained(paper.ddmd_rows(4, "staggered"))
    assert e.published is None and e.t_async_s == 3 * 340 + 526 + 3 * 38


def test_equation_6_and_7() -> None:
    for n in (2, 3, 5):
        for form in ("staggered", "chains"):
            it = times(model(paper.ddmd_rows(n, form))).iterations
            assert it is not None and len(it.chains) == n and it.iteration_s == 526.0
            assert it.t_async_s == n * 526 - (n - 1) * 85 - (n - 2) * 63
    it = times(model(paper.ddmd_rows(3))).iterations
    assert it is not None and it.eq7_s == 3 * 340 + 2 * 85 + 63
    assert times(model(paper.c_dg_rows(paper.C_DG1))).iterations is None
    assert times(model(paper.example_rows())).iterations is None


def test_on_more_gpus_nothing_is_sequential() -> None:
    t = times(model(paper.ddmd_rows(graph="staggered"), Allocation.of(64, 168, 6)))
    assert t.sequential == t.repeated == () and t.t_async_s == 1206.0
    assert times(model(paper.ddmd_rows(), Allocation.of(64, 168, 6))).t_async_s == 526.0


def test_stages_are_never_before_what_they_wait_for() -> None:
    rows = [SetRow.of("a", 3.0, stage=5), SetRow.of("b", 4.0, ["a"], stage=1), SetRow.of("c", 5.0, ["b"])]
    stages = times(analyse(rows, ROOMY)).stages
    assert [(s.sets, s.tx_s) for s in stages] == [(("a", "b"), 7.0), (("c",), 5.0)]


def test_a_time_below_the_bound_is_named_infeasible() -> None:
    e = explained(paper.c_dg_rows(paper.C_DG2, "printed"))
    assert times(e.model).lower_bound_s == 1340.0
    assert any("112 of 96" in n and "no schedule is shorter than 1340 s" in n for n in e.notes)
    wide = analyse([SetRow.of("a", 10.0, n=4), SetRow.of("b", 10.0, n=1)], Allocation.of(1, 2))
    assert times(wide).lower_bound_s == 25.0 and times(wide).t_async_s == 20.0
    assert any("infeasible here" in n for n in Explained("x", wide).notes)


# --- masking ----------------------------------------------------------------------------------------------------------


def test_masking_of_the_example() -> None:
    # Section 5.3: the contribution of T5 is hidden by T4.
    assert hidden(model(paper.example_rows())) == {
        ("T1", "T2"): (1000.0, True), ("T3", "T4"): (2000.0, True), ("T5", "T4"): (2000.0, True),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["staggered", "chains"])
def test_masking_of_deepdrivemd(form: str) -> None:
    e = explained(paper.ddmd_rows(graph=form))
    assert hidden(e.model) == {
        ("Aggr0", "Sim1"): (85.0, True), ("Train0", "Sim1"): (63.0, False),
        ("Aggr1", "Sim2"): (85.0, True), ("Train1", "Sim2"): (63.0, False),
    }  # fmt: skip
    assert any("Train0 under Sim1" in n and "96 GPUs" in n for n in e.notes)


def test_masking_of_c_dg2() -> None:
    masks = hidden(model(paper.c_dg_rows(paper.C_DG2)))
    assert masks[("T7", "T6")] == (461.5, True) and masks[("T4", "T6")] == (230.6, True)
    assert {h for h, _ in masks} == {"T1", "T3", "T4", "T5", "T7"}


def test_a_set_can_be_hidden_by_one_after_the_other() -> None:
    rows = [SetRow.of("a", 3.0), SetRow.of("b", 4.0, ["a"]), SetRow.of("x", 5.0)]
    assert hidden(analyse(rows, ROOMY)) == {("x", "a"): (3.0, True), ("x", "b"): (2.0, True)}


def test_what_sequential_time_loses_is_what_is_hidden() -> None:
    # Stages of one set each, nothing counted twice: the saving is the masked TX, exactly.
    for rows in (paper.ddmd_rows(), paper.ddmd_rows(5, "staggered")):
        t = times(model(rows))
        assert sum(k.seconds for k in t.masks) == pytest.approx(t.t_seq_s - t.t_async_s)


# --- as printed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "differing"),
    [
        (paper.ddmd_rows(graph="staggered"), {"improvement_text"}),
        (paper.ddmd_rows(graph="chains"), {"improvement_text", "doa_res", "wla"}),
        (paper.c_dg_rows(paper.C_DG1, "printed"), {"t_seq", "improvement"}),
        (paper.c_dg_rows(paper.C_DG2, "printed"), {"doa_res", "wla"}),
        (paper.c_dg_rows(paper.C_DG1), {"eq3", "t_async", "improvement"}),
        (paper.c_dg_rows(paper.C_DG2), {"eq3", "t_async", "improvement"}),
        (paper.example_rows(), {"improvement"}),
    ],
)
def test_every_printed_figure_is_reproduced_or_explained(rows: list[paper.Row], differing: set[str]) -> None:
    e = explained(rows)
    assert e.published is not None
    assert {f.key for f in e.published.figures if f.same is False} == differing
    assert e.as_dict()["printed"]["differs"] == [f.key for f in e.published.figures if f.same is False]
    assert len(e.notes) >= 2 and all(n.endswith(".") for n in e.notes)


def test_table_3_is_the_printed_one() -> None:
    assert [(x.workflow, x.doa_dep, x.doa_res, x.wla, x.t_seq, x.t_async, x.improvement) for x in TABLE_3.values()] == [
        ("DeepDriveMD", 2, 1, 1, (1578, 1707), (1399, 1373), (0.113, 0.196)),
        ("c-DG1", 2, 2, 2, (2000, 1945), (1972, 1975), (0.014, -0.015)),
        ("c-DG2", 2, 2, 2, (2000, 1856), (1378, 1372), (0.311, 0.261)),
    ]


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        (
            paper.ddmd_rows(graph="staggered"),
            ["Infer2 twice", "against a sequential time without correction", "Eq. 7 does not generalise Eq. 6",
             "masks Train0 under Sim1", '"Within 6 %" does not hold', "hardware threads", "0.1635"],
        ),
        (paper.ddmd_rows(), ["DOA_res is 2 and WLA 2"]),
        (paper.c_dg_rows(paper.C_DG1, "printed"), ["add up to 0.99", "without correction", "had four stages"]),
        (paper.c_dg_rows(paper.C_DG2, "printed"), ["infeasible", "DOA_res is 1 here", '"Within 6 %" does not hold']),
        (paper.c_dg_rows(paper.C_DG2, stages=4), ["as executed on Summit", "is of five"]),
    ],
)  # fmt: skip
def test_inconsistencies_are_told(rows: list[paper.Row], sentences: list[str]) -> None:
    notes = " ".join(explained(rows).notes)
    for sentence in sentences:
        assert sentence in notes
    assert "The paper's allocation" not in notes
    assert "The paper's allocation" in " ".join(explained(rows, Allocation.of(32, 168, 6)).notes)


def test_what_is_not_the_papers_has_nothing_printed() -> None:
    rows = paper.ddmd_rows()
    rows[3] = paper.Row(rows[3].name, rows[3].n, rows[3].cores, rows[3].gpus, 39.0, rows[3].stage, rows[3].after)
    e = explained(rows)
    assert e.published is None and "printed" not in e.as_dict()
    assert any("Eq. 7 does not generalise" in n for n in explained(paper.ddmd_rows(4)).notes)


def test_a_thousand_sets_are_no_burden() -> None:
    rng = random.Random(5)
    rows = [
        SetRow.of(f"s{i}", rng.random(), {f"s{rng.randrange(i)}" for _ in range(2)} if i else (), n=rng.randint(1, 40))
        for i in range(1000)
    ]
    m = analyse(rows, Allocation.of(10, 64))
    t = times(m)
    assert m.doa_adaptive >= m.doa_dep > 100 and t.t_seq_s > 0 and t.masks
    assert "more" in Explained("big", m).text()


# --- from a state -----------------------------------------------------------------------------------------------------


def state_of(*sets: tuple[SetSpec, tuple[Edge, ...]], nodes: int = 2, cores: int = 8, gpus: int = 0) -> Campaign:
    c = Campaign(nodes=0)
    c.state.pools.clear()
    c.do(ed.AddPool(Pool("v", nodes, NodeShape(cores, gpus), "virtual")))
    for spec, edges in sets:
        c.do(ed.AddSet(spec, edges))
    return c


def test_a_state_gives_the_same_model_as_its_rows() -> None:
    c = state_of(nodes=16, cores=168, gpus=6)
    for r in paper.ddmd_rows(graph="staggered"):
        spec = SetSpec(r.name, Synthetic(), n=r.n, resources=Resources(r.cores, r.gpus), stage=r.stage)
        spec = msgspec.structs.replace(spec, estimate=Constant(r.tx_s))
        c.do(ed.AddSet(spec, tuple(Edge(a, r.name) for a in r.after)))
    before = c.state.digest()
    m = model_of(c.state)
    assert m == model(paper.ddmd_rows(graph="staggered"))
    assert printed(m) is not None and c.state.digest() == before


def test_members_of_different_length_count_by_the_longest() -> None:
    members = tuple(Member(estimate=Constant(s)) for s in (1.0, 7.0, 3.0))
    c = state_of((SetSpec("a", Synthetic(), n=3, members=members), ()), nodes=1, cores=1)
    (row,) = rows_of(c.state)
    assert row.tx_s == 7.0 and row.n == 3
    assert times(model_of(c.state)).lower_bound_s == 11.0  # of the tasks, on one core


def test_sets_that_wait_for_each_others_tasks_are_one() -> None:
    a = SetSpec("a", Synthetic(), n=2, estimate=Constant(2.0))
    b = SetSpec("b", Synthetic(), n=2, estimate=Constant(3.0))
    z = SetSpec("z", Synthetic(), estimate=Constant(1.0))
    c = state_of((a, ()), (b, (Edge("a[0]", "b[0]"),)), (z, (Edge("b", "z"),)))
    c.do(ed.AddEdges((Edge("b[0]", "a[1]"), Edge("a[1]", "b[1]"))))
    rows = rows_of(c.state)
    assert [(r.name, r.n, r.tx_s, r.after) for r in rows] == [("a+b", 4, 10.0, ()), ("z", 1, 1.0, ("a+b",))]
    assert times(model_of(c.state)).t_async_s == 11.0


def test_unknown_times_leave_the_degrees() -> None:
    c = state_of((SetSpec("a", Synthetic(), n=2, estimate=Constant(2.0)), ()), (SetSpec("b", Synthetic()), ()))
    e = Explained("x", model_of(c.state))
    assert e.model.doa_dep == 1 and e.model.times is None and e.model.unknown == ("b",)
    assert e.as_dict()["t_seq"] is None and "No TX is known for b" in e.text()


def test_measured_times_take_the_place_of_declared_ones() -> None:
    c = state_of((SetSpec("a", Synthetic(), n=1, estimate=Constant(2.0)), ()))
    c.state.sets["a"].seen, c.state.sets["a"].sum_s = 2, 9.0
    assert [rows_of(c.state, measured)[0].tx_s for measured in (False, True)] == [2.0, 4.5]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Allocation.of(0, 4), BadValue, "nodes=0"),
        (lambda: Allocation.of(2, 0), BadValue, "cores=0"),
        (lambda: Allocation.of(2, 4, -1), BadValue, "gpus=-1"),
        (lambda: Allocation.of_pools([]), BadValue, "no nodes"),
        (lambda: analyse([], ROOMY), BadValue, "no task set"),
        (lambda: analyse(graph({"a": "b", "b": "a"}), ROOMY), WouldCycle, "in a circle: "),
        (lambda: analyse(graph({"first": "", "b": "frist"}), ROOMY), UnknownName, "did you mean 'first'"),
        (lambda: analyse(graph({"a": ""}) * 2, ROOMY), DuplicateName, "called 'a'"),
        (lambda: analyse([SetRow.of("a", 1.0, cores=101)], ROOMY), NeverFits, "can never hold"),
        (lambda: analyse([SetRow.of("a", 1.0, gpus=1)], ROOMY), NeverFits, "gpus=1"),
        (lambda: analyse([SetRow.of("a", -1.0)], ROOMY), BadValue, "TX is -1.0"),
        (lambda: analyse([SetRow.of("a", float("nan"))], ROOMY), BadValue, "TX is nan"),
    ],
)
def test_bad_input_is_one_sentence(make: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=r"^[^\n]*$") as caught:
        make()
    assert sentence in str(caught.value)


def test_names_are_text_for_the_terminal() -> None:
    m = analyse([SetRow.of("[red]a[/red]\x1b[31m", 1.0), SetRow.of("b", 2.0)], ROOMY)
    text = Explained("<b>\n\x07", m).text()
    assert "[red]a[/red]?[31m" in text and "\x1b" not in text and "<b>??" in text
