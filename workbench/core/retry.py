"""What follows from an attempt that ended without a result: the trigger of the task's next transition."""

from __future__ import annotations

from workbench.model.causes import Cause

from .state import Task

# Deaths that nothing explains, after which a task is taken for the cause of them.
POISON = 3


def after_end(task: Task, cause: Cause) -> str:
    """Count the end against the task where it speaks against it, and name the trigger.

    Walltime, preemption, a lost node and a lost engine never use up retries (Parsl#1905).
    """
    if cause is Cause.Cancelled:
        return "end_cancel"
    if cause is Cause.DiskFull:
        return "end_hold"
    if cause is Cause.WorkerLost or cause is Cause.LaunchRefused:
        task.crashes += 1
        return "end_fail" if task.crashes >= max(POISON, task.set.spec.retries + 1) else "end_again"
    if cause.burns:
        task.burned += 1
        return "end_fail" if task.burned > task.set.spec.retries else "end_again"
    return "end_again"
