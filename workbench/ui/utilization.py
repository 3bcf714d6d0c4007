"""CPU and GPU use over time, stacked by task set, under what the nodes offer (as Figs. 4-6 of arXiv:2208.11069).

What is left between the stack and the capacity line are slots on which nothing ran; they are hatched, because they
are what asynchronous execution is about.
"""

from __future__ import annotations

from itertools import pairwise
from math import nan

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, Range1d

from workbench.report.series import Stack
from workbench.report.tables import RESOURCES, Tables

from .palette import SetColours, Theme, kind_of, pair, theme
from .plots import Headline, bare, face, frame, number, paint, painted, percent, plain, seconds, thousands

POINTS = 2000
_TITLES = {"cores": "CPU", "gpus": "GPU"}
_UNITS = {"cores": "cores", "gpus": "GPUs"}
_PLOT = 190
_HEAD = 30
_AXIS = 38  # what the time axis takes of the lower plot
_KEY_ROW = 19
_KEY_WIDTH = 176  # at most

Column = list[list[float]]


class UtilizationView:
    """Two stacked-area plots over one time axis, with a key that names the sets.

    Parameters
    ----------
    of : str or Theme
        ``"light"``, ``"dark"``, or a theme.
    colours : SetColours, optional
        Shared with other views of the same campaign, so that a set has one colour everywhere.

    Attributes
    ----------
    figure : bokeh layout
        Put it into a document.
    """

    def __init__(self, of: str | Theme, colours: SetColours | None = None) -> None:
        self.theme = theme(of) if isinstance(of, str) else of
        self.colours = colours or SetColours()
        time = DataRange1d(start=0, range_padding=0.0, default_span=1.0)
        self._panels = {r: _Panel(self.theme, r, time, last=r == RESOURCES[-1]) for r in RESOURCES}
        self._key = _Key(self.theme, 2 * (_HEAD + _PLOT) + _AXIS)
        plots = column(*(p.layout for p in self._panels.values()), sizing_mode="stretch_width")
        self.figure = row(plots, self._key.figure, sizing_mode="stretch_width")

    @property
    def sources(self) -> list[ColumnDataSource]:
        """Every data source that `update` writes to."""
        panels = [s for p in self._panels.values() for s in (p.areas, p.idle, p.capacity, p.marks, p.head.source)]
        return [*panels, self._key.source]

    def update(self, tables: Tables) -> None:
        """Show the tables as they are."""
        forecast = tables.forecasts[-1].makespan_s if tables.forecasts and not tables.ended else 0.0
        gpus = any(node.gpus for node in tables.nodes.values())
        if self._panels["gpus"].layout.visible is not gpus:
            self._panels["gpus"].layout.visible = gpus
            self._panels["cores"].place(last=not gpus)
            self._key.room((2 if gpus else 1) * (_HEAD + _PLOT) + _AXIS)
        for resource, panel in self._panels.items():
            panel.update(tables, resource, self.colours, forecast)
        self._key.update(list(tables.state.sets), self.colours)


