"""What the figures have in common: frames, headlines, and the one way in which text enters a plot.

Text goes to Bokeh as data of text glyphs, as factors or as values of tooltips, all of which it draws as plain text or
escapes. What is left is its habit of reading ``$$ .. $$``, ``\\[ .. \\]`` and ``\\( .. \\)`` as mathematics: `plain`
takes that away.

Colours follow the theme of the page without Python: data carry each colour twice, in the columns ``NAME_light`` and
``NAME_dark`` (`painted`), and every model of a view made by `themed` has a tag that says what its properties are in
either theme, ``{"light": {property: value}, "dark": {...}}``. A page applies the one or the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from bokeh.core.properties import value
from bokeh.models import BasicTickFormatter, ColumnDataSource, DataRange1d, FactorRange, Range1d
from bokeh.plotting import figure

from .palette import THEMES, Theme, theme

LEFT = 68
RIGHT = 16
_JOINER = "\u2060"  # takes no room, and lies between the signs that would start a formula


def plain(text: str, limit: int = 0) -> str:
    """`text` as Bokeh will draw it letter for letter: one line, no formulas, at most `limit` characters (0: any)."""
    line = "".join(c if c.isprintable() else " " for c in text)
    if limit and len(line) > limit:
        line = line[: limit - 1] + "…"
    return line.replace("$", f"${_JOINER}").replace("\\", f"\\{_JOINER}")


def seconds(s: float) -> str:
    """``"1 235 s"``, ``"12.3 s"``, ``"0.0421 s"``; thousands are set apart by a narrow space."""
    return f"{number(s)} s"


def number(x: float) -> str:
    """At least three digits that mean something, thousands set apart."""
    if abs(x) >= 100:
        return f"{x:,.0f}".replace(",", "\u202f")
    return f"{x:.3g}"


def percent(fraction: float) -> str:
    """``"78 %"``; a little more than nothing is not 0 %, a little less than all is not 100 %."""
    rounded = round(100 * fraction)
    if rounded == 0 and fraction > 0:
        return "< 1 %"
    if rounded == 100 and fraction < 1:
        return "> 99 %"
    return f"{rounded} %"


def frame(look: Theme, height: int, **options: Any) -> figure:
    """An empty figure in the project's look: no toolbar, quiet axes, ranges that follow the data from zero."""
    options.setdefault("x_range", DataRange1d(start=0, range_padding=0.0, default_span=1.0))
    options.setdefault("y_range", DataRange1d(start=0, range_padding=0.05, default_span=1.0))
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        background_fill_color=look.surface,
        border_fill_color=look.surface,
        outline_line_color=None,
        min_border_left=LEFT,
        min_border_right=RIGHT,
        min_border_top=4,
        min_border_bottom=8,
        output_backend="canvas",
        **options,
    )
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = look.grid
    for axis in plot.axis:
        axis.axis_line_color = look.border
        axis.major_tick_line_color = None
        axis.minor_tick_line_color = None
        axis.major_label_text_color = look.muted
        axis.major_label_text_font = look.font
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_color = look.muted
        axis.axis_label_text_font = look.font
        axis.axis_label_text_font_size = "11px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_standoff = 8
    return plot


def bar_frame(look: Theme, height: int, left: int, names: FactorRange, end: float) -> figure:
    """An empty figure for horizontal bars: their names in `left` pixels beside it, and no axis for 0 to `end`."""
    plot = frame(look, height, y_range=names, x_range=Range1d(0, end))
    plot.min_border_left = left
    plot.ygrid.grid_line_color = None
    plot.xaxis.visible = False
    plot.yaxis.axis_line_color = None
    plot.yaxis.major_label_text_color = look.ink
    plot.yaxis.major_label_text_font_size = "12px"
    return plot


def face(look: Theme) -> Any:
    """The theme's fonts for a text glyph, which would take a bare name for a column."""
    return value(look.font)


def thousands(axis: Any) -> None:
    """Write an axis' numbers out, without exponents."""
    axis.formatter = BasicTickFormatter(use_scientific=False)


class Headline:
    """A line above a figure: its title at the left, what it comes to at the right."""

    def __init__(self, look: Theme, title: str, left: int = LEFT) -> None:
        self.source = ColumnDataSource({"text": [""]})
        self.figure = bare(look, 30, x_range=Range1d(0, 1), y_range=Range1d(0, 1), left=left)
        font = {"text_font": face(look), "text_baseline": "middle", "y": 0.5}
        self.figure.text(x=0, text=[title], text_font_size="14px", text_font_style="bold", text_color=look.ink, **font)
        self.figure.text(
            x=1,
            text="text",
            source=self.source,
            text_align="right",
            text_font_size="12px",
            text_color=look.muted,
            **font,
        )

    def say(self, text: str) -> None:
        if self.source.data["text"] != [text]:
            self.source.data = {"text": [text]}


def bare(look: Theme, height: int, *, left: int = 0, **options: Any) -> figure:
    """A figure without axes, for text and keys."""
    plot = frame(look, height, **options)
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


def painted(name: str, colours: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Two columns of colours, one for each theme."""
    return {f"{name}_{t}": [c[i] for c in colours] for i, t in enumerate(THEMES)}


def paint(name: str, look: Theme) -> str:
    """The column of `painted` that belongs to a theme."""
    return f"{name}_{look.name}"


View = TypeVar("View")


class Shade(str):
    """A colour of the light theme that knows its counterpart in the dark one."""

    __slots__ = ("dark",)
    dark: str

    @classmethod
    def of(cls, light: str, dark: str) -> Shade:
        made = cls(light.upper())  # Bokeh keeps nothing that equals a default, and its defaults are in small letters
        made.dark = dark
        return made


@cache
def _shades() -> Theme:
    """The light theme with every colour that a model may take as a `Shade`."""
    light, dark = (msgspec.structs.asdict(theme(t)) for t in THEMES)
    both = {role: Shade.of(c, dark[role]) for role, c in light.items() if isinstance(c, str) and c.startswith("#")}
    return msgspec.structs.replace(theme("light"), **both)


def themed(make: Callable[[Theme], View]) -> View:
    """A light view whose models carry tags with their properties in both themes.

    The view is made once: its colours are `Shade`, and its columns of colours have names that end in the theme's.

    Parameters
    ----------
    make : callable
        Makes a view (something with a `figure`) of the given theme; it takes the theme's colours as they are.
    """
    view = make(_shades())
    for model in view.figure.references():  # type: ignore[attr-defined]
        light: dict[str, Any] = {}
        dark: dict[str, Any] = {}
        for name in _colours_of(cast(Hashable, type(model))):
            found = getattr(model, name)
            if isinstance(found, Shade):
                light[name], dark[name] = found.lower(), found.dark
            elif isinstance(found, str) and found.endswith("_light"):
                light[name], dark[name] = {"field": found}, {"field": found.removesuffix("light") + "dark"}
        if light:
            model.tags = [*model.tags, {"light": light, "dark": dark}]
    return view


@cache
def _colours_of(kind: Hashable) -> tuple[str, ...]:
    """Names of a Bokeh class's properties that are colours."""
    return tuple(name for name in kind.properties() if "color" in name)  # type: ignore[attr-defined]
