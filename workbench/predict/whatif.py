"""What an edit would do to the finish, to the bound and to the work, before it is made.

A copy of the state takes the edit by the very rules of the engine (`core.edits.validate`, `core.apply`), and both
futures, with and without it, come from the same scheduler (`predict.compact`; `predict.simulate` where counts cannot
reproduce it). Nothing here touches the running campaign.

Limits: a campaign under policy ``auto`` keeps its present plan here, while the engine will choose again after the edit;
when an attempt that is asked to stop early does so is not known, so it counts as if it went on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from msgspec import UNSET

from workbench.core import State, evolve
from workbench.core.apply import names_of
from workbench.core.copying import collector_waiting, copy_state, discard
from workbench.core.drain import draining
from workbench.core.edits import validate
from workbench.core.state import Task
from workbench.model import edits as ed
from workbench.model.causes import Cause
from workbench.model.errors import EditRefused
from workbench.model.events import AttemptEnded, CommandAccepted, NodeLeft
from workbench.model.ids import is_task, set_of
from workbench.model.states import TaskState

from .durations import Durations
from .outlook import HOUR, Outlook, Tx, drawn, expected_tx, outlook
from .remaining import holds


@dataclass(frozen=True)
class WhatIf:
    """The effect of an edit.

    Attributes
    ----------
    before, after : Outlook or None
        Without and with it. None where nothing can be predicted (`note` says why); `after` also where it is refused.
    lost_core_hours, lost_gpu_hours : float
        Already spent on what the edit throws away: attempts that it ends, and results that it forgets.
    lost_attempts, lost_results : int
        How many of these.
    refused, message, subject : str
        Name of the rule that the edit breaks, the sentence for a person, and what it is about; empty if allowed.
    note : str
        What a reader should know, in sentences.
    seq : int
        Of the state that was looked at; a command with this `base` is refused if what it touches changed since.
    """

    before: Outlook | None
    after: Outlook | None
    lost_core_hours: float = 0.0
    lost_gpu_hours: float = 0.0
    lost_attempts: int = 0
    lost_results: int = 0
    refused: str = ""
    message: str = ""
    subject: str = ""
    note: str = ""
    seq: int = -1

    @property
    def saved_s(self) -> float:
        """By how many unscaled seconds the P50 of the finish comes earlier; negative: later. NaN where unknown."""
        if self.before is None or self.after is None:
            return math.nan
        if self.before.finish_p50_s == self.after.finish_p50_s:
            return 0.0  # also where neither ends
        return self.before.finish_p50_s - self.after.finish_p50_s

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON: outlooks as objects, numbers that are not finite as None, `saved_s` included."""
        found = {**asdict(self), "saved_s": self.saved_s}
        return {key: _finite(value) for key, value in found.items()}

    def __str__(self) -> str:
        from .telling import table

        return table(self)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Plain text only: names of sets are a user's, and never become HTML."""
        return {"text/plain": str(self)}


@dataclass(frozen=True)
class Ground:
    """What both futures of a state are judged by: the moment, and how long tasks take.

    Attributes
    ----------
    seq, at : int, float
        Of the state, and the present on its clock.
    tx : dict
        Expected TX of each set; empty where none is known.
    samples : tuple of dict
        The same in each sampled future; empty where none are sampled.
    certain : bool
        Whether all samples would be the same.
    note : str
        Why nothing can be predicted; empty if something can.
    """

    seq: int
    at: float
    tx: Tx = field(default_factory=dict)
    samples: tuple[Tx, ...] = ()
    certain: bool = False
    note: str = ""


@dataclass(frozen=True)
class Future:
    """The outlook on a state; None where nothing can be predicted, and `note` may say why."""

    outlook: Outlook | None
    note: str = ""


@dataclass(frozen=True)
class Changed:
    """What an edit does, without a comparison to how things would go on otherwise; see `WhatIf`."""

    future: Future
    lost: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refused: str = ""
    message: str = ""
    subject: str = ""


