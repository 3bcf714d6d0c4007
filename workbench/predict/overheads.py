"""What a machine adds to the tasks themselves, as parameters of a simulation, and their calibration from one campaign.

Three numbers explain most of the difference between an ideal schedule and a real one. On Summit, RADICAL's stack took
3.7 to 12.8 s from the end of a stage to the first task of the next, 0.13 s around each task, and launched 96 tasks a
second (Pascuzzi et al., profiles of the runs behind Table 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from workbench.core.state import SetState, State, Task
from workbench.model.errors import WorkbenchError
from workbench.model.specs import Constant, Synthetic
from workbench.model.states import TaskState

BURST = 8
"""Fewest tasks of a set that began together, for the rate of launches to be read from them."""


class TooLittleData(WorkbenchError):
    """A campaign from which nothing can be calibrated."""


@dataclass(frozen=True)
class Overheads:
    """Overheads in unscaled seconds of the campaign.

    Attributes
    ----------
    launch_s : float
        Added to the TX of each task, which holds its slots for as long.
    transition_s : float
        From the moment at which a set's inputs are complete until its tasks can be placed.
    rate : float
        Most launches per second; those that are decided together begin one after the other.
    """

    launch_s: float = 0.0
    transition_s: float = 0.0
    rate: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("launch_s", self.launch_s), ("transition_s", self.transition_s)):
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be zero or more seconds, not {value!r}")
        if not self.rate > 0.0:
            raise ValueError(f"rate must be more than zero launches a second, not {self.rate!r}")


NONE = Overheads()


def calibrate(state: State) -> Overheads:
    """Read the overheads from a campaign that ran.

    Each is a median, so that a few tasks which waited for something else do not count. A transition is read from sets
    that could begin at once: no task of another set ended between the last input and the first start.

    Parameters
    ----------
    state : State
        As replayed from the journal.

    Raises
    ------
    TooLittleData
        If no set followed another.
    """
    done = [t for t in state.tasks() if t.state is TaskState.done and t.ended > t.started > 0.0]
    if not done:
        raise TooLittleData("no task of this campaign has finished, so nothing can be calibrated: run it first")
    ends = sorted((t.ended, t.set.name) for t in done)
    transitions = [gap for s in state.sets.values() for gap in _transition(state, s, ends)]
    if not transitions:
        raise TooLittleData(
            "no task set of this campaign followed another without waiting for slots, so the time of a transition "
            "cannot be read from it: calibrate on a campaign of several stages that ran to its end"
        )
    scale = state.time_scale
    around = [(t.ended - t.started) / scale - tx for t in done if (tx := _requested(t)) is not None]
    rates = [rate for s in state.sets.values() for rate in _rate(s)]
    return Overheads(
        launch_s=max(0.0, median(around)) if around else 0.0,
        transition_s=max(0.0, median(transitions) / scale),
        rate=median(rates) * scale if rates else math.inf,
    )


def _requested(task: Task) -> float | None:
    """The TX that a synthetic task was to have, where that is exact."""
    if not isinstance(task.set.spec.work, Synthetic):
        return None
    own = task.member.estimate if task.member is not None else None
    estimate = own if own is not None else task.set.spec.estimate
    return estimate.mean if isinstance(estimate, Constant) else None


def _transition(state: State, s: SetState, ends: list[tuple[float, str]]) -> Iterator[float]:
    """From the end of everything before `s` to its first start, if nothing else held it up."""
    before = _before(state, s)
    starts = [t.started for t in s.live() if t.started]
    if not before or not starts or any(x.n_done < x.size for x in before):
        return
    ready = max((t.ended for x in before for t in x.live()), default=0.0)
    first = min(starts)
    if first < ready or any(ready < end <= first for end, name in ends if name != s.name):
        return
    yield first - ready


def _before(state: State, s: SetState) -> list[SetState]:
    """Sets that must end before `s` can begin."""
    if state.mode == "sequential":
        return [x for x in state.sets.values() if x.stage < s.stage]
    if any(link.each or link.di >= 0 for link in s.into):
        return []  # its tasks begin one by one
    return [state.sets[name] for name in s.preds]


def _rate(s: SetState) -> Iterator[float]:
    """Launches per second of the clock, where many tasks of `s` began together."""
    tasks = [t for t in s.live() if t.started]
    if len(tasks) < BURST:
        return
    first = min(t.assigned_at for t in tasks)
    starts = sorted(t.started for t in tasks if t.assigned_at - first <= 1.0)
    if len(starts) >= BURST and starts[-1] > starts[0]:
        yield (len(starts) - 1) / (starts[-1] - starts[0])
