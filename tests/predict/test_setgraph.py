"""Whether full sets fit side by side, and how wide a graph is: by hand and by brute force."""

from __future__ import annotations

import itertools
import random

import pytest

from workbench.model.errors import NeverFits, WouldCycle
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.predict.fitting import Allocation, Demand
from workbench.predict.setgraph import SetGraph

# --- fitting, node by node --------------------------------------------------------------------------------------------


def demand(n: int, cores: int, gpus: int = 0, memory: int = 0, nodes: int = 1) -> Demand:
    return ((n, Resources(cores, gpus, memory, nodes)),)


def test_full_sets_fit_by_node_and_not_in_sum() -> None:
    nodes = Allocation.of(16, 168, 6)
    assert nodes.fits([demand(80, 32)]) and not nodes.fits([demand(81, 32)])  # 81 x 32 < 16 x 168
    assert nodes.fits([demand(96, 4, 1), demand(64, 32)]) and not nodes.fits([demand(96, 4, 1), demand(1, 4, 1)])
    assert Allocation.of(2, 10, memory=100).fits([demand(2, 1, memory=60)])
    assert not Allocation.of(2, 10, memory=100).fits([demand(3, 1, memory=60)])


def test_tasks_of_several_nodes_lie_on_different_ones() -> None:
    nodes = Allocation.of(4, 8)
    assert nodes.fits([demand(2, 8, nodes=2)]) and not nodes.fits([demand(1, 4, nodes=4), demand(3, 8)])
    assert nodes.fits([demand(2, 4, nodes=4)]) and not nodes.fits([demand(3, 4, nodes=4)])
    two = Allocation.of_pools([Pool("a", 1, NodeShape(8)), Pool("b", 2, NodeShape(4))])
    assert two.fits([demand(1, 4, nodes=2), demand(2, 4)]) and not two.fits([demand(1, 4, nodes=2), demand(3, 4)])
    with pytest.raises(NeverFits):  # one task stays in one pool
        two.check("x", Resources(4, nodes=3))


def test_most_is_exact_where_smallest_first_is_not() -> None:
    # Taken by cores or by GPUs alone, the wrong three come first.
    nodes = Allocation.of(1, 10, 10)
    demands = [demand(1, 9, 1), demand(1, 1, 9), demand(1, 5, 5), demand(1, 5, 5)]
    assert len(nodes.most(demands)) == 2
    assert nodes.most([demand(1, 6)] * 3) == (0,)
    assert nodes.most([demand(1, 11)]) == ()
    many = [demand(1, 1 + i % 13, i % 3) for i in range(60)]
    chosen = Allocation.of(4, 20, 6).most(many)
    assert Allocation.of(4, 20, 6).fits([many[i] for i in chosen]) and len(chosen) > 15


# --- graphs against brute force ---------------------------------------------------------------------------------------


def test_width_and_ranks_of_random_graphs() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        n = rng.randint(1, 10)
        after = {f"s{i}": [f"s{j}" for j in range(i) if rng.random() < 0.25] for i in range(n)}
        g = SetGraph(after)
        follows = {(a, b) for a in range(n) for b in range(n) if a != b and g.reach[a] >> b & 1}
        closure = {(g.number[p], i) for i, ps in enumerate(after.values()) for p in ps}
        while more := {(a, d) for a, b in closure for c, d in closure if b == c} - closure:
            closure |= more
        assert follows == closure, seed
        widest = max(
            k for k in range(1, n + 1) for some in itertools.combinations(range(n), k)
            if not any((a, b) in closure for a in some for b in some)
        )  # fmt: skip
        found = g.widest()
        assert len(found) == widest and not any((a, b) in closure for a in found for b in found), seed
        assert all(g.rank[b] > g.rank[a] for a, b in closure), seed


def test_a_circle_is_named_in_its_order() -> None:
    with pytest.raises(WouldCycle) as caught:
        SetGraph({"x": (), "a": ("c", "x"), "b": ("a",), "c": ("b",), "y": ("c",)})
    told = str(caught.value).partition("circle: ")[2].partition(";")[0].split(" -> ")
    assert told[0] == told[-1] and set(told) == {"a", "b", "c"}
    assert all((a, b) in {("a", "b"), ("b", "c"), ("c", "a")} for a, b in itertools.pairwise(told))
