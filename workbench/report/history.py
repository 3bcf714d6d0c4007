"""What a command does, in words for the history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from workbench.model import edits as e
from workbench.model.resources import Resources
from workbench.model.specs import Estimate

_FIELDS = ("resources", "estimate", "parameters", "timeout_s", "retries", "tags", "stage", "on_failed_input")
_SHOWN = 4


def summary(edits: Sequence[e.Edit]) -> str:
    """One line for a command: its edits in order, long ones cut after a few with the number that is left out."""
    texts: list[str] = []
    for edit in edits:
        text = describe(edit)
        if text not in texts:
            texts.append(text)
    more = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def describe(edit: e.Edit) -> str:
    """One edit in words."""
    match edit:
        case e.AddPool(pool=p):
            gpus = f", {p.shape.gpus} GPUs" if p.shape.gpus else ""
            return f"add pool {p.name} ({_count(p.nodes, 'node')} of {_count(p.shape.cores, 'core')}{gpus})"
        case e.ScalePool(pool=name, nodes=n, drain=drain):
            return f"scale pool {name} to {_count(n, 'node')}" + ("" if drain else " at once")
        case e.AddSet(spec=spec):
            return f"add set {spec.name} ({_count(spec.n, 'task')})"
        case e.RemoveSet(name=name):
            return f"remove set {name}"
        case e.AddTasks(set=name, members=members, n=n):
            return f"add {_count(len(members) or n, 'task')} to {name}"
        case e.RemoveTasks() | e.RestoreTasks():
            return f"{type(edit).__name__.removesuffix('Tasks').lower()} {_names(edit.tasks)}"
        case e.AddEdges() | e.RemoveEdges():
            verb = "connect" if isinstance(edit, e.AddEdges) else "disconnect"
            return f"{verb} {_names([f'{x.src} → {x.dst}' for x in edit.edges])}"
        case e.ReplaceSpec(target=target):
            changes = [_change(f, getattr(edit, f)) for f in _FIELDS if getattr(edit, f) is not msgspec.UNSET]
            return f"change {target}: {', '.join(changes) or 'nothing'}"
        case e.SetPriority(target=target, priority=p):
            return f"set priority of {target} to {p}"
        case e.Hold() | e.Release() | e.Cancel() | e.Retry() | e.Invalidate():
            return f"{type(edit).__name__.lower()} {_names(edit.targets)}"
        case e.Steer(target=target, parameters=parameters, stop=stop):
            parts = [f"{k}={v!r}" for k, v in parameters.items()] + (["stop early"] if stop else [])
            return f"steer {target}: {', '.join(parts)}"
        case e.SetMode(mode=mode):
            return f"set mode to {mode}"
        case e.SetPolicy(policy=policy):
            return f"set policy to {policy}"
    raise AssertionError(f"no words for an edit of type {type(edit).__name__}")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _names(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _change(field: str, value: object) -> str:
    if isinstance(value, Resources):
        return resources(value)
    if field == "estimate":
        return f"estimate {estimate(value)}"  # type: ignore[arg-type]
    return f"{field}={value!r}"


def resources(r: Resources) -> str:
    """``"4 cores, 1 GPU, 2 GiB"``; what is not asked for is left out."""
    parts = [_count(r.cores, "core")]
    if r.gpus:
        parts.append(_count(r.gpus, "GPU"))
    if r.memory:
        parts.append(f"{r.memory / 2**30:.3g} GiB")
    if r.nodes > 1:
        parts.append(f"on {r.nodes} nodes")
    return ", ".join(parts)


def estimate(value: Estimate | None) -> str:
    """``"340 s"``, ``"340 ± 10 s"``, ``"10-20 s"`` or ``"learned"``."""
    if value is None:
        return "learned"
    std = getattr(value, "std", None)
    if std is not None:
        return f"{value.mean:.4g} ± {std:.3g} s"
    low, high = getattr(value, "low", None), getattr(value, "high", None)
    if low is not None:
        return f"{low:.4g} to {high:.4g} s"
    return f"{value.mean:.4g} s"
