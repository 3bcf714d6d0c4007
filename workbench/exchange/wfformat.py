"""WfFormat, the JSON of WfCommons for workflows and their executions: versions 1.4, 1.5 and 1.6.

Version 1.4 has one list of tasks. 1.5 tells what is to be done (``specification``) apart from what it took
(``execution``), and 1.6 adds numbers that can be computed. Dependencies are the union of what the tasks name as parents
and as children, since some tools write only one of them. Some write names where ids belong; a name that only one task
has is understood. Files and transfers are not read: tasks take their runtimes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .workflow import BadWorkflow, Machine, Workflow, WorkTask, count, seconds, short, size, text

VERSIONS = ("1.4", "1.5", "1.6")

# What ends the name of one of many: mProject_ID0000002, blastall_00000014, sim-3, sim[3]
_NUMBER = re.compile(r"([_.\-]+(ID)?\d+|\[\d+\])$")
_PROGRAM = re.compile(r"[\w.+/\-]{1,200}")
# They run the program that the name tells of.
_RUNNERS = frozenset({"bash", "java", "julia", "mpiexec", "mpirun", "perl", "python", "rscript", "sh", "srun"})


class WfFormat:
    """The importer."""

    name = "WfFormat"

    def takes(self, value: Any) -> bool:
        """Whether `value` is meant to be WfFormat."""
        return isinstance(value, Mapping) and ("schemaVersion" in value or "workflow" in value)

    def read(self, value: Any, where: str) -> Workflow:
        """The workflow in a parsed document.

        Raises
        ------
        BadWorkflow
            Naming what is missing or wrong.
        """
        version = value.get("schemaVersion")
        if version not in VERSIONS:
            told = "says no schemaVersion" if version is None else f"has the schemaVersion {short(version)}"
            raise BadWorkflow(
                f"{where} {told}; versions {', '.join(VERSIONS)} are read (WfFormat's migration tool converts others)"
            )
        flow = _mapping(value.get("workflow"), "workflow", where)
        known: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]
        if version == "1.4":
            about = flow
            # Parents and children go by name there, and the name is the id of later versions.
            known = [(_id(t, "name", where), t, t) for t in _tasks(flow, "workflow.tasks", where)]
        else:
            spec = _mapping(flow.get("specification"), "workflow.specification", where)
            if flow.get("execution") is None:
                raise BadWorkflow(
                    f"{where} has no workflow.execution, so no task has a runtime; take a file of a workflow that ran"
                )
            about = _mapping(flow.get("execution"), "workflow.execution", where)
            known = _paired(spec, about, where)
        places = _places(known, where)
        parents = _parents(known, places, where)
        return Workflow.checked(
            value.get("name"),
            f"WfFormat {version}",
            [_task(id, t, run, where) for id, t, run in known],
            parents,
            list(_machines(about.get("machines"))),
            where,
        )


def _paired(
    spec: Mapping[str, Any], execution: Mapping[str, Any], where: str
) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each task's id with what is to be done and what it took."""
    runs: dict[str, Mapping[str, Any]] = {}
    for run in _tasks(execution, "workflow.execution.tasks", where):
        id = _id(run, "id", where)
        if id in runs:
            raise BadWorkflow(f"{where}: workflow.execution has the task {short(id)} twice; keep one of them")
        runs[id] = run
    known = [(_id(t, "id", where), t) for t in _tasks(spec, "workflow.specification.tasks", where)]
    for id in runs.keys() - {id for id, _ in known}:
        raise BadWorkflow(
            f"{where}: workflow.execution has the task {short(id)}, which workflow.specification does not; "
            "add it there, or take it out"
        )
    return [(id, t, runs.get(id, {})) for id, t in known]


