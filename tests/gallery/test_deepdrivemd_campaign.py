"""The loop of DeepDriveMD, run in process: its graph, its budget, its asynchrony, its result."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openmm")
pytest.importorskip("torch")
pytest.importorskip("sklearn")

from tests.gallery.driver import InlineCampaign
from workbench.gallery.deepdrivemd import ledger as books
from workbench.gallery.deepdrivemd import outcome as result
from workbench.gallery.deepdrivemd import protein, setup, work
from workbench.gallery.deepdrivemd.campaign import deepdrivemd
from workbench.model.errors import WorkbenchError

SMALL: dict[str, Any] = {
    "iterations": 3, "simulations": 4, "steps": 1000, "every": 100, "heat_steps": 500, "window": 2, "first_epochs": 1,
    "epochs": 1, "seed": 3,
}  # fmt: skip


def run(monkeypatch: pytest.MonkeyPatch, **options: Any) -> InlineCampaign:
    c = InlineCampaign()
    deepdrivemd(c, **{**SMALL, **options})  # type: ignore[arg-type]
    return c.run(monkeypatch)


def a_setup(**options: Any) -> setup.Setup:
    given: dict[str, Any] = {
        "mode": "both", "order": "q,rmsd", "rank": "rmsd", "seeds": (1,), "iterations": 2, "simulations": 4,
        "steps": 1000, "every": 100, "heat_steps": 500, "temperature": 305.0, "ensembles": 2, "window": 4,
        "first_epochs": 1, "epochs": 1, "early_stop": True, "train_cores": 1, **options,
    }  # fmt: skip
    return setup.check(**given)


# --- the graph --------------------------------------------------------------------------------------------------------


def test_simulations_never_wait_for_the_training_of_their_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round k+2 hangs on the agent of round k, and that on nothing newer than the training of round k-1."""
    c = run(monkeypatch, early_stop=False)
    rounds = sum(re.fullmatch(r"sim-\d+", name) is not None for name in c.sizes)
    assert rounds == 6
    assert c.needs("infer-0[0]") == {"agg-0[0]", "train-0[0]"}
    for k in range(1, rounds):
        needed = c.needs(f"infer-{k}[0]")
        assert f"agent-{k - 1}[0]" in needed and f"train-{k}[0]" not in needed
        assert max(int(t[6:-3]) for t in needed if t.startswith("train-")) <= k - 1
        assert c.needs(f"agent-{k}[0]") == {f"infer-{k}[0]", f"agent-{k - 1}[0]"}
    for k in range(rounds):
        assert c.needs(f"agg-{k}[0]") == {f"sim-{k}[0]", f"sim-{k}[1]"} | ({f"agg-{k - 1}[0]"} if k else set())
        # Start frames are values that the agent chose, so a simulation waits for nothing but a free slot.
        assert c.needs(f"sim-{k}[0]") == set()


def test_only_two_rounds_are_declared_and_agents_grow_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    c = InlineCampaign()
    deepdrivemd(c, **SMALL)  # type: ignore[arg-type]
    kinds = ("sim", "agg", "train", "infer", "agent")
    assert list(c.sizes) == ["load-libraries"] + [f"{kind}-{k}" for k in range(2) for kind in kinds]
    c.run(monkeypatch)
    assert "outcome" in c.sizes and "sim-5" in c.sizes and c.order[-1] == "outcome[0]"
    for k in range(2, 6):
        assert c.order.index(f"agent-{k - 2}[0]") < c.order.index(f"sim-{k}[0]")


def test_one_ensemble_is_the_synchronous_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, ensembles=1)
    assert "sim-3" not in c.sizes and c.sizes["sim-2"] == 4
    for k in (0, 1):
        assert f"train-{k}[0]" in c.needs(f"infer-{k}[0]")
    order = [name.split("[")[0] for name in c.order]
    assert order.index("sim-1") > order.index("agent-0") > order.index("train-0")


def test_stages_put_the_rounds_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch)
    stages = {
        one.id.split("[")[0]: one.options["stage"] for one in c.declared.values() if one.id[:4] not in ("stop", "load")
    }
    assert len(set(stages.values())) == len(stages)
    by_stage = sorted(stages, key=stages.__getitem__)
    assert by_stage[:6] == ["sim-0", "agg-0", "train-0", "infer-0", "agent-0", "sim-1"]
    assert by_stage[-1] == "outcome"


