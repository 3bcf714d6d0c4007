"""How the forecast moved while time went on: its band and median against what came true.

What is drawn is named in a key below the figure, never inside it, so that texts cannot lie on lines. Marks have a shape
and lines a dash of their own beside their colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from workbench.model.states import MODES
from workbench.report.rows import ForecastRow
from workbench.report.tables import Tables

from .palette import Theme, pair
from .plots import bare, face, frame, number, paint, painted, plain, seconds, thousands

_POINTS = 400
_KEY = (3, 2)  # columns and rows of the key
_COLUMNS = (0.04, 1.04, 2.18)  # where they begin: the second has the longest words
_EDGE = 8  # pixels left of the key
_MARKS = {"sequential": ("triangle", [1, 3]), "asynchronous": ("square", [7, 2, 2, 2]), "adaptive": ("diamond", [9, 4])}
EARLY = 0.05
"""A forecast made before this fraction of the makespan is one of the whole campaign."""

Line = dict[str, list[float]]


class Course:
    """The forecasts over time: filled from P10 to P90 where they were sampled, with what the modes were foretold.

    Parameters
    ----------
    look : Theme
        Colours.

    Attributes
    ----------
    figures : list of bokeh figure
        The plot and its key, to be put one below the other.
    """

    def __init__(self, look: Theme, left: int) -> None:
        self.band = ColumnDataSource({"xs": [], "ys": []})
        self.forecast = ColumnDataSource({"x": [], "y": []})
        self.bound = ColumnDataSource({"x": [], "y": []})
        self.modes = {mode: ColumnDataSource({"x": [], "y": []}) for mode in MODES}
        self.elapsed = ColumnDataSource({"x": [], "y": []})
        self.finish = ColumnDataSource({"x": [], "y": []})
        self.marks = ColumnDataSource({"x": [], "y": [], "marker": [], **painted("fill", [])})
        self.key = ColumnDataSource({"x": [], "y": [], "marker": [], "alpha": [], "text": [], **painted("fill", [])})
        self._plot = self._make_plot(look, left)
        self._key = self._make_key(look)
        self.figures = [self._plot, self._key]

    @property
    def sources(self) -> list[ColumnDataSource]:
        """Every data source that `update` writes to."""
        lines = [self.band, self.forecast, self.bound, self.elapsed, self.finish, *self.modes.values()]
        return [*lines, self.marks, self.key]

    def _make_plot(self, look: Theme, left: int) -> figure:
        plot = frame(look, 220, x_range=Range1d(0, 1), y_range=Range1d(0, 1))
        plot.min_border_left = left
        plot.patches("xs", "ys", source=self.band, fill_color=look.predicted, fill_alpha=0.24, line_color=None)
        plot.line("x", "y", source=self.bound, line_color=look.bound, line_width=1.2, line_dash=[2, 3])
        for mode, source in self.modes.items():
            plot.line("x", "y", source=source, line_color=look.muted, line_width=1.2, line_dash=_MARKS[mode][1])
        plot.line("x", "y", source=self.finish, line_color=look.accent, line_width=1.2)
        plot.line("x", "y", source=self.elapsed, line_color=look.accent, line_width=2)
        plot.line("x", "y", source=self.forecast, line_color=look.predicted, line_width=2)
        plot.scatter(
            "x",
            "y",
            marker="marker",
            source=self.marks,
            size=8,
            fill_color=paint("fill", look),
            line_color=look.surface,
            line_width=1.2,
        )
        plot.xaxis.axis_label = "time since the first start (s)"
        plot.yaxis.axis_label = "makespan (s)"
        plot.yaxis.ticker.desired_num_ticks = 4
        thousands(plot.xaxis)
        thousands(plot.yaxis)
        return plot

    def _make_key(self, look: Theme) -> figure:
        columns, rows = _KEY
        plot = bare(look, 19 * rows + 4, left=_EDGE, x_range=Range1d(0, columns), y_range=Range1d(rows, 0))
        plot.scatter(
            "x",
            "y",
            marker="marker",
            source=self.key,
            size=9,
            fill_color=paint("fill", look),
            fill_alpha="alpha",
            line_color=None,
        )
        plot.text(
            "x",
            "y",
            text="text",
            source=self.key,
            x_offset=10,
            text_baseline="middle",
            text_color=look.muted,
            text_font=face(look),
            text_font_size="11px",
        )
        return plot

    def update(self, tables: Tables) -> None:
        """Show the tables as they are."""
        actual, ended = tables.makespan(), tables.ended
        course = thinned(tables.forecasts)
        last = course[-1] if course else None
        # While tasks run the picture reaches to where the forecast would come true.
        end = max(actual, last.t if last else 0.0, last.makespan_s if last and not ended else 0.0)
        self.band.data = _band(course, end)
        self.forecast.data = _steps(course, end, [f.makespan_s for f in course])
        self.bound.data = _steps(course, end, [f.lower_bound_s or None for f in course])
        for mode, source in self.modes.items():
            source.data = _steps(course, end, [None if f.mode == mode else f.alternatives.get(mode) for f in course])
        self.elapsed.data = {"x": [0.0, actual], "y": [0.0, actual]} if tables.started else {"x": [], "y": []}
        self.finish.data = self._finish(course, actual, ended)
        self._range(course, actual, end, tables)
        self._name(course, actual, end, tables)

    def _finish(self, course: list[ForecastRow], actual: float, ended: bool) -> Line:
        """Before the end, an upright line at the present; then a level one, which the band should have held."""
        if actual <= 0 or not course:
            return {"x": [], "y": []}
        if ended:
            return {"x": [0.0, actual], "y": [actual, actual]}
        return {"x": [actual, actual], "y": [0.0, 2 * max(actual, *(_highest(f) for f in course))]}

    def _range(self, course: list[ForecastRow], actual: float, end: float, tables: Tables) -> None:
        """Axes: time from 0, makespans from a little below the least that is drawn, so that a band has some height."""
        values = [v for f in course for v in (f.lower_bound_s, f.p10_s) if v > 0]
        values += [f.makespan_s for f in course] + ([actual] if tables.ended or not course else [])
        high = max([_highest(f) for f in course] + [actual], default=0.0) or 1.0
        low = min(values, default=0.0)
        pad = 0.12 * (high - low) or 0.1 * high
        bottom = low - pad if low > 0.3 * high else 0.0
        for axis, start, stop in (
            (self._plot.x_range, 0.0, 1.015 * end or 1.0),
            (self._plot.y_range, bottom, high + pad),
        ):
            if (axis.start, axis.end) != (start, stop):
                axis.update(start=start, end=stop)

    def _name(self, course: list[ForecastRow], actual: float, end: float, tables: Tables) -> None:
        """Marks where lines end, and the key that names them."""
        marks: list[tuple[float, float, str, tuple[str, str]]] = []
        key: list[tuple[str, float, str, tuple[str, str]]] = []
        last = course[-1] if course else None
        if last is not None:
            mode = f" ({plain(last.mode, 16)})" if last.mode else ""
            word = ("P50" if last.banded else "predicted") + mode
            key.append(("circle", 1.0, f"{word} {seconds(last.makespan_s)}", pair("predicted")))
            marks.append((end, last.makespan_s, "circle", pair("predicted")))
            if last.banded:
                key.append(("square", 0.3, f"P10\u2013P90 {between(last.p10_s, last.p90_s)}", pair("predicted")))
        if tables.started and actual > 0:
            key.append(("hex", 1.0, f"{'actual' if tables.ended else 'now'} {seconds(actual)}", pair("accent")))
            marks.append((actual, actual, "hex", pair("accent")))
        for mode in MODES:
            told = alternative(course, mode, actual, tables.ended)
            if told is not None and last is not None and mode != last.mode:
                key.append((_MARKS[mode][0], 1.0, f"{mode} {seconds(told.alternatives[mode])}", pair("muted")))
                marks.append((told.t if tables.ended else end, told.alternatives[mode], _MARKS[mode][0], pair("muted")))
        if last is not None and last.lower_bound_s > 0:
            key.append(("inverted_triangle", 1.0, f"lower bound {seconds(last.lower_bound_s)}", pair("bound")))
            marks.append((end, last.lower_bound_s, "inverted_triangle", pair("bound")))
        self.marks.data = {
            "x": [m[0] for m in marks],
            "y": [m[1] for m in marks],
            "marker": [m[2] for m in marks],
            **painted("fill", [m[3] for m in marks]),
        }
        columns, rows = _KEY
        del key[columns * rows :]
        self.key.data = {
            "x": [_COLUMNS[i % columns] for i in range(len(key))],
            "y": [i // columns + 0.5 for i in range(len(key))],
            "marker": [k[0] for k in key],
            "alpha": [k[1] for k in key],
            "text": [k[2] for k in key],
            **painted("fill", [k[3] for k in key]),
        }


def between(low: float, high: float) -> str:
    """``"1 240–1 290 s"``."""
    return f"{number(low)}\u2013{seconds(high)}"


def alternative(forecasts: Sequence[ForecastRow], mode: str, actual: float, ended: bool) -> ForecastRow | None:
    """The forecast that says what `mode` would take; None where none does.

    While tasks run it is the latest, which takes what has run as given. At the end only one that was made at the
    beginning is about the whole campaign.
    """
    if not ended:
        return forecasts[-1] if forecasts and mode in forecasts[-1].alternatives else None
    early = (f for f in forecasts if mode in f.alternatives and f.t <= EARLY * max(actual, f.makespan_s))
    return next(early, None)


def thinned(forecasts: list[ForecastRow]) -> list[ForecastRow]:
    """At most about `_POINTS` forecasts, the first and the last among them."""
    stride = max(1, -(-len(forecasts) // _POINTS))
    kept = forecasts[::stride]
    return kept if not forecasts or kept[-1] is forecasts[-1] else [*kept, forecasts[-1]]


def _highest(f: ForecastRow) -> float:
    return max(f.makespan_s, f.p90_s, *f.alternatives.values()) if f.alternatives else max(f.makespan_s, f.p90_s)


def _until(course: list[ForecastRow], i: int, end: float) -> float:
    """When the forecast gave way to the next."""
    return course[i + 1].t if i + 1 < len(course) else max(end, course[i].t)


def _steps(course: list[ForecastRow], end: float, values: Sequence[float | None]) -> Line:
    """Vertices of a line that keeps each value until the next one comes, and has a gap where there is none."""
    xs: list[float] = []
    ys: list[float] = []
    for i, value in enumerate(values):
        if value is not None:
            xs += [course[i].t, _until(course, i, end)]
            ys += [value, value]
        elif xs and ys[-1] == ys[-1]:
            xs.append(xs[-1])
            ys.append(float("nan"))
    return {"x": xs, "y": ys}


def _band(course: list[ForecastRow], end: float) -> dict[str, list[list[float]]]:
    """Outlines of what lies from P10 to P90, one for each run of forecasts that have both."""
    runs: list[list[int]] = []
    for i, f in enumerate(course):
        if f.banded:
            if runs and runs[-1][-1] == i - 1:
                runs[-1].append(i)
            else:
                runs.append([i])
    xs, ys = [], []
    for run in runs:
        sides = [x for i in run for x in (course[i].t, _until(course, i, end))]
        xs.append(sides + sides[::-1])
        high = [v for i in run for v in (course[i].p90_s, course[i].p90_s)]
        low = [v for i in run for v in (course[i].p10_s, course[i].p10_s)]
        ys.append(high + low[::-1])
    return {"xs": xs, "ys": ys}
