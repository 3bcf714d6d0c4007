"""Graphs of networkx, and what networkx writes of them."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from workbench.exchange import BadWorkflow, read


def graph() -> nx.DiGraph:
    g = nx.DiGraph(name="diamond")
    g.add_node(0, runtime_s=1.0, kind="first")
    g.add_node("b", duration=np.float64(2), cores=np.int64(4), kind="middle")
    g.add_node("c", weight=3, gpus=1, kind="middle")
    g.add_node((1, 2), runtime=4)
    g.add_edges_from([(0, "b"), (0, "c"), ("b", (1, 2)), ("c", (1, 2))])
    return g


def test_nodes_are_tasks_and_edges_go_to_who_waits() -> None:
    flow = read(graph())
    assert (flow.name, flow.source, flow.depth) == ("diamond", "networkx", 3)
    assert [(t.id, t.runtime_s, t.cores, t.gpus) for t in flow.tasks] == [
        ("0", 1.0, 1, 0), ("b", 2.0, 4, 0), ("c", 3.0, 1, 1), ("(1, 2)", 4.0, 1, 0),
    ]  # fmt: skip
    assert flow.edges() == {("0", "b"), ("0", "c"), ("b", "(1, 2)"), ("c", "(1, 2)")}
    assert [e.spec.name for e in flow.edits] == ["first", "middle", "middle-2", "task"]


@pytest.mark.parametrize("key", ["links", "edges"])
def test_node_link_json_under_both_names(key: str) -> None:
    g = nx.relabel_nodes(graph(), {(1, 2): "d"})
    document = nx.node_link_data(g, edges=key)
    for n in document["nodes"]:
        n.update({k: v.item() for k, v in n.items() if isinstance(v, np.generic)})
    assert read(document).edges() == {("0", "b"), ("0", "c"), ("b", "d"), ("c", "d")}


def test_graphs_that_are_no_workflows() -> None:
    cyclic = nx.DiGraph([(1, 2), (2, 1)])
    nx.set_node_attributes(cyclic, 1.0, "runtime_s")
    timeless = nx.DiGraph([(1, 2)])
    twins = nx.DiGraph()
    twins.add_nodes_from([1, "1"], runtime_s=1)
    cases: list[tuple[Any, str]] = [
        (nx.Graph([(1, 2)]), "is not directed"),
        (cyclic, "in a circle"),
        (timeless, "node '1' has no runtime; give it runtime_s"),
        (twins, "the task id '1' is there twice"),
        (nx.DiGraph(), "holds no tasks"),
        ({"nodes": 3, "links": []}, "no list of nodes"),
        ({"nodes": [{"id": []}], "links": []}, r"nodes\[0\] says no id"),
        ({"nodes": [{"id": 1, "runtime": 1}] * 2, "links": []}, "the node 1 is there twice"),
        ({"nodes": [{"id": 1, "runtime": 1}], "links": [{"source": 1, "target": 2}]}, "an edge names 2"),
        ({"directed": False, "nodes": [], "links": []}, "not directed"),
    ]
    for value, words in cases:
        with pytest.raises(BadWorkflow, match=words):
            read(value)
