"""A campaign as the analytic model has it, drawn once: its stages in sequence, and which sets hide which."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange, HoverTool
from bokeh.plotting import figure as bokeh_figure

from workbench.predict.analytic import Times
from workbench.report.explained import Explained
from workbench.report.tables import Tables

from .figures import FiguresView
from .palette import SetColours, Theme, theme
from .plots import Headline, face, frame, on, paint, painted, plain, seconds, thousands

_LEFT = 124
_LANES = 14
_LANE = 30
_PIXELS = 760  # about as many as the figure has, to know which names fit into their bars


class ExplainedView:
    """Bars of the sets over time.

    The first lane is sequential execution (Eq. 2), the second the longest branch of Eq. 3, then come the sets that need
    all of a resource, and below them those that are hidden.

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
        self.head = Headline(look, "Sequential and asynchronous", _LEFT)
        keys = ("lane", "left", "right", "name", "label", "mid", "tx")
        self.bars = ColumnDataSource({key: [] for key in keys} | painted("fill", []) | painted("ink", []))
        self._lanes = FactorRange(factors=[])
        self._plot = self._make(look)
        self.figure = column(self.head.figure, self._plot, sizing_mode="stretch_width")

    def _make(self, look: Theme) -> bokeh_figure:
        plot = frame(look, 60, y_range=self._lanes)
        plot.min_border_left = _LEFT
        plot.ygrid.grid_line_color = None
        plot.yaxis.axis_line_color = None
        plot.yaxis.major_label_text_color = look.ink
        plot.yaxis.major_label_text_font_size = "12px"
        plot.xaxis.axis_label = "time without overheads (s)"
        thousands(plot.xaxis)
        drawn = plot.hbar(
            y="lane",
            left="left",
            right="right",
            height=0.72,
            source=self.bars,
            fill_color=paint("fill", look),
            line_color=look.surface,
            line_width=0.8,
        )
        plot.text(
            "mid",
            "lane",
            text="label",
            source=self.bars,
            text_align="center",
            text_baseline="middle",
            text_color=paint("ink", look),
            text_font=face(look),
            text_font_size="11px",
        )
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("set", "@name"), ("where", "@lane"), ("TX", "@tx")]))
        return plot

    def update(self, tables: Tables) -> None:
        """The model is of one moment: it does not follow what runs."""

    def show(self, explained: Explained) -> None:
        """Draw a model whose TX are known."""
        t = explained.model.times
        if t is None or explained.t_async_s is None or explained.improvement is None:
            self.head.say("no times: not every TX is known")
            return
        self.head.say(
            f"t_seq {seconds(t.t_seq_s)}  ·  t_async {seconds(explained.t_async_s)}  ·  "
            f"I {explained.improvement:.3f}  ·  at least {seconds(t.lower_bound_s)}"
        )
        lanes, rest = _fold(_lanes(t))
        end = max([right for bars in lanes.values() for _, _, right in bars], default=0.0) or 1.0
        colours = SetColours()
        for row in explained.model.rows:
            colours[row.name]  # hues in order of declaration
        data: dict[str, list[object]] = {key: [] for key in self.bars.data}
        for lane, bars in lanes.items():
            for name, left, right in bars:
                fill = colours[name]
                label = plain(name, 24)
                both = painted("fill", [fill]) | painted("ink", [(on(fill[0]), on(fill[1]))])
                values: dict[str, object] = {
                    "lane": lane,
                    "left": left,
                    "right": right,
                    "name": plain(name, 80),
                    "label": label if (right - left) / end * _PIXELS > 7 * len(label) else "",
                    "mid": (left + right) / 2,
                    "tx": seconds(right - left),
                }
                for key, value in (values | {k: v[0] for k, v in both.items()}).items():
                    data[key].append(value)
        self._lanes.factors = list(reversed(lanes))
        self._plot.height = _LANE * len(lanes) + 60
        if rest:
            self._plot.xaxis.axis_label = f"time without overheads (s); {rest} hidden sets more are not drawn"
        self.bars.data = data


def figure(explained: Explained) -> FiguresView:
    """The view as a widget; raises `BundleMissing`."""
    from .plots import themed

    view = themed(ExplainedView)
    view.show(explained)
    return FiguresView([(view, 12)])


Bar = tuple[str, float, float]


def _lanes(t: Times) -> dict[str, list[Bar]]:
    at = 0.0
    sequential: list[Bar] = []
    for stage in t.stages:
        sequential.append((stage.longest, at, at + stage.tx_s))
        at += stage.tx_s
    way = {*t.branch.shared, *t.branch.own}
    lanes = {"sequential": sequential, "longest branch": [(n, *t.windows[n]) for n in t.windows if n in way]}
    alone = [(n, *t.windows[n]) for n in t.sequential]
    hidden = [(n, *w) for n, w in t.windows.items() if n not in way and n not in t.sequential]
    return lanes | _packed("all of a resource", alone) | _packed("hidden", hidden)


def _packed(title: str, bars: list[Bar]) -> dict[str, list[Bar]]:
    """Bars on as few lanes as hold them without overlap."""
    lanes: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda b: (b[1], -b[2])):
        for lane in lanes:
            if lane[-1][2] <= bar[1] + 1e-9:
                lane.append(bar)
                break
        else:
            lanes.append([bar])
    return {title if not i else f"{title} {i + 1}": lane for i, lane in enumerate(lanes)}


def _fold(lanes: dict[str, list[Bar]]) -> tuple[dict[str, list[Bar]], int]:
    """The first lanes, and how many bars the others held."""
    names = list(lanes)
    return {n: lanes[n] for n in names[:_LANES]}, sum(len(lanes[n]) for n in names[_LANES:])
