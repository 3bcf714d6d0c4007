"""The rows of a campaign's tables: plain values, in unscaled seconds from the campaign's first assignment."""

from __future__ import annotations

import msgspec

from workbench.model.resources import Resources
from workbench.model.specs import Estimate
from workbench.model.states import STATES, TaskState

STATE_ORDER: tuple[TaskState, ...] = (
    TaskState.done,
    TaskState.running,
    TaskState.assigned,
    TaskState.ready,
    TaskState.waiting,
    TaskState.held,
    TaskState.cancelling,
    TaskState.failed,
    TaskState.cancelled,
    TaskState.skipped,
)
"""Order of a set's counts in what travels to the browser, and of the segments of a card's bar."""


class Interval(msgspec.Struct, gc=False):
    """One attempt.

    Attributes
    ----------
    row : int
        Its place in `Tables.intervals`.
    task, set, index, number : str, str, int, int
        Which attempt it is.
    node : str
        Node that it was given (the first one, where it spans `nodes`).
    cores, gpus : int, tuple of int
        Cores on each node; indices of the GPUs on `node`.
    nodes, all_gpus : int, int
        Number of nodes, and of GPUs on all of them.
    assigned : float
        When it was given its slots, or its place in the node's queue.
    start, end : float or None
        When it ran; None while that is not known yet. An attempt that ended without having started has no start.
    outcome : str
        ``""`` while under way, ``"done"``, or the cause that it ended with.
    queued : bool
        It was sent ahead to wait on its node for the slot of an earlier attempt.
    """

    row: int
    task: str
    set: str
    index: int
    number: int
    node: str
    cores: int
    gpus: tuple[int, ...]
    nodes: int
    all_gpus: int
    assigned: float
    start: float | None = None
    end: float | None = None
    outcome: str = ""
    queued: bool = False

    def amount(self, resource: str) -> int:
        """How much it holds, on all its nodes, of ``"cores"`` or ``"gpus"``."""
        return self.cores * self.nodes if resource == "cores" else self.all_gpus


class NodeRow(msgspec.Struct):
    """A node: capacity and lifetime.

    `joined` and `left` are readings of the engine's clock (`Tables.clock` turns them into campaign time), because a
    node may join before the campaign has a time. `left` is None while it is there; `cause` says why it went.
    """

    name: str
    pool: str
    cores: int
    gpus: int
    memory: int
    host: str
    joined: float
    left: float | None = None
    cause: str = ""


class SetRow(msgspec.Struct, frozen=True):
    """A task set as it stands.

    Attributes
    ----------
    counts : dict
        Number of tasks in each `TaskState`.
    rank : int
        Length of the longest path of sets that leads here.
    stage : int
        Declared stage of sequential mode, or else `rank`.
    mean_s, first_start, last_end : float or None
        Of its finished attempts; None before there is one.
    rate : float or None
        Finished tasks per second since its first start.
    attempts, failures : int, int
        Attempts made, and attempts that ended without a result.
    """

    name: str
    n: int
    counts: dict[TaskState, int]
    kind: str
    resources: Resources
    estimate: Estimate | None
    priority: int
    stage: int
    rank: int
    mean_s: float | None = None
    first_start: float | None = None
    last_end: float | None = None
    rate: float | None = None
    attempts: int = 0
    failures: int = 0

    @property
    def done(self) -> int:
        return self.counts.get(TaskState.done, 0)

    @property
    def ended(self) -> int:
        """Tasks that will not run again by themselves."""
        ended = (TaskState.done, TaskState.failed, TaskState.cancelled, TaskState.skipped)
        return sum(self.counts.get(s, 0) for s in ended)


class EdgeRow(msgspec.Struct, frozen=True, order=True):
    """A dependency between sets: `kind` is ``"all"`` or ``"each"``; `part` when it joins single tasks only."""

    src: str
    dst: str
    kind: str = "all"
    part: bool = False


class Progress(msgspec.Struct, frozen=True):
    """The campaign's tasks by state."""

    counts: dict[TaskState, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        ended = (TaskState.done, TaskState.failed, TaskState.cancelled, TaskState.skipped)
        return sum(self.counts.get(s, 0) for s in ended)

    @property
    def fraction(self) -> float:
        """Ended tasks over all tasks; 0 when there are none."""
        return self.ended / self.total if self.total else 0.0

    def __getitem__(self, state: TaskState) -> int:
        return self.counts.get(state, 0)


def no_counts() -> dict[TaskState, int]:
    """A zero for each state."""
    return dict.fromkeys(STATES, 0)


class CommandRow(msgspec.Struct, frozen=True):
    """A command of the history. `summary` says what it does; `refused` is the rule that a task's growth broke.

    `passed` are the later commands that an undo or redo passed over, each with the reason, newest first.
    """

    seq: int
    t: float
    id: str
    author: str
    summary: str
    reason: str = ""
    undoes: str = ""
    refused: str = ""
    message: str = ""
    passed: tuple[str, ...] = ()


class ForecastRow(msgspec.Struct, frozen=True):
    """A prediction of the makespan, made `t` seconds into the campaign.

    `p10_s`, `p50_s` and `p90_s` are its quantiles over `samples` sampled futures, `sets` those of the finish of each
    set; 0 or empty where nothing was sampled.
    """

    seq: int
    t: float
    makespan_s: float
    lower_bound_s: float
    mode: str
    policy: str
    alternatives: dict[str, float]
    p10_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    sets: dict[str, tuple[float, float, float]] = {}
    samples: int = 0

    @property
    def banded(self) -> bool:
        """Whether it says how sure it is."""
        return self.samples > 0 and 0 < self.p10_s <= self.p50_s <= self.p90_s


class ChoiceRow(msgspec.Struct, frozen=True):
    """What policy ``auto`` chose `t` seconds into the campaign: the plan, what it predicts, and for which others."""

    seq: int
    t: float
    plan: str
    makespan_s: float
    reason: str
    alternatives: dict[str, float]


class Failure(msgspec.Struct, frozen=True):
    """An attempt that ended without a result, and the last lines that it left."""

    seq: int
    t: float
    task: str
    set: str
    number: int
    node: str
    cause: str
    detail: str
    exit_code: int | None = None


class MetricPoint(msgspec.Struct, frozen=True, gc=False):
    """A value that a task reported."""

    t: float
    task: str
    value: float
