"""How far each task set has come: its tasks by state, as one bar."""

from __future__ import annotations

from typing import NamedTuple

from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.plotting import figure

from workbench.model.states import TaskState
from workbench.report.foretold import Band, finishes, joint
from workbench.report.rows import STATE_ORDER, SetRow
from workbench.report.tables import Tables

from .course import between
from .palette import Theme, glyph, kind_of, pair, theme
from .plots import Headline, bar_frame, bare, face, number, on, paint, painted, percent, plain, seconds

_LEFT = 124
_ROW = 27
_WIDE = 1.48  # bars are 1: beside them there is room for what has come of the tasks
_KEY_WIDTH = 420  # about as many pixels as the figure has where it is narrow


class Line(NamedTuple):
    """One bar: its name, what it stands for, and when the last of that should end."""

    name: str
    members: list[SetRow]
    counts: dict[TaskState, int]
    band: Band | None


class ProgressView:
    """One bar for each set, and a key of the states that occur.

    Parameters
    ----------
    of : str or Theme
        ``"light"``, ``"dark"``, or a theme.
    rows : int, optional
        Bars at most. Where there are more sets, those of one kind share a bar; where there are still more, the
        last bar stands for the rest.

    Attributes
    ----------
    figure : bokeh layout
        Put it into a document.
    """

    def __init__(self, of: str | Theme, rows: int = 16) -> None:
        look = self.theme = theme(of) if isinstance(of, str) else of
        self.rows = rows
        self.head = Headline(look, "Progress", _LEFT)
        self.bars = ColumnDataSource(
            {key: [] for key in ("name", "left", "right", "state", "n", "ends", "text", "mid")}
            | painted("fill", [])
            | painted("ink", [])
        )
        self.ends = ColumnDataSource({"name": [], "text": [], **painted("ink", [])})
        self.key = ColumnDataSource({"x": [], "text": [], **painted("fill", [])})
        self._names = FactorRange(factors=[])
        self._bars = self._make_bars(look)
        self._key = self._make_key(look)
        self.figure = column(self.head.figure, self._bars, self._key, sizing_mode="stretch_width")

    @property
    def sources(self) -> list[ColumnDataSource]:
        """Every data source that `update` writes to."""
        return [self.head.source, self.bars, self.ends, self.key]

    def _make_bars(self, look: Theme) -> figure:
        plot = bar_frame(look, 60, _LEFT, self._names, _WIDE)
        font = {"text_font": face(look), "text_baseline": "middle"}
        drawn = plot.hbar(
            y="name",
            left="left",
            right="right",
            height=0.66,
            source=self.bars,
            fill_color=paint("fill", look),
            line_color=look.surface,
            line_width=0.8,
        )
        plot.text(
            "mid",
            "name",
            text="text",
            source=self.bars,
            text_align="center",
            text_color=paint("ink", look),
            text_font_size="11px",
            **font,
        )
        plot.text(
            1.0,
            "name",
            text="text",
            source=self.ends,
            x_offset=10,
            text_color=paint("ink", look),
            text_font_size="12px",
            **font,
        )
        tips = [("set", "@name"), ("state", "@state"), ("tasks", "@n"), ("set ends", "@ends")]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
        return plot

    def _make_key(self, look: Theme) -> figure:
        plot = bare(look, 28, left=_LEFT, x_range=Range1d(0, _KEY_WIDTH), y_range=Range1d(0, 1))
        plot.scatter(
            "x", 0.5, marker="square", size=10, source=self.key, fill_color=paint("fill", look), line_color=None
        )
        plot.text(
            "x",
            0.5,
            text="text",
            x_offset=10,
            source=self.key,
            text_baseline="middle",
            text_color=look.muted,
            text_font=face(look),
            text_font_size="11px",
        )
        return plot

    def update(self, tables: Tables) -> None:
        """Show the tables as they are."""
        whole = tables.progress()
        told = finishes(tables)
        lines = [Line(n, m, summed(m), joint(m, told)) for n, m in grouped(tables.sets, self.rows)]
        text = f"{number(whole.ended)} of {number(whole.total)} tasks  ·  {percent(whole.fraction)}"
        text += "  ·  ~ end (P50)" if any(line.band for line in lines) else ""
        self.head.say(text if whole.total else "nothing declared yet")
        names = [line.name for line in reversed(lines)]
        if self._names.factors != names:
            self._names.factors = names
            self._bars.height = max(1, len(names)) * _ROW + 12
        self.bars.data = self._segments(lines)
        self.ends.data = {
            "name": [line.name for line in lines],
            "text": [_end(line.counts, line.band) for line in lines],
            **painted("ink", [pair("danger" if x.counts.get(TaskState.failed) else "muted") for x in lines]),
        }
        self._update_key([s for s in STATE_ORDER if whole.counts.get(s)])

    def _segments(self, lines: list[Line]) -> dict[str, list[object]]:
        data: dict[str, list[object]] = {key: [] for key in self.bars.data}
        for line in lines:
            name, counts, ends = line.name, line.counts, _ends(line.members, line.band)
            total = sum(counts.values())
            if not total:
                continue
            at = 0
            for state in STATE_ORDER:
                n = counts.get(state, 0)
                if not n:
                    continue
                fill = pair(f"states.{state.value}")
                left, right = at / total, (at + n) / total
                at += n
                written = str(n)
                values = {
                    "name": name,
                    "left": left,
                    "right": right,
                    "state": state.value,
                    "n": n,
                    "ends": ends,
                    # A number that would touch the edges of its segment is left to the tooltip.
                    "text": written if right - left > 0.025 * (len(written) + 1) else "",
                    "mid": (left + right) / 2,
                }
                both = painted("fill", [fill]) | painted("ink", [(on(fill[0]), on(fill[1]))])
                for key, value in (values | {k: v[0] for k, v in both.items()}).items():
                    data[key].append(value)
        return data

    def _update_key(self, states: list[TaskState]) -> None:
        x, at = 6.0, []
        texts = [f"{glyph(s.value)} {s.value}" for s in states]
        for text in texts:
            at.append(x)
            x += 34 + 6.4 * len(text)
        shrink = min(1.0, _KEY_WIDTH / x)
        data = {
            "x": [v * shrink for v in at],
            "text": texts,
            **painted("fill", [pair(f"states.{s.value}") for s in states]),
        }
        if self.key.data != data:
            self.key.data = data