def test_plain_and_rmsd_train_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="plain,rmsd")
    assert not any(name.startswith(("train", "load")) for name in c.sizes)
    assert all(r["cpu_s"]["train"] == 0.0 and r["losses"] == [] for r in c.results["outcome[0]"]["runs"])


# --- the budget -------------------------------------------------------------------------------------------------------


def test_every_mode_spends_the_same_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="compare", seeds=(3, 4))
    outcome = c.results["outcome[0]"]
    assert [(r["mode"], r["seed"]) for r in outcome["runs"]] == [
        (m, s) for s in (3, 4) for m in ("plain", "lof", "rmsd", "both")
    ]
    assert {r["steps"] for r in outcome["runs"]} == {3 * 4 * 1000}
    assert {r["frames"] for r in outcome["runs"]} == {120}


def test_all_modes_start_from_the_same_structures(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="compare")
    for k in (0, 1):
        for i in range(2):
            starts = [c.results[f"sim-{k}[{i + 2 * r}]"]["start"] for r in range(4)]
            assert all((s == starts[0]).all() for s in starts)
    assert not np.allclose(c.results["sim-0[0]"]["start"], c.results["sim-0[1]"]["start"])


def test_plain_simulations_go_on_from_their_own_last_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="plain")
    for k in range(4):
        for i in range(2):
            assert (c.results[f"sim-{k + 2}[{i}]"]["start"] == c.results[f"sim-{k}[{i}]"]["frames"][-1]).all()


def test_ranked_restarts_are_the_best_frames_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="rmsd", early_stop=False)
    for k in range(4):
        frames = np.concatenate([chunk["frames"] for chunk in c.results[f"agg-{k}[0]"]["chunks"]])
        best = np.sort(protein.rmsd(frames))[:2]
        starts = np.stack([c.results[f"sim-{k + 2}[{i}]"]["start"] for i in range(2)])
        assert protein.rmsd(starts) == pytest.approx(best)


