"""Pipelines, Stages and Tasks: the model of EnTK, as plain data or as its objects.

Pipelines run side by side, the stages of one pipeline one after the other, the tasks of one stage together. What counts
are names, not types: anything with ``stages``, whose members have ``tasks``, is a pipeline, be it a dictionary or an
object of RADICAL-EnTK or of one's own.

    {"name": "ddmd", "pipelines": [{"name": "p0", "stages": [{"name": "sim", "tasks": [
        {"name": "sim-0", "runtime_s": 340, "cores": 4, "gpus": 1}, ...]}]}]}

A task's time is its ``runtime_s`` (or the one in its ``metadata`` or ``tags``), or what its ``sleep`` is asked to take.
Its cores and GPUs are ``cores`` and ``gpus``, or what ``cpu_reqs`` and ``gpu_reqs``, or ``ranks`` with
``cores_per_rank`` and ``gpus_per_rank``, come to. ``copies=96`` stands for as many tasks alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .workflow import BadWorkflow, Workflow, WorkTask, count, entry, seconds, short, text

COPIES = 1_000_000
_TIMES = ("runtime_s", "runtimeInSeconds", "runtime", "duration")


class PipelinesStagesTasks:
    """The importer."""

    name = "Pipelines-Stages-Tasks"

    def takes(self, value: Any) -> bool:
        """Whether `value` is pipelines, or holds them."""
        found = _pipelines(value)
        return bool(found) and entry(found[0], "stages") is not None

    def read(self, value: Any, where: str) -> Workflow:
        """The workflow that pipelines are.

        Raises
        ------
        BadWorkflow
            Naming pipeline, stage and task.
        """
        tasks: list[WorkTask] = []
        parents: list[tuple[int, ...]] = []
        pipelines = _pipelines(value)
        stages_of = [_members(p, "stages", f"{where}: pipeline {i}") for i, p in enumerate(pipelines)]
        names = [[text(entry(s, "name")) or f"stage-{j}" for j, s in enumerate(stages)] for stages in stages_of]
        # A stage that all pipelines have is one kind of work in each, but a set of its own: it has its own barrier.
        every = [name for some in names for name in some]
        ids: dict[str, int] = {}
        for i, (pipeline, stages) in enumerate(zip(pipelines, stages_of, strict=True)):
            called = text(entry(pipeline, "name")) or f"pipeline-{i}"
            before: tuple[int, ...] = ()
            for j, stage in enumerate(stages):
                kind = names[i][j] if every.count(names[i][j]) == 1 else f"{called}.{names[i][j]}"
                who = f"{where}: pipeline {short(called)}, stage {short(names[i][j])}"
                first = len(tasks)
                for k, task in enumerate(_members(stage, "tasks", who)):
                    tasks += _tasks(task, kind, k, ids, who)
                parents += [before] * (len(tasks) - first)
                before = tuple(range(first, len(tasks))) or before
        name = entry(value, "name") if not isinstance(value, list | tuple | set | frozenset) else None
        return Workflow.checked(name, self.name, tasks, parents, where=where)


def _pipelines(value: Any) -> list[Any]:
    """The pipelines in what was given: one, several, or something that holds them."""
    if isinstance(value, str | bytes):
        return []
    if isinstance(value, list | tuple | set | frozenset):
        return _in_order(value)
    for key in ("pipelines", "workflow"):
        found = entry(value, key)
        if isinstance(found, list | tuple | set | frozenset):
            return _in_order(found)
    return [] if entry(value, "stages") is None else [value]


def _members(value: Any, key: str, who: str) -> list[Any]:
    found = entry(value, key)
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
        raise BadWorkflow(f"{who} has no list of {key}; give one")
    return _in_order(found)


def _in_order(found: Iterable[Any]) -> list[Any]:
    """As given; what has no order of its own (EnTK keeps tasks in sets) by uid and name."""
    if isinstance(found, set | frozenset):
        return sorted(found, key=lambda x: (text(entry(x, "uid")), text(entry(x, "name"))))
    return list(found)


def _tasks(task: Any, kind: str, index: int, ids: dict[str, int], who: str) -> list[WorkTask]:
    """The tasks that an entry of a stage stands for."""
    called = text(entry(task, "name")) or text(entry(task, "uid")) or f"{kind}-{index}"
    about = f"{who}, task {short(called)}"
    cores, gpus = _resources(task, about)
    nodes = count(_or(entry(task, "nodes"), 1), "nodes", about, 1)
    if cores == 0 and gpus == 0:
        raise BadWorkflow(f"{about} asks for no core and no GPU; give it cores, or gpus")
    many = _or(entry(task, "copies"), 1)
    if isinstance(many, bool) or not isinstance(many, int) or not 1 <= many <= COPIES:
        raise BadWorkflow(f"{about} has copies={short(many)}; give a whole number from 1 to {COPIES}")
    time = seconds(_time(task), about)
    found = []
    for i in range(many):
        id = base = called if many == 1 else f"{called}.{i}"
        while id in ids:  # the model asks for no names, and the same script may name two tasks alike
            ids[base] += 1
            id = f"{base}.{ids[base]}"
        ids[id] = 1
        found.append(WorkTask(id, time, kind, called, cores, gpus, nodes))
    return found


def _time(task: Any) -> Any:
    for place in (task, entry(task, "metadata"), entry(task, "tags")):
        for key in _TIMES:
            value = entry(place, key) if place is not None else None
            if value is not None:
                return value
    program, arguments = text(entry(task, "executable")), entry(task, "arguments")
    if program.rpartition("/")[2] == "sleep" and isinstance(arguments, Sequence) and len(arguments) == 1:
        try:
            return float(arguments[0])
        except (TypeError, ValueError):
            return None
    return None


def _resources(task: Any, who: str) -> tuple[int, int]:
    """Cores and GPUs that a task asks for."""
    cores, gpus = entry(task, "cores"), entry(task, "gpus")
    ranks = count(_or(entry(task, "ranks"), 1), "ranks", who, 1)
    if cores is None:
        per_rank = entry(task, "cores_per_rank")
        cores = _product(entry(task, "cpu_reqs"), "cpu", 1, who) if per_rank is None else None
        if cores is None:
            cores = ranks * count(_or(per_rank, 1), "cores_per_rank", who)
    if gpus is None:
        per_rank = entry(task, "gpus_per_rank")
        gpus = _product(entry(task, "gpu_reqs"), "gpu", 0, who) if per_rank is None else None
        if gpus is None:
            gpus = ranks * count(_or(per_rank, 0), "gpus_per_rank", who)
    return count(cores, "cores", who), count(gpus, "gpus", who)


def _product(asked: Any, kind: str, least: int, who: str) -> int | None:
    """Processes times threads of ``cpu_reqs`` or ``gpu_reqs``; None where nothing is asked so."""
    if not isinstance(asked, Mapping) or not asked:
        return None
    numbers = []
    for part, default in (("processes", least), ("threads", 1)):
        value = _or(asked.get(f"{kind}_{part}"), asked.get(part))
        numbers.append(count(_or(value, default), f"{kind}_{part}", who))
    return numbers[0] * max(1, numbers[1])


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
