"""The projection against the core's own state and against sums made by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.report.campaigns import ZERO, Run, ddmd, declared, summit
from workbench.core import State, evolve
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.edits import AddEdges, AddSet, Cancel, Hold, Release, ScalePool, SetMode
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Edge, SetSpec
from workbench.model.states import TaskState
from workbench.report import RESOURCES, Interval, Tables

SMALL = Pool("small", 2, NodeShape(8, 2), "virtual")


def folded(run: Run) -> Tables:
    tables = Tables()
    tables.fold(run.records)
    return tables


def area(rows: list[Interval], resource: str, now: float) -> float:
    ends = [(r, now if r.end is None else r.end) for r in rows if r.start is not None]
    return sum((end - r.start) * r.amount(resource) for r, end in ends)


def some_fail(task: str, number: int) -> Cause | None:
    if task.startswith("infer-0["):
        return Cause.UserError if int(task[8:-1]) % 9 == 0 else None
    return Cause.NodeLost if task == "train-1[0]" and number == 1 else None


def test_counts_are_those_of_the_core_at_every_prefix() -> None:
    run = Run(ddmd(2), scale=0.01, fate=some_fail).run(300)
    run.lose("summit-07")
    run.run()
    tables, state = Tables(), State()
    for record in run.records:
        tables.fold([record])
        evolve(state, record.event)
        assert {s.name: s.counts for s in tables.sets} == {n: s.counts for n, s in state.sets.items()}
        assert tables.progress().counts == state.counts
    assert tables.progress()[TaskState.failed] == 11
    assert tables.progress().total == 418
    assert tables.ended


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_times_are_unscaled_seconds_from_the_first_assignment(scale: float) -> None:
    tables = folded(Run(ddmd(1), scale=scale).run())
    rows = {s.name: s for s in tables.sets}
    assert rows["sim-0"].first_start == 0.0
    assert rows["sim-0"].mean_s == pytest.approx(340, rel=0.02)
    assert rows["train-0"].mean_s == pytest.approx(63, rel=0.1)
    assert rows["aggr-0"].first_start == pytest.approx(rows["sim-0"].last_end, abs=1e-3)
    assert tables.makespan() == rows["infer-0"].last_end
    assert 526 < tables.makespan() < 570
    assert [s.rank for s in tables.sets] == [0, 1, 2, 3]
    assert [s.stage for s in tables.sets] == [0, 1, 2, 3]


def test_use_is_the_sum_over_attempts_and_idle_is_the_rest() -> None:
    run = Run(ddmd(3), scale=0.01, fate=some_fail)
    tables = Tables()
    for until in (100, 500, 900, 5000):
        run.run(until)
        tables.fold(run.records)
        now = tables.makespan()
        for resource, capacity in (("cores", 16 * 168), ("gpus", 96)):
            exact = area(tables.intervals, resource, now)
            assert tables.busy(resource) == pytest.approx(exact)
            assert tables.busy(resource, until=now) == pytest.approx(exact)
            assert tables.utilization(resource).area() == pytest.approx(exact)
            assert tables.idle(resource) == pytest.approx(capacity * now - exact)
            assert tables.utilization_fraction(resource) == pytest.approx(exact / (capacity * now))
            assert max(tables.utilization(resource, 10**6).total()) <= capacity * (1 + 1e-9)
    assert tables.ended
    half = tables.makespan() / 2
    clipped = sum(max(0.0, min(half, r.end) - r.start) * r.cores for r in tables.intervals if r.start is not None)
    assert tables.busy("cores", until=half) == pytest.approx(clipped)
    assert tables.utilization_fraction("cores", until=half) == pytest.approx(clipped / (16 * 168 * half))


def test_layers_come_in_order_of_declaration_and_only_for_what_uses_the_resource() -> None:
    tables = folded(Run(ddmd(1), scale=0.01).run())
    assert [x.key for x in tables.utilization("cores").layers] == ["sim-0", "aggr-0", "train-0", "infer-0"]
    assert [x.key for x in tables.utilization("gpus").layers] == ["sim-0", "train-0", "infer-0"]


def test_a_node_that_drains_counts_as_capacity_until_it_leaves() -> None:
    run = Run([AddSet(declared("work", 40, 10.0))], SMALL)
    run.run(5)
    run.add(ev.CommandAccepted(run.at, "down", (ScalePool("small", 1),)))
    (leaving,) = [n for n in run.state.nodes.values() if n.draining]
    while leaving.holding:
        assert run.step()
    emptied = run.at
    run.lose(leaving.name, Cause.Preempted)
    run.run()
    tables = folded(run)
    end, left = tables.makespan(), (emptied - ZERO) / run.scale
    assert 0 < left < end
    assert tables.capacity("cores").area() == pytest.approx(8 * end + 8 * left)
    assert tables.busy("cores") <= tables.capacity("cores").area()
    assert tables.failed_attempts == 0 and all(r.number == 1 for r in tables.intervals)
    assert tables.lower_bound() is not None and tables.lower_bound() <= end + 1e-6  # type: ignore[operator]


def test_capacity_follows_nodes_that_come_and_go() -> None:
    run = Run([AddSet(declared("work", 200, 10.0))], SMALL)
    run.run(50)
    run.lose("small-00")
    lost_at = (run.at - ZERO) / run.scale
    run.run(90)
    run.join("small-02", SMALL)
    joined_at = (run.at - ZERO) / run.scale
    run.run()
    tables = folded(run)
    end = tables.makespan()
    assert tables.capacity("cores").area() == pytest.approx(8 * end + 8 * lost_at + 8 * (end - joined_at))
    assert tables.nodes["small-00"].cause == "NodeLost"
    assert tables.clock(tables.nodes["small-00"].left) == pytest.approx(lost_at)
    assert [n.left for n in tables.nodes.values()].count(None) == 2
    lost = [r for r in tables.intervals if r.outcome == "NodeLost"]
    assert len(lost) == 8
    assert [r.end for r in lost] == [pytest.approx(lost_at)] * 8
    assert tables.failed_attempts == 8
    assert {f.cause for f in tables.failures} == {"NodeLost"}
    assert all("stopped answering" in f.detail for f in tables.failures)
    assert tables.progress()[TaskState.done] == 200


def test_rows_that_changed_are_told_once_and_in_order() -> None:
    run = Run(ddmd(1), scale=0.01)
    tables = Tables()
    mirror: dict[int, tuple] = {}
    cursor = 0
    for until in (50, 340, 341, 400, 5000):
        run.run(until)
        tables.fold(run.records)
        cursor, rows = tables.changed(cursor)
        assert [r.row for r in rows] == sorted({r.row for r in rows})
        mirror |= {r.row: (r.task, r.number, r.start, r.end, r.outcome) for r in rows}
        assert mirror == {r.row: (r.task, r.number, r.start, r.end, r.outcome) for r in tables.intervals}
        assert tables.changed(cursor) == (cursor, [])
    assert cursor == tables.cursor
    assert all(r.outcome == "done" for r in tables.intervals)


def test_slots_of_an_attempt_are_those_it_was_given() -> None:
    tables = folded(Run(ddmd(1), scale=0.01).run())
    row = next(r for r in tables.intervals if r.set == "infer-0")
    assert (row.cores, len(row.gpus), row.nodes, row.amount("cores"), row.amount("gpus")) == (16, 1, 1, 16, 1)
    per_slot: dict[tuple[str, int], list[Interval]] = {}
    for r in tables.intervals:
        for gpu in r.gpus:
            per_slot.setdefault((r.node, gpu), []).append(r)
    assert len(per_slot) == 96
    for rows in per_slot.values():
        ordered = sorted(rows, key=lambda r: r.start)
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(ordered))


def test_an_attempt_over_several_nodes_counts_on_all_of_them() -> None:
    run = Run([AddSet(declared("mpi", 1, 10.0, 8, 2))], Pool("p", 3, NodeShape(8, 2), "virtual"))
    share = (ev.Share("p-01", (0, 1)), ev.Share("p-02", (0, 1)))
    run.add(ev.AttemptAssigned(ZERO, "mpi[0]", 1, "p-00", 8, (0, 1), 0, share))
    run.add(ev.AttemptFinished(ZERO + 10, "mpi[0]", 1, ZERO, ZERO + 10))
    tables = folded(run)
    assert tables.busy("cores") == pytest.approx(240)
    assert tables.busy("gpus") == pytest.approx(60)
    assert tables.utilization_fraction("cores") == pytest.approx(1.0)


def test_clocks_of_workers_cannot_put_an_attempt_outside_the_engines_record() -> None:
    run = Run([AddSet(declared("t", 2, 10.0))], SMALL)
    run.add(ev.AttemptAssigned(ZERO, "t[0]", 1, "small-00"))
    run.add(ev.AttemptAssigned(ZERO + 5, "t[1]", 1, "small-00"))
    run.add(ev.AttemptFinished(ZERO + 12, "t[0]", 1, ZERO - 500, ZERO + 900))
    run.add(ev.AttemptFinished(ZERO + 20, "t[1]", 1, ZERO + 900, ZERO - 500))
    first, second = folded(run).intervals
    assert (first.start, first.end) == (0.0, 12.0)
    assert (second.start, second.end) == (20.0, 20.0)


def test_late_finishers_and_unknown_reports_change_nothing() -> None:
    run = Run([AddSet(declared("t", 1, 10.0))], SMALL)
    run.step()
    before = folded(run)
    late = [
        ev.AttemptFinished(run.at + 9, "t[0]", 1, ZERO, run.at + 9),
        ev.AttemptEnded(run.at + 9, "t[0]", 7, Cause.UserError, "boom"),
        ev.AttemptStarted(run.at + 9, "ghost[0]", 1, run.at),
        ev.AttemptReported(run.at + 9, "t[0]", 1, {"loss": 1.0}),
        ev.NodeLeft(run.at + 9, "ghost"),
    ]
    for event in late:
        run.add(event)
    after = folded(run)
    assert after.intervals == before.intervals
    assert (after.failures, after.metrics, after.makespan()) == ([], {}, before.makespan())


def test_an_attempt_that_never_started_takes_no_time() -> None:
    run = Run([AddSet(SetSpec("t", declared("x", 1, 1.0).work, retries=0))], SMALL)
    run.add(ev.AttemptAssigned(ZERO, "t[0]", 1, "small-00"))
    run.add(ev.AttemptEnded(ZERO + 3, "t[0]", 1, Cause.LaunchRefused, "no such file", exit_code=None))
    tables = folded(run)
    (row,) = tables.intervals
    assert (row.start, row.end, row.outcome) == (None, 3.0, "LaunchRefused")
    assert tables.busy("cores") == 0.0
    assert tables.failures[0].detail == "no such file"


def test_a_cancelled_attempt_is_not_a_failure() -> None:
    run = Run([AddSet(declared("t", 1, 10.0))], SMALL)
    run.add(ev.AttemptAssigned(ZERO, "t[0]", 1, "small-00"))
    run.add(ev.CommandAccepted(ZERO + 1, "c1", (Cancel(("t",)),), author="user:ada", reason="not needed"))
    run.add(ev.AttemptEnded(ZERO + 2, "t[0]", 1, Cause.Cancelled, started=ZERO, ended=ZERO + 2))
    tables = folded(run)
    assert tables.failures == []
    assert tables.sets[0].failures == 0
    assert tables.progress()[TaskState.cancelled] == 1
    assert tables.busy("cores") == pytest.approx(2.0)


def test_a_killed_engine_leaves_a_gap_that_nobody_used() -> None:
    run = Run([AddSet(declared("t", 4, 10.0, 8))], SMALL)
    run.run(10)
    killed = run.at
    run.at = killed + 1000
    run.add(ev.EngineStarted(run.at, 2))
    for node in list(run.state.nodes):
        run.lose(node, Cause.EngineLost)
    run.join("small-02", SMALL)
    tables = folded(run)
    assert [r.outcome for r in tables.intervals if r.outcome != "done"] == ["EngineLost"]
    (lost,) = [r for r in tables.intervals if r.outcome == "EngineLost"]
    gap = (pytest.approx(killed - ZERO), pytest.approx(killed - ZERO + 1000))
    assert lost.end == gap[0]
    assert tables.outages == [gap]
    run.run()
    tables = folded(run)
    assert tables.ended
    assert tables.capacity("cores").area() == pytest.approx(16 * (killed - ZERO) + 8 * (run.at - killed - 1000))


def test_time_goes_on_while_the_engine_runs_and_stands_when_it_has_stopped() -> None:
    run = Run([AddSet(declared("t", 64, 10.0))], SMALL).run(15)
    tables = folded(run)
    seen = tables.makespan()
    tables.observe(run.at + 2.5)
    assert tables.makespan() == pytest.approx(seen + 2.5)
    assert tables.busy("cores") == pytest.approx(area(tables.intervals, "cores", seen + 2.5))
    run.add(ev.EngineStopped(run.at, "asked to"))
    tables.fold(run.records)
    assert tables.makespan() == pytest.approx(run.at - ZERO)
    assert not tables.engine_running


def test_time_stands_while_only_a_person_can_go_on() -> None:
    run = Run([AddSet(declared("a", 1, 5.0)), AddSet(declared("b", 1, 5.0), (Edge("a", "b"),))], SMALL)
    run.add(ev.CommandAccepted(run.at, "h", (Hold(("b",)),)))
    run.run()
    tables = folded(run)
    tables.observe(run.at + 1000)
    assert tables.makespan() == pytest.approx(run.at - ZERO)
    assert not tables.ended
    run.at += 7
    run.add(ev.CommandAccepted(run.at, "r", (Release(("b",)),)))
    run.run()
    tables.fold(run.records)
    assert tables.ended


def test_forecasts_history_and_header() -> None:
    run = Run(ddmd(1), scale=0.01, name="villin")
    run.forecast(540.0, 526.0, sequential=526.0)
    run.run(100)
    run.add(ev.CommandAccepted(run.at, "m", (SetMode("sequential"),), author="agent:tuner", reason="stages are even"))
    grown = folded(run).running[0]
    wish = AddEdges((Edge("infer-0", "sim-0"),))
    run.add(ev.AttemptFinished(run.at, grown.task, grown.number, run.at - 1, run.at, growth=(wish,)))
    run.add(ev.CommandRefused(run.at, f"{grown.task}+", f"task:{grown.task}", "WouldCycle", "it would close a cycle"))
    run.forecast(526.0)
    tables = folded(run)
    assert (tables.name, tables.mode, tables.policy, tables.time_scale) == (
        "villin",
        "sequential",
        "resource-aware",
        0.01,
    )
    assert [(f.makespan_s, f.lower_bound_s, f.mode) for f in tables.forecasts] == [
        (540.0, 526.0, "adaptive"),
        (526.0, 0.0, "sequential"),
    ]
    assert tables.forecasts[0].t == 0.0
    assert tables.forecasts[1].t == pytest.approx((run.at - ZERO) / 0.01)
    declared_, changed, refused = tables.commands
    assert declared_.summary.startswith("add pool summit (16 nodes of 168 cores, 6 GPUs); add set sim-0 (96 tasks)")
    assert (changed.author, changed.summary, changed.reason) == (
        "agent:tuner",
        "set mode to sequential",
        "stages are even",
    )
    assert (refused.refused, refused.message) == ("WouldCycle", "it would close a cycle")


def test_edges_of_single_tasks_fold_into_their_sets() -> None:
    run = Run([AddSet(declared(n, 3, 1.0)) for n in "abcd"], SMALL)
    edges = (
        Edge("a[0]", "b[1]"),
        Edge("a", "c", "each"),
        Edge("b", "c", "each"),
        Edge("b[0]", "c"),
        Edge("c", "d"),
        Edge("a[0]", "a[1]"),
    )
    run.add(ev.CommandAccepted(run.at, "e", (AddEdges(edges),)))
    tables = folded(run)
    assert [(e.src, e.dst, e.kind, e.part) for e in sorted(tables.edges)] == [
        ("a", "b", "all", True),
        ("a", "c", "each", False),
        ("b", "c", "all", False),
        ("c", "d", "all", False),
    ]
    assert {s.name: s.rank for s in tables.sets} == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_metrics_are_kept_and_thinned_evenly() -> None:
    run = Run([AddSet(declared("train", 1, 1e6))], SMALL)
    run.add(ev.AttemptAssigned(ZERO, "train[0]", 1, "small-00"))
    for i in range(9000):
        run.add(ev.AttemptReported(ZERO + i, "train[0]", 1, {"loss": i, "note": "text", "ok": True}))
    tables = folded(run)
    assert list(tables.metrics) == [("train", "loss")]
    points = tables.metrics["train", "loss"]
    assert 500 < len(points) < 2000
    assert all(p.t == p.value for p in points)
    gaps = [b.t - a.t for a, b in pairwise(points)]
    assert max(gaps) <= 16
    assert points[-1].t > 8980


def test_long_output_keeps_its_end_and_many_failures_their_number() -> None:
    run = Run([AddSet(SetSpec("t", declared("x", 1, 1.0).work, n=1300))], Pool("p", 1, NodeShape(1), "virtual"))
    run.fate = lambda task, number: Cause.UserError
    run.detail = "x" * 9000 + "the last line"
    tables = folded(run.run())
    assert tables.failed_attempts == 1300
    assert tables.sets[0].failures == 1300
    assert len(tables.failures) <= 1000
    assert tables.failures[-1].task == "t[1299]"
    assert tables.failures[-1].detail.endswith("the last line")
    assert len(tables.failures[-1].detail) <= 4001


def test_records_already_known_are_passed_over_and_a_gap_is_an_error() -> None:
    run = Run(ddmd(1), scale=0.01).run(100)
    tables = Tables()
    assert tables.fold(run.records[:50]) == 50
    assert tables.fold(run.records[:60]) == 10
    assert tables.next_seq == 60
    with pytest.raises(ValueError, match="record 61 came where 60 was due"):
        tables.fold(run.records[61:])
    tables.fold(run.records)
    assert tables.intervals == folded(run).intervals


def test_nothing_at_all() -> None:
    tables = Tables()
    assert (tables.sets, tables.edges, tables.intervals, tables.makespan()) == ([], (), [], 0.0)
    assert not tables.ended
    for resource in RESOURCES:
        assert tables.utilization(resource).edges == ()
        assert tables.utilization_fraction(resource) == 0.0
        assert tables.idle(resource) == 0.0
    assert tables.progress().fraction == 0.0


def test_a_campaign_of_many_tasks_folds_with_bounded_series() -> None:
    run = Run([AddSet(declared(f"s{i}", 2000, 5.0)) for i in range(10)], Pool("p", 50, NodeShape(20), "virtual")).run()
    tables = folded(run)
    assert tables.progress()[TaskState.done] == 20_000
    stack = tables.utilization("cores", 500)
    assert sum(len(layer.values) for layer in stack.layers) <= 500
    assert stack.area() == pytest.approx(area(tables.intervals, "cores", 0.0))


def test_the_paper_s_allocation_is_what_the_nodes_add_up_to() -> None:
    tables = folded(Run(ddmd(1), summit(), scale=0.01).run())
    assert tables.capacity("cores").total() == (16 * 168,)
    assert tables.capacity("gpus").total() == (96,)


def test_an_engine_that_stops_in_good_order_offered_its_nodes_until_then() -> None:
    run = Run([AddSet(declared("t", 4, 10.0, 8))], SMALL)
    run.run(10)
    for node in list(run.state.nodes):
        run.lose(node, Cause.EngineLost)
    run.add(ev.EngineStopped(run.at))
    tables = folded(run)
    assert tables.capacity("cores").area() == pytest.approx(16 * (run.at - ZERO))
    assert 0 < tables.utilization_fraction("cores") <= 1
    assert {n.left for n in tables.nodes.values()} == {run.at}
