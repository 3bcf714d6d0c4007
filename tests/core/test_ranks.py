"""Ranks of single tasks, where the tasks of a set are followed by different ones."""

from __future__ import annotations

import random

import pytest

from workbench.core import State, decide, evolve
from workbench.core.graph import paths_after
from workbench.model import edits as ed
from workbench.model import events as ev
from workbench.model.ids import task_id
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, Edge, Member, SetSpec, Synthetic


def _set(name: str, *times: float, estimate: float | None = None) -> SetSpec:
    members = tuple(Member(estimate=Constant(s)) for s in times)
    return SetSpec(
        name, Synthetic(), len(times), members=members, estimate=None if estimate is None else Constant(estimate)
    )


def _state(*edits: ed.Edit) -> State:
    state = State()
    evolve(state, ev.CampaignCreated(0.0, "c", "c", 1, policy="upward-rank"))
    _accept(state, *edits)
    return state


def _accept(state: State, *edits: ed.Edit) -> None:
    evolve(state, ev.CommandAccepted(0.0, f"c{state.seq}", edits))


def test_each_kind_of_edge_adds_what_it_leads_to() -> None:
    state = _state(
        ed.AddSet(_set("a", 1, 2, 3)),
        ed.AddSet(_set("each", 10, 20, 30), (Edge("a", "each", "each"),)),
        ed.AddSet(_set("one", 100, 200), (Edge("each[0]", "one[1]"), Edge("each[2]", "one"))),
        ed.AddSet(_set("all", 1000), (Edge("one", "all"),)),
    )
    assert paths_after(state) == {
        "all": 0.0,
        "one": 1000.0,
        "each": [1200.0, 0.0, 1200.0],
        "a": [1210.0, 20.0, 1230.0],
    }


def test_what_may_be_followed_by_unknown_times_is_left_out() -> None:
    unknown = SetSpec("unknown", Synthetic(), 2)
    state = _state(
        ed.AddSet(_set("a", 1, 2)),
        ed.AddSet(_set("b", 1, 2), (Edge("a", "b"),)),
        ed.AddSet(unknown, (Edge("a[0]", "unknown"),)),
        ed.AddSet(_set("end", 5), (Edge("unknown", "end"),)),
    )
    assert paths_after(state) == {"end": 0.0, "b": 0.0}
    _accept(state, ed.ReplaceSpec("unknown", estimate=Constant(7)))
    assert paths_after(state)["a"] == [12.0, 2.0]


def test_edges_among_the_tasks_of_a_set_leave_it_out() -> None:
    state = _state(ed.AddSet(_set("a", 1, 2)), ed.AddEdges((Edge("a[0]", "a[1]"),)))
    assert paths_after(state) == {}


def test_paths_follow_every_edit_of_the_graph() -> None:
    state = _state(ed.AddSet(_set("a", 1, 1)), ed.AddSet(_set("b", 4, 9), (Edge("a", "b", "each"),)))
    assert paths_after(state)["a"] == [4.0, 9.0]
    _accept(state, ed.ReplaceSpec("b[0]", estimate=Constant(40)))
    assert paths_after(state)["a"] == [40.0, 9.0]
    _accept(state, ed.RemoveEdges((Edge("a", "b", "each"),)), ed.AddEdges((Edge("a[1]", "b"),)))
    assert paths_after(state)["a"] == [0.0, 40.0]
    _accept(state, ed.AddTasks("b", (Member(estimate=Constant(50)),)))
    assert paths_after(state)["a"] == [0.0, 50.0]


def test_the_task_before_the_longest_path_starts_first() -> None:
    state = _state(
        ed.AddPool(Pool("p", 1, NodeShape(1), "virtual")),
        ed.AddSet(_set("a", 5, 5, 5)),
        ed.AddSet(_set("b", 1, 30, 2), (Edge("a", "b", "each"),)),
    )
    evolve(state, ev.NodeJoined(0.0, "n", "p", 1, 0, 0))
    started = []
    for now in range(1, 40):
        for decision in decide(state, float(now)):
            evolve(state, decision)
            started.append(decision.task)
            evolve(state, ev.AttemptFinished(float(now), decision.task, 1, now - 1.0, float(now)))
    assert started == ["a[1]", "b[1]", "a[2]", "a[0]", "b[2]", "b[0]"]


@pytest.mark.parametrize("seed", range(20))
def test_paths_are_the_longest_chains(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.randint(1, 6) for _ in range(rng.randint(2, 7))]
    edits: list[ed.AddSet] = []
    follow: dict[tuple[int, int], set[tuple[int, int]]] = {(s, i): set() for s, n in enumerate(sizes) for i in range(n)}
    times = {t: float(rng.randint(0, 50)) for t in follow}
    for s, n in enumerate(sizes):
        edges: dict[Edge, set[tuple[tuple[int, int], tuple[int, int]]]] = {}
        for p in range(s):
            m = sizes[p]
            kind = rng.choice(["none", "all", "each", "from", "to", "one"])
            i, j = rng.randrange(m), rng.randrange(n)
            if kind == "all":
                edges[Edge(f"s{p}", f"s{s}")] = {((p, a), (s, b)) for a in range(m) for b in range(n)}
            elif kind == "each" and n <= m:
                edges[Edge(f"s{p}", f"s{s}", "each")] = {((p, a), (s, a)) for a in range(n)}
            elif kind == "from":
                edges[Edge(task_id(f"s{p}", i), f"s{s}")] = {((p, i), (s, b)) for b in range(n)}
            elif kind == "to":
                edges[Edge(f"s{p}", task_id(f"s{s}", j))] = {((p, a), (s, j)) for a in range(m)}
            elif kind == "one":
                edges[Edge(task_id(f"s{p}", i), task_id(f"s{s}", j))] = {((p, i), (s, j))}
        for pairs in edges.values():
            for src, dst in pairs:
                follow[src].add(dst)
        edits.append(ed.AddSet(_set(f"s{s}", *(times[s, i] for i in range(n))), tuple(edges)))
    longest: dict[tuple[int, int], float] = {}
    for t in sorted(follow, reverse=True):
        longest[t] = max((times[x] + longest[x] for x in follow[t]), default=0.0)
    found = paths_after(_state(*edits))
    for (s, i), expected in longest.items():
        path = found[f"s{s}"]
        assert (path[i] if isinstance(path, list) else path) == expected, f"seed {seed}: s{s}[{i}]"
