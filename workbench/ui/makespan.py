"""Predicted against actual makespan: the forecasts, what other modes would take, what no schedule can beat."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange
from bokeh.plotting import figure

from workbench.report.rows import ForecastRow
from workbench.report.tables import Tables

from .palette import Theme, pair, theme
from .plots import Headline, bar_frame, face, frame, number, paint, painted, plain, seconds, thousands

_LEFT = 124
_BARS = 8
_POINTS = 500
_EARLY = 0.05
"""A forecast made before this fraction of the makespan is one of the whole campaign."""


class MakespanView:
    """Bars that compare makespans, and below them how the forecast moved while time went on.

    Parameters
    ----------
    of : str or Theme
        ``"light"``, ``"dark"``, or a theme.

    Attributes
    ----------
    figure : bokeh layout
        Put it into a document.
    """

    def __init__(self, of: str | Theme) -> None:
        look = self.theme = theme(of) if isinstance(of, str) else of
        self.head = Headline(look, "Makespan", _LEFT)
        self.bars = ColumnDataSource({"name": [], "s": [], "text": [], **painted("fill", []), **painted("ink", [])})
        self.forecast = ColumnDataSource({"x": [], "y": []})
        self.bound = ColumnDataSource({"x": [], "y": []})
        self.elapsed = ColumnDataSource({"x": [], "y": []})
        self.ends = ColumnDataSource({"x": [], "y": [], "text": [], "dy": [], **painted("fill", [])})
        self._names = FactorRange(factors=[])
        self._bars = self._make_bars(look)
        self._course = self._make_course(look)
        self.figure = column(self.head.figure, self._bars, self._course, sizing_mode="stretch_width")

    @property
    def sources(self) -> list[ColumnDataSource]:
        """Every data source that `update` writes to."""
        return [self.head.source, self.bars, self.forecast, self.bound, self.elapsed, self.ends]

    def _make_bars(self, look: Theme) -> figure:
        plot = bar_frame(look, 170, _LEFT, self._names, 1.0)
        plot.hbar(
            y="name", left=0, right="s", height=0.58, source=self.bars, fill_color=paint("fill", look), line_color=None
        )
        plot.text(
            "s",
            "name",
            text="text",
            source=self.bars,
            x_offset=6,
            text_baseline="middle",
            text_color=paint("ink", look),
            text_font=face(look),
            text_font_size="12px",
        )
        return plot

    def _make_course(self, look: Theme) -> figure:
        both = {"start": 0, "range_padding": 0.0, "default_span": 1.0}
        plot = frame(look, 210, x_range=DataRange1d(**both), y_range=DataRange1d(**{**both, "range_padding": 0.3}))
        plot.min_border_left = _LEFT
        plot.line("x", "y", source=self.bound, line_color=look.bound, line_width=1.2, line_dash=[2, 3])
        plot.line("x", "y", source=self.elapsed, line_color=look.accent, line_width=2)
        plot.line("x", "y", source=self.forecast, line_color=look.predicted, line_width=2, line_dash=[6, 3])
        plot.scatter(
            "x", "y", source=self.ends, size=7, fill_color=paint("fill", look), line_color=look.surface, line_width=1.5
        )
        plot.text(
            "x",
            "y",
            text="text",
            source=self.ends,
            text_align="right",
            text_baseline="alphabetic",
            x_offset=-8,
            y_offset="dy",
            text_color=paint("fill", look),
            text_font=face(look),
            text_font_size="12px",
        )
        plot.xaxis.axis_label = "time since the first start (s)"
        plot.yaxis.axis_label = "makespan (s)"
        plot.yaxis.ticker.desired_num_ticks = 4
        thousands(plot.xaxis)
        thousands(plot.yaxis)
        return plot

    def update(self, tables: Tables) -> None:
        """Show the tables as they are."""
        actual = tables.makespan()
        last = tables.forecasts[-1] if tables.forecasts else None
        self.head.say(headline(tables))
        self._update_bars(tables, actual, last)
        self._update_course(tables, actual, last)

    def _update_bars(self, tables: Tables, actual: float, last: ForecastRow | None) -> None:
        measured = "actual" if tables.ended else "elapsed"
        bars: list[tuple[str, float, tuple[str, str]]] = [(measured, actual, pair("accent"))] if tables.started else []
        if last is not None:
            bars.append(("predicted", last.makespan_s, pair("predicted")))
            bars += [(name, s, pair("border")) for name, s in _others(last, actual, tables.ended)[: _BARS - 3]]
        bound = tables.lower_bound() if last is not None else None
        if bound is not None:
            bars.append(("lower bound", bound, pair("bound")))
        bars = list({name: (name, s, fill) for name, s, fill in reversed(bars)}.values())[::-1]
        names = [name for name, _, _ in reversed(bars)]
        if self._names.factors != names:
            self._names.factors = names
            self._bars.height = max(40, 30 * len(names))
        # Room for the figures after the longest bar.
        widest = max((s for _, s, _ in bars), default=1.0) or 1.0
        end = 1.5 * widest
        if abs(self._bars.x_range.end - end) > 1e-9:
            self._bars.x_range.end = end
        reference = last.makespan_s if last is not None else 0.0
        texts = []
        for name, s, _ in bars:
            against = (
                f"  ({_signed(s / reference - 1)})" if reference > 0 and name not in ("predicted", "elapsed") else ""
            )
            texts.append(seconds(s) + against)
        strong = ("actual", "elapsed", "predicted")
        self.bars.data = {
            "name": [b[0] for b in bars],
            "s": [b[1] for b in bars],
            "text": texts,
            **painted("fill", [b[2] for b in bars]),
            **painted("ink", [pair("ink" if b[0] in strong else "muted") for b in bars]),
        }

    def _update_course(self, tables: Tables, actual: float, last: ForecastRow | None) -> None:
        course = _thin(tables.forecasts)
        # While tasks run the picture reaches to where the forecast would come true.
        end = max(actual, course[-1].t if course else 0.0, last.makespan_s if last and not tables.ended else 0.0)
        self.forecast.data = _after([(f.t, f.makespan_s) for f in course], end)
        self.bound.data = _after([(f.t, f.lower_bound_s) for f in course if f.lower_bound_s > 0], end)
        self.elapsed.data = {"x": [0.0, actual], "y": [0.0, actual]} if tables.started else {"x": [], "y": []}
        ends: list[tuple[float, float, str, tuple[str, str], int]] = []
        if tables.started and actual > 0:
            word = "actual" if tables.ended else "now"
            # Below the rising line, or, where the axis is too near for that, above it.
            below = actual > 0.4 * max(actual, last.makespan_s if last else 0.0)
            ends.append((actual, actual, f"{word} {number(actual)}", pair("accent"), 36 if below else -10))
        if last is not None and end > 0:
            ends.append((end, last.makespan_s, f"predicted {number(last.makespan_s)}", pair("predicted"), -8))
        self.ends.data = {
            "x": [e[0] for e in ends],
            "y": [e[1] for e in ends],
            "text": [e[2] for e in ends],
            "dy": [e[4] for e in ends],
            **painted("fill", [e[3] for e in ends]),
        }


def headline(tables: Tables) -> str:
    """Actual and predicted makespan in one line."""
    actual = tables.makespan()
    last = tables.forecasts[-1] if tables.forecasts else None
    if not tables.started:
        return "nothing has started yet" if last is None else f"predicted {seconds(last.makespan_s)}"
    if last is None:
        return f"{seconds(actual)} {'actual' if tables.ended else 'elapsed'}"
    if not tables.ended:
        return f"{seconds(actual)} of {seconds(last.makespan_s)} predicted"
    off = f" ({_signed(actual / last.makespan_s - 1)})" if last.makespan_s > 0 else ""
    return f"{seconds(actual)} actual  ·  {seconds(last.makespan_s)} predicted{off}"


def _others(last: ForecastRow, actual: float, ended: bool) -> list[tuple[str, float]]:
    """What the other modes would take, longest first.

    A forecast that was made later on takes what has run as given and says what a change of mode would still do. That is
    how it is named while tasks run; at the end it says nothing, and is left out.
    """
    late = last.t > _EARLY * max(actual, last.makespan_s)
    if late and ended:
        return []
    # The mode that the prediction is for would only repeat it.
    others = sorted(((k, s) for k, s in last.alternatives.items() if k != last.mode), key=lambda item: -item[1])
    return [(plain(f"{name}, from now" if late else name, 24), s) for name, s in others]


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "\u2212")


def _thin(forecasts: list[ForecastRow]) -> list[ForecastRow]:
    """At most `_POINTS` forecasts, the first and the last among them."""
    stride = max(1, -(-len(forecasts) // _POINTS))
    kept = forecasts[::stride]
    return kept if not forecasts or kept[-1] is forecasts[-1] else [*kept, forecasts[-1]]


def _after(points: list[tuple[float, float]], end: float) -> dict[str, list[float]]:
    """Vertices of a line that keeps each value until the next one comes."""
    xs: list[float] = []
    ys: list[float] = []
    for i, (x, y) in enumerate(points):
        until = points[i + 1][0] if i + 1 < len(points) else max(end, x)
        xs += [x, until]
        ys += [y, y]
    return {"x": xs, "y": ys}
