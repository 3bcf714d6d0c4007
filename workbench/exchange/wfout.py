"""A campaign that has ended, as WfFormat 1.5: what was to be done, what it took, and on which machines.

    document = wfout.document(session.events(0))
    text = wfout.encoded(document)

Only the journal is read. What the format has no word for stays in keys that it permits beside its own: ``category``
(the task set, as WfCommons writes it), ``gpuCount`` and ``nodeCount``, and ``state`` of tasks that did not end well.
Ids are those of the source for tasks that were imported, else ``sim_3`` for ``sim[3]``: references may hold letters,
digits and ``- _ .`` only. Time is the campaign's own: runtimes are unscaled, and ``executedAt`` counts on from its
first start in unscaled seconds.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from workbench.core import State, evolve
from workbench.core.state import SetState, Task
from workbench.model import events as ev
from workbench.model.errors import WorkbenchError
from workbench.model.specs import Executable, Function, Mpi
from workbench.model.states import ENDED, TaskState

from .grouping import SOURCE

VERSION = "1.5"
MOST_EDGES = 20_000_000

_REFERENCE = re.compile(r"[0-9a-zA-Z\-_.#]+")
_HOST = re.compile(r"[^0-9A-Za-z.\-]+")


class CannotExport(WorkbenchError):
    """The campaign has no such form, or not yet."""


@dataclass
class _Run:
    """What the journal tells of the last attempt of a task."""

    assigned: ev.AttemptAssigned
    started: float
    ended: float


def document(records: Iterable[ev.Record], version: str = "0") -> dict[str, Any]:
    """The WfFormat document of a campaign.

    Parameters
    ----------
    records : iterable of Record
        Its whole journal, in order.
    version : str
        Of this package, for ``runtimeSystem``.

    Raises
    ------
    CannotExport
        If it has no tasks, some have not ended, or barriers between sets would take more than `MOST_EDGES` edges:
        the format joins single tasks only.
    """
    state, runs, nodes, created_at, zero = _folded(records)
    tasks = [t for s in state.sets.values() for t in s.live()]
    _check(state, tasks)
    parents = _parents(state)
    ids = _ids(tasks)
    hosts = _hosts(nodes)
    children: dict[Task, list[str]] = {t: [] for t in tasks}
    for t in tasks:
        for p in parents[t]:
            children[p].append(ids[t])
    scale = state.time_scale
    last = max((r.ended for r in runs.values()), default=zero)

    def at(wall: float) -> str:
        moment = zero + (wall - zero) / scale
        return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="microseconds")

    specified = [
        {
            "name": t.id,
            "id": ids[t],
            "parents": [ids[p] for p in parents[t]],
            "children": children[t],
        }
        for t in tasks
    ]
    executed = [_executed(t, ids[t], runs.get(t.id), hosts, scale, at) for t in tasks]
    used = {name for r in runs.values() for name in _places(r.assigned)}
    machines = [_machine(nodes[name], hosts[name]) for name in nodes if name in used]
    execution: dict[str, Any] = {
        "makespanInSeconds": round((last - zero) / scale, 6),
        "executedAt": at(zero),
        "tasks": executed,
    }
    if machines:
        execution["machines"] = machines
    return {
        "name": state.name or "campaign",
        "description": f"Campaign {state.id}, {state.mode}, policy {state.policy}",
        "createdAt": datetime.datetime.fromtimestamp(created_at, datetime.UTC).isoformat(),
        "schemaVersion": VERSION,
        "runtimeSystem": {"name": "Campaign Workbench", "version": version},
        "workflow": {"specification": {"tasks": specified, "files": []}, "execution": execution},
    }


def encoded(value: dict[str, Any]) -> bytes:
    """The document as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _folded(
    records: Iterable[ev.Record],
) -> tuple[State, dict[str, _Run], dict[str, ev.NodeJoined], float, float]:
    """State, last attempts, nodes, and the wall clock of the creation and of the first assignment."""
    state = State()
    runs: dict[str, _Run] = {}
    nodes: dict[str, ev.NodeJoined] = {}
    created_at = zero = 0.0
    for record in records:
        event = record.event
        if not evolve(state, event):
            continue  # late or repeated
        match event:
            case ev.CampaignCreated():
                created_at = event.at
            case ev.NodeJoined():
                nodes[event.node] = event
            case ev.AttemptAssigned():
                zero = zero or event.at
                runs[event.task] = _Run(event, event.at, event.at)
            case ev.AttemptFinished() | ev.AttemptEnded():
                run = runs.get(event.task)
                if run is not None and run.assigned.number == event.number:
                    run.started = event.started or event.at
                    run.ended = max(event.ended or event.at, run.started)
    return state, runs, nodes, created_at, zero or created_at