def whatif(state: State, edits: Iterable[ed.Edit], at: float | None = None, samples: int | None = None) -> WhatIf:
    """The effect of `edits`, made together as one command of a person's.

    Parameters
    ----------
    state : State
        Not changed.
    edits : iterable of Edit
        `workbench.model.edits`.
    at : float, optional
        Present time on the state's clock, seconds; None: that of its last event.
    samples : int, optional
        Futures to sample, however long it takes; None: as many as a person does not notice.

    Returns
    -------
    WhatIf
        Also for edits that would be refused.
    """
    with collector_waiting():
        copy = copy_state(state)
        try:
            base = ground(copy, at, samples)
            return compared(base.seq, unchanged(copy, base), changed(copy, tuple(edits), base))
        finally:
            discard(copy)


def ground(state: State, at: float | None = None, samples: int | None = None) -> Ground:
    """What `unchanged` and `changed` are to judge `state` by; parameters as of `whatif`."""
    now = state.at if at is None else max(at, state.at)
    if not state.size:
        return Ground(state.seq, now, note="the campaign has no tasks yet")
    means = expected_tx(state)
    if means is None:
        why = "no duration is known yet: give an estimate, or ask again once a task has finished"
        return Ground(state.seq, now, note=why)
    futures, certain = drawn(state, now, samples)
    return Ground(state.seq, now, means, futures, certain)


def unchanged(state: State, base: Ground) -> Future:
    """The future of `state` as it is; it is not changed."""
    if not base.tx:
        return Future(None, base.note)
    settled = state
    if state.counts[TaskState.cancelling]:
        settled = copy_state(state)
        _settle(settled, (), base.at)
    return Future(*outlook(settled, base.at, base.tx, base.samples, base.certain, spare=settled is not state))


def changed(state: State, edits: Sequence[ed.Edit], base: Ground) -> Changed:
    """What `edits` do to `state` (a copy: it is changed), which is as it was when `base` was laid."""
    if base.seq != state.seq:
        raise ValueError(f"the ground is of record {base.seq}, the state of record {state.seq}; look at it again")
    try:
        validate(state, ed.Command("what-if", tuple(edits)))
    except EditRefused as error:
        return Changed(Future(None), refused=error.rule, message=str(error), subject=error.subject)
    at = base.at
    spent = _Spent(state, edits, at)
    learned = {s.name for s in state.sets.values() if s.seen}
    skipped = state.counts[TaskState.skipped]
    evolve(state, CommandAccepted(at, f"what-if {state.seq}", tuple(edits)))
    _settle(state, edits, at)
    lost = spent.lost()
    notes = [*_notes(edits, learned)]
    if (more := state.counts[TaskState.skipped] - skipped) > 0:
        notes.append(f"{more} task{'s' if more > 1 else ''} would be skipped for lack of an input")
    means = expected_tx(state)
    if means is None or not state.size:
        return Changed(Future(None), lost, tuple(notes))
    certain = base.certain
    if certain and _touched(edits):
        certain = Durations(state, at).certain
    found = outlook(state, at, means, _redrawn(state, edits, base), certain, spare=True)
    return Changed(Future(*found), lost, tuple(notes))


def compared(seq: int, before: Future, after: Changed) -> WhatIf:
    """Both futures of the state at record `seq` side by side."""
    base = WhatIf(before.outlook, None, seq=seq, note=before.note)
    if after.refused:
        return replace(base, refused=after.refused, message=after.message, subject=after.subject)
    notes, note = [*after.notes], after.future.note
    if after.future.outlook is None and not note:
        notes.append(before.note or "nothing is left that could be predicted")
    elif note and note != before.note:
        notes.append(note)
    elif before.note:
        notes.insert(0, before.note)
    lost: Any = after.lost
    return replace(base, after=after.future.outlook, **lost, note=". ".join(notes))


# --- the samples ------------------------------------------------------------------------------------------------------


def _touched(edits: Iterable[ed.Edit]) -> set[str]:
    """Sets whose durations an edit may change, or whose ended tasks run again."""
    found: set[str] = set()
    for e in edits:
        if isinstance(e, (ed.AddSet, ed.AddTasks, ed.RestoreTasks, ed.ReplaceSpec, ed.Retry, ed.Invalidate)):
            found |= names_of(e)
    return found


