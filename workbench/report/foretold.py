"""What was foretold, in words: when sets should finish, how good forecasts were, what policy ``auto`` chose.

One place for the live view and the report, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from workbench.core.state import SetState
from workbench.model.states import ENDED
from workbench.predict.score import CAMPAIGN, Score, Summary, summary

from .rows import ChoiceRow, SetRow
from .tables import Tables

Band = tuple[float, float, float]
"""P10, P50 and P90, seconds of the campaign."""

AUTO = "auto"
TERMS = (
    "P10\u2013P90: a forecast expects the finish between these two in four cases of five. "
    "Pinball loss: how far the truth was from P10, P50 and P90, weighed by their probabilities; smaller is better."
)
"""What the words of `scored` mean."""


def chosen(tables: Tables) -> ChoiceRow | None:
    """What policy ``auto`` chose last; None under another policy, or before it chose."""
    return tables.choices[-1] if tables.policy == AUTO and tables.choices else None


def finishes(tables: Tables) -> dict[str, Band]:
    """When sets that have not ended should finish, by the latest forecast; empty where none says so."""
    last = tables.forecasts[-1] if tables.forecasts else None
    if last is None or not last.banded or tables.ended:
        return {}
    sets = tables.state.sets
    return {name: band for name, band in last.sets.items() if name in sets and not _ended(sets[name])}


def first_told(tables: Tables) -> dict[str, Band]:
    """What the first forecast that had a band for a set said of its finish."""
    told: dict[str, Band] = {}
    for row in tables.forecasts:
        if row.banded:
            for name, band in row.sets.items():
                told.setdefault(name, band)
    return told


def joint(members: Iterable[SetRow], bands: dict[str, Band]) -> Band | None:
    """When the last of several sets should finish: quantile by quantile, which is exact where one of them decides."""
    found = [bands[m.name] for m in members if m.name in bands]
    if not found:
        return None
    return max(b[0] for b in found), max(b[1] for b in found), max(b[2] for b in found)


def _ended(held: SetState) -> bool:
    return held.size == sum(held.counts[state] for state in ENDED)


_told: WeakKeyDictionary[Tables, tuple[tuple[int, ...], str]] = WeakKeyDictionary()


def scored(tables: Tables) -> str:
    """How good the forecasts of what has ended were, in one or two sentences; ``""`` before there is one."""
    scores = tables.scores
    key = (len(scores.of(CAMPAIGN)), *(len(found) for found in scores.sets.values()))
    known = _told.get(tables)
    if known is None or known[0] != key:  # views ask several times a second; scores come rarely, many at a time
        known = _told[tables] = (key, _scored(tables))
    return known[1]


def _scored(tables: Tables) -> str:
    whole = tables.scores.of(CAMPAIGN)
    sets = [score for scores in tables.scores.sets.values() for score in scores]
    if whole:
        said = f"{_held(whole, 'forecast')} held the true finish in their band (4 in 5 should)"
        more = f"; of finishes of task sets, {_held(sets, 'forecast')} did" if sets else ""
        return f"{said}{more}. {_quality(summary(whole))}"
    if sets:
        known = f"{len(tables.scores.sets)} task set{'s' if len(tables.scores.sets) != 1 else ''}"
        said = f"{_held(sets, 'forecast')} of the finishes of {known} held the truth in their band (4 in 5 should)"
        return f"So far {said}. {_quality(summary(sets))}"
    return ""


def _held(scores: list[Score], what: str) -> str:
    n = len(scores)
    return f"{sum(s.covered for s in scores)} of {n} {what}{'s' if n != 1 else ''}"


def _quality(all_: Summary | None) -> str:
    """Bias and loss, as people say them."""
    if all_ is None:
        return ""
    percent = 100 * all_.bias
    off = "on time" if abs(percent) < 0.05 else f"{abs(percent):.1f} % too {'late' if percent > 0 else 'early'}"
    loss = all_.pinball_s
    figure = f"{loss:.0f}" if loss >= 100 else f"{loss:.2g}"
    return f"Their medians were {off}, their pinball loss {figure} s."