class _Panel:
    def __init__(self, look: Theme, resource: str, time: DataRange1d, *, last: bool) -> None:
        self.resource = resource
        self.head = Headline(look, _TITLES[resource])
        self.areas = ColumnDataSource({"xs": [], "ys": [], "name": [], "share": [], **painted("fill", [])})
        self.idle = ColumnDataSource({"xs": [], "ys": []})
        self.capacity = ColumnDataSource({"x": [], "y": []})
        self.marks = ColumnDataSource({"x": [], "top": [], "text": [], "dx": [], **painted("line", [])})
        plot = frame(look, _PLOT, x_range=time)
        plot.y_range.range_padding = 0.26  # room for the words at the marks
        plot.patches(
            "xs",
            "ys",
            source=self.idle,
            fill_color=look.idle,
            line_color=None,
            hatch_pattern="/",
            hatch_color=look.hatch,
            hatch_weight=0.7,
            hatch_scale=12,
        )
        areas = plot.patches(
            "xs", "ys", source=self.areas, fill_color=paint("fill", look), line_color=look.surface, line_width=0.8
        )
        plot.line("x", "y", source=self.capacity, line_color=look.capacity, line_width=1.4)
        plot.segment(
            "x", 0, "x", "top", source=self.marks, line_color=paint("line", look), line_width=1.2, line_dash=[4, 3]
        )
        plot.text(
            "x",
            "top",
            text="text",
            source=self.marks,
            x_offset="dx",
            text_align="right",
            text_baseline="bottom",
            y_offset=-2,
            text_color=paint("line", look),
            text_font=face(look),
            text_font_size="11px",
        )
        plot.add_tools(HoverTool(renderers=[areas], tooltips=[("set", "@name"), ("share of busy time", "@share")]))
        plot.yaxis.axis_label = _UNITS[resource]
        thousands(plot.xaxis)
        thousands(plot.yaxis)
        plot.yaxis.ticker.desired_num_ticks = 4
        self._plot = plot
        self._last: bool | None = None
        self.place(last)
        self.layout = column(self.head.figure, plot, sizing_mode="stretch_width")

    def place(self, last: bool) -> None:
        """Only the last panel writes out the time axis."""
        if last is not self._last:
            self._last = last
            self._plot.height = _PLOT + (_AXIS if last else 0)
            self._plot.min_border_bottom = 8 if last else 4
            self._plot.xaxis.axis_label = "time since the first start (s)" if last else ""
            self._plot.xaxis.major_label_text_font_size = "11px" if last else "0px"

    def update(self, tables: Tables, resource: str, colours: SetColours, forecast: float) -> None:
        capacity = tables.capacity(resource)
        present = any(capacity.total())
        stack, areas = _fitting(tables, resource)
        total = stack.area()
        names = [layer.key for layer in stack.layers]
        self.areas.data = {
            "xs": [xs for xs, _ in areas],
            "ys": [ys for _, ys in areas],
            "name": [plain(n) for n in names],
            "share": [percent(stack.area(n) / total) if total else "" for n in names],
            **painted("fill", [colours[n] for n in names]),
        }
        xs, ys = idle_area(stack, capacity)
        self.idle.data = {"xs": [xs] if xs else [], "ys": [ys] if ys else []}
        line_x, line_y = _steps(capacity.edges, capacity.total())
        now = tables.makespan()
        level = line_y[-1] if line_y else 0.0
        if forecast > now and line_x:
            line_x.append(forecast)
            line_y.append(level)
        self.capacity.data = {"x": line_x, "y": line_y}
        self._mark(tables, now, forecast, max(line_y, default=0.0))
        if not present:
            self.head.say("" if tables.started else "nothing has started yet")
            return
        used = tables.utilization_fraction(resource)
        peak = number(max(capacity.total()))
        self.head.say(f"{percent(used)} used  ·  {percent(1 - used)} idle  ·  capacity {peak} {_UNITS[resource]}")

    def _mark(self, tables: Tables, now: float, forecast: float, top: float) -> None:
        marks: list[tuple[float, str, tuple[str, str]]] = []
        if tables.started and not tables.ended:
            # Beside the words at the forecast there may be no room for another.
            marks.append((now, "" if 0.7 * forecast < now < forecast else "now", pair("ink")))
        if forecast > now:
            marks.append((forecast, f"predicted {seconds(forecast)}", pair("predicted")))
        self.marks.data = {
            "x": [m[0] for m in marks],
            "top": [top] * len(marks),
            "text": [m[1] for m in marks],
            "dx": [-4 for _ in marks],
            **painted("line", [m[2] for m in marks]),
        }


