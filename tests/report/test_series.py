"""Areas are exact whatever the bins do."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.report.series import LAYERS, OTHER, Grid, Layer, Stack

spans = st.tuples(
    st.sampled_from("abc"),
    st.floats(0, 1e5, allow_nan=False),
    st.floats(0, 1e4, allow_nan=False),
    st.integers(1, 100),
)


@given(st.lists(spans, max_size=40), st.sampled_from([8, 64, 2048]), st.integers(4, 500))
@example([("a", 17457.0, 2.0**-23, 9)], 8, 4)
def test_no_area_is_lost_by_binning_doubling_or_thinning(items: list, bins: int, points: int) -> None:
    grid = Grid(bins)
    exact: dict[str, float] = {}
    end = 0.0
    for key, start, length, height in items:
        grid.add(key, start, start + length, height)
        exact[key] = exact.get(key, 0.0) + ((start + length) - start) * height
        end = max(end, start + length)
    stack = grid.stack(end, points=points)
    for key, area in exact.items():
        assert grid.area(key) == pytest.approx(area)
        # Steps lower than 1e-9 are dropped: a tenth of a microsecond within hours is none that anybody could see.
        assert stack.area(key) == pytest.approx(area, rel=1e-6, abs=1e-6 + 1e-9 * end)
    assert grid.area() == pytest.approx(sum(exact.values()))


@given(st.lists(spans, min_size=1, max_size=20))
def test_running_intervals_count_up_to_now_and_are_not_kept(items: list) -> None:
    grid = Grid(64)
    now = max(start for _, start, _, _ in items) + 1.0
    running = [(key, start, float(height)) for key, start, _, height in items]
    for _ in range(2):
        stack = grid.stack(now, running)
        assert stack.area() == pytest.approx(sum((now - start) * height for _, start, height in running))
    assert grid.area() == 0.0


def test_a_plateau_stays_sharp_and_costs_no_points() -> None:
    grid = Grid()
    for _ in range(96):
        grid.add("sim", 0.0, 340.123, 4)
    stack = grid.stack(1000.0)
    assert len(stack.edges) == 4
    assert stack.layers == (Layer("sim", stack.layers[0].values),)
    assert stack.layers[0].values[0] == pytest.approx(384.0)
    assert stack.layers[0].values[-1] == 0.0
    flank = [b - a for a, b in pairwise(stack.edges)][1]
    assert flank < 1.0


def test_values_in_all_stay_below_what_was_asked_for() -> None:
    seed = 20_817
    chance = random.Random(seed)
    grid = Grid()
    for _ in range(3000):
        start = chance.uniform(0, 500)
        grid.add(chance.choice("abcdefgh"), start, start + chance.expovariate(1 / 9), chance.randint(1, 9))
    for points in (1000, 300, 64, 8):
        stack = grid.stack(600.0, points=points)
        assert sum(len(layer.values) for layer in stack.layers) <= points, f"seed {seed}"
        assert stack.area() == pytest.approx(grid.area())


def test_memory_does_not_grow_with_intervals() -> None:
    grid = Grid(128)
    for i in range(20_000):
        grid.add("a", i * 0.5, i * 0.5 + 1.0, 1)
    assert grid.area() == pytest.approx(20_000)
    assert len(grid.stack(10_001.0, points=10**6).edges) <= 129


def test_what_has_no_extent_is_passed_over() -> None:
    grid = Grid()
    grid.add("a", 5.0, 5.0, 3)
    grid.add("a", 5.0, 4.0, 3)
    grid.add("a", 5.0, 6.0, 0)
    assert grid.keys == ()
    assert grid.stack(0.0) == Stack((), ())
    assert grid.stack(2.0) == Stack((0.0, 2.0), ())
    assert grid.stack(2.0).total() == (0.0,)


def test_total_sums_the_layers() -> None:
    stack = Stack((0.0, 1.0, 3.0), (Layer("a", (1.0, 2.0)), Layer("b", (3.0, 0.0))))
    assert stack.total() == (4.0, 2.0)
    assert (stack.area("a"), stack.area("b"), stack.area()) == (5.0, 3.0, 8.0)


def test_of_very_many_layers_the_largest_are_shown_and_the_others_in_one() -> None:
    grid = Grid()
    for i in range(300):
        grid.add(f"s{i}", float(i), float(i) + 1.0 + (i == 7) * 50.0, 2.0)
    stack = grid.stack(400.0)
    assert len(stack.layers) == LAYERS and stack.layers[-1].key == OTHER
    assert "s7" in [layer.key for layer in stack.layers]
    assert stack.area() == pytest.approx(300 * 2.0 + 100.0)
