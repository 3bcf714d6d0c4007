"""WfFormat documents by hand, in each of the versions."""

from __future__ import annotations

from typing import Any

# id, category, parents, seconds, cores
ROWS = (
    ("split_ID01", "split", (), 2.0, 1),
    ("blast_ID02", "blast", ("split_ID01",), 10.5, 4),
    ("blast_ID03", "blast", ("split_ID01",), 12.0, 4),
    ("cat_ID04", "cat", ("blast_ID02", "blast_ID03"), 1.0, 1),
)
MACHINE = {"nodeName": "worker-1", "cpu": {"coreCount": 24}, "memoryInBytes": 1 << 30}


def children(id: str) -> list[str]:
    return [row[0] for row in ROWS if id in row[2]]


def v15(version: str = "1.5") -> dict[str, Any]:
    """As WfCommons writes it: no categories in 1.5, categories and computed numbers in 1.6."""
    spec = [{"name": r[0], "id": r[0], "parents": list(r[2]), "children": children(r[0])} for r in ROWS]
    runs: list[dict[str, Any]] = [
        {"id": r[0], "runtimeInSeconds": r[3], "coreCount": r[4], "machines": ["worker-1"]} for r in ROWS
    ]
    for run, row in zip(runs, ROWS, strict=True):
        run["command"] = {"program": f"/usr/bin/{row[1]}", "arguments": ["-x"]}
        if version == "1.6":
            run |= {"category": row[1], "command": {}}
    execution = {"makespanInSeconds": 20, "executedAt": "2026-01-01T00:00:00Z", "tasks": runs, "machines": [MACHINE]}
    flow: dict[str, Any] = {"specification": {"tasks": spec, "files": []}, "execution": execution}
    if version == "1.6":
        flow["specification"]["metrics"] = {"numberOfTasks": 4}
    return {"name": "blast", "description": None, "schemaVersion": version, "workflow": flow}


def v14() -> dict[str, Any]:
    """One list; parents by name; ids of their own; `machine` and `cpu.count`."""
    tasks = [
        {
            "name": r[0], "id": r[0].partition("_")[2], "category": r[1], "parents": list(r[2]), "type": "compute",
            "children": children(r[0]), "runtimeInSeconds": r[3], "coreCount": r[4], "machine": "worker-1", "files": [],
        }
        for r in ROWS
    ]  # fmt: skip
    machines = [{"nodeName": "worker-1", "cpu": {"count": 24}, "memoryInBytes": 1 << 30}]
    flow = {"makespanInSeconds": 20, "executedAt": "x", "tasks": tasks, "machines": machines}
    return {"name": "blast", "schemaVersion": "1.4", "workflow": flow}
