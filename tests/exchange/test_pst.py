"""Pipelines, Stages and Tasks: as plain data, and as objects like EnTK's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace as Object
from typing import Any

import pytest

from workbench.exchange import BadWorkflow, read
from workbench.model.specs import Constant, Edge


def ddmd(**task: Any) -> dict[str, Any]:
    sim = {"name": "simulate", "tasks": [{"name": "sim", "copies": 3, "runtime_s": 340, "cores": 4, "gpus": 1, **task}]}
    train = {"name": "train", "tasks": [{"runtime_s": 63, "ranks": 2, "cores_per_rank": 3, "gpus_per_rank": 1}]}
    return {"name": "ddmd", "pipelines": [{"stages": [sim, train]}, {"stages": [dict(sim)]}]}


def test_stages_are_sets_and_barriers_and_pipelines_run_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "pst.json"
    path.write_text(json.dumps(ddmd()))
    flow = read(path)
    assert (flow.name, flow.source, flow.n_tasks, flow.n_edges, flow.depth) == (
        "ddmd",
        "Pipelines-Stages-Tasks",
        7,
        3,
        2,
    )
    sets = {e.spec.name: e for e in flow.edits}
    assert list(sets) == ["pipeline-0.simulate", "train", "pipeline-1.simulate"]
    assert sets["train"].edges == (Edge("pipeline-0.simulate", "train"),)
    resources = sets["train"].spec.resources
    assert (resources.cores, resources.gpus, sets["train"].spec.estimate) == (6, 2, Constant(63))
    assert [m.label for m in sets["pipeline-1.simulate"].spec.members] == ["sim.0.2", "sim.1.2", "sim.2.2"]


def test_objects_in_sets_as_entk_keeps_them() -> None:
    def task(uid: str, seconds: str) -> Object:
        return Object(
            uid=uid, name="", executable="/bin/sleep", arguments=[seconds],
            cpu_reqs={"cpu_processes": 2, "cpu_threads": 4}, gpu_reqs={"gpu_processes": 1, "gpu_threads": 1},
        )  # fmt: skip

    class Stage:
        def __init__(self, *tasks: Object) -> None:
            self.name, self.tasks = "", set()
            self.tasks = frozenset(Hashed(t) for t in tasks)

    class Hashed:
        def __init__(self, of: Object) -> None:
            vars(self).update(vars(of))

    pipeline = Object(name="p", stages=[Stage(task("task.2", "5"), task("task.1", "7")), Stage(task("task.3", "1.5"))])
    flow = read([pipeline])
    assert [(t.id, t.runtime_s, t.cores, t.gpus, t.kind) for t in flow.tasks] == [
        ("task.1", 7.0, 8, 1, "stage-0"), ("task.2", 5.0, 8, 1, "stage-0"), ("task.3", 1.5, 8, 1, "stage-1"),
    ]  # fmt: skip
    assert flow.edges() == {("task.1", "task.3"), ("task.2", "task.3")}
    assert read(pipeline).n_tasks == read(Object(workflow=[pipeline])).n_tasks == 3


def test_an_empty_stage_is_no_barrier_of_its_own() -> None:
    one: dict[str, Any] = {"tasks": [{"runtime_s": 1, "name": "a"}]}
    flow = read({"pipelines": [{"stages": [one, {"tasks": []}, {"tasks": [{"runtime_s": 1, "name": "b"}]}]}]})
    assert flow.edges() == {("a", "b")}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"runtime_s": None}, "pipeline 'pipeline-0', stage 'simulate', task 'sim' has no runtime"),
        ({"runtime_s": -2}, "task 'sim' has the runtime -2, which is negative"),
        ({"runtime_s": float("nan")}, "task 'sim' has the runtime nan"),
        ({"copies": 0}, "has copies=0"),
        ({"copies": 10**9}, "has copies=1000000000"),
        ({"cores": "4"}, "task 'sim' has cores '4'"),
        ({"cores": 0, "gpus": 0}, "asks for no core and no GPU"),
    ],
)
def test_what_makes_no_sense_names_pipeline_stage_and_task(task: dict[str, Any], words: str) -> None:
    with pytest.raises(BadWorkflow) as caught:
        read(ddmd(**task))
    assert words in str(caught.value)


def test_shapes_that_are_no_pipelines() -> None:
    for value, words in (
        ({"pipelines": [{"stages": 3}]}, "pipeline 0 has no list of stages"),
        ({"pipelines": [{"stages": [{"name": "s"}]}]}, "stage 's' has no list of tasks"),
        ({"pipelines": [{"stages": []}]}, "holds no tasks"),
        ({"pipelines": []}, "no workflow that is known here"),
    ):
        with pytest.raises(BadWorkflow, match=words):
            read(value)
