"""WfFormat out: what an ended campaign becomes keeps the format's rules and reads back the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from tests.data import DATA
from tests.exchange.documents import ROWS, v15
from tests.exchange.rules import broken
from workbench.core import State, decide, evolve
from workbench.core.state import Task
from workbench.exchange import Workflow, read, wfout
from workbench.model import edits as ed
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, Executable, Member, SetSpec, Synthetic

START = 1_700_000_000.0
SCALE = 0.5


def ran(edits: Iterable[ed.Edit], pool: Pool, fail: Sequence[str] = (), until: int = 10_000) -> list[ev.Record]:
    """The journal of a campaign that ran under a clock of its own; tasks of `fail` end without a result."""
    state, records = State(), []

    def happened(event: ev.Event) -> None:
        evolve(state, event)
        records.append(ev.Record(state.seq, event))

    happened(ev.CampaignCreated(START - 5, "c-1", "by hand", 7, time_scale=SCALE))
    happened(ev.CommandAccepted(START - 4, "1", (ed.AddPool(pool), *edits)))
    for i in range(pool.nodes):
        happened(
            ev.NodeJoined(
                START - 1, f"{pool.name}_{i}", pool.name, pool.shape.cores, pool.shape.gpus, pool.shape.memory
            )
        )
    now = START
    running: list[tuple[float, Task]] = []
    for _ in range(until):
        for decision in decide(state, now):
            happened(decision)
            task = state.task(decision.task)
            assert task is not None
            estimate = (task.member.estimate if task.member else None) or task.set.spec.estimate
            assert estimate is not None
            happened(ev.AttemptStarted(now, task.id, task.number, now))
            running.append((now + estimate.mean * SCALE, task))
        if not running:
            break
        running.sort(key=lambda r: (r[0], r[1].id))
        started, (now, task) = now, running.pop(0)
        started = task.started
        if task.id in fail:
            happened(ev.AttemptEnded(now, task.id, task.number, Cause.UserError, "no", started, now, 1))
        else:
            happened(ev.AttemptFinished(now, task.id, task.number, started, now))
    return records


def campaign() -> list[ed.Edit]:
    sim = SetSpec("my_sim", Synthetic(), 3, resources=Resources(cores=2, gpus=1), estimate=Constant(10), priority=3)
    members = tuple(Member(estimate=Constant(s), label="not an id") for s in (1.25, 2.5, 3))
    post = SetSpec("post", Executable(("/bin/echo", "", "{index}")), 3, members=members)
    wide = SetSpec("wide", Synthetic(), 1, resources=Resources(cores=4, gpus=2, nodes=2), estimate=Constant(7))
    return [
        ed.AddSet(sim),
        ed.AddSet(post, (Edge("my_sim", "post", "each"), Edge("my_sim[0]", "post"))),
        ed.AddSet(wide, (Edge("post", "wide"), Edge("my_sim", "wide"), Edge("post[1]", "wide[0]"))),
    ]


POOL = Pool("my pool", 2, NodeShape(4, 2, 1 << 30), "fake")


def reread(document: dict[str, Any]) -> Workflow:
    return read(msgspec.json.decode(wfout.encoded(document)))


def test_it_keeps_the_rules_and_reads_back_the_same() -> None:
    document = wfout.document(ran(campaign(), POOL), "1.2")
    assert broken(document) == []
    assert document["runtimeSystem"]["version"] == "1.2"
    assert document["workflow"]["execution"]["executedAt"] == "2023-11-14T22:13:20.000000+00:00"
    flow = reread(document)
    assert {t.id: (t.name, t.kind, t.runtime_s, t.cores, t.gpus, t.nodes) for t in flow.tasks} == {
        "my_sim_0": ("my_sim[0]", "my_sim", 10, 2, 1, 1),
        "my_sim_1": ("my_sim[1]", "my_sim", 10, 2, 1, 1),
        "my_sim_2": ("my_sim[2]", "my_sim", 10, 2, 1, 1),
        "post_0": ("post[0]", "post", 1.25, 1, 0, 1),
        "post_1": ("post[1]", "post", 2.5, 1, 0, 1),
        "post_2": ("post[2]", "post", 3, 1, 0, 1),
        "wide_0": ("wide[0]", "wide", 7, 4, 2, 2),
    }
    assert flow.edges() == {
        ("my_sim_0", "post_0"), ("my_sim_0", "post_1"), ("my_sim_0", "post_2"), ("my_sim_1", "post_1"),
        ("my_sim_2", "post_2"), ("my_sim_0", "wide_0"), ("my_sim_1", "wide_0"), ("my_sim_2", "wide_0"),
        ("post_0", "wide_0"), ("post_1", "wide_0"), ("post_2", "wide_0"),
    }  # fmt: skip
    assert [(m.name, m.cores, m.gpus, m.memory) for m in flow.machines] == [
        ("my-pool-0", 4, 2, 1 << 30), ("my-pool-1", 4, 2, 1 << 30),
    ]  # fmt: skip
    machines = {t.id: t.machines for t in flow.tasks}
    assert set(machines["wide_0"]) == {"my-pool-0", "my-pool-1"} and all(machines.values())
    assert [e.spec.name for e in flow.edits] == ["my_sim", "post", "wide"]
    # and once more, through a campaign that was made of it
    again = reread(wfout.document(ran(flow.edits, POOL)))
    assert {(t.id, t.kind, t.runtime_s, t.cores, t.nodes) for t in again.tasks} == {
        (t.id, t.kind, t.runtime_s, t.cores, t.nodes) for t in flow.tasks
    }
    assert again.edges() == flow.edges()


def test_times_are_the_campaigns_own() -> None:
    execution = wfout.document(ran(campaign(), POOL))["workflow"]["execution"]
    assert execution["makespanInSeconds"] == pytest.approx(10 + 3 + 7)
    told = {t["id"]: t for t in execution["tasks"]}
    assert told["my_sim_0"]["executedAt"] == "2023-11-14T22:13:20.000000+00:00"
    assert told["wide_0"]["executedAt"] == "2023-11-14T22:13:33.000000+00:00"
    assert told["post_0"]["command"] == {"program": "/bin/echo", "arguments": ["{index}"]}
    assert (told["my_sim_0"]["priority"], "priority" in told["post_0"]) == (3, False)


def test_a_trace_that_ran_again_has_its_own_ids() -> None:
    flow = read(v15())
    document = wfout.document(ran(flow.edits, Pool("p", 1, NodeShape(24), "virtual")))
    assert broken(document) == []
    again = reread(document)
    assert [(t.id, t.kind, t.runtime_s, t.cores) for t in again.tasks] == [(r[0], r[1], r[3], r[4]) for r in ROWS]
    assert again.edges() == flow.edges()


def test_ids_of_a_source_that_the_format_forbids_or_that_look_like_ours_stay_apart() -> None:
    def imported(name: str, *labels: str) -> ed.AddSet:
        members = tuple(Member(label=x) for x in labels)
        tags = {"source": "test"}
        return ed.AddSet(SetSpec(name, Synthetic(), len(labels), members=members, estimate=Constant(1), tags=tags))

    edits = [imported("a", "b_0", "with space", "twice", "twice", ""), imported("b", "x", "a_1"), ed.AddSet(
        SetSpec("b_0", Synthetic(), 1, estimate=Constant(1)))]  # fmt: skip
    ids = [t["id"] for t in wfout.document(ran(edits, POOL))["workflow"]["specification"]["tasks"]]
    assert len(set(ids)) == len(ids)
    assert ids == ["b_0", "a_1", "a_2", "a_3", "a_4", "x", "b_1", "b_0_0"]


def test_what_failed_and_what_was_skipped_say_so() -> None:
    document = wfout.document(ran(campaign(), POOL, fail=("my_sim[1]",)))
    assert broken(document) == []
    told = {t["id"]: t for t in document["workflow"]["execution"]["tasks"]}
    assert (told["my_sim_1"]["state"], told["my_sim_1"]["runtimeInSeconds"]) == ("failed", 10)
    assert (told["post_1"]["state"], told["post_1"]["runtimeInSeconds"]) == ("skipped", 0)
    assert "state" not in told["my_sim_0"] and "machines" not in told["post_1"]
    assert reread(document).n_tasks == 7


def test_a_campaign_that_has_not_ended_or_has_no_tasks_is_refused() -> None:
    with pytest.raises(wfout.CannotExport, match=r"[0-9] of 7 tasks have not ended .* export the campaign when it has"):
        wfout.document(ran(campaign(), POOL, until=2))
    with pytest.raises(wfout.CannotExport, match="has no tasks"):
        wfout.document(ran([], POOL))


def test_barriers_that_the_format_cannot_say_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wfout, "MOST_EDGES", 10)
    with pytest.raises(wfout.CannotExport, match="stand for 13 edges between tasks"):
        wfout.document(ran(campaign(), POOL))


def test_the_rules_of_these_tests_notice_what_is_wrong() -> None:
    good = json.loads(wfout.encoded(wfout.document(ran(campaign(), POOL))))
    for spoil, rule in (
        (lambda d: d.update(schemaVersion="1.4"), "schemaVersion"),
        (lambda d: d["workflow"]["specification"]["tasks"][0].update(id=""), "specification.tasks[0].id"),
        (lambda d: d["workflow"]["specification"]["tasks"][3]["parents"].append("sim[0]"), "parents[1] is a reference"),
        (lambda d: d["workflow"]["execution"]["tasks"][0].update(coreCount=0), "coreCount"),
        (lambda d: d["workflow"]["execution"].update(executedAt="yesterday"), "execution.executedAt"),
        (lambda d: d["workflow"]["execution"].update(machines=[]), "machines is a list of at least 1"),
        (lambda d: d["workflow"]["execution"]["machines"][0].update(nodeName="my_node"), "nodeName"),
    ):
        document = json.loads(json.dumps(good))
        spoil(document)
        assert len(broken(document)) == 1 and rule in broken(document)[0]


def test_it_is_valid_by_the_schema_itself() -> None:
    schema = DATA / "wfcommons-schema.json"
    if not schema.is_file():
        pytest.skip(f"WfFormat's schema is not in {DATA}: put its wfcommons-schema.json (version 1.5) there")
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft7Validator  # the schema names none; it uses what all drafts have
    validator = checker(json.loads(schema.read_text()), format_checker=checker.FORMAT_CHECKER)
    for records in (ran(campaign(), POOL), ran(campaign(), POOL, fail=("my_sim[1]",)), ran(read(v15()).edits, POOL)):
        assert [e.message for e in validator.iter_errors(json.loads(wfout.encoded(wfout.document(records))))] == []