def _redrawn(state: State, edits: Sequence[ed.Edit], base: Ground) -> tuple[Tx, ...]:
    """The samples of before, with fresh ones where the edit makes them mean something else."""
    if not base.samples:
        return ()
    fresh = _touched(edits)
    if any(isinstance(e, (ed.Invalidate, ed.Retry)) for e in edits):
        fresh = set(state.sets)  # whatever depends on these runs again, too
    if not fresh:
        return base.samples
    durations = Durations(state, base.at)
    rng = Random(f"{state.seed}/{base.seq}/after")
    found = []
    for old in base.samples:
        new = durations.sample(rng)
        kept = {name: tx for name, tx in old.items() if name in new and name not in fresh}
        if fresh == set(state.sets):  # the tasks that were open already keep their luck
            kept = {name: _merged(state, name, old[name], new[name]) for name in new if name in old}
        found.append({**new, **kept})
    return tuple(found)


def _merged(state: State, name: str, old: float | list[float], new: float | list[float]) -> float | list[float]:
    if not isinstance(old, list):
        return old
    fresh = new if isinstance(new, list) else [new] * len(state.sets[name].tasks)
    return [a or b for a, b in zip(old, fresh, strict=False)] + fresh[len(old) :]


# --- the edit ---------------------------------------------------------------------------------------------------------


def _settle(state: State, edits: Sequence[ed.Edit], at: float) -> None:
    """What executors report soon after: attempts that were cancelled end, and nodes that leave at once are gone."""
    for e in edits:
        if isinstance(e, ed.ScalePool) and not e.drain:
            for node in draining(state, e.pool):
                evolve(state, NodeLeft(at, node, Cause.Preempted))
    if state.counts[TaskState.cancelling]:
        for s in state.sets.values():
            if s.counts[TaskState.cancelling]:
                for t in [t for t in s.live() if t.state is TaskState.cancelling]:
                    evolve(state, AttemptEnded(at, t.id, t.number, Cause.Cancelled, started=t.started))


class _Spent:
    """What was spent on attempts under way and on results, to tell afterwards what of it is lost."""

    def __init__(self, state: State, edits: Sequence[ed.Edit], at: float) -> None:
        scale = state.time_scale
        self._attempts: list[tuple[Task, float, float]] = []
        self._results: list[tuple[Task, float, float]] = []
        for n in state.nodes.values():
            for t in n.holding:
                if t.node == n.name and t.state is not TaskState.cancelling:
                    spent = max(0.0, at - (t.started or t.assigned_at)) / scale
                    has = holds(t)
                    self._attempts.append((t, spent * has[0], spent * has[1]))
        if not any(isinstance(e, ed.Invalidate) for e in edits):
            return
        for s in state.sets.values():
            r = s.spec.resources
            cores, gpus = r.cores * r.nodes, r.gpus * r.nodes
            for t in s.live():
                if t.state is TaskState.done:
                    took = max(0.0, t.ended - t.started) / scale
                    self._results.append((t, took * cores, took * gpus))

    def lost(self) -> dict[str, Any]:
        """Fields of `WhatIf`, once the edit is made."""
        attempts = [x for x in self._attempts if x[0].state not in (TaskState.assigned, TaskState.running)]
        results = [x for x in self._results if x[0].state is not TaskState.done]
        return {
            "lost_core_hours": sum(x[1] for x in (*attempts, *results)) / HOUR,
            "lost_gpu_hours": sum(x[2] for x in (*attempts, *results)) / HOUR,
            "lost_attempts": len(attempts),
            "lost_results": len(results),
        }


def _notes(edits: Sequence[ed.Edit], learned: set[str]) -> Iterable[str]:
    """What may surprise about the prediction of an edit."""
    for e in edits:
        if isinstance(e, ed.ReplaceSpec) and not is_task(e.target):
            if e.estimate is not UNSET and e.target in learned:
                yield f"durations of {e.target} are learned from finished tasks, which count more than an estimate"
            elif e.resources is not UNSET and e.estimate is UNSET:
                yield f"tasks of {e.target} are taken to last as long as before; give estimate= if they will not"
        elif isinstance(e, ed.Steer) and e.stop:
            yield f"when {set_of(e.target)} stops is not known, so it counts as if it went on"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(x) for key, x in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