def _task(id: str, t: Mapping[str, Any], run: Mapping[str, Any], where: str) -> WorkTask:
    who = f"{where}: task {short(id)}"
    runtime = run.get("runtimeInSeconds")
    cores = run.get("coreCount")
    if run.get("machines") is None:
        machines = [run.get("machine")]
    else:
        machines = run["machines"] if isinstance(run["machines"], list) else [run["machines"]]
    gpus = _told(run, "gpuCount", 0, who)
    nodes = max(1, _told(run, "nodeCount", 1, who))
    total = count(cores, "coreCount", who) if cores is not None else (0 if gpus else nodes)
    return WorkTask(
        id=id,
        runtime_s=seconds(run.get("runtime") if runtime is None else runtime, who),
        kind=_kind(id, t, run),
        name=text(t.get("name")) or id,
        cores=max(0 if gpus else 1, -(-total // nodes)),
        gpus=-(-gpus // nodes),
        nodes=nodes,
        memory=size(run.get("memoryInBytes")),
        machines=tuple(m for m in map(text, machines) if m),
    )


def _told(run: Mapping[str, Any], key: str, default: int, who: str) -> int:
    """A count that we write and the format does not know."""
    return default if run.get(key) is None else count(run[key], key, who)


def _kind(id: str, t: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """What the task shares with those like it: its category, its program, or its name without the number."""
    category = text(t.get("category")) or text(run.get("category"))
    if category:
        return category
    command = run.get("command")
    program = text(command.get("program")) if isinstance(command, Mapping) else ""
    if _PROGRAM.fullmatch(program):
        base = program.rpartition("/")[2]
        if base and re.sub(r"[\d.]+$", "", base).lower() not in _RUNNERS:
            return base
    name = text(t.get("name")) or id
    return _NUMBER.sub("", name) or name


def _places(known: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]], where: str) -> dict[str, int]:
    """Where each id is; beside them other words for a task that mean only that one."""
    places: dict[str, int] = {}
    for i, (id, _, _) in enumerate(known):
        if places.setdefault(id, i) != i:
            raise BadWorkflow(f"{where}: the task id {short(id)} is there twice; give each task its own id")
    also: dict[str, int] = {}
    for i, (_, t, _) in enumerate(known):
        for word in {text(t.get("name")), text(t.get("id"))}:
            also[word] = -1 if word in also else i
    return {word: i for word, i in also.items() if word and i >= 0} | places


def _parents(
    known: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]], places: Mapping[str, int], where: str
) -> list[set[int]]:
    parents: list[set[int]] = [set() for _ in known]
    for i, (id, t, _) in enumerate(known):
        for key in ("parents", "children"):
            named = t.get(key)
            if named is None:
                continue
            if not isinstance(named, list):
                raise BadWorkflow(f"{where}: the {key} of task {short(id)} are {short(named)}; give a list of ids")
            for word in named:
                j = places.get(word) if isinstance(word, str) else None
                if j is None:
                    raise BadWorkflow(
                        f"{where}: task {short(id)} names {short(word)} among its {key}, and there is no such task; "
                        "correct the id, or add the task"
                    )
                if key == "parents":
                    parents[i].add(j)
                else:
                    parents[j].add(i)
    return parents


def _machines(value: Any) -> Iterator[Machine]:
    names = set()
    for m in value if isinstance(value, list) else ():
        name = text(m.get("nodeName")) if isinstance(m, Mapping) else ""
        if not name or name in names:
            continue
        names.add(name)
        cpu = m.get("cpu") if isinstance(m.get("cpu"), Mapping) else {}
        cores = cpu.get("coreCount", cpu.get("count"))  # 1.5, 1.4
        yield Machine(
            name, min(size(cores), 1_000_000), min(size(m.get("gpuCount")), 1_000_000), size(m.get("memoryInBytes"))
        )


def _mapping(value: Any, what: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        told = "has no" if value is None else f"has {short(value)} as its"
        raise BadWorkflow(f"{where} {told} {what}, which must be a JSON object; is it a WfFormat file?")
    return value


def _tasks(value: Mapping[str, Any], what: str, where: str) -> list[Mapping[str, Any]]:
    found = value.get("tasks")
    if not isinstance(found, list):
        raise BadWorkflow(f"{where} has no list {what}; is it a WfFormat file?")
    for i, t in enumerate(found):
        if not isinstance(t, Mapping):
            raise BadWorkflow(f"{where}: {what}[{i}] is {short(t)}; each task must be a JSON object")
    return found


def _id(t: Mapping[str, Any], key: str, where: str) -> str:
    found = text(t.get(key))
    if not found:
        raise BadWorkflow(f"{where}: a task has no {key}; each task needs its own")
    return found
