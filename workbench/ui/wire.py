"""What travels to the browser: plain JSON values made from the tables. The other end is ``extensions/src/protocol.ts``.

Topology and status are apart, because the one changes rarely and the other all the time. Counts are absolute, so that
a message that is lost is healed by the next. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench.model.states import TaskState
from workbench.report.foretold import TERMS, chosen, scored
from workbench.report.rows import STATE_ORDER, ChoiceRow, SetRow
from workbench.report.tables import Tables

from .collapse import MOST_CARDS, Collapsed, collapse
from .palette import SetColours

_OTHERS = 8
Row = list[Any]
"""``[id, counts, rate, mean]`` of one card."""


def counts_of(counts: Mapping[TaskState, int]) -> list[int]:
    """Numbers of tasks in the order of `STATE_ORDER`."""
    return [counts.get(state, 0) for state in STATE_ORDER]


def finite(value: float | None, digits: int = 4) -> float | None:
    """A number with that many significant digits, or None for what JSON does not know."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


class Board:
    """The task graph as the browser last saw it; gives what has changed since.

    Parameters
    ----------
    most : int
        Cards that a view can show; larger graphs are grouped.
    """

    def __init__(self, most: int = MOST_CARDS) -> None:
        self.graph: dict[str, Any] = {"rev": 0, "sets": [], "edges": [], "note": ""}
        self.rows: dict[str, Row] = {}
        self.seq = -1
        self._most = most
        self._colours = SetColours()  # the same as in the figures
        self._drawn: tuple[object, ...] = ()
        self._collapsed = Collapsed((), (), "")

    def update(self, tables: Tables) -> tuple[bool, list[Row]]:
        """Take the tables in.

        Returns
        -------
        changed, rows : bool, list
            Whether the topology (or what a card says of its set) changed, and the rows that did.
        """
        sets = tables.sets
        changed = self._topology(tables, sets)
        by_name = {row.name: row for row in sets}
        rows = {group.id: _row(group.id, [by_name[m] for m in group.members]) for group in self._collapsed.groups}
        news = [row for id, row in rows.items() if self.rows.get(id) != row]
        self.rows = rows
        self.seq = tables.next_seq - 1
        return changed, news

    def status(self, phase: str) -> dict[str, Any]:
        """All rows as they are."""
        return {"seq": self.seq, "phase": phase, "rows": list(self.rows.values())}

    def _topology(self, tables: Tables, sets: list[SetRow]) -> bool:
        edges = tables.edges
        drawn = (edges, tuple((s.name, s.rank, s.kind, s.resources, s.estimate) for s in sets))
        if drawn == self._drawn:
            return False
        self._drawn = drawn
        self._collapsed = collapse(sets, edges, self._most)
        by_name = {row.name: row for row in sets}
        for row in sets:  # in order of declaration, as everywhere
            _ = self._colours[row.name]
        self.graph = {
            "rev": self.graph["rev"] + 1,
            "sets": [self._card(g.id, g.name, [by_name[m] for m in g.members]) for g in self._collapsed.groups],
            "edges": [{"src": e.src, "dst": e.dst, "kind": e.kind, "part": e.part} for e in self._collapsed.edges],
            "note": self._collapsed.note,
        }
        return True

    def _card(self, id: str, name: str, members: list[SetRow]) -> dict[str, Any]:
        light, dark = self._colours[members[0].name]
        alone = members[0] if len(members) == 1 else None
        return {
            "id": id,
            "name": name,
            "kind": alone.kind.lower() if alone else "group",
            "sets": len(members),
            "cores": max(m.resources.cores for m in members),
            "gpus": max(m.resources.gpus for m in members),
            "memory": max(m.resources.memory for m in members),
            "nodes": max(m.resources.nodes for m in members),
            "estimate": finite(alone.estimate.mean) if alone and alone.estimate else None,
            "light": light,
            "dark": dark,
        }


def _row(id: str, members: list[SetRow]) -> Row:
    if len(members) == 1:
        row = members[0]
        return [id, counts_of(row.counts), finite(row.rate, 3), finite(row.mean_s)]
    total = [sum(column) for column in zip(*(counts_of(m.counts) for m in members), strict=True)]
    rates = [m.rate for m in members if m.rate]
    weighed = [(m.mean_s * m.done, m.done) for m in members if m.mean_s is not None]
    done = sum(n for _, n in weighed)
    mean = sum(spent for spent, _ in weighed) / done if done else None
    return [id, total, finite(sum(rates), 3) if rates else None, finite(mean)]


def standing(tables: Tables, phase: str) -> str:
    """What the campaign is doing, in a word or two."""
    failed = tables.failed_tasks()
    if tables.ended:
        return f"finished, {failed} failed" if failed else "finished"
    if phase != "live":
        return "stopped"
    if not tables.started:
        return "not started"
    if tables.state.stuck:
        return "waits: what is left is held"
    return "running"


def head(tables: Tables, phase: str, trouble: str = "") -> dict[str, Any]:
    """The line above the views. Times are seconds of the campaign."""
    forecast = tables.forecasts[-1] if tables.forecasts else None
    bound = tables.lower_bound()
    choice = chosen(tables)
    said = scored(tables)
    return {
        "name": tables.name,
        "mode": tables.mode,
        "policy": tables.policy,
        "seq": tables.next_seq - 1,
        "phase": phase,
        "counts": counts_of(tables.progress().counts),
        "sets": len(tables.state.sets),
        "state": standing(tables, phase),
        "elapsed": finite(tables.makespan(), 6) if tables.started else None,
        "predicted": finite(forecast.makespan_s, 6) if forecast else None,
        "band": [finite(forecast.p10_s, 6), finite(forecast.p90_s, 6)] if forecast and forecast.banded else None,
        "bound": finite(bound, 6) if bound is not None else None,
        "plan": choice.plan if choice else "",
        "why": choice.reason if choice else "",
        "others": _others(choice) if choice else [],
        "scored": said,
        "terms": TERMS if said else "",
        "trouble": trouble,
    }


def _others(choice: ChoiceRow) -> list[Row]:
    """The best of what was not chosen: names and what they would take."""
    others = sorted(((name, s) for name, s in choice.alternatives.items() if name != choice.plan), key=lambda x: x[1])
    return [[name, finite(s, 6)] for name, s in others[:_OTHERS]]
