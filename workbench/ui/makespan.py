"""Predicted against actual makespan: the forecasts, what other modes would take, what no schedule can beat."""

from __future__ import annotations

from math import pi

from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange
from bokeh.plotting import figure

from workbench.report.rows import ForecastRow
from workbench.report.tables import Tables

from .course import EARLY, Course, between
from .palette import Theme, pair, theme
from .plots import Headline, bar_frame, face, paint, painted, plain, seconds

_LEFT = 124
_BARS = 8


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
        self.bars = ColumnDataSource(
            {"name": [], "s": [], "at": [], "text": [], **painted("fill", []), **painted("ink", [])}
        )
        self.whiskers = ColumnDataSource({"name": [], "low": [], "high": []})
        self._names = FactorRange(factors=[])
        self._bars = self._make_bars(look)
        self.course = Course(look, _LEFT)
        self.figure = column(self.head.figure, self._bars, *self.course.figures, sizing_mode="stretch_width")

    @property
    def sources(self) -> list[ColumnDataSource]:
        """Every data source that `update` writes to."""
        return [self.head.source, self.bars, self.whiskers, *self.course.sources]

    def _make_bars(self, look: Theme) -> figure:
        plot = bar_frame(look, 170, _LEFT, self._names, 1.0)
        plot.hbar(
            y="name", left=0, right="s", height=0.58, source=self.bars, fill_color=paint("fill", look), line_color=None
        )
        plot.segment("low", "name", "high", "name", source=self.whiskers, line_color=look.ink, line_width=1.5)
        for end in ("low", "high"):
            plot.scatter(
                end,
                "name",
                source=self.whiskers,
                marker="dash",
                angle=pi / 2,
                size=11,
                line_color=look.ink,
                line_width=1.5,
            )
        plot.text(
            "at",
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

    def update(self, tables: Tables) -> None:
        """Show the tables as they are."""
        actual = tables.makespan()
        last = tables.forecasts[-1] if tables.forecasts else None
        self.head.say(headline(tables))
        self._update_bars(tables, actual, last)
        self.course.update(tables)

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
        widest = max([s for _, s, _ in bars] + ([last.p90_s] if last else []), default=1.0) or 1.0
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
        banded = last is not None and last.banded
        self.whiskers.data = {
            "name": ["predicted"] if banded else [],
            "low": [last.p10_s] if last and banded else [],
            "high": [last.p90_s] if last and banded else [],
        }
        strong = ("actual", "elapsed", "predicted")
        self.bars.data = {
            "name": [b[0] for b in bars],
            "s": [b[1] for b in bars],
            "at": [max(b[1], last.p90_s) if last and last.banded and b[0] == "predicted" else b[1] for b in bars],
            "text": texts,
            **painted("fill", [b[2] for b in bars]),
            **painted("ink", [pair("ink" if b[0] in strong else "muted") for b in bars]),
        }


def headline(tables: Tables) -> str:
    """Actual and predicted makespan in one line."""
    actual = tables.makespan()
    last = tables.forecasts[-1] if tables.forecasts else None
    if last is None:
        return (
            f"{seconds(actual)} {'actual' if tables.ended else 'elapsed'}"
            if tables.started
            else "nothing has started yet"
        )
    band = f" ({between(last.p10_s, last.p90_s)})" if last.banded else ""
    if not tables.started:
        return f"predicted {seconds(last.makespan_s)}{band}"
    if not tables.ended:
        return f"{seconds(actual)} of {seconds(last.makespan_s)}{band} predicted"
    off = f" ({_signed(actual / last.makespan_s - 1)})" if last.makespan_s > 0 else ""
    return f"{seconds(actual)} actual  ·  {seconds(last.makespan_s)} predicted{off}"


def _others(last: ForecastRow, actual: float, ended: bool) -> list[tuple[str, float]]:
    """What the other modes would take, longest first.

    A forecast that was made later on takes what has run as given and says what a change of mode would still do. That is
    how it is named while tasks run; at the end it says nothing, and is left out.
    """
    late = last.t > EARLY * max(actual, last.makespan_s)
    if late and ended:
        return []
    # The mode that the prediction is for would only repeat it.
    others = sorted(((k, s) for k, s in last.alternatives.items() if k != last.mode), key=lambda item: -item[1])
    return [(plain(f"{name}, from now" if late else name, 24), s) for name, s in others]


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f} %".replace("-", "\u2212")