def test_steps_of_stopped_simulations_start_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that always finds the first running simulation unproductive: the budget is still spent to the step."""
    from workbench.gallery.deepdrivemd import select

    def first(mode: str, *, running: Any, **_: Any) -> list[int]:
        return [0] if len(running) > 1 else []

    monkeypatch.setattr(select, "unproductive", first)
    c = run(monkeypatch, mode="rmsd")
    outcome = c.results["outcome[0]"]["runs"][0]
    assert outcome["stopped"] > 0 and outcome["steps"] == outcome["budget"] == 12_000
    assert outcome["simulations"] == 12 + outcome["stopped"]
    stops = [name for name in c.sizes if name.startswith("stop-")]
    assert stops and c.steered["sim-2"] == {"give_way": [0]}
    assert c.results["sim-2[0]"]["stopped"] and c.results["sim-2[0]"]["steps"] == 0
    assert not c.results["sim-2[1]"]["stopped"]
    assert c.results["agg-2[0]"]["tips"].shape == (2, 35, 3), "a simulation without frames still has a tip"


@pytest.mark.parametrize("mode", ["plain", "lof", "rmsd", "both"])
def test_a_campaign_whose_simulations_were_all_stopped_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    c = InlineCampaign()
    for k in range(200):
        c.steered[f"sim-{k}"] = {"give_way": list(range(20))}
    deepdrivemd(c, **{**SMALL, "mode": mode, "iterations": 1})  # type: ignore[arg-type]
    c.run(monkeypatch, at_most=60)
    outcome = c.results["outcome[0]"]["runs"][0]
    assert outcome["steps"] == 0 and outcome["frames"] == 0 and outcome["first_folded_steps"] is None
    assert "1 of 1 runs spent less than their budget" in c.results["outcome[0]"]["caveats"][0]
    assert outcome["best_q"] is None and outcome["least_rmsd_nm"] is None


@pytest.mark.parametrize(
    ("left", "most", "lengths"),
    [(0, 4, []), (99, 4, []), (100, 4, [100]), (2500, 4, [1000, 1000, 500]), (2550, 4, [1000, 1000, 500]),
     (9000, 4, [1000] * 4), (4000, 4, [1000] * 4)],
)  # fmt: skip
def test_segments_fill_what_is_left(left: int, most: int, lengths: list[int]) -> None:
    assert books.split(left, most, 1000, 100) == lengths


def test_odd_numbers_of_simulations_are_shared_out() -> None:
    s = a_setup(simulations=5)
    assert [s.size(k) for k in range(4)] == [3, 2, 3, 2]
    book = books.opened(s)
    for expected in (3, 2):
        segments = books.first_segments(s, book)
        assert len(segments[0]) == expected
        book = books.plan(s, book, segments).book
    assert book["runs"][0]["left"] == s.budget - 5000


def test_settling_an_account_changes_no_book() -> None:
    s = a_setup()
    opened = books.opened(s)
    plan = books.plan(s, opened, books.first_segments(s, opened))
    assert opened == books.opened(s)
    starts = np.zeros((4, 35, 3), np.float32)
    one = books.Inferred(run=0, starts=starts, unproductive=[], used=1500, spent=1500, cpu_s=0.5)
    before = plan.book["runs"][0]["left"]
    after, segments, give_way = books.settle(s, plan.book, 0, [one])
    assert plan.book["runs"][0]["left"] == before and plan.book["runs"][0]["given"] == {0: 2000}
    assert after["runs"][0]["left"] == before + 500 and after["runs"][0]["given"] == {}
    assert [j["steps"] for j in segments[0]] == [1000, 1000] and give_way == []


# --- results are functions of their inputs ----------------------------------------------------------------------------


def test_without_early_stops_the_result_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, other = (run(monkeypatch, early_stop=False, seed=s).results for s in (3, 3, 4))
    assert all((one[t]["frames"] == two[t]["frames"]).all() for t in one if t.startswith("sim-"))
    assert not np.allclose(one["sim-5[0]"]["frames"], other["sim-5[0]"]["frames"])


def test_tasks_that_run_again_give_the_same_and_leave_their_inputs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, early_stop=False)
    for target in ("agg-3[0]", "train-3[0]", "infer-3[0]"):
        one = c.declared[target]
        again = one.fn(*c._resolve(one.args), **one.parameters)
        _same(again, c.results[target])


def _same(a: Any, b: Any) -> None:
    """Equal in everything but CPU seconds."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            if not key.endswith("cpu_s"):
                _same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            _same(x, y)
    elif isinstance(a, np.ndarray):
        assert (a == b).all()
    else:
        assert a == b


def test_the_window_forgets_old_frames_and_history_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, early_stop=False)
    last = c.results["agg-5[0]"]
    assert [chunk["round"] for chunk in last["chunks"]] == [2, 3, 4, 5]
    assert [h["round"] for h in last["history"]] == list(range(6))
    assert last["used"] == 12_000 and set(last["chunks"][0]["values"]) == {"q", "rmsd"}


def test_order_parameters_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    c = run(monkeypatch, mode="lof", order="none")
    assert c.results["agg-0[0]"]["chunks"][0]["values"] == {} and c.results["sim-0[0]"]["metrics"] == {}
    assert c.results["outcome[0]"]["order"] == []
    rg = run(monkeypatch, mode="both", order="rg", rank="rg")
    assert set(rg.results["sim-0[0]"]["metrics"]) == {"rg"}
    assert set(rg.results["agg-0[0]"]["chunks"][0]["values"]) == {"rg"}


# --- the outcome ------------------------------------------------------------------------------------------------------


def segment_result(frames: Any, steps: int, stopped: bool = False) -> dict[str, Any]:
    return {"frames": np.asarray(frames, np.float32), "start": np.zeros((35, 3), np.float32), "steps": steps,
            "stopped": stopped, "cpu_s": 1.0, "metrics": {}}  # fmt: skip


def test_first_passage_counts_the_steps_of_all_simulations() -> None:
    native, far = protein.native(), protein.extended()
    round_0 = [segment_result([far] * 4, 400), segment_result([far] * 4, 400)]
    round_1 = [segment_result([far, far, native, native], 400), segment_result([far], 100, stopped=True)]
    first = work.aggregate({"previous": None, "segments": round_0}, round=0, every=100, window=8, order=[])
    second = work.aggregate({"previous": first, "segments": round_1}, round=1, every=100, window=8, order=[])
    zero, one = second["history"]
    assert zero["first_folded"] is None and zero["folded"] == 0
    # 800 steps of the first round, 300 of the simulation that folded, 100 of the one that had stopped by then.
    assert one["first_folded"] == 1200 and one["folded"] == 2 and one["stopped"] == 1
    assert one["best_q"] == 1.0 and one["least_rmsd"] == pytest.approx(0.0, abs=1e-3)
    assert second["used"] == 1300 and second["tips"].shape == (2, 35, 3)


