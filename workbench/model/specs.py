"""What a task is: its work, its resources, its estimate, and how a set of them is declared.

Code and arguments are opaque here. A `Payload` is either a few bytes or the digest of a file in the campaign's
store; the engine carries payloads from the owner to the owner's workers and never looks inside.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .resources import Resources


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """Opaque bytes: `inline`, or a file of `size` bytes in the store under `digest` (blake2b-160, hex)."""

    inline: bytes = b""
    digest: str = ""
    size: int = 0


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task's published result: `codec` is ``"json"``, ``"npy"`` or ``"pickle"``; bytes inline or in the store."""

    codec: str = "json"
    inline: bytes = b""
    digest: str = ""
    size: int = 0


# --- estimates of TX, the execution time --------------------------------------------------------------------------


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """TX is `s` seconds."""

    s: float

    @property
    def mean(self) -> float:
        return self.s


class Normal(msgspec.Struct, frozen=True, tag="normal"):
    """TX is normal, cut at zero; seconds."""

    mean: float
    std: float


class Uniform(msgspec.Struct, frozen=True, tag="uniform"):
    """TX is uniform between `low` and `high` seconds."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2


class LogNormal(msgspec.Struct, frozen=True, tag="lognormal"):
    """TX is log-normal with this mean and standard deviation (of TX itself), seconds."""

    mean: float
    std: float


Estimate = Constant | Normal | Uniform | LogNormal


# --- work -----------------------------------------------------------------------------------------------------------


class Function(msgspec.Struct, frozen=True, omit_defaults=True, tag="function"):
    """A Python function.

    Attributes
    ----------
    code : Payload
        The cloudpickled function.
    name : str
        ``module:qualname``, for people.
    isolation : str
        ``"child"`` (a process of its own) or ``"thread"`` (in the worker, for micro-tasks).
    preload : tuple of str
        Modules that the keeper imports before it forks children for this set.
    dask : bool
        The function calls `workbench.task.dask_client()`.
    takes : tuple of str or None
        Names that the function takes as keyword arguments beside the arguments that were declared; None: any, or not
        known.
    """

    code: Payload
    name: str
    isolation: str = "child"
    preload: tuple[str, ...] = ()
    dask: bool = False
    takes: tuple[str, ...] | None = None


class Executable(msgspec.Struct, frozen=True, omit_defaults=True, tag="executable"):
    """A program started without a shell.

    Attributes
    ----------
    argv : tuple of str
        ``{name}`` is replaced by the parameter of that name, ``{index}`` by the task's index.
    env : dict
        Added to the environment.
    inputs : dict
        File name in the attempt's scratch directory -> absolute path to link there.
    outputs : tuple of str
        File names, relative to the scratch directory, that become the result; a missing one fails the attempt.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


class Mpi(msgspec.Struct, frozen=True, omit_defaults=True, tag="mpi"):
    """An MPI program: ``launcher + argv``, `ranks` in all, over `Resources.nodes` nodes.

    ``{ranks}``, ``{ranks_per_node}``, ``{cores_per_rank}``, ``{nodes}``, ``{hosts}`` are replaced in `launcher`.
    """

    argv: tuple[str, ...]
    ranks: int
    cores_per_rank: int = 1
    launcher: tuple[str, ...] = ("mpiexec", "-n", "{ranks}")
    env: dict[str, str] = {}
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


class Synthetic(msgspec.Struct, frozen=True, omit_defaults=True, tag="synthetic"):
    """A task that only takes time: TX sampled from its estimate with the campaign's seed. No process is started."""


Work = Function | Executable | Mpi | Synthetic


# --- sets -----------------------------------------------------------------------------------------------------------


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """What sets one task apart from its set: its item, its own parameters, estimate and label."""

    item: Payload | None = None
    parameters: dict[str, Any] = {}
    estimate: Estimate | None = None
    label: str = ""


class SetSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task set: `n` tasks of one kind.

    Attributes
    ----------
    name : str
        Unique in the campaign (`ids.SET_NAME`).
    work : Work
        What each task does.
    n : int
        Number of tasks.
    args : Payload or None
        Pickled ``(args, kwargs)`` shared by all tasks, with references in place of handles (see `store.codec`).
    members : tuple of Member
        Empty, or one for each task.
    resources : Resources
        Of each task.
    estimate : Estimate or None
        Of TX; None means learned from finished tasks of the set.
    priority : int
        Higher first, before the policy's own order.
    timeout_s : float or None
        An attempt that runs longer ends with cause ``Timeout``.
    retries : int
        Further attempts after one that failed for a reason of its own (`causes.Cause.burns`).
    parameters : dict
        JSON values passed as keyword arguments; can be edited until an attempt starts, steered while it runs.
    tags : dict
        For people and tools.
    stage : int or None
        Stage of ``sequential`` mode; None means the set's rank in the graph.
    on_failed_input : str
        ``"skip"`` or ``"hold"`` what depends on a task that failed for good.
    """

    name: str
    work: Work
    n: int = 1
    args: Payload | None = None
    members: tuple[Member, ...] = ()
    resources: Resources = Resources()
    estimate: Estimate | None = None
    priority: int = 0
    timeout_s: float | None = None
    retries: int = 0
    parameters: dict[str, Any] = {}
    tags: dict[str, str] = {}
    stage: int | None = None
    on_failed_input: str = "skip"


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dependency between sets or tasks.

    ``kind="all"``: every task of `dst` waits for every task of `src` (either may be one task).
    ``kind="each"``: the i-th task of set `dst` waits for the i-th of set `src`.
    ``data``: the results of `src` are arguments of `dst`; otherwise the edge is about order only.
    """

    src: str
    dst: str
    kind: str = "all"
    data: bool = False


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """How policy ``auto`` schedules for now.

    Attributes
    ----------
    policy : str
        A name of `workbench.core.policies.POLICIES`.
    packing : str
        A rule of `workbench.core.placement.PACKINGS`; empty: the policy's own.
    mode : str
        ``"sequential"`` or ``"asynchronous"``: keep those barriers although the campaign's mode is adaptive, because
        the schedule is shorter with them. Empty: the campaign's own; a mode other than adaptive is never changed.
    order : tuple of str
        Names of sets, first to go first, in place of the policy's key; sets that it does not name come last.
    """

    policy: str
    packing: str = ""
    mode: str = ""
    order: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people: ``"upward-rank/best"``, with ``@sequential`` for a mode and ``+order`` for an order."""
        packing = f"/{self.packing}" if self.packing else ""
        mode = f"@{self.mode}" if self.mode else ""
        return f"{self.policy}{packing}{mode}{'+order' if self.order else ''}"
