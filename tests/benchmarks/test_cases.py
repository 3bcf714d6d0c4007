"""The benchmarks measure what they say: tiny sizes, none of the peers, nothing timed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import core, machine, ours, run, table, venvs
from tests.benchmarks.cases import FIGURES, TABLES, Case, Entry, Figure, plan
from tests.benchmarks.peers import common


def test_a_layered_graph_has_the_same_fan_in_everywhere_and_is_the_same_for_everybody() -> None:
    graph = common.layers(20, 50, 3)
    assert [len(layer) for layer in graph] == [50] * 20
    assert set(graph[0]) == {()}
    assert {len(set(needs)) for layer in graph[1:] for needs in layer} == {3}
    assert graph == common.layers(20, 50, 3)


def test_the_peak_counts_what_overlaps_and_not_what_follows() -> None:
    spans = [("a", 0.0, 2.0, 4), ("a", 1.0, 3.0, 2), ("a", 3.0, 4.0, 5), ("b", 0.0, 9.0, 1)]
    assert common.peaks(spans) == {"a": 6, "b": 1}
    assert common.peaks([("a", 0.0, 1.0, 1), ("a", 1.0, 2.0, 1)]) == {"a": 1}


def test_memory_is_that_of_the_whole_family() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert child.pid in common.family()
        both, one = common.memory(common.family()), common.memory([child.pid])
        assert both["processes"] >= 2
        assert both["pss_mib"] > one["pss_mib"] > 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("case", "given", "expected"),
    [
        ("bag", {"n": 30}, {"tasks": 30, "peak_per_node": 1}),
        ("bag", {"n": 30, "fsync": False, "tls": True}, {"tasks": 30, "peak_per_node": 1}),
        ("dag", {"depth": 3, "width": 5, "fan_in": 3}, {"tasks": 15, "peak_per_node": 1}),
        ("chain", {"n": 10}, {"hops": 10}),
        ("chain", {"n": 10, "fsync": False}, {"hops": 10}),
        ("large", {"n": 50}, {"tasks": 50}),
    ],
)
def test_our_cases_run_everything_within_the_slots(
    case: str, given: dict[str, Any], expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "SCRATCH", tmp_path)
    monkeypatch.setattr(os, "fdatasync", os.fdatasync)  # put back, as a bag counts the calls
    result = ours.CASES[case](**given)
    assert {key: result[key] for key in expected} == expected
    assert not list(tmp_path.iterdir()), "the campaign's directory was left behind"


def test_a_paper_workflow_is_executed_within_the_limits_of_its_nodes() -> None:
    workflow = "paper/ddmd?iterations=1&inference_cores=7"
    result = ours.paper(workflow, 16, 44, 6, 0.001, "adaptive", "upward-rank")
    assert result["makespan_s"] >= 526
    assert result["seen_s"] >= result["makespan_s"]
    assert (result["peak_cores"], result["peak_gpus"]) == (42, 6)


def test_peers_get_the_sets_of_the_gallery() -> None:
    rows = ours.rows_of("paper/ddmd?inference_cores=7")
    assert [r["name"] for r in rows[:4]] == ["Sim0", "Aggr0", "Train0", "Infer0"]
    assert {r["cores"] for r in rows if r["name"].startswith("Infer")} == {7}
    assert [common.rank_of(r["name"]) for r in rows[:4]] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="paper/c-dg1"):
        ours.rows_of("paper/c-dg1")


def test_the_core_is_driven_to_the_end() -> None:
    state, events, _ = core.drive(50)
    assert state.ended and state.size == 50
    assert len(events) == len(core.opening(50)) + 100
    assert core.rate(50)["events"] == len(events)
    assert core.size(50)["tasks"] == 50
    assert core.replay(101)["records"] == len(core.opening(1)) + 2 * 48


@pytest.mark.parametrize("quick", [True, False])
def test_every_entry_can_be_started(quick: bool) -> None:
    for case in plan(quick):
        assert len({e.label for e in case.entries}) == len(case.entries)
        for entry in case.entries:
            if entry.peer:
                assert entry.peer in venvs.PEERS
                assert (venvs.HERE / "peers" / f"{entry.module}.py").is_file()
            else:
                assert entry.case in {"ours": ours.CASES, "core": core.CASES}[entry.module]


def test_every_figure_names_a_case_and_those_that_it_compares() -> None:
    cases = {case.name: case for case in plan(False)}
    for figure in FIGURES:
        measured = {cases[figure.case].measure: 1.0, **({figure.key: 1.0} if figure.key else {})}
        runs = [
            {"case": figure.case, "label": entry.label, "load": 0.0, "result": measured}
            for entry in cases[figure.case].entries
        ]
        assert table.reached(figure, list(cases.values()), runs) is not None, figure.text


def test_a_measurement_is_one_process_and_its_result_comes_back() -> None:
    assert run.measure(Entry("ours", "", "core", "size", {"n": 10}), None)["tasks"] == 10


def test_a_script_that_fails_says_why() -> None:
    with pytest.raises(run.Failed, match="unexpected keyword"):
        run.measure(Entry("ours", "", "core", "size", {"wrong": 1}), None)


def test_a_script_that_never_ends_is_ended_with_all_that_it_started() -> None:
    with pytest.raises(run.Failed, match="no result after 0 s"):
        run.measure(Entry("ours", "", "ours", "idle", {}), None, timeout_s=0.0)


def _case(name: str = "x", more: bool = True) -> Case:
    entries = (Entry("ours", "", "ours", "bag", {}), Entry("other", "ray", "on_ray", "bag", {}))
    return Case(name, "Title", "rate", "tasks/s", more, entries, ("processes",))


def test_the_table_shows_medians_ratios_and_failures() -> None:
    runs: list[dict[str, Any]] = [
        *({"case": "x", "label": "ours", "load": 0.0, "result": {"rate": r, "processes": 2}} for r in (5.0, 1.0, 3.0)),
        {"case": "x", "label": "other", "load": 0.0, "result": {"rate": 6.0}},
    ]
    text = "\n".join(table.of_case(_case(), runs))
    assert "| ours | 3 (1 .. 5) | 1.00 | 3 | 2 |" in text
    assert "| other | 6 | 2.00 | 1 |  |" in text
    broken = "\n".join(table.of_case(_case(), [{"case": "x", "label": "other", "load": 0.0, "error": "why\na | b"}]))
    assert "| other | failed: a / b |" in broken


def test_a_figure_is_judged_by_medians() -> None:
    runs: list[dict[str, Any]] = [
        {"case": "x", "label": "ours", "load": 0.0, "result": {"rate": 30.0}},
        {"case": "x", "label": "other", "load": 0.0, "result": {"rate": 10.0}},
    ]
    three = Figure("three times", "x", "ours", False, peer="other", times=3)
    four = Figure("four times", "x", "ours", False, peer="other", times=4)
    least = Figure("at most", "x", "our*", True, 29.0)
    said = [table.reached(f, [_case()], runs) for f in (three, four, least)]
    assert [row[2] for row in said if row] == ["yes", "**no**", "**no**"]
    assert table.reached(three, [_case()], runs[:1]) is None


def test_unknown_cases_and_peers_are_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="'bagg'"):
        run.select(plan(True), "bagg", "all")
    with pytest.raises(SystemExit, match="'rey'"):
        run.select(plan(True), "bag", "rey")
    (only,) = run.select(plan(True), "bag", "ray")
    assert {e.peer for e in only.entries} == {"", "ray"}


def test_every_case_is_on_one_page_and_the_pages_are_there() -> None:
    named = [name for members in TABLES.values() for name in members]
    assert sorted(named) == sorted(case.name for case in plan(False))
    readme = (venvs.HERE / "README.md").read_text()
    scripts = {path.name for path in run.RESULTS.iterdir()} - TABLES.keys()
    assert all(f"(results/{name}/RESULTS.md)" in readme for name in scripts)
    for name, members in TABLES.items():
        assert f"(results/{name}/RESULTS.md)" in readme
        kept = json.loads((run.RESULTS / name / "results.json").read_text())
        assert {r["case"] for r in kept["runs"]} == set(members)
        cases = [case for case in plan(False) if case.name in members]
        page = (run.RESULTS / name / "RESULTS.md").read_text()
        assert all(f"### {case.title}\n" in page for case in cases)


def test_only_whole_tables_in_full_size_with_all_peers_are_published() -> None:
    def pages(names: str, quick: bool = False, peers: str = "all") -> set[str]:
        return set(run.published(run.select(plan(quick), names, peers), quick, peers))

    assert (
        pages("") == {"rates", "placement"} and pages("rates") == {"rates"} and pages("placement,bag") == {"placement"}
    )
    assert pages("bag,dag") == pages("", quick=True) == pages("", peers="ray") == set()


def test_a_run_writes_where_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "plan", lambda quick: (_case(),))
    monkeypatch.setattr(run, "TABLES", {"one": ("x",)})
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(run, "SCRATCH", tmp_path)
    monkeypatch.setattr(run, "measure", lambda entry, python: {"rate": 7.0})
    monkeypatch.setattr(venvs, "ROOT", tmp_path)
    monkeypatch.setattr(venvs, "PEERS", ())
    for words, folder in [
        (["--quick"], ".bench/quick"),
        (["--out", str(tmp_path / "mine")], "mine"),
        ([], ".bench/last"),
        ([], "results/one"),
    ]:
        page = tmp_path / folder / "RESULTS.md"
        assert run.main([*words, "--rounds", "1"]) == 0
        assert "### Title" in page.read_text() and json.loads(page.with_name("results.json").read_text())["runs"]
        assert (tmp_path / "results").exists() == (not words)


def test_the_machine_is_described(tmp_path: Path) -> None:
    about = machine.describe(tmp_path)
    assert about["cores"] >= 1 and about["sync_ms"] > 0 and about["filesystem"]
    page = table.document(
        [_case()],
        [],
        [{"case": "x", "label": "ours", "load": 1.0, "result": {"rate": 1.0}}],
        {"machine": about, "began": "now", "took_min": 1.0, "rounds": 1, "version": "0", "peers": {"ray": "ray 1"}},
        False,
    )
    assert about["cpu"] in page and "ray 1" in page and "### Title" in page