class _Key:
    """Swatches and names. Sets beyond the room there is are named by kind, kinds beyond it are counted."""

    def __init__(self, look: Theme, height: int) -> None:
        self.source = ColumnDataSource({"y": [], "text": [], **painted("fill", [])})
        plot = bare(look, height, x_range=Range1d(0, _KEY_WIDTH), y_range=Range1d(1, 0))
        plot.sizing_mode = "fixed"
        plot.width = _KEY_WIDTH
        plot.min_border_right = 0
        plot.rect(8, "y", 12, 0.62, source=self.source, fill_color=paint("fill", look), line_color=None)
        plot.text(
            22,
            "y",
            text="text",
            source=self.source,
            text_baseline="middle",
            text_color=look.ink,
            text_font=face(look),
            text_font_size="12px",
        )
        self._shown: list[str] | None = None
        self.figure = plot
        self.room(height)

    def room(self, height: int) -> None:
        """Fit a height in pixels."""
        top = _HEAD / _KEY_ROW + 0.5
        self.rows = (height - _HEAD - _AXIS) // _KEY_ROW
        self.figure.height = height
        self.figure.y_range.update(start=height / _KEY_ROW - top, end=-top)
        self._shown = None

    def update(self, names: list[str], colours: SetColours) -> None:
        if names == self._shown:
            return
        self._shown = names
        lines = [(name, colours[name]) for name in names]
        if len(lines) > self.rows:
            kinds: dict[str, list[str]] = {}
            for name in names:
                kinds.setdefault(kind_of(name), []).append(name)
            lines = [(k if len(m) == 1 else f"{k} × {len(m)}", colours[m[0]]) for k, m in kinds.items()]
        if len(lines) > self.rows:
            more = len(lines) - self.rows + 1
            lines = [*lines[: self.rows - 1], (f"and {more} more", pair("surface"))]
        width = min(_KEY_WIDTH, 34 + 7 * max((len(text) for text, _ in lines), default=0))
        if self.figure.width != width:
            self.figure.width, self.figure.x_range.end = width, width
        self.source.data = {
            "y": [float(i) for i in range(len(lines))],
            "text": [plain(text, 22) for text, _ in lines],
            **painted("fill", [fill for _, fill in lines]),
        }


def _fitting(tables: Tables, resource: str) -> tuple[Stack, list[tuple[list[float], list[float]]]]:
    """The stack, as fine as its outlines stay within `POINTS` vertices."""
    values = 4 * POINTS
    while True:
        stack = tables.utilization(resource, values)
        areas = outlines(stack)
        if values <= 2 or sum(len(xs) for xs, _ in areas) <= POINTS:
            return stack, areas
        values //= 2


def outlines(stack: Stack) -> list[tuple[list[float], list[float]]]:
    """For each layer the outline of its area on top of the layers below; NaN separates its pieces."""
    below = [0.0] * max(0, len(stack.edges) - 1)
    out = []
    for layer in stack.layers:
        above = [b + v for b, v in zip(below, layer.values, strict=True)]
        out.append(_between(stack.edges, below, above))
        below = above
    return out


def idle_area(stack: Stack, capacity: Stack) -> tuple[list[float], list[float]]:
    """Outline of what lies between the stack and the capacity."""
    if not capacity.edges:
        return [], []
    edges = sorted({*stack.edges, *capacity.edges})
    used = _resample(stack.edges, stack.total(), edges)
    offered = _resample(capacity.edges, capacity.total(), edges)
    return _between(edges, used, [max(u, o) for u, o in zip(used, offered, strict=True)])


def _resample(edges: tuple[float, ...], values: tuple[float, ...], onto: list[float]) -> list[float]:
    """Values of a step function in the steps of finer edges; 0 outside."""
    out, i = [], 0
    for left in onto[:-1]:
        while i < len(values) and edges[i + 1] <= left:
            i += 1
        out.append(values[i] if i < len(values) and edges[i] <= left else 0.0)
    return out


def _between(
    edges: tuple[float, ...] | list[float], below: list[float], above: list[float]
) -> tuple[list[float], list[float]]:
    """Outline of the area between two step functions, one polygon for each stretch where they differ."""
    xs: list[float] = []
    ys: list[float] = []
    start: int | None = None
    for i in range(len(below) + 1):
        open_here = i < len(below) and above[i] - below[i] > 1e-9 * (1.0 + abs(above[i]))
        if open_here and start is None:
            start = i
        elif not open_here and start is not None:
            top = _steps(edges[start : i + 1], above[start:i])
            bottom = _steps(edges[start : i + 1], below[start:i])
            if xs:
                xs.append(nan)
                ys.append(nan)
            xs += [*top[0], *reversed(bottom[0])]
            ys += [*top[1], *reversed(bottom[1])]
            start = None
    return [round(x, 4) for x in xs], [round(y, 3) for y in ys]


def _steps(
    edges: tuple[float, ...] | list[float], values: tuple[float, ...] | list[float]
) -> tuple[list[float], list[float]]:
    """Vertices of a step line; points along a level that does not change are left out."""
    xs: list[float] = []
    ys: list[float] = []
    for (left, right), value in zip(pairwise(edges), values, strict=True):
        if ys and ys[-1] == value:
            xs[-1] = right
        else:
            xs += [left, right]
            ys += [value, value]
    return xs, ys
