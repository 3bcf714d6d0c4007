"""Few sets and few edges that say exactly what the tasks said."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core import State, evolve
from workbench.core.edits import validate
from workbench.core.graph import components
from workbench.exchange import Workflow, WorkTask
from workbench.exchange.grouping import FEW_KINDS, set_name
from workbench.model import events as ev
from workbench.model.edits import AddPool, AddSet, Command
from workbench.model.ids import SET_NAME, is_task, split_task
from workbench.model.specs import Edge


def flow_of(kinds: list[str], parents: list[set[int]], seconds: list[float] | None = None) -> Workflow:
    times = seconds or [1.0] * len(kinds)
    tasks = [WorkTask(f"t{i}", s, kind) for i, (kind, s) in enumerate(zip(kinds, times, strict=True))]
    return Workflow.checked("x", "test", tasks, parents)


def said(edits: tuple[AddSet, ...]) -> Iterator[tuple[str, str]]:
    """Every pair of tasks, by their ids in the source, that the edges say; once for each edge that says it."""
    labels = {e.spec.name: [m.label for m in e.spec.members] for e in edits}

    def tasks(end: str) -> list[str]:
        if is_task(end):
            name, index = split_task(end)
            return [labels[name][index]]
        return labels[end]

    def pairs(edge: Edge) -> Iterator[tuple[str, str]]:
        if edge.kind == "each":
            yield from zip(labels[edge.src], labels[edge.dst], strict=False)
        else:
            yield from ((a, b) for b in tasks(edge.dst) for a in tasks(edge.src))

    for e in edits:
        for edge in e.edges:
            yield from pairs(edge)


def state_of(flow: Workflow) -> State:
    state = State()
    evolve(state, ev.CampaignCreated(0.0, "c", "c", 1))
    command = Command("1", (*map(AddPool, flow.pools()), *flow.edits))
    evolve(state, ev.CommandAccepted(0.0, "1", command.edits, inverse=validate(state, command)))
    return state


@st.composite
def flows(draw: st.DrawFn) -> Workflow:
    n = draw(st.integers(1, 30))
    kinds = draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    dense = draw(st.sampled_from([0.05, 0.3, 0.9, 1.0]))
    rng = random.Random(draw(st.integers(0, 2**20)))
    order = list(range(n))
    rng.shuffle(order)
    parents: list[set[int]] = [set() for _ in range(n)]
    for place, i in enumerate(order):
        parents[i] = {p for p in order[:place] if rng.random() < dense and kinds[p] != kinds[i]}
        if rng.random() < 0.2:
            parents[i] |= {p for p in order[:place] if kinds[p] == "a"}
    return flow_of(kinds, parents, [rng.choice([1.0, 2.5]) for _ in range(n)])


@given(flows())
def test_the_edges_say_each_pair_once_and_no_other(flow: Workflow) -> None:
    found = list(said(flow.edits))
    assert len(found) == len(set(found)) == flow.n_edges
    assert set(found) == flow.edges()


@given(flows())
def test_a_campaign_takes_it_and_its_set_graph_has_no_circle(flow: Workflow) -> None:
    state = state_of(flow)
    assert all(len(group) == 1 for group in components(state))
    assert state.size == flow.n_tasks
    times = {t.id: t.runtime_s for t in flow.tasks}
    for task in state.tasks():
        assert task.member is not None
        estimate = task.member.estimate or task.set.spec.estimate
        assert estimate is not None and estimate.mean == times[task.member.label]


def _edges(kinds: str, parents: list[set[int]]) -> list[Edge]:
    return [edge for e in flow_of(list(kinds), parents).edits for edge in e.edges]


def test_each_pattern_becomes_the_edge_that_says_it() -> None:
    assert _edges("aabb", [set(), set(), {0, 1}, {0, 1}]) == [Edge("a", "b")]
    assert _edges("aabb", [set(), set(), {0}, {1}]) == [Edge("a", "b", "each")]
    assert _edges("aabb", [set(), set(), {0, 1}, set()]) == [Edge("a", "b[0]")]
    assert _edges("aabb", [set(), set(), {1}, {1}]) == [Edge("a[1]", "b")]
    assert _edges("aabb", [set(), set(), {1}, {0}]) == [Edge("a[1]", "b[0]"), Edge("a[0]", "b[1]")]
    assert _edges("aab", [set(), set(), {0}]) == [Edge("a", "b", "each")]


def test_a_kind_that_waits_for_itself_is_split_by_level_and_counts_up() -> None:
    edits = flow_of(list("aaba"), [{1}, set(), {0}, {2}]).edits
    assert [(e.spec.name, [m.label for m in e.spec.members]) for e in edits] == [
        ("a", ["t1"]), ("a-2", ["t0"]), ("b", ["t2"]), ("a-3", ["t3"]),
    ]  # fmt: skip


def test_tasks_of_one_kind_that_ask_for_different_things_are_different_sets() -> None:
    flow = Workflow.checked("x", "test", [WorkTask("p", 1, "a", cores=1), WorkTask("q", 1, "a", cores=2)], [(), ()])
    assert [(e.spec.name, e.spec.resources.cores) for e in flow.edits] == [("a", 1), ("a-2", 2)]


def test_equal_tasks_with_different_futures_have_estimates_of_their_own() -> None:
    edits = {e.spec.name: e.spec for e in flow_of(list("aabb"), [set(), set(), {0}, {1}]).edits}
    assert all(m.estimate is not None for m in edits["a"].members)
    edits = {e.spec.name: e.spec for e in flow_of(list("aab"), [set(), set(), {0, 1}]).edits}
    assert all(m.estimate is None for m in edits["a"].members)


def test_names_that_tell_tasks_apart_are_no_kinds() -> None:
    n = FEW_KINDS + 100
    flow = flow_of([f"own{i}" for i in range(n)], [set() if i < n // 2 else {i - n // 2} for i in range(n)])
    assert [(e.spec.name, e.spec.n) for e in flow.edits] == [("task", n // 2), ("task-2", n - n // 2)]


@pytest.mark.parametrize(
    ("text", "name"),
    [("sim", "sim"), ("a b/c", "a-b-c"), ("<b>x</b>", "b-x-b"), ("3d", "t-3d"),
     ("", "task"), ("---", "task"), ("é", "task")],
)  # fmt: skip
def test_names_of_sets(text: str, name: str) -> None:
    assert set_name(text) == name


@given(st.text(max_size=200))
def test_any_text_names_a_set(text: str) -> None:
    assert SET_NAME.fullmatch(f"{set_name(text)}-123")


def test_a_barrier_of_thousands_costs_their_sum() -> None:
    n = 3000
    first = tuple(range(n))
    tasks = [WorkTask(f"t{i}", 1.0, "a" if i < n else "b") for i in range(2 * n)]
    flow = Workflow.checked("x", "test", tasks, [()] * n + [first] * n)
    assert (flow.n_edges, flow.depth) == (n * n, 2)
    assert len({id(p) for p in flow.parents}) == 2
    assert [len(e.edges) for e in flow.edits] == [0, 1]
