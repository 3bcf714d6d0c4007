"""The states of a task."""

from __future__ import annotations

import enum


class TaskState(enum.StrEnum):
    """One machine; its transitions are the table in `core.transitions`.

    waiting     inputs are missing, or the mode's barrier is closed
    ready       could start: waits for resources
    held        a person or a failed input keeps it from starting
    assigned    has slots on a node (or queues there)
    running     its attempt's process runs
    cancelling  somebody cancelled it; its attempt has not ended yet
    done        has its one published result
    failed      ended without a result and has no retries left
    cancelled   ended by a person's command
    skipped     never ran, because an input failed, was cancelled or was skipped
    """

    # Enum hashes in Python; states key the counters of the scheduling loop, so use the string's own hash.
    __hash__ = str.__hash__

    waiting = "waiting"
    ready = "ready"
    held = "held"
    assigned = "assigned"
    running = "running"
    cancelling = "cancelling"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"
    skipped = "skipped"


STATES: tuple[TaskState, ...] = tuple(TaskState)
ENDED = frozenset({TaskState.done, TaskState.failed, TaskState.cancelled, TaskState.skipped})
ACTIVE = frozenset({TaskState.assigned, TaskState.running, TaskState.cancelling})
PENDING = frozenset({TaskState.waiting, TaskState.ready, TaskState.held})

MODES = ("sequential", "asynchronous", "adaptive")
