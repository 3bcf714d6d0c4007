"""The three figures show what the tables say, within their bounds, as text that stays text."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from typing import Any

import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from hypothesis import given
from hypothesis import strategies as st

from tests.report.campaigns import Run, ddmd, declared
from tests.report.hostile import told
from tests.report.payloads import PAYLOADS
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.edits import AddSet
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Edge
from workbench.model.states import TaskState
from workbench.report import Layer, Stack, Tables
from workbench.ui.makespan import MakespanView, headline
from workbench.ui.palette import theme
from workbench.ui.plots import number, percent, plain, themed
from workbench.ui.progress import ProgressView, grouped, summed
from workbench.ui.utilization import POINTS, UtilizationView, idle_area, outlines

VIEWS = (UtilizationView, MakespanView, ProgressView)
SMALL = Pool("small", 2, NodeShape(8), "virtual")


def folded(run: Run) -> Tables:
    tables = Tables()
    tables.fold(run.records)
    return tables


def half_way() -> Tables:
    run = Run(ddmd(3), scale=0.01, fate=lambda t, n: Cause.UserError if t == "infer-0[3]" else None)
    run.forecast(1250.0, 1206.0, sequential=1578.0, asynchronous=1329.0, adaptive=1250.0)
    run.run(700)
    run.forecast(1262.0, 1206.0, sequential=1590.0)
    run.run(1096)
    return folded(run)


def shoelace(xs: list[float], ys: list[float]) -> float:
    """Area of outlines separated by NaN."""
    total, piece = 0.0, []
    for x, y in [*zip(xs, ys, strict=True), (math.nan, math.nan)]:
        if math.isnan(x):
            ring = [*piece, piece[0]] if piece else []
            total += abs(sum(a * d - c * b for (a, b), (c, d) in pairwise(ring))) / 2
            piece = []
        else:
            piece.append((x, y))
    return total


def lengths(view: Any) -> list[int]:
    return [len(values) for source in view.sources for values in source.data.values()]


# ------------------------------------------------------------------------------------------------------ utilization


def test_areas_of_the_picture_are_busy_and_idle_resource_seconds() -> None:
    tables, view = half_way(), UtilizationView("light")
    view.update(tables)
    for resource, panel in view._panels.items():
        data = panel.areas.data
        drawn = sum(shoelace(xs, ys) for xs, ys in zip(data["xs"], data["ys"], strict=True))
        assert drawn == pytest.approx(tables.busy(resource), rel=1e-3)
        (xs,), (ys,) = panel.idle.data["xs"], panel.idle.data["ys"]
        assert shoelace(xs, ys) == pytest.approx(tables.idle(resource), rel=2e-3)
    assert view._panels["cores"].areas.data["name"][:2] == ["sim-0", "aggr-0"]
    assert view._panels["cores"].capacity.data["y"][0] == 16 * 168


steps = st.lists(
    st.tuples(st.floats(0.1, 9), st.lists(st.integers(0, 9), min_size=3, max_size=3)), min_size=1, max_size=9
)


@given(steps)
def test_outlines_enclose_each_layer_and_the_rest(rows: list[tuple[float, list[int]]]) -> None:
    edges = [0.0]
    for width, _ in rows:
        edges.append(edges[-1] + width)
    layers = tuple(Layer(k, tuple(float(v[i]) for _, v in rows)) for i, k in enumerate("abc"))
    stack = Stack(tuple(edges), layers)
    for layer, (xs, ys) in zip(layers, outlines(stack), strict=True):
        assert shoelace(xs, ys) == pytest.approx(stack.area(layer.key), rel=1e-3, abs=0.05)
    capacity = Stack((0.0, edges[-1]), (Layer("capacity", (30.0,)),))
    assert shoelace(*idle_area(stack, capacity)) == pytest.approx(30 * edges[-1] - stack.area(), rel=1e-3, abs=0.05)


def test_the_number_of_points_is_bounded_however_long_the_campaign() -> None:
    edits = [AddSet(declared(f"s{i}", 600, 5.0 + i)) for i in range(12)]
    tables = folded(Run(edits, Pool("p", 8, NodeShape(16), "virtual"), policy="fifo").run())
    for make in VIEWS:
        view = make("dark")
        view.update(tables)
        assert max(lengths(view)) <= POINTS
    panel = UtilizationView("light")
    panel.update(tables)
    assert sum(len(xs) for xs in panel._panels["cores"].areas.data["xs"]) <= POINTS


def test_without_gpus_there_is_one_panel_with_the_time_axis() -> None:
    view = UtilizationView("light")
    view.update(folded(Run([AddSet(declared("work", 40, 5.0))], SMALL).run()))
    cores, gpus = view._panels["cores"], view._panels["gpus"]
    assert (cores.layout.visible, gpus.layout.visible) == (True, False)
    assert cores._plot.xaxis[0].axis_label == "time since the first start (s)"
    view.update(half_way())
    assert gpus.layout.visible
    assert not cores._plot.xaxis[0].axis_label


def test_the_key_names_sets_then_kinds_then_counts_them() -> None:
    few, view = [f"s-{i}" for i in range(5)], UtilizationView("light")
    view._key.update(few, view.colours)
    assert view._key.source.data["text"] == few
    many = [f"{k}-{i}" for i in range(20) for k in ("md", "ml")]
    view._key.update(many, view.colours)
    assert view._key.source.data["text"] == ["md × 20", "ml × 20"]
    kinds = [f"kind_{c}{d}" for c in "abcdefgh" for d in "abcdefgh"]
    view._key.update(kinds, view.colours)
    shown = view._key.source.data["text"]
    assert len(shown) == view._key.rows
    assert shown[-1] == f"and {64 - view._key.rows + 1} more"


# --------------------------------------------------------------------------------------------------------- makespan


def test_makespans_are_compared_with_the_prediction() -> None:
    tables, view = half_way(), MakespanView("light")
    view.update(tables)
    assert dict(zip(view.bars.data["name"], view.bars.data["s"], strict=True)) == {
        "elapsed": tables.makespan(),
        "predicted": 1262.0,
        "sequential, from now": 1590.0,
        "lower bound": 1206.0,
    }
    assert view.bars.data["text"][2] == "1\u202f590 s  (+26.0 %)"
    course = view.course.forecast.data
    assert course["y"] == [1250.0, 1250.0, 1262.0, 1262.0]
    assert course["x"][0] == 0.0
    assert course["x"][1] == course["x"][2] == pytest.approx(700, abs=20)
    assert course["x"][3] == 1262.0
    assert view.course.key.data["text"] == [
        "predicted (adaptive) 1\u202f262 s",
        f"now {number(tables.makespan())} s",
        "sequential 1\u202f590 s",
        "lower bound 1\u202f206 s",
    ]


def banded(run: Run, p10: float, p50: float, p90: float, **sets: tuple[float, float, float]) -> None:
    others = {"sequential": 1.3 * p50, "asynchronous": 1.1 * p50, "adaptive": p50}
    seq = len(run.records) - 1
    run.add(ev.ForecastMade(run.at, p50, 0.9 * p50, "adaptive", "auto", seq, others, p10, p50, p90, sets, 50))


def test_a_band_is_filled_from_p10_to_p90_for_as_long_as_its_forecast_held() -> None:
    run, view = Run(ddmd(1), scale=0.01), MakespanView("light")
    run.forecast(500.0)
    run.run(100)
    banded(run, 480.0, 510.0, 550.0)
    run.run(300)
    banded(run, 500.0, 520.0, 530.0)
    tables = folded(run.run(400))
    view.update(tables)
    first, second = (f.t for f in tables.forecasts[1:])
    (xs,), (ys,) = view.course.band.data["xs"], view.course.band.data["ys"]
    assert xs == [first, second, second, 520.0, 520.0, second, second, first]
    assert ys == [550.0, 550.0, 530.0, 530.0, 500.0, 500.0, 480.0, 480.0]
    assert shoelace(xs, ys) == pytest.approx(70 * (second - first) + 30 * (520 - second))
    # The level of each mode that the forecast was not for, and what lies below everything.
    assert view.course.modes["sequential"].data["y"] == pytest.approx([663.0, 663.0, 676.0, 676.0])
    assert view.course.modes["adaptive"].data["y"] == []
    assert view.course.key.data["text"][:2] == ["P50 (adaptive) 520 s", "P10\u2013P90 500\u2013530 s"]
    assert view.whiskers.data == {"name": ["predicted"], "low": [500.0], "high": [530.0]}
    assert headline(tables).endswith(" of 520 s (500\u2013530 s) predicted")
    low, high = view.course._plot.y_range.start, view.course._plot.y_range.end
    assert low < 0.9 * 520 < 1.3 * 520 < high


def test_without_samples_there_is_no_band() -> None:
    tables, view = half_way(), MakespanView("light")
    view.update(tables)
    assert view.course.band.data == {"xs": [], "ys": []}
    assert view.whiskers.data["name"] == []


def test_a_band_that_is_interrupted_is_drawn_in_pieces() -> None:
    run, view = Run(ddmd(1), scale=0.01), MakespanView("light")
    banded(run, 480.0, 510.0, 550.0)
    run.run(100)
    run.forecast(505.0)
    run.run(200)
    banded(run, 490.0, 500.0, 520.0)
    view.update(folded(run))
    assert [len(xs) for xs in view.course.band.data["xs"]] == [4, 4]
    sequential = view.course.modes["sequential"].data["y"]
    assert [y == y for y in sequential] == [True, True, False, True, True]


def test_at_the_end_the_true_finish_is_a_level_line_that_the_band_should_have_held() -> None:
    run, view = Run(ddmd(1), scale=0.01), MakespanView("dark")
    banded(run, 480.0, 510.0, 550.0)
    tables = folded(run.run())
    view.update(tables)
    assert view.course.finish.data == {"x": [0.0, tables.makespan()], "y": [tables.makespan()] * 2}
    assert f"actual {number(tables.makespan())} s" in view.course.key.data["text"]
    # A mode that was foretold at the beginning is marked there, with what was foretold then.
    marks = view.course.marks.data
    assert [x for x, m in zip(marks["x"], marks["marker"], strict=True) if m == "triangle"] == [0.0]


def test_the_end_is_called_actual() -> None:
    run = Run(ddmd(1), scale=0.01)
    run.forecast(500.0)
    tables, view = folded(run.run()), MakespanView("dark")
    view.update(tables)
    assert view.bars.data["name"] == ["actual", "predicted", "lower bound"]
    assert view.bars.data["s"][2] == tables.lower_bound() <= tables.makespan()
    off = tables.makespan() / 500 - 1
    assert headline(tables) == f"{number(tables.makespan())} s actual  ·  500 s predicted (+{100 * off:.1f} %)"


@pytest.mark.parametrize(("before", "others"), [(0, ["sequential"]), (300, [])])
def test_at_the_end_another_mode_is_compared_only_where_all_of_it_was_foretold(before: int, others: list[str]) -> None:
    run = Run(ddmd(1), scale=0.01)
    run.run(before)
    run.forecast(500.0, sequential=526.0)
    tables, view = folded(run.run()), MakespanView("light")
    view.update(tables)
    assert [name for name in view.bars.data["name"] if name.startswith("sequential")] == others


def test_without_forecasts_or_starts_there_is_still_a_figure() -> None:
    view = MakespanView("light")
    view.update(Tables())
    assert view.head.source.data["text"] == ["nothing has started yet"]
    view.update(folded(Run(ddmd(1), scale=0.01).run(50)))
    assert view.bars.data["name"] == ["elapsed"]


def test_many_forecasts_are_thinned_and_the_last_stays() -> None:
    run = Run([AddSet(declared("t", 1, 1e5))], SMALL)
    run.step()
    for i in range(1777):
        run.at += 1
        run.forecast(1e5 + i)
    view = MakespanView("light")
    view.update(folded(run))
    assert max(lengths(view)) <= POINTS
    assert view.course.forecast.data["y"][-1] == 1e5 + 1776


# --------------------------------------------------------------------------------------------------------- progress


def test_bars_are_counts_by_state() -> None:
    tables, view = half_way(), ProgressView("light")
    view.update(tables)
    data = view.bars.data
    for s in tables.sets:
        mine = [i for i, name in enumerate(data["name"]) if name == s.name]
        assert {data["state"][i]: data["n"][i] for i in mine} == {k.value: n for k, n in s.counts.items() if n}
        assert (data["left"][mine[0]], data["right"][mine[-1]]) == (0, 1)
        assert all(data["right"][a] == data["left"][b] for a, b in pairwise(mine))
    assert "✗ 1 failed" in dict(zip(view.ends.data["name"], view.ends.data["text"], strict=True))["infer-0"]
    assert {text.split()[1] for text in view.key.data["text"]} == {s.value for s, n in tables.state.counts.items() if n}


def test_a_bar_says_when_its_set_should_end_and_then_when_it_did() -> None:
    run, view = Run(ddmd(2), scale=0.01), ProgressView("light")
    banded(run, 600.0, 700.0, 800.0, **{"sim-0": (340.0, 350.0, 361.0), "infer-1": (600.0, 700.0, 800.0)})
    view.update(folded(run))
    ends = dict(zip(view.ends.data["name"], view.ends.data["text"], strict=True))
    assert ends["sim-0"] == "0 / 96  ~ 350 s" and ends["infer-1"] == "0 / 96  ~ 700 s" and ends["sim-1"] == "0 / 96"
    assert "~ end (P50)" in view.head.source.data["text"][0]
    tips = dict(zip(view.bars.data["name"], view.bars.data["ends"], strict=True))
    assert tips["sim-0"] == "predicted 350 s (P10\u2013P90 340\u2013361 s)"
    assert tips["sim-1"] == "not known yet"
    tables = folded(run.run())
    view.update(tables)
    tips = dict(zip(view.bars.data["name"], view.bars.data["ends"], strict=True))
    assert tips["sim-0"] == f"at {number(next(s.last_end for s in tables.sets if s.name == 'sim-0') or 0)} s"
    assert view.ends.data["text"][0] == "96 / 96"


def test_a_bar_of_several_sets_ends_with_the_last_of_them() -> None:
    run, view = Run(ddmd(2), scale=0.01), ProgressView("light", rows=4)
    banded(run, 600.0, 700.0, 800.0, **{"sim-0": (340.0, 350.0, 361.0), "sim-1": (330.0, 360.0, 390.0)})
    view.update(folded(run))
    tips = dict(zip(view.bars.data["name"], view.bars.data["ends"], strict=True))
    assert tips["sim × 2"] == "predicted 360 s (P10\u2013P90 340\u2013390 s)"


@pytest.mark.parametrize("rows", [4, 7, 16, 100])
def test_however_few_bars_no_task_is_left_out(rows: int) -> None:
    edits = []
    for i in range(6):
        for k, kind in enumerate(("md", "select", "train", "score", "plot")):
            edits.append(AddSet(declared(f"{kind}-{i}", 3, 1.0), (Edge(f"md-{i}", f"{kind}-{i}"),) if k else ()))
    tables = folded(Run(edits, SMALL).run(9))
    lines = [(name, summed(members)) for name, members in grouped(tables.sets, rows)]
    assert len(lines) <= rows
    assert sum(sum(counts.values()) for _, counts in lines) == 90
    assert sum(counts[TaskState.done] for _, counts in lines) == tables.progress()[TaskState.done]


def test_names_that_are_equal_once_cut_keep_bars_of_their_own() -> None:
    edits = [AddSet(declared("a_very_long_name_of_a_set_" + c, 1, 1.0)) for c in "xyz"]
    lines = grouped(folded(Run(edits, SMALL)).sets, 16)
    assert len({name for name, _ in lines}) == 3


# ------------------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("make", VIEWS)
def test_an_update_changes_data_only(make: Any) -> None:
    run = Run(ddmd(3), scale=0.01)
    tables, view = Tables(), make("light")
    run.run(100)
    tables.fold(run.records)
    view.update(tables)
    document, kinds = Document(), set()
    document.add_root(view.figure)
    document.on_change(lambda event: kinds.add((type(event.model).__name__, event.attr)))
    for until in (200, 500, 900, 5000):
        run.run(until)
        tables.fold(run.records)
        view.update(tables)
    # Bars of the makespan have a fixed range, so that their figures have room, and the course one that shows its band;
    # the word for the time passed changes.
    allowed = {("ColumnDataSource", "data")}
    if make is MakespanView:
        allowed |= {("Range1d", "start"), ("Range1d", "end"), ("FactorRange", "factors")}
    assert ("ColumnDataSource", "data") in kinds
    assert kinds <= allowed


@pytest.mark.parametrize("make", VIEWS)
def test_columns_of_every_source_are_of_one_length(make: Any) -> None:
    for tables in (Tables(), half_way(), told(PAYLOADS)):
        view = make("dark")
        view.update(tables)
        for source in view.sources:
            assert len({len(c) for c in source.data.values()}) == 1, source.data.keys()


@pytest.mark.parametrize("make", VIEWS)
def test_hostile_texts_are_drawn_letter_for_letter(make: Any) -> None:
    view = ProgressView("light", rows=60) if make is ProgressView else make("light")
    view.update(told(PAYLOADS))
    document = Document()
    document.add_root(view.figure)
    raw = serialize_json(document.to_json())
    objects = re.findall(r'"name":\s*"([A-Z]\w+)"', raw)
    assert not {o for o in objects if o.startswith("Custom") or o in {"Div", "TeX", "MathML", "HTML", "Legend"}}
    texts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, str):
            texts.append(value)

    walk(json.loads(raw))
    for text in texts:
        for formula in (r"\$\$[^]*?\$\$", r"\\\[", r"\\\("):
            assert not re.search(formula.replace("[^]", r"[\s\S]"), text), text


@pytest.mark.parametrize("text", PAYLOADS)
def test_plain_takes_formulas_and_line_breaks_and_nothing_else(text: str) -> None:
    shown = plain(text)
    assert shown.replace("\u2060", "") == "".join(c if c.isprintable() else " " for c in text)
    assert "\n" not in shown
    assert len(plain(text, 12)) <= 12 + shown.count("\u2060")


@pytest.mark.parametrize("make", VIEWS)
def test_a_themed_view_says_what_its_models_are_in_either_theme(make: Any) -> None:
    view = themed(make)
    light, dark = theme("light"), theme("dark")
    tags = [(m, t) for m in view.figure.references() for t in m.tags if isinstance(t, dict)]
    grounds = [t for m, t in tags if "border_fill_color" in t["dark"]]
    assert grounds
    assert all(t["light"]["border_fill_color"] == light.surface for t in grounds)
    assert all(t["dark"]["border_fill_color"] == dark.surface for t in grounds)
    fields = [v["field"] for _, t in tags for v in t["dark"].values() if isinstance(v, dict)]
    assert fields
    columns = {name for source in view.sources for name in source.data}
    assert set(fields) <= columns
    assert all(f.endswith("_dark") for f in fields)


@pytest.mark.parametrize("make", VIEWS)
def test_the_tags_of_a_themed_view_are_all_that_differs_between_the_themes(make: Any) -> None:
    def models(view: Any) -> list[Any]:
        """In order of creation, which is the same for every view of its kind."""
        return sorted(view.figure.references(), key=lambda m: int(str(m.id).lstrip("p")))

    def plain_value(found: Any) -> Any:
        return {"field": found} if isinstance(found, str) and not found.startswith("#") else found

    tagged, light, dark = (models(v) for v in (themed(make), make(theme("light")), make(theme("dark"))))
    assert len(tagged) == len(light) == len(dark)
    for model, ours, other in zip(tagged, light, dark, strict=True):
        pairs = {n: (getattr(ours, n), getattr(other, n)) for n in sorted(ours.properties()) if "color" in n}
        differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        (tag,) = [t for t in model.tags if isinstance(t, dict)] or [{"light": {}, "dark": {}}]
        assert tag["light"] == {name: plain_value(pair[0]) for name, pair in differ.items()}
        assert tag["dark"] == {name: plain_value(pair[1]) for name, pair in differ.items()}


def test_numbers_keep_what_they_mean() -> None:
    assert [number(x) for x in (0, 0.04213, 12.34, 99.96, 1250.4, 1234567)] == [
        "0",
        "0.0421",
        "12.3",
        "100",
        "1\u202f250",
        "1\u202f234\u202f567",
    ]
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "< 1 %", "50 %", "> 99 %", "100 %"]
