"""How a campaign stands: the object that `--json` prints, and the lines that a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.cli.text import count, line, seconds
from workbench.core.policies import AUTO
from workbench.model.states import TaskState
from workbench.report.rows import ChoiceRow
from workbench.report.tables import RESOURCES, Tables

_ORDER = (
    TaskState.done,
    TaskState.running,
    TaskState.assigned,
    TaskState.cancelling,
    TaskState.ready,
    TaskState.waiting,
    TaskState.held,
    TaskState.failed,
    TaskState.cancelled,
    TaskState.skipped,
)


def outcome(tables: Tables, directory: Path) -> dict[str, Any]:
    """The figures of a campaign.

    Times are unscaled seconds, utilization is busy over offered resource-seconds. The prediction is the first one,
    made at the start; where tasks have `grown` the graph since, it is one of a smaller campaign.
    """
    counts = tables.progress().counts
    return {
        "name": tables.name,
        "dir": str(directory),
        "tasks": sum(counts.values()),
        **{str(state): counts.get(state, 0) for state in _ORDER},
        "attempts": len(tables.intervals),
        "makespan": tables.makespan(),
        "predicted_makespan": tables.forecasts[0].makespan_s if tables.forecasts else None,
        **dict(zip(("p10", "p50", "p90"), _band(tables) or (None, None, None), strict=True)),
        "lower_bound": tables.lower_bound(),
        "utilization": {resource: tables.utilization_fraction(resource) for resource in RESOURCES},
        "grown": _grown(tables),
        "mode": tables.mode,
        "policy": tables.policy,
        "plan": None if (choice := chosen(tables)) is None else choice.plan,
        "reason": None if choice is None else choice.reason,
        "time_scale": tables.time_scale,
    }


def chosen(tables: Tables) -> ChoiceRow | None:
    """What policy auto chose last; None under another policy, and until it has."""
    return tables.choices[-1] if tables.policy == AUTO and tables.choices else None


def counted(tables: Tables) -> str:
    """``"627 tasks: 620 done, 7 running"``."""
    progress = tables.progress()
    parts = [f"{progress[state]} {state}" for state in _ORDER if progress[state]]
    return count(progress.total, "task") + (": " + ", ".join(parts) if parts else "")


def summary(tables: Tables) -> list[str]:
    """What a person wants to know at the end."""
    spans = f"makespan {seconds(tables.makespan())}"
    if tables.forecasts:
        bound = tables.lower_bound()
        # The bound is one for what tasks took in the end, so it can be above what was predicted before.
        least = f"; tasks this long need at least {seconds(bound)}" if bound else ""
        what = "predicted before the graph grew:" if _grown(tables) else "predicted"
        band = _band(tables)
        wide = band is not None and band[2] - band[0] > 0.001 * band[1]
        between = f", {seconds(band[0])} to {seconds(band[2])} in four cases of five" if band and wide else ""
        spans += f" ({what} {seconds(tables.forecasts[0].makespan_s)}{between}{least})"
    used = [
        f"{resource.replace('gpus', 'GPUs')} {tables.utilization_fraction(resource):.0%} used"
        for resource in RESOURCES
        if tables.capacity(resource).area() > 0
    ]
    return [f"{line(tables.name)}  {counted(tables)}", "; ".join([spans, *used])]


def failures(tables: Tables, directory: Path, most: int = 5) -> list[str]:
    """The tasks that failed for good, with the command that tells why."""
    tasks = (task for held in tables.state.sets.values() for task in held.tasks)
    failed = [task for task in tasks if task is not None and task.state is TaskState.failed]
    lines = [f"{task.id} failed: {task.cause} after {count(task.number, 'attempt')}" for task in failed[:most]]
    if failed[most:]:
        lines.append(f"and {count(len(failed) - most, 'more task')} failed")
    if failed:
        lines.append(f"why: workbench story {directory} '{failed[0].id}'")
    return lines


def _band(tables: Tables) -> tuple[float, float, float] | None:
    """P10, P50 and P90 of the makespan, as the first forecast that had them said."""
    return next(((f.p10_s, f.p50_s, f.p90_s) for f in tables.forecasts if f.banded), None)


def _grown(tables: Tables) -> bool:
    return any(c.author.startswith("task:") and not c.refused for c in tables.commands)