def _check(state: State, tasks: list[Task]) -> None:
    if not tasks:
        raise CannotExport("the campaign has no tasks, and a WfFormat file must have one; declare some and run it")
    left = [t for t in tasks if t.state not in ENDED]
    if left:
        raise CannotExport(
            f"{len(left)} of {len(tasks)} tasks have not ended ({left[0].id} is {left[0].state}), so they have no "
            "runtimes; export the campaign when it has ended (workbench resume goes on with it)"
        )
    edges = sum(_size(x.src, x.si) * (1 if x.each else _size(x.dst, x.di)) for s in state.sets.values() for x in s.into)
    if edges > MOST_EDGES:
        raise CannotExport(
            f"the barriers between its sets stand for {edges} edges between tasks, and WfFormat knows no others; "
            f"at most {MOST_EDGES} are written"
        )


def _size(s: SetState, index: int) -> int:
    return s.size if index < 0 else 1


def _parents(state: State) -> dict[Task, tuple[Task, ...]]:
    """Whom each task waited for, each once; tasks of a set that waited for the same share one tuple."""
    found: dict[Task, tuple[Task, ...]] = {}
    for s in state.sets.values():
        common: dict[Task, None] = {}
        own: dict[int, dict[Task, None]] = {}
        each = [x.src for x in s.into if x.each]
        for x in s.into:
            if x.each:
                continue
            ends = x.src.live() if x.si < 0 else (t for t in (x.src.tasks[x.si],) if t is not None)
            (common if x.di < 0 else own.setdefault(x.di, {})).update(dict.fromkeys(ends))
        shared = tuple(common)
        for t in s.live():
            more = own.get(t.index, {})
            for src in each:
                ith = src.tasks[t.index] if t.index < len(src.tasks) else None
                if ith is not None:
                    more = {**more, ith: None}
            found[t] = tuple(dict.fromkeys((*shared, *more))) if more else shared
    return found


def _ids(tasks: list[Task]) -> dict[Task, str]:
    """An id for each task: its own of the source where it has one that the format allows, else set and index."""
    made = {t: f"{t.set.name}_{t.index}" for t in tasks}  # no two alike: the index is what follows the last _
    imported = {
        t: t.member.label
        for t in tasks
        if SOURCE in t.set.spec.tags and t.member is not None and _REFERENCE.fullmatch(t.member.label)
    }
    times: dict[str, int] = {}
    for label in imported.values():
        times[label] = times.get(label, 0) + 1
    taken = {made[t] for t in tasks if t not in imported or times[imported[t]] > 1}
    while True:  # an id of the source may look like one of ours; then that task takes ours, too
        ids = {
            t: imported[t] if t in imported and times[imported[t]] == 1 and imported[t] not in taken else made[t]
            for t in tasks
        }
        more = {made[t] for t in tasks if ids[t] == made[t]}
        if more <= taken:
            return ids
        taken |= more


def _hosts(nodes: dict[str, ev.NodeJoined]) -> dict[str, str]:
    """Names of nodes as host names may be, no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        base = name = _HOST.sub("-", node).strip("-.") or "node"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        found[node] = name
    return found


def _places(e: ev.AttemptAssigned) -> Iterator[str]:
    yield e.node
    for share in e.others:
        yield share.node


def _executed(t: Task, id: str, run: _Run | None, hosts: dict[str, str], scale: float, at: Any) -> dict[str, Any]:
    r = t.set.spec.resources
    cores, gpus, nodes = r.cores, r.gpus, r.nodes
    if run is not None:
        cores, gpus, nodes = run.assigned.cores, len(run.assigned.gpus), 1 + len(run.assigned.others)
    told: dict[str, Any] = {"id": id, "runtimeInSeconds": 0.0, "category": t.set.name}
    if run is not None:
        told["runtimeInSeconds"] = round((run.ended - run.started) / scale, 6)
        told["executedAt"] = at(run.started)
    told["command"] = _command(t)
    if cores:
        told["coreCount"] = cores * nodes
    if gpus:
        told["gpuCount"] = gpus * nodes
    if nodes > 1:
        told["nodeCount"] = nodes
    if t.rank_priority:
        told["priority"] = t.rank_priority
    if run is not None:
        told["machines"] = [hosts[name] for name in _places(run.assigned) if name in hosts]
    if t.state is not TaskState.done:
        told["state"] = str(t.state)
    return told


def _command(t: Task) -> dict[str, Any]:
    work = t.set.spec.work
    if isinstance(work, Executable | Mpi):
        return {"program": work.argv[0] or t.set.name, "arguments": [word for word in work.argv[1:] if word]}
    return {"program": work.name if isinstance(work, Function) and work.name else t.set.name}


def _machine(node: ev.NodeJoined, name: str) -> dict[str, Any]:
    told: dict[str, Any] = {"nodeName": name}
    if node.cores:
        told["cpu"] = {"coreCount": node.cores}
    if node.memory:
        told["memoryInBytes"] = node.memory
    if node.gpus:
        told["gpuCount"] = node.gpus
    return told