def grouped(sets: list[SetRow], rows: int) -> list[tuple[str, list[SetRow]]]:
    """Names and sets of at most `rows` bars; every set is in exactly one of them."""
    lines = [(plain(s.name, 20), [s]) for s in sets]
    if len(lines) > rows:
        kinds: dict[str, list[SetRow]] = {}
        for s in sets:
            kinds.setdefault(kind_of(s.name), []).append(s)
        lines = [(plain(k if len(m) == 1 else f"{k} × {len(m)}", 20), m) for k, m in kinds.items()]
    if len(lines) > rows:
        rest = [s for _, members in lines[rows - 1 :] for s in members]
        lines = [*lines[: rows - 1], (f"{len(rest)} more sets", rest)]
    out: dict[str, list[SetRow]] = {}
    for name, members in lines:
        unique, again = name, 2
        while unique in out:  # long names may be equal once they are cut
            unique, again = f"{name} ({again})", again + 1
        out[unique] = members
    return list(out.items())


def summed(members: list[SetRow]) -> dict[TaskState, int]:
    """Tasks of several sets by state."""
    counts: dict[TaskState, int] = {}
    for s in members:
        for state, n in s.counts.items():
            counts[state] = counts.get(state, 0) + n
    return counts


def _end(counts: dict[TaskState, int], band: Band | None) -> str:
    """What stands behind a bar: how many are done, and what went wrong or else when the rest should be."""
    total = sum(counts.values())
    failed = counts.get(TaskState.failed, 0)
    text = f"{number(counts.get(TaskState.done, 0))} / {number(total)}"
    if failed:
        return f"{text}  {glyph('failed')} {failed} failed"
    return f"{text}  ~ {seconds(band[1])}" if band else text


def _ends(members: list[SetRow], band: Band | None) -> str:
    """When the last of the sets ends or ended, for a tooltip."""
    if band is not None:
        return f"predicted {seconds(band[1])} (P10\u2013P90 {between(band[0], band[2])})"
    known = [m.last_end for m in members if m.last_end is not None and m.ended == m.n]
    return f"at {seconds(max(known))}" if known and len(known) == len(members) else "not known yet"
