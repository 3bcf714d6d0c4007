"""Colours, for every view in Python; the TypeScript side reads the same `palette.json`.

The hues are those of Okabe and Ito, which readers with any common kind of colour blindness can tell apart. A state
never speaks by colour alone: it has a glyph too. Task sets get hues by kind and shades by iteration, so that
``sim-0``, ``sim-1`` and ``sim-2`` look like one family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from workbench.report.series import OTHER

THEMES = ("light", "dark")

_ITERATION = (
    re.compile(r"(?P<kind>.+?)(?:[-_.](?:it|iter|iteration|round|gen|r))?[-_.]\d+"),  # sim-0, sim_iter.3, infer-1
    re.compile(r"(?P<kind>[A-Za-z_.\-]{3,}?)\d+"),  # sim0, but not T0: there each number is a kind of its own
    re.compile(r"(?:it|iter|iteration|round|gen|chain|pipeline)[-_.]?\d+[-_.](?P<kind>.+)"),  # iter0.sim
)


class Theme(msgspec.Struct, frozen=True):
    """Colours of one theme, as ``#rrggbb``.

    Attributes
    ----------
    name : str
        ``"light"`` or ``"dark"``.
    surface, panel, ink, muted, grid, border : str
        Page, raised areas, text, secondary text, grid lines, outlines.
    idle, hatch, capacity : str
        Slots that nobody uses, the pattern over them, and the line above them.
    accent, predicted, bound, danger : str
        What is measured, what is predicted, what is the theoretical limit, what went wrong.
    states : dict
        By name of the task state.
    sets : tuple of tuple of str
        Families of shades.
    """

    name: str
    surface: str
    panel: str
    ink: str
    muted: str
    grid: str
    border: str
    idle: str
    hatch: str
    capacity: str
    accent: str
    predicted: str
    bound: str
    danger: str
    states: dict[str, str]
    sets: tuple[tuple[str, ...], ...]
    font: str


@cache
def _data() -> dict[str, Any]:
    text = resources.files("workbench.ui").joinpath("palette.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def theme(name: str) -> Theme:
    """The colours of ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        If there is no such theme.
    """
    if name not in THEMES:
        raise ValueError(f"there is no theme {name!r}; use one of {', '.join(THEMES)}")
    data = _data()
    return msgspec.convert({"name": name, "font": data["font"], **data[name]}, Theme)


def glyph(state: str) -> str:
    """The sign that stands beside a state's colour."""
    return str(_data()["glyphs"][state])


def kind_of(name: str) -> str:
    """The kind of which a set is one iteration: ``"sim"`` for ``"sim-0"``; the name itself where it is none."""
    for pattern in _ITERATION:
        found = pattern.fullmatch(name)
        if found:
            return found["kind"]
    return name


def pair(role: str) -> tuple[str, str]:
    """A role's colours in the light and the dark theme: ``"ink"``, or ``"states.done"``."""
    name, _, state = role.partition(".")
    found = [getattr(theme(t), name) for t in THEMES]
    light, dark = (f[state] for f in found) if state else found
    return str(light), str(dark)


class SetColours:
    """Gives each task set a colour, and the same one for as long as it lives.

    Kinds take hues in the order in which they come; iterations of a kind take its shades in turn.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[int, list[str]]] = {}
        self._given: dict[str, tuple[int, int]] = {}

    def __getitem__(self, name: str) -> tuple[str, str]:
        """The set's colours in the light and the dark theme; grey for what a stack shows as `OTHER`."""
        if name == OTHER:
            return pair("muted")
        if name not in self._given:
            kind, members = self._kinds.setdefault(kind_of(name), (len(self._kinds), []))
            # Where hues come round again, the shades start further on.
            self._given[name] = (kind, len(members) + kind // len(theme("light").sets))
            members.append(name)
        kind, shade = self._given[name]
        families = [theme(t).sets[kind % len(theme(t).sets)] for t in THEMES]
        light, dark = (f[shade % len(f)] for f in families)
        return light, dark


def set_colours(names: Iterable[str], of: str | Theme) -> dict[str, str]:
    """Colours of sets, given in order of declaration, in one theme."""
    which = THEMES.index(of if isinstance(of, str) else of.name)
    colours = SetColours()
    return {name: colours[name][which] for name in names}