def test_runs_that_never_fold_count_as_later_than_all_others() -> None:
    assert result.median_passage([240_000, None, 160_000]) == 240_000
    assert result.median_passage([None, 160_000]) is None
    assert result.median_passage([None, None, 1, 2, None]) is None
    assert result.median_passage([100, 200]) == 150.0


def a_run(mode: str, seed: int, first: int | None, folded: int) -> result.RunOutcome:
    return result.RunOutcome(
        mode=mode, seed=seed, first_folded_steps=first, folded_frames=folded, frames=3200, best_q=0.95,
        least_rmsd_nm=0.2, steps=640_000, budget=640_000, simulations=64, stopped=0, losses=[],
        cpu_s={"md": 11.0, "aggregate": 0.1, "train": 4.0, "infer": 1.0},
    )  # fmt: skip


def test_the_table_puts_the_modes_side_by_side() -> None:
    runs = [a_run("plain", 1, None, 0), a_run("both", 1, 96_800, 7), a_run("plain", 2, 120_800, 7),
            a_run("both", 2, 120_800, 25)]  # fmt: skip
    outcome = result.judged(runs)
    plain, both = outcome["modes"]
    assert plain["never_folded"] == 1 and plain["median_first_folded_steps"] is None
    assert both["never_folded"] == 0 and both["median_first_folded_steps"] == 108_800.0
    assert both["cpu_s"] == pytest.approx(16.1) and both["ml_cpu_s"] == pytest.approx(5.0)
    lines = outcome["table"].splitlines()
    assert lines[1].split()[:4] == ["plain", "2", "1", "never"]
    assert "never/0, 120.8k/7" in lines[1] and "96.8k/7, 120.8k/25" in lines[2]


def test_caveats_say_what_is_not_shown() -> None:
    alone = " ".join(result.judged([a_run("both", 1, 1, 1)], early_stop=True)["caveats"])
    assert "1 seed for each mode: an anecdote" in alone
    assert "plain molecular dynamics at the same budget was not run" in alone
    assert "cannot be credited to learning" in alone and "a rerun may differ" in alone
    whole = " ".join(
        result.judged([a_run(m, s, 1, 1) for m in ("plain", "lof", "rmsd", "both") for s in range(5)])["caveats"]
    )
    assert "anecdote" not in whole and "not run" not in whole and "one small protein" in whole


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "mode='best' is unknown; choose among plain, lof, rmsd, both"),
        ({"order": "energy"}, "'energy' is not an order parameter"),
        ({"order": "none"}, "mode 'both' ranks frames by 'rmsd', which order=none leaves out"),
        ({"order": "q", "mode": "rmsd"}, "which order=q leaves out"),
        ({"rank": "energy"}, "rank='energy' is no order parameter"),
        ({"iterations": 0}, "iterations=0 must be at least 1"),
        ({"simulations": 1}, "simulations=1 must be at least the number of ensembles, 2"),
        ({"steps": 150}, "steps=150 must be a positive multiple of every=100"),
        ({"temperature": 0.0}, "temperature=0.0 K must lie between 1 and 2000"),
        ({"ensembles": 3}, "ensembles=3 must be 1"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_declared(options: dict[str, Any], message: str) -> None:
    c = InlineCampaign()
    with pytest.raises(WorkbenchError, match=message):
        deepdrivemd(c, **{**SMALL, **options})  # type: ignore[arg-type]
    assert not c.sizes


def test_quick_is_small_unless_told_otherwise() -> None:
    def budget(**options: Any) -> tuple[int, int]:
        c = InlineCampaign()
        deepdrivemd(c, mode="plain", **options)  # type: ignore[arg-type]
        return c.sizes["sim-0"] + c.sizes["sim-1"], c.declared["sim-0[0]"].args[0]["steps"]

    assert budget() == (8, 10_000)
    assert budget(quick=True) == (4, 30_000)
    assert budget(quick=True, simulations=8, steps=400) == (8, 400)
