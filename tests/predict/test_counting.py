"""Edges and depth between tasks, against the graph written out."""

from __future__ import annotations

import random

from tests.core.campaigns import Campaign
from tests.predict.test_whatif import some
from workbench.core import State
from workbench.model import edits as ed
from workbench.model.specs import Edge
from workbench.predict.counting import depth, edges


def pairs(state: State) -> set[tuple[str, str]]:
    found = set()
    for s in state.sets.values():
        for x in s.into:
            for a in x.src.live():
                for b in s.live():
                    if (a.index == b.index) if x.each else (x.si in (-1, a.index) and x.di in (-1, b.index)):
                        found.add((a.id, b.id))
    return found


def longest(state: State, graph: set[tuple[str, str]]) -> int:
    before: dict[str, list[str]] = {t.id: [] for t in state.tasks()}
    for a, b in graph:
        before[b].append(a)
    deep: dict[str, int] = {}
    while len(deep) < len(before):
        for t, parents in before.items():
            if t not in deep and all(p in deep for p in parents):
                deep[t] = 1 + max((deep[p] for p in parents), default=0)
    return max(deep.values(), default=0)


def test_random_graphs() -> None:
    several = 0
    for seed in range(80):
        state = some(random.Random(seed), links=True)
        graph = pairs(state)
        assert edges(state) == len(graph), f"seed {seed}"
        assert depth(state) == longest(state, graph), f"seed {seed}"
        several += len(graph) > 20
    assert several > 15


def test_a_pair_that_several_edges_state_counts_once() -> None:
    c = Campaign()
    c.add("a", 3)
    c.add("b", 4)
    c.do(ed.AddEdges((Edge("a[0]", "b"), Edge("a", "b[1]"), Edge("a[0]", "b[1]"), Edge("a[2]", "b[3]"))))
    assert edges(c.state) == 4 + 3 - 1 + 1 == len(pairs(c.state))
    c.do(ed.AddEdges((Edge("a", "b"),)))
    assert edges(c.state) == 12
    c.do(ed.RemoveTasks(("a[2]",)))
    assert edges(c.state) == 8


def test_an_empty_campaign() -> None:
    assert (edges(Campaign().state), depth(Campaign().state)) == (0, 0)
