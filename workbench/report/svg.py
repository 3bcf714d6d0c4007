"""The campaign's graph, collapsed by task set, as a drawing that needs no script.

The cards are those of the live view. Everything is built as elements, never as markup, so that no name can become
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot
from xml.etree import ElementTree as ET

from workbench.model.states import TaskState

from .history import estimate, resources
from .layered import Layout, Point, Sizes, arrange
from .rows import STATE_ORDER, EdgeRow, SetRow

CARD_W, CARD_H = 216, 96


def dag(sets: Sequence[SetRow], edges: Sequence[EdgeRow]) -> ET.Element:
    """The drawing as an ``svg`` element. Colours come from the page: classes ``s-STATE``, and ``swatch-I`` by set."""
    pairs = [(e.src, e.dst) for e in edges]
    plan = arrange({s.name: s.rank for s in sets}, pairs, Sizes((CARD_W, CARD_H)))
    pad = 6
    w, h = plan.width + 2 * pad, plan.height + 2 * pad
    root = ET.Element(
        "svg",
        {
            "class": "dag",
            "viewBox": f"{-pad} {-pad} {w:.0f} {h:.0f}",
            "width": f"{w:.0f}",
            "height": f"{h:.0f}",
            "role": "img",
            "aria-label": f"Graph of {len(sets)} task sets and {len(edges)} dependencies",
        },
    )
    lines = ET.SubElement(root, "g", {"class": "edges"})
    for e in edges:
        if e.src in plan.places and e.dst in plan.places:
            _edge(lines, plan, e)
    for i, s in enumerate(sets):
        _card(root, s, i, *plan.places[s.name])
    return root


def _edge(parent: ET.Element, plan: Layout, edge: EdgeRow) -> None:
    (x0, y0), (x1, y1) = plan.places[edge.src], plan.places[edge.dst]
    if plan.upright:
        points = [(x0 + CARD_W / 2, y0 + CARD_H), *plan.bends.get((edge.src, edge.dst), []), (x1 + CARD_W / 2, y1 - 7)]
    else:
        points = [(x0 + CARD_W, y0 + CARD_H / 2), *plan.bends.get((edge.src, edge.dst), []), (x1 - 7, y1 + CARD_H / 2)]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    corners = plan.folded.get((edge.src, edge.dst))
    if corners:
        path += _rounded([points[0], *corners, points[-1]])
    x, y = points[-1]
    for (ax, ay), (bx, by) in () if corners else pairwise(points):
        if plan.upright:
            mid = (ay + by) / 2
            path += f" C{ax:.1f} {mid:.1f} {bx:.1f} {mid:.1f} {bx:.1f} {by:.1f}"
        else:
            mid = (ax + bx) / 2
            path += f" C{mid:.1f} {ay:.1f} {mid:.1f} {by:.1f} {bx:.1f} {by:.1f}"
    group = ET.SubElement(parent, "g", {"class": "part" if edge.part else edge.kind})
    ET.SubElement(group, "path", {"class": "edge", "d": path})
    tip = f"M{x:.1f} {y + 7:.1f} l-4.5 -8 h9 Z" if plan.upright else f"M{x + 7:.1f} {y:.1f} l-8 -4.5 v9 Z"
    ET.SubElement(group, "path", {"class": "tip", "d": tip})
    said = ET.SubElement(group, "title")
    how = {"each": ", the i-th task for the i-th"}.get(edge.kind, "")
    said.text = f"{edge.dst} waits for {edge.src}{how}{', single tasks only' if edge.part else ''}"


def _rounded(points: list[Point]) -> str:
    """A way of straight lines with round corners, from the first point on."""
    path = ""
    for (ax, ay), (bx, by), (cx, cy) in zip(points, points[1:], points[2:], strict=False):
        before, after = hypot(bx - ax, by - ay), hypot(cx - bx, cy - by)
        r = min(8.0, before / 2, after / 2)
        if r > 0:
            path += f" L{bx + (ax - bx) * r / before:.1f} {by + (ay - by) * r / before:.1f}"
            path += f" Q{bx:.1f} {by:.1f} {bx + (cx - bx) * r / after:.1f} {by + (cy - by) * r / after:.1f}"
    return path + f" L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _card(parent: ET.Element, s: SetRow, index: int, x: float, y: float) -> None:
    mood = _mood(s)
    card = ET.SubElement(parent, "g", {"class": f"card {mood}", "transform": f"translate({x:.1f} {y:.1f})"})
    ET.SubElement(card, "title").text = _sentence(s)
    ET.SubElement(card, "rect", {"class": "box", "width": str(CARD_W), "height": str(CARD_H), "rx": "8"})
    swatch = {"class": f"swatch-{index}", "x": "12", "y": "14", "width": "10", "height": "10", "rx": "3"}
    ET.SubElement(card, "rect", swatch)
    _text(card, "name", 30, 24, s.name, 19)
    _text(card, "soft end", CARD_W - 12, 24, f"× {s.n}")
    at, room = 12.0, CARD_W - 24.0
    for state in STATE_ORDER:
        n = s.counts.get(state, 0)
        if n and s.n:
            width = room * n / s.n
            bar = {"class": f"s-{state.value}", "x": f"{at:.2f}", "y": "35", "width": f"{width:.2f}", "height": "7"}
            ET.SubElement(card, "rect", bar)
            at += width
    _text(card, "small", 12, 62, _tally(s), 30)
    took = f"⌀ {s.mean_s:.4g} s" if s.mean_s is not None else f"~ {estimate(s.estimate)}" if s.estimate else "TX ?"
    _text(card, "small soft", 12, 82, resources(s.resources).replace(", ", " · "), 20)
    _text(card, "small soft end", CARD_W - 12, 82, took, 16)


def _text(parent: ET.Element, kind: str, x: float, y: float, text: str, limit: int = 0) -> None:
    shown = text if not limit or len(text) <= limit else text[: limit - 1] + "…"
    ET.SubElement(parent, "text", {"class": kind, "x": f"{x:.0f}", "y": f"{y:.0f}"}).text = shown


def _tally(s: SetRow) -> str:
    parts = [f"{s.counts[state]} {state.value}" for state in STATE_ORDER if s.counts.get(state)]
    return " · ".join(parts) or "no tasks"


def _sentence(s: SetRow) -> str:
    return f"{s.name}: {s.n} {'task' if s.n == 1 else 'tasks'}, {_tally(s)}; each {resources(s.resources)}"


def _mood(s: SetRow) -> str:
    """What the whole set is doing; `failed` and `held` only when that is true of the set, not of one task in it."""
    failed, c = s.counts.get(TaskState.failed, 0), s.counts
    if not s.n:
        return "idle"
    if failed * 2 >= s.n or (failed and s.ended == s.n and not s.done):
        return "failed"
    if s.ended == s.n:
        return "stopped" if 2 * (c.get(TaskState.cancelled, 0) + c.get(TaskState.skipped, 0)) >= s.n else "done"
    if any(c.get(state) for state in (TaskState.running, TaskState.assigned, TaskState.cancelling)):
        return "active"
    if c.get(TaskState.held) and not (c.get(TaskState.ready) or c.get(TaskState.waiting)):
        return "held"
    return "idle"
