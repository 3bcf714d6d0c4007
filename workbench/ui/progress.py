"""How far each task set has come: its tasks by state, as one bar."""

from __future__ import annotations

from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.plotting import figure

from workbench.model.states import TaskState
from workbench.report.rows import SetRow
from workbench.report.tables import Tables

from .palette import Theme, glyph, kind_of, pair, theme
from .plots import Headline, bar_frame, bare, face, number, on, paint, painted, percent, plain

_LEFT = 124
_ROW = 27
_KEY_WIDTH = 420  # about as many pixels as the figure has where it is narrow
# From what is settled to what is yet to come, so that a bar fills from the left.
ORDER = (
    TaskState.done,
    TaskState.failed,
    TaskState.cancelled,
    TaskState.skipped,
    TaskState.cancelling,
    TaskState.running,
    TaskState.assigned,
    TaskState.ready,
    TaskState.held,
    TaskState.waiting,
)


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
            {key: [] for key in ("name", "left", "right", "state", "n", "text", "mid")}
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
        plot = bar_frame(look, 60, _LEFT, self._names, 1.3)
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
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("set", "@name"), ("state", "@state"), ("tasks", "@n")]))
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
        text = f"{number(whole.ended)} of {number(whole.total)} tasks  ·  {percent(whole.fraction)}"
        self.head.say(text if whole.total else "nothing declared yet")
        lines = summarize(tables.sets, self.rows)
        names = [name for name, _ in reversed(lines)]
        if self._names.factors != names:
            self._names.factors = names
            self._bars.height = max(1, len(names)) * _ROW + 12
        self.bars.data = self._segments(lines)
        self.ends.data = {
            "name": [name for name, _ in lines],
            "text": [_end(counts) for _, counts in lines],
            **painted("ink", [pair("danger" if c.get(TaskState.failed) else "muted") for _, c in lines]),
        }
        self._update_key([s for s in ORDER if whole.counts.get(s)])

    def _segments(self, lines: list[tuple[str, dict[TaskState, int]]]) -> dict[str, list[object]]:
        data: dict[str, list[object]] = {key: [] for key in self.bars.data}
        for name, counts in lines:
            total = sum(counts.values())
            if not total:
                continue
            at = 0
            for state in ORDER:
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


def summarize(sets: list[SetRow], rows: int) -> list[tuple[str, dict[TaskState, int]]]:
    """Names and counts of at most `rows` bars; every task is in exactly one of them."""
    lines = [(plain(s.name, 20), [s]) for s in sets]
    if len(lines) > rows:
        kinds: dict[str, list[SetRow]] = {}
        for s in sets:
            kinds.setdefault(kind_of(s.name), []).append(s)
        lines = [(plain(k if len(m) == 1 else f"{k} × {len(m)}", 20), m) for k, m in kinds.items()]
    if len(lines) > rows:
        rest = [s for _, members in lines[rows - 1 :] for s in members]
        lines = [*lines[: rows - 1], (f"{len(rest)} more sets", rest)]
    out: dict[str, dict[TaskState, int]] = {}
    for name, members in lines:
        unique, again = name, 2
        while unique in out:  # long names may be equal once they are cut
            unique, again = f"{name} ({again})", again + 1
        counts = out[unique] = {}
        for s in members:
            for state, n in s.counts.items():
                counts[state] = counts.get(state, 0) + n
    return list(out.items())


def _end(counts: dict[TaskState, int]) -> str:
    total = sum(counts.values())
    failed = counts.get(TaskState.failed, 0)
    text = f"{number(counts.get(TaskState.done, 0))} / {number(total)}"
    return f"{text}  {glyph('failed')} {failed} failed" if failed else text
