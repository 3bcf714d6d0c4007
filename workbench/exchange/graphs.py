"""Directed graphs: networkx's, and the JSON that networkx writes of them (node-link).

A node is a task, an edge goes from a task to one that waits for it. Attributes of a node: ``runtime_s`` (or
``runtime``, ``duration``, ``weight``), ``cores``, ``gpus``, ``nodes``, ``kind`` (or ``category``; tasks of one kind
become one set) and ``name``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from .workflow import BadWorkflow, Workflow, WorkTask, count, seconds, short, text

_TIMES = ("runtime_s", "runtimeInSeconds", "runtime", "duration", "weight")


class Networkx:
    """The importer of `networkx.DiGraph`; it needs no networkx itself, only an object that answers as one."""

    name = "networkx"

    def takes(self, value: Any) -> bool:
        """Whether `value` is a graph of networkx."""
        return all(callable(getattr(value, name, None)) for name in ("is_directed", "nodes", "edges"))

    def read(self, value: Any, where: str) -> Workflow:
        """The workflow that the graph is.

        Raises
        ------
        BadWorkflow
            If it is not directed, or a node says no runtime.
        """
        if not value.is_directed():
            raise BadWorkflow(f"{where} is not directed, so no task comes before another; give a DiGraph")
        return _flow(value.name, value.nodes(data=True), ((e[0], e[1]) for e in value.edges()), self.name, where)


class NodeLink:
    """The importer of what `networkx.node_link_data` gives, under either of the names that it has for edges."""

    name = "node-link JSON"

    def takes(self, value: Any) -> bool:
        """Whether `value` is such a document."""
        return isinstance(value, Mapping) and "nodes" in value and ("links" in value or "edges" in value)

    def read(self, value: Any, where: str) -> Workflow:
        """The workflow that the document is.

        Raises
        ------
        BadWorkflow
            Naming the node or the edge.
        """
        if value.get("directed") is False:
            raise BadWorkflow(f"{where} is a graph that is not directed; write one with directed: true")
        nodes, links = value["nodes"], value.get("links", value.get("edges"))
        for what, some, keys in (("nodes", nodes, ("id",)), ("links", links, ("source", "target"))):
            if not isinstance(some, list):
                raise BadWorkflow(f"{where} has no list of {what}; is it node-link JSON?")
            for i, one in enumerate(some):
                values = [one.get(k) for k in keys] if isinstance(one, Mapping) else [None]
                if not all(isinstance(v, Hashable) and v is not None for v in values):
                    raise BadWorkflow(f"{where}: {what}[{i}] says no {' and '.join(keys)}; each needs its own")
        about = value.get("graph")
        name = about.get("name") if isinstance(about, Mapping) else None
        return _flow(
            name, [(n["id"], n) for n in nodes], ((x["source"], x["target"]) for x in links), "networkx", where
        )


def _flow(
    name: Any,
    nodes: Iterable[tuple[Any, Mapping[str, Any]]],
    edges: Iterable[tuple[Any, Any]],
    source: str,
    where: str,
) -> Workflow:
    tasks: list[WorkTask] = []
    places: dict[Any, int] = {}
    for node, about in nodes:
        if node in places:
            raise BadWorkflow(f"{where}: the node {short(node)} is there twice; give each its own id")
        places[node] = len(tasks)
        tasks.append(_task(str(node), about, f"{where}: node {short(str(node))}"))
    parents: list[set[int]] = [set() for _ in tasks]
    for src, dst in edges:
        for end in (src, dst):
            if end not in places:
                raise BadWorkflow(f"{where}: an edge names {short(end)}, and there is no such node; add it")
        parents[places[dst]].add(places[src])
    return Workflow.checked(name, source, tasks, parents, where=where)


def _task(id: str, about: Mapping[str, Any], who: str) -> WorkTask:
    time = next((about[key] for key in _TIMES if about.get(key) is not None), None)
    if time is None:
        raise BadWorkflow(f"{who} has no runtime; give it runtime_s, in seconds")
    cores = count(_plain(about.get("cores", 1)), "cores", who)
    gpus = count(_plain(about.get("gpus", 0)), "gpus", who)
    if cores == 0 and gpus == 0:
        raise BadWorkflow(f"{who} asks for no core and no GPU; give it cores, or gpus")
    return WorkTask(
        id=id,
        runtime_s=seconds(_plain(time), who),
        kind=text(about.get("kind")) or text(about.get("category")),
        name=text(about.get("name")) or id,
        cores=cores,
        gpus=gpus,
        nodes=count(_plain(about.get("nodes", 1)), "nodes", who, 1),
    )


def _plain(value: Any) -> Any:
    """The Python number in a numpy one."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
