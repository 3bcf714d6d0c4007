"""WfFormat in: the versions, what they leave out, and what is refused in which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.documents import ROWS, v14, v15
from workbench.exchange import BadWorkflow, Machine, read
from workbench.model.specs import Constant, Edge


@pytest.mark.parametrize("document", [v14(), v15(), v15("1.6")], ids=["1.4", "1.5", "1.6"])
def test_the_versions_say_the_same(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(document))
    flow = read(path)
    assert flow.source == f"WfFormat {document['schemaVersion']}"
    assert [(t.id, t.kind, t.runtime_s, t.cores) for t in flow.tasks] == [(r[0], r[1], r[3], r[4]) for r in ROWS]
    assert flow.edges() == {(p, r[0]) for r in ROWS for p in r[2]}
    assert (flow.n_tasks, flow.n_edges, flow.depth) == (4, 4, 3)
    assert flow.machines == (Machine("worker-1", 24, 0, 1 << 30),)
    assert all(t.machines == ("worker-1",) for t in flow.tasks)


def test_it_becomes_readable_sets_with_an_estimate_for_each_task() -> None:
    split, blast, cat = read(v15()).edits
    assert (split.spec.name, split.spec.estimate, split.edges) == ("split", Constant(2.0), ())
    assert [m.label for m in blast.spec.members] == ["blast_ID02", "blast_ID03"]
    assert [m.estimate for m in blast.spec.members] == [Constant(10.5), Constant(12.0)]
    assert blast.spec.resources.cores == 4 and blast.spec.estimate == Constant(11.25)
    assert (blast.edges, cat.edges) == ((Edge("split", "blast"),), (Edge("blast", "cat"),))


def test_parents_or_children_alone_are_enough_and_names_stand_for_ids() -> None:
    for missing in ("parents", "children"):
        document = v15()
        for t in document["workflow"]["specification"]["tasks"]:
            del t[missing]
        assert read(document).n_edges == 4
    document = v15()
    spec, runs = document["workflow"]["specification"]["tasks"], document["workflow"]["execution"]["tasks"]
    for i, (t, run) in enumerate(zip(spec, runs, strict=True)):
        t["id"] = run["id"] = str(i)  # parents still name names, as a version of WfCommons wrote them
    assert [t.id for t in read(document).tasks] == ["0", "1", "2", "3"] and read(document).n_edges == 4


@pytest.mark.parametrize(
    ("id", "name", "program", "kind"),
    [
        ("mProject_ID0000002", "mProject_ID0000002", "mProject", "mProject"),
        ("a.GUNZIP_3", "a.GUNZIP", "gunzip \\\n  -f genes.gtf", "a.GUNZIP"),
        ("train_00000014", "train_00000014", "/opt/conda/bin/python3.11", "train"),
        ("x1", "x1", "./bin/align.sh", "align.sh"),
        ("x1", "x1", "", "x1"),
    ],
)
def test_kinds_come_from_the_program_or_else_the_name(id: str, name: str, program: str, kind: str) -> None:
    document = v15()
    t, run = document["workflow"]["specification"]["tasks"][3], document["workflow"]["execution"]["tasks"][3]
    for other in document["workflow"]["specification"]["tasks"]:
        other["children"] = []
    t["id"] = run["id"] = id
    t["name"], run["command"] = name, {"program": program}
    assert read(document).tasks[3].kind == kind


def test_pools_are_like_the_machines_where_these_can_hold_every_task() -> None:
    (pool,) = read(v15()).pools()
    assert (pool.nodes, pool.shape.cores, pool.kind) == (1, 24, "virtual")
    document = v15()
    document["workflow"]["execution"]["tasks"][1]["coreCount"] = 48
    (pool,) = read(document).pools()
    assert (pool.nodes, pool.shape.cores) == (4, 48)


def _spec(d: dict[str, Any], i: int = 0) -> dict[str, Any]:
    return d["workflow"]["specification"]["tasks"][i]


def _run(d: dict[str, Any], i: int = 0) -> dict[str, Any]:
    return d["workflow"]["execution"]["tasks"][i]


BAD: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: d.update(schemaVersion="1.3"), "'1.3'; versions 1.4, 1.5, 1.6 are read"),
    (lambda d: d.update(schemaVersion=None), "says no schemaVersion"),
    (lambda d: d.update(schemaVersion=["1.5"]), "of type list"),
    (lambda d: d.update(workflow=7), "has 7 as its workflow"),
    (lambda d: d["workflow"].pop("execution"), "no workflow.execution, so no task has a runtime"),
    (lambda d: d["workflow"].pop("specification"), "has no workflow.specification"),
    (lambda d: d["workflow"]["specification"].update(tasks={}), "no list workflow.specification.tasks"),
    (lambda d: [d["workflow"][k].update(tasks=[]) for k in ("specification", "execution")], "holds no tasks"),
    (lambda d: d["workflow"]["specification"]["tasks"].append("x"), "tasks[4] is 'x'"),
    (lambda d: _spec(d).pop("id"), "a task has no id"),
    (lambda d: _spec(d, 1)["parents"].append("nobody"), "task 'blast_ID02' names 'nobody' among its parents"),
    (lambda d: _spec(d, 1)["children"].append(["x"]), "names of type list among its children"),
    (lambda d: _spec(d, 1).update(parents="split_ID01"), "the parents of task 'blast_ID02' are 'split_ID01'"),
    (lambda d: _spec(d, 0)["parents"].append("cat_ID04"), "in a circle (split_ID01 > "),
    (lambda d: _spec(d, 0)["parents"].append("split_ID01"), "in a circle (split_ID01 > split_ID01)"),
    (lambda d: d["workflow"]["specification"]["tasks"].append(_spec(d)), "the task id 'split_ID01' is there twice"),
    (lambda d: d["workflow"]["execution"]["tasks"].append(_run(d)), "execution has the task 'split_ID01' twice"),
    (lambda d: _run(d).update(id="else"), "execution has the task 'else', which workflow.specification does not"),
    (lambda d: d["workflow"]["execution"]["tasks"].pop(2), "task 'blast_ID03' has no runtime"),
    (lambda d: _run(d).update(runtimeInSeconds=None), "task 'split_ID01' has no runtime"),
    (lambda d: _run(d).update(runtimeInSeconds=-1), "task 'split_ID01' has the runtime -1, which is negative"),
    (lambda d: _run(d).update(runtimeInSeconds="3"), "has the runtime '3', which is no number"),
    (lambda d: _run(d).update(runtimeInSeconds=True), "has the runtime True, which is no number"),
    (lambda d: _run(d).update(runtimeInSeconds=10**400), "has the runtime 1329 bits long, which no task takes"),
    (lambda d: _run(d).update(coreCount=10**30), "has coreCount 1000000000000000000000000000000; give a number"),
    (lambda d: _run(d).update(coreCount=-4), "has coreCount -4"),
    (lambda d: _run(d).update(coreCount="many"), "has coreCount 'many'"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), BAD, ids=[words[:40] for _, words in BAD])
def test_what_makes_no_sense_is_refused_in_one_sentence(
    spoil: Callable[[dict[str, Any]], Any], words: str, tmp_path: Path
) -> None:
    document = v15()
    spoil(document)
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadWorkflow) as caught:
        read(path)
    told = str(caught.value)
    assert words in told and told.startswith(str(path)) and "\n" not in told and len(told) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (json.dumps(v15()).encode()[:300], "is no complete JSON document (input data was truncated)"),
        (bytes(range(256)) * 8, "is no complete JSON document"),
        (b'{"name": "\xff"}', "is no complete JSON document"),
        (b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
        (b'{"workflow": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "is nested too deeply"),
        (b'{"a": NaN}', "is no complete JSON document"),
        (b"[]", "holds no workflow that is known here"),
        (b"17", "holds no workflow that is known here"),
        (b'{"jobs": []}', "holds no workflow that is known here"),
    ],
)
def test_files_that_hold_no_document(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_bytes(content)
    with pytest.raises(BadWorkflow) as caught:
        read(path)
    assert words in str(caught.value) and str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadWorkflow, match=r"none\.json cannot be read: no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(BadWorkflow, match="cannot be read: is a directory"):
        read(tmp_path)


def test_a_byte_order_mark_and_a_missing_name_do_no_harm(tmp_path: Path) -> None:
    document = v15()
    document["name"] = "two\nlines"
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert read(path).name == "mine"
