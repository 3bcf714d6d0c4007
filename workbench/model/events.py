"""What happened to a campaign, in the past tense: the records of the journal.

`at` is the engine's wall clock, seconds since the epoch; `started` and `ended` are the worker's. Fields are added
with defaults only; the journal's format version changes when an old field changes meaning.
"""

from __future__ import annotations

import msgspec

from .causes import Cause
from .edits import Edit, Passed
from .specs import Plan, Result

FORMAT = 1


class _Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="ev", gc=False):
    at: float


class CampaignCreated(_Event, frozen=True, tag="CampaignCreated"):
    """First record. `time_scale` shortens the sleeps of synthetic tasks only."""

    id: str
    name: str
    seed: int
    mode: str = "adaptive"
    policy: str = "upward-rank"
    time_scale: float = 1.0
    format: int = FORMAT


class EngineStarted(_Event, frozen=True, tag="EngineStarted"):
    """An engine took the campaign over; epochs only grow and fence earlier engines."""

    epoch: int
    host: str = ""
    pid: int = 0
    version: str = ""


class EngineStopped(_Event, frozen=True, tag="EngineStopped"):
    """The engine ended in good order."""

    reason: str = ""


class NodeJoined(_Event, frozen=True, tag="NodeJoined"):
    """A node of `pool` can run attempts. `prefetch` is how many micro-tasks may queue on it beyond its slots."""

    node: str
    pool: str
    cores: int
    gpus: int = 0
    memory: int = 0
    host: str = ""
    prefetch: int = 0


class NodeLeft(_Event, frozen=True, tag="NodeLeft"):
    """A node went away, and its attempts with it; `cause` is the cause they end with."""

    node: str
    cause: Cause = Cause.NodeLost
    detail: str = ""


class CommandAccepted(_Event, frozen=True, tag="CommandAccepted"):
    """Edits that are now part of the campaign, with what undoes them (None: nothing can).

    Of an undo or redo, `passed` are the newest commands that it passed over, and `passed_more` counts the others.
    """

    id: str
    edits: tuple[Edit, ...]
    inverse: tuple[Edit, ...] | None = None
    author: str = "user"
    base: int = -1
    reason: str = ""
    undoes: str = ""
    passed: tuple[Passed, ...] = ()
    passed_more: int = 0


class CommandRefused(_Event, frozen=True, tag="CommandRefused"):
    """A task's growth that broke a rule; a person's refused command is answered, not journalled."""

    id: str
    author: str
    rule: str
    message: str


class Share(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """One node's part of an attempt that spans several."""

    node: str
    gpus: tuple[int, ...] = ()


class AttemptAssigned(_Event, frozen=True, tag="AttemptAssigned"):
    """The scheduler gave attempt `number` of `task` its slots: `cores` and the GPUs `gpus` on `node`.

    `others` are the shares on further nodes. `queued`: the attempt holds no slot yet; the node starts it when the
    slot of an earlier one comes free.
    """

    task: str
    number: int
    node: str
    cores: int = 1
    gpus: tuple[int, ...] = ()
    memory: int = 0
    others: tuple[Share, ...] = ()
    queued: bool = False


class AttemptStarted(_Event, frozen=True, tag="AttemptStarted"):
    """The attempt's process runs. Short attempts skip this record: their end carries `started`."""

    task: str
    number: int
    started: float
    pid: int = 0


class AttemptReported(_Event, frozen=True, tag="AttemptReported"):
    """Metrics and progress (0..1) that the task reported."""

    task: str
    number: int
    metrics: dict[str, float | int | str | bool] = {}
    progress: float | None = None


class AttemptFinished(_Event, frozen=True, tag="AttemptFinished"):
    """The attempt ended with a result. `growth` are edits that the task asks for, handled as a Command of its own."""

    task: str
    number: int
    started: float
    ended: float
    result: Result = Result(inline=b"null")
    growth: tuple[Edit, ...] = ()
    cpu_s: float = 0.0
    max_rss: int = 0


class AttemptEnded(_Event, frozen=True, tag="AttemptEnded"):
    """The attempt ended without a result. `detail`: traceback or last lines of output."""

    task: str
    number: int
    cause: Cause
    detail: str = ""
    started: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    cpu_s: float = 0.0
    max_rss: int = 0


class ForecastMade(_Event, frozen=True, tag="ForecastMade"):
    """A prediction of the makespan, in unscaled seconds from the campaign's first assignment.

    `p10_s`, `p50_s` and `p90_s` are quantiles of it over `samples` sampled futures; `sets` has the same three for the
    finish of each set. All are 0 or empty where nothing was sampled.
    """

    makespan_s: float
    lower_bound_s: float = 0.0
    mode: str = ""
    policy: str = ""
    made_at_seq: int = -1
    alternatives: dict[str, float] = {}
    p10_s: float = 0.0
    p50_s: float = 0.0
    p90_s: float = 0.0
    sets: dict[str, tuple[float, float, float]] = {}
    samples: int = 0


class PolicyChosen(_Event, frozen=True, tag="PolicyChosen"):
    """Policy ``auto`` chose how to schedule from now on, and why: what it predicts, and for which alternatives."""

    plan: Plan
    makespan_s: float
    reason: str = ""
    alternatives: dict[str, float] = {}
    made_at_seq: int = -1


Event = (
    CampaignCreated
    | EngineStarted
    | EngineStopped
    | NodeJoined
    | NodeLeft
    | CommandAccepted
    | CommandRefused
    | AttemptAssigned
    | AttemptStarted
    | AttemptReported
    | AttemptFinished
    | AttemptEnded
    | ForecastMade
    | PolicyChosen
)


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event with its place in the journal; sequence numbers start at 0 and have no gaps."""

    seq: int
    event: Event
