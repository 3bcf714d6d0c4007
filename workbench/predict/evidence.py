"""What the tasks of a state tell about how long tasks take."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from workbench.core.state import SetState, Task
from workbench.model.states import ACTIVE, TaskState

from .laws import LEAST

VARIED = 0.2  # relative spread of the tasks of a set, as long as nothing is known
VARIED_WEIGHT = 2.0  # in degrees of freedom, against what all sets have shown
AGAIN = 20  # most failures of one task in one future

_OPEN = frozenset({TaskState.waiting, TaskState.held, TaskState.ready})


@dataclass(slots=True)
class Running:
    """An attempt under way: what has passed of it, and the TX that its reported progress amounts to (0: none)."""

    index: int
    elapsed: float
    told: float = 0.0
    told_std: float = 0.0


@dataclass(slots=True)
class Seen:
    """What is known of the tasks of one set; seconds."""

    finished: list[tuple[int, float]] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    failed: int = 0  # attempts that failed and were, or are to be, made again
    most: int = AGAIN  # more of them than this in one task are its end


def look(s: SetState, now: float, scale: float) -> Seen:
    """What the tasks of `s` tell at `now`."""
    known = Seen()
    failures = gone = 0
    burned = False
    done, finished, pending = TaskState.done, known.finished, known.pending
    for t in s.tasks:
        if t is None:
            continue
        state = t.state
        if state is done:
            if t.ended:
                finished.append((t.index, (t.ended - t.started) / scale))
        elif state in _OPEN:
            pending.append(t.index)
        elif state in ACTIVE:
            began = t.started or t.assigned_at
            elapsed = max((now - began) / scale, 0.0)
            known.running.append(Running(t.index, elapsed, *told(t, began, scale)))
        elif state is TaskState.failed:
            gone += 1
        if t.burned or t.crashes:
            failures += t.burned + t.crashes
            burned = burned or t.burned > 0
    known.failed = max(failures - gone, 0)
    if burned or not failures:
        known.most = min(AGAIN, s.spec.retries)
    return known


def told(t: Task, began: float, scale: float) -> tuple[float, float]:
    """TX that the reported progress amounts to, and how far it may be off; zeros where none was reported."""
    if t.progress is None or not 0.01 < t.progress <= 1.0 or t.progress_at <= began:
        return 0.0, 0.0
    tx = (t.progress_at - began) / scale / t.progress
    return tx, tx * (0.01 + 0.3 * (1 - t.progress))


def base_of_set(s: SetState) -> float | list[float] | None:
    """What was estimated; None where nothing was. Members without an estimate are taken as the mean of the others."""
    own = {
        t.index: t.member.estimate.mean
        for t in s.tasks
        if t is not None and t.member is not None and t.member.estimate is not None
    }
    whole = None if s.spec.estimate is None else s.spec.estimate.mean
    if not own:
        return whole
    rest = sum(own.values()) / len(own) if whole is None else whole
    return [own.get(i, rest) for i in range(len(s.tasks))]


def mean_of_set(base: float | list[float] | None, seen: Seen) -> float | None:
    """Mean TX of a set: of its finished tasks, else as estimated, else None."""
    if seen.finished:
        return sum(x for _, x in seen.finished) / len(seen.finished)
    if isinstance(base, list):
        return sum(base) / len(base) if base else None
    return base


def failing_of_all(seen: dict[str, Seen]) -> float:
    """Share of attempts that fail and are made again, in all sets."""
    failed = sum(known.failed for known in seen.values())
    return failed / (failed + sum(len(known.finished) for known in seen.values()) + 1.0)


def varied_of_all(bases: dict[str, float | list[float] | None], seen: dict[str, Seen]) -> float:
    """How much tasks of one set vary, relatively, as far as all sets tell."""
    weight, squares = VARIED_WEIGHT, VARIED_WEIGHT * VARIED * VARIED
    for name, known in seen.items():
        base = bases[name]
        ratios = [x / max(base[i], LEAST) for i, x in known.finished] if isinstance(base, list) else None
        values = ratios or [x for _, x in known.finished]
        n = len(values)
        mean = sum(values) / n if n else 0.0
        if n < 2 or mean <= 0 or len(known.running) > n:  # those that finish first are alike
            continue
        # A set of thousands says no more about another set than one of a few tens.
        share = min(n - 1, 30) / (n - 1)
        squares += share * min(sum((x / mean - 1) ** 2 for x in values), n - 1.0)
        weight += share * (n - 1)
    return math.sqrt(squares / weight)
