"""What the engine asks of an executor, in the imperative. Each is keyed by task and attempt, and repeatable."""

from __future__ import annotations

from typing import Any

import msgspec

from .events import AttemptAssigned
from .resources import Pool, Resources
from .specs import Member, Payload, Result, Work


class SetPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all attempts of a set have in common; sent to a node once for each `key`.

    `timeout_s` is as declared. That of synthetic work is in seconds of the campaign, so whoever waits for it waits
    `time_scale` times as long; for everything else `time_scale` is 1.
    """

    key: str
    set: str
    n: int
    work: Work
    args: Payload | None
    resources: Resources
    parameters: dict[str, Any] = {}
    timeout_s: float | None = None
    time_scale: float = 1.0


class Launch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Start one attempt.

    Attributes
    ----------
    plan : SetPlan
        Shared part.
    index : int
        The task's index in its set.
    placed : AttemptAssigned
        Task, attempt number, node, cores, GPU indices.
    member : Member or None
        The task's own item and parameters.
    inputs : dict
        For each reference in the arguments (``"sim"`` all results of a set, ``"sim[3]"`` one; for an ``each``
        reference ``"sim/each"`` one) the results, in order of index.
    duration_s : float
        For synthetic tasks: how long to sleep, already scaled.
    """

    plan: SetPlan
    index: int
    placed: AttemptAssigned
    member: Member | None = None
    inputs: dict[str, tuple[Result, ...]] = {}
    duration_s: float = 0.0


class Stop(msgspec.Struct, frozen=True, omit_defaults=True):
    """End an attempt: ask, and after `grace_s` kill it with everything that it started."""

    task: str
    number: int
    node: str
    grace_s: float = 2.0


class Tell(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steering for a running attempt: changed parameters, or a request to stop early."""

    task: str
    number: int
    node: str
    parameters: dict[str, Any] = {}
    stop: bool = False


class Provide(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bring `pool` to `nodes` nodes.

    Attributes
    ----------
    declared : Pool or None
        Describes a pool that the executor may not know yet.
    retire : tuple of str
        Every node of the pool that shall leave: give each back once it is empty. One that an earlier `Provide` named
        and this one does not stays after all. Should there still be too many, nodes that have not joined yet go, then
        those that joined last; the core places nothing on them either.
    now : bool
        Do not wait until they are empty: what runs on them ends with them.
    """

    pool: str
    nodes: int
    declared: Pool | None = None
    retire: tuple[str, ...] = ()
    now: bool = False


Action = Launch | Stop | Tell | Provide
