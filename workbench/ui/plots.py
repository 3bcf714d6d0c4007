"""What the figures have in common: frames, headlines, and the one way in which text enters a plot.

Text goes to Bokeh as data of text glyphs, as factors or as values of tooltips, all of which it draws as plain text or
escapes. What is left is its habit of reading ``$$ .. $$``, ``\\[ .. \\]`` and ``\\( .. \\)`` as mathematics: `plain`
takes that away.
"""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, DataRange1d, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from .palette import Theme

LEFT = 68
RIGHT = 16
_JOINER = "\u2060"  # takes no room, and lies between the signs that would start a formula


def plain(text: str, limit: int = 0) -> str:
    """`text` as Bokeh will draw it letter for letter: one line, no formulas, at most `limit` characters (0: any)."""
    line = "".join(c if c.isprintable() else " " for c in text)
    if limit and len(line) > limit:
        line = line[: limit - 1] + "…"
    return line.replace("$", f"${_JOINER}").replace("\\", f"\\{_JOINER}")


def seconds(value: float) -> str:
    """``"1 235 s"``, ``"12.3 s"``, ``"0.0421 s"``; thousands are set apart by a thin space."""
    return f"{number(value)} s"


def number(value: float) -> str:
    """At least three digits that mean something, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", "\u2009")
    return f"{value:.3g}"


def percent(fraction: float) -> str:
    """``"78 %"``; a little more than nothing is not 0 %, a little less than all is not 100 %."""
    rounded = round(100 * fraction)
    if rounded == 0 and fraction > 0:
        return "< 1 %"
    if rounded == 100 and fraction < 1:
        return "> 99 %"
    return f"{rounded} %"


def frame(theme: Theme, height: int, **options: Any) -> figure:
    """An empty figure in the project's look: no toolbar, quiet axes, ranges that follow the data from zero."""
    options.setdefault("x_range", DataRange1d(start=0, range_padding=0.0, default_span=1.0))
    options.setdefault("y_range", DataRange1d(start=0, range_padding=0.05, default_span=1.0))
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        background_fill_color=theme.surface,
        border_fill_color=theme.surface,
        outline_line_color=None,
        min_border_left=LEFT,
        min_border_right=RIGHT,
        min_border_top=4,
        min_border_bottom=8,
        output_backend="canvas",
        **options,
    )
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = theme.grid
    for axis in plot.axis:
        axis.axis_line_color = theme.border
        axis.major_tick_line_color = None
        axis.minor_tick_line_color = None
        axis.major_label_text_color = theme.muted
        axis.major_label_text_font = theme.font
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_color = theme.muted
        axis.axis_label_text_font = theme.font
        axis.axis_label_text_font_size = "11px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 8
    return plot


def thousands(axis: Any) -> None:
    """Write an axis' numbers out, without exponents."""
    axis.formatter = NumeralTickFormatter(format="0,0.[00]")


class Headline:
    """A line above a figure: its title at the left, what it comes to at the right."""

    def __init__(self, theme: Theme, title: str, left: int = LEFT) -> None:
        self.source = ColumnDataSource({"text": [""]})
        self.figure = bare(theme, 30, x_range=Range1d(0, 1), y_range=Range1d(0, 1), left=left)
        font = {"text_font": theme.font, "text_baseline": "middle", "y": 0.5}
        self.figure.text(x=0, text=[title], text_font_size="14px", text_font_style="bold", text_color=theme.ink, **font)
        self.figure.text(
            x=1,
            text="text",
            source=self.source,
            text_align="right",
            text_font_size="12px",
            text_color=theme.muted,
            **font,
        )

    def say(self, text: str) -> None:
        if self.source.data["text"] != [text]:
            self.source.data = {"text": [text]}


def bare(theme: Theme, height: int, *, left: int = 0, **options: Any) -> figure:
    """A figure without axes, for text and keys."""
    plot = frame(theme, height, **options)
    plot.axis.visible = False
    plot.grid.visible = False
    plot.min_border_left = left
    plot.min_border_top = plot.min_border_bottom = 0
    return plot


def on(colour: str) -> str:
    """Black or white, whichever can be read on `colour`."""
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (r, g, b)]
    luminance = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return "#10151a" if luminance > 0.2 else "#ffffff"
