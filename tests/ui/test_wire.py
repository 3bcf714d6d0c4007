"""What travels to the browser, and how large graphs are made small."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from tests.report.campaigns import Run, ddmd, declared
from workbench.model import events as ev
from workbench.model.edits import AddSet, SetPolicy
from workbench.model.resources import Resources
from workbench.model.specs import Constant, Edge, Plan
from workbench.model.states import STATES
from workbench.report.rows import STATE_ORDER, EdgeRow, SetRow, no_counts
from workbench.report.tables import Tables
from workbench.ui.collapse import collapse
from workbench.ui.wire import Board, counts_of, finite, head, standing

ROOT = Path(__file__).resolve().parents[2]


def tables_of(run: Run) -> Tables:
    tables = Tables()
    tables.fold(run.records)
    return tables


def row(name: str, rank: int = 0, n: int = 1) -> SetRow:
    return SetRow(name, n, no_counts(), "Synthetic", Resources(), Constant(1.0), 0, rank, rank)


def test_both_sides_list_the_states_in_one_order() -> None:
    text = (ROOT / "extensions" / "src" / "protocol.ts").read_text(encoding="utf-8")
    block = re.search(r"export const STATES = \[(.*?)\] as const", text, re.DOTALL)
    assert block is not None
    assert re.findall(r'"(\w+)"', block[1]) == [state.value for state in STATE_ORDER]
    assert set(STATE_ORDER) == set(STATES)


def test_board_sends_the_graph_once_and_then_only_rows_that_changed() -> None:
    run = Run(ddmd(2)).run(until=0)
    tables, board = tables_of(run), Board()
    changed, rows = board.update(tables)
    assert changed and len(rows) == 8
    assert [s["id"] for s in board.graph["sets"]] == [r.name for r in tables.sets]
    assert {(e["src"], e["dst"]) for e in board.graph["edges"]} == {(e.src, e.dst) for e in tables.edges}
    assert board.update(tables) == (False, [])
    run.run(until=100)
    tables.fold(run.records)
    before = board.seq
    changed, rows = board.update(tables)
    assert not changed and board.seq > before
    assert {r[0] for r in rows} <= {"sim-0", "sim-1"} and rows
    for name, counts, _, _ in rows:
        assert counts == counts_of(tables.state.sets[name].counts)


def test_deltas_add_up_to_the_whole_at_every_step() -> None:
    run = Run(ddmd(2), seed=3)
    run.run()
    tables, board = Tables(), Board()
    seen: dict[str, list[object]] = {}
    for start in range(0, len(run.records), 37):
        tables.fold(run.records[start : start + 37])
        for changed in board.update(tables)[1]:
            seen[changed[0]] = changed
        assert list(seen.values()) == board.status("live")["rows"]
    assert sum(sum(r[1]) for r in seen.values()) == tables.progress().total  # type: ignore[arg-type]


def test_a_new_set_is_a_new_revision() -> None:
    run = Run(ddmd(1)).run(until=0)
    tables, board = tables_of(run), Board()
    board.update(tables)
    rev = board.graph["rev"]
    grown = Run([*ddmd(1), AddSet(declared("more", 4, 10), (Edge("infer-0", "more"),))]).run(until=0)
    changed, _ = board.update(tables_of(grown))
    assert changed and board.graph["rev"] == rev + 1
    assert board.graph["sets"][-1]["name"] == "more"


def test_everything_that_travels_is_json_without_nan() -> None:
    tables = tables_of(Run(ddmd(1)).run())
    board = Board()
    board.update(tables)
    for value in (board.graph, board.status("closed"), head(tables, "closed", "trouble")):
        json.dumps(value, allow_nan=False)
    assert finite(float("nan")) is None and finite(float("inf")) is None and finite(None) is None
    assert finite(1234.5678) == 1235.0


def test_head_speaks_of_the_campaign_as_it_stands() -> None:
    run = Run(ddmd(1), name="villin")
    run.forecast(600.0, 500.0)
    tables = tables_of(run)
    assert head(tables, "live") | {"counts": None} == {
        "name": "villin",
        "mode": "adaptive",
        "policy": "resource-aware",
        "phase": "live",
        "counts": None,
        "seq": len(run.records) - 1,
        "sets": 4,
        "state": "not started",
        "elapsed": None,
        "predicted": 600.0,
        "band": None,
        "bound": 500.0,
        "plan": "",
        "why": "",
        "others": [],
        "scored": "",
        "terms": "",
        "trouble": "",
    }
    run.run(until=50)
    tables.fold(run.records)
    assert standing(tables, "live") == "running"
    assert standing(tables, "closed") == "stopped"
    run.run()
    tables.fold(run.records)
    assert standing(tables, "live") == "finished"
    assert head(tables, "live")["elapsed"] == pytest.approx(tables.makespan(), rel=1e-5)


def test_head_says_what_auto_chose_and_how_good_forecasts_were() -> None:
    run = Run(ddmd(1), name="villin", policy="auto")
    others = {f"plan-{i}": 620.0 + i for i in range(20)} | {"upward-rank/best": 600.0}
    run.add(ev.PolicyChosen(run.at, Plan("upward-rank", "best"), 600.0, "it is the lower bound", others))
    bands = {"sim-0": (330.0, 345.0, 380.0), "aggr-0": (1.0, 2.0, 3.0)}
    run.add(ev.ForecastMade(run.at, 520.0, 500.0, "adaptive", "auto", 5, {}, 480.0, 520.0, 560.0, bands, 50))
    tables = tables_of(run)
    line = head(tables, "live")
    assert (line["plan"], line["why"], line["band"]) == ("upward-rank/best", "it is the lower bound", [480.0, 560.0])
    assert line["others"] == [[f"plan-{i}", 620.0 + i] for i in range(8)]
    assert line["scored"] == line["terms"] == ""
    while not tables.scores.sets:
        run.step()
        tables.fold(run.records)
    assert head(tables, "live")["scored"].startswith(
        "So far 1 of 1 forecast of the finishes of 1 task set held the truth in their band (4 in 5 should). "
        "Their medians were "
    )
    run.run()
    tables.fold(run.records)
    line = head(tables, "live")
    held = 480 <= tables.makespan() <= 560
    assert line["scored"].startswith(
        f"{int(held)} of 1 forecast held the true finish in their band (4 in 5 should); of finishes of task sets, "
        "1 of 2 forecasts did. Their medians were "
    )
    assert "P10" in line["terms"]
    json.dumps(line, allow_nan=False)
    # Under another policy it does not matter what auto had chosen.
    run.add(ev.CommandAccepted(run.at, "fifo", (SetPolicy("fifo"),)))
    tables.fold(run.records)
    assert head(tables, "live")["plan"] == ""


def test_a_small_graph_is_shown_as_it_is() -> None:
    sets = [row("a"), row("b", 1)]
    shown = collapse(sets, [EdgeRow("a", "b", "each")], most=2)
    assert [g.members for g in shown.groups] == [("a",), ("b",)]
    assert shown.edges == (EdgeRow("a", "b", "each"),)
    assert shown.note == ""


def test_a_large_graph_is_grouped_first_by_kind_and_the_view_says_so() -> None:
    sets = [row("prep"), *(row(f"sim-{i}", 1) for i in range(10)), row("train", 2)]
    edges = [e for i in range(10) for e in (EdgeRow("prep", f"sim-{i}"), EdgeRow(f"sim-{i}", "train"))]
    shown = collapse(sets, edges, most=5)
    assert [(g.name, len(g.members)) for g in shown.groups] == [("prep", 1), ("sim", 10), ("train", 1)]
    assert [(e.src, e.dst) for e in shown.edges] == [("prep", "sim-0"), ("sim-0", "train")]
    assert shown.note == "12 task sets, shown as 3 groups"


@pytest.mark.parametrize("seed", range(30))
def test_groups_hold_every_set_once_and_never_depend_on_themselves(seed: int) -> None:
    choose = random.Random(seed)
    n, most = choose.randint(1, 120), choose.randint(1, 20)
    ranks = sorted(choose.randint(0, choose.choice([3, 60])) for _ in range(n))
    kinds = choose.choice([["a", "b"], [f"kind{chr(97 + i)}" for i in range(26)]])
    sets = [row(f"{choose.choice(kinds)}-{i}", rank) for i, rank in enumerate(ranks)]
    pairs = [(a, b) for a in sets for b in sets if a.rank < b.rank]
    edges = [EdgeRow(a.name, b.name) for a, b in choose.sample(pairs, min(len(pairs), 200))]
    shown = collapse(sets, edges, most)
    assert len(shown.groups) <= max(most, 0) or n <= most
    assert sorted(m for g in shown.groups for m in g.members) == sorted(s.name for s in sets)
    rank = {s.name: s.rank for s in sets}
    highest = {g.id: max(rank[m] for m in g.members) for g in shown.groups}
    lowest = {g.id: min(rank[m] for m in g.members) for g in shown.groups}
    for edge in shown.edges:
        assert edge.src != edge.dst and highest[edge.src] < lowest[edge.dst]
    home = {m: g.id for g in shown.groups for m in g.members}
    expected = {(home[e.src], home[e.dst]) for e in edges} - {(g.id, g.id) for g in shown.groups}
    assert {(e.src, e.dst) for e in shown.edges} == expected


def test_a_grouped_card_counts_all_its_tasks() -> None:
    run = Run([AddSet(declared(f"sim-{i}", 3, 10), ()) for i in range(6)])
    run.run()
    board = Board(most=3)
    tables = tables_of(run)
    board.update(tables)
    (card,) = board.graph["sets"]
    assert (card["kind"], card["sets"], card["name"]) == ("group", 6, "sim")
    (only,) = board.status("live")["rows"]
    assert sum(only[1]) == 18 and only[1][0] == 18
    assert only[3] == pytest.approx(sum(s.mean_s or 0 for s in tables.sets) / 6, rel=1e-3)
