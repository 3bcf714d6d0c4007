"""Ranks, layout and the drawing of the graph."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from tests.report.campaigns import Run, ddmd
from workbench.report import EdgeRow, Tables, svg
from workbench.report.graph import ranks
from workbench.report.layered import Layout, Sizes, arrange

SIZES = Sizes((216, 96))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    n = draw(st.integers(1, 24))
    names = [f"s{i}" for i in range(n)]
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
    return names, [(names[min(p)], names[max(p)]) for p in pairs if p[0] != p[1]]


def boxes_overlap(plan: Layout) -> bool:
    places = list(plan.places.values())
    return any(
        abs(ax - bx) < SIZES.card[0] and abs(ay - by) < SIZES.card[1]
        for i, (ax, ay) in enumerate(places)
        for bx, by in places[i + 1 :]
    )


@given(graphs())
def test_rank_is_one_more_than_the_largest_before(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    names, pairs = graph
    rank = ranks(names, [EdgeRow(a, b) for a, b in pairs])
    for name in names:
        before = [rank[a] for a, b in pairs if b == name]
        assert rank[name] == 1 + max(before, default=-1)


def test_sets_on_a_cycle_still_have_ranks() -> None:
    rank = ranks(["a", "b", "c"], [EdgeRow("a", "b", part=True), EdgeRow("b", "a", part=True), EdgeRow("b", "c")])
    assert rank == {"a": 0, "b": 1, "c": 2}


@given(graphs())
def test_cards_never_overlap_and_lie_inside(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    names, pairs = graph
    plan = arrange(ranks(names, [EdgeRow(a, b) for a, b in pairs]), pairs, SIZES)
    assert set(plan.places) == set(names)
    assert not boxes_overlap(plan)
    for x, y in plan.places.values():
        assert -1e-6 <= x <= plan.width - SIZES.card[0] + 1e-6
        assert -1e-6 <= y <= plan.height - SIZES.card[1] + 1e-6


@given(graphs())
def test_ways_keep_clear_of_cards(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    names, pairs = graph
    plan = arrange(ranks(names, [EdgeRow(a, b) for a, b in pairs]), pairs, SIZES)
    w, h = SIZES.card
    for points in [*plan.bends.values(), *plan.folded.values()]:
        for px, py in points:
            inside = [n for n, (x, y) in plan.places.items() if x < px < x + w and y < py < y + h]
            assert inside == []
    for corners in plan.folded.values():
        for (ax, ay), (bx, by) in pairwise(corners):
            assert ax == bx or ay == by
            for x, y in plan.places.values():
                crosses = max(ax, bx) > x and min(ax, bx) < x + w and max(ay, by) > y and min(ay, by) < y + h
                assert not crosses


def test_a_chain_runs_straight_and_turns_when_it_gets_long() -> None:
    def chain(n: int) -> Layout:
        names = [f"s{i}" for i in range(n)]
        return arrange({x: i for i, x in enumerate(names)}, list(pairwise(names)), SIZES)

    short, middle, long = chain(4), chain(7), chain(30)
    assert {y for _, y in short.places.values()} == {0.0}
    assert not short.upright
    assert middle.upright
    assert {x for x, _ in middle.places.values()} == {0.0}
    assert not long.upright
    assert len({y for _, y in long.places.values()}) == 6
    assert long.width < 1500


def test_layers_are_ordered_so_that_independent_chains_do_not_cross() -> None:
    # Declared in an order that would cross everywhere.
    rank = {"a0": 0, "b0": 0, "c0": 0, "b1": 1, "c1": 1, "a1": 1, "c2": 2, "a2": 2, "b2": 2}
    pairs = [(f"{x}{i}", f"{x}{i + 1}") for x in "abc" for i in range(2)]
    plan = arrange(rank, pairs, SIZES)
    for a, b in pairs:
        assert abs(plan.places[a][1] - plan.places[b][1]) < 1.0


def test_the_drawing_says_what_each_set_is() -> None:
    tables = Tables()
    tables.fold(Run(ddmd(3, staggered=True), scale=0.01).run(500).records)
    drawing = svg.dag(tables.sets, tables.edges)
    cards = [g for g in drawing if g.get("class", "").startswith("card")]
    assert len(cards) == 12
    said = [card.findtext("title") for card in cards]
    assert said[0] == "sim-0: 96 tasks, 96 done; each 4 cores, 1 GPU"
    moods = {card.findtext("text"): card.get("class") for card in cards}
    assert moods["sim-0"] == "card done"
    assert moods["sim-1"] == "card active"
    assert moods["infer-2"] == "card idle"
    bars = [float(r.get("width", "0")) for r in cards[0] if r.get("class", "").startswith("s-")]
    assert sum(bars) == svg.CARD_W - 24
    assert len(drawing.findall(".//path[@class='edge']")) == 11
    ET.fromstring(ET.tostring(drawing, encoding="unicode"))


def test_a_graph_without_sets_is_an_empty_drawing() -> None:
    assert arrange({}, [], SIZES).places == {}
    assert svg.dag([], []).findall("g[@class]")[0].get("class") == "edges"
