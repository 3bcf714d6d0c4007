"""Why an attempt ended without a result, and what follows from it."""

from __future__ import annotations

import enum


class Cause(enum.StrEnum):
    """Typed end causes. `burns` says which ones use up the task's retries (walltime and preemption never do)."""

    UserError = "UserError"
    OutOfMemory = "OutOfMemory"
    Timeout = "Timeout"
    WorkerLost = "WorkerLost"
    NodeLost = "NodeLost"
    EngineLost = "EngineLost"
    WalltimeExpired = "WalltimeExpired"
    Preempted = "Preempted"
    DiskFull = "DiskFull"
    LaunchRefused = "LaunchRefused"
    DigestMismatch = "DigestMismatch"
    Recalled = "Recalled"
    Cancelled = "Cancelled"

    @property
    def burns(self) -> bool:
        """Whether this cause speaks against the task itself."""
        return self in _BURNS

    @property
    def final(self) -> bool:
        """Whether the task must not run again by itself."""
        return self is Cause.Cancelled


_BURNS = frozenset({Cause.UserError, Cause.OutOfMemory, Cause.Timeout, Cause.WorkerLost, Cause.LaunchRefused})

EXPLAINED: dict[Cause, str] = {
    Cause.UserError: "the task raised or exited with a status other than zero",
    Cause.OutOfMemory: "the attempt used more memory than the task asked for",
    Cause.Timeout: "the attempt ran longer than the task's timeout",
    Cause.WorkerLost: "the attempt's process died and nothing explains why",
    Cause.NodeLost: "the worker or node that ran the attempt went away",
    Cause.EngineLost: "the engine stopped while the attempt was under way",
    Cause.WalltimeExpired: "the pilot job reached its walltime",
    Cause.Preempted: "the node was taken back before the attempt ended",
    Cause.DiskFull: "there was no room to keep the result",
    Cause.LaunchRefused: "the node could not start the attempt",
    Cause.DigestMismatch: "the result on disk is not the one that was published",
    Cause.Recalled: "the attempt was taken back before it started",
    Cause.Cancelled: "somebody cancelled the task",
}
