"""Records of the journal in words, one line each, for `workbench tail`."""

from __future__ import annotations

import time

from workbench.cli.text import count, line, seconds
from workbench.model import events as ev
from workbench.model.causes import EXPLAINED, Cause
from workbench.model.ids import attempt_id
from workbench.report.history import summary


def told(record: ev.Record) -> str:
    """``"    12  14:03:07  sim[3]#1 started"``."""
    event = record.event
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    return f"{record.seq:>7}  {clock}  {line(describe(event))}"


def describe(event: ev.Event) -> str:
    """What happened, in words."""
    match event:
        case ev.CampaignCreated(name=name, id=id, mode=mode, policy=policy):
            return f"campaign {name} created ({id}), {mode}, {policy}"
        case ev.EngineStarted(epoch=epoch, host=host, pid=pid):
            return f"engine {epoch} started: process {pid} on {host}"
        case ev.EngineStopped(reason=reason):
            return "engine stopped" + (f": {reason}" if reason else "")
        case ev.NodeJoined(node=node, pool=pool, cores=cores, gpus=gpus):
            return f"node {node} joined pool {pool} with {_amount(cores, gpus)}"
        case ev.NodeLeft(node=node, cause=cause, detail=detail):
            # A node of a pool that shrinks goes when it is empty: what the cause says of an attempt would mislead.
            left = "was given back" if cause is Cause.Preempted else f"left ({cause}: {EXPLAINED[cause]})"
            return f"node {node} {left}" + (f": {detail}" if detail else "")
        case ev.CommandAccepted(edits=edits, author=author, reason=reason):
            return f"{author}: {summary(edits)}" + (f" ({reason})" if reason else "")
        case ev.CommandRefused(author=author, rule=rule, message=message):
            return f"refused {author}: {rule}: {message}"
        case ev.AttemptAssigned(task=task, number=number, node=node, cores=cores, gpus=gpus, others=others):
            where = node if not others else f"{node} and {count(len(others), 'more node')}"
            return f"{attempt_id(task, number)} assigned to {where}: {_amount(cores, len(gpus))}"
        case ev.AttemptStarted(task=task, number=number, pid=pid):
            return f"{attempt_id(task, number)} started" + (f" as process {pid}" if pid else "")
        case ev.AttemptReported(task=task, number=number, metrics=metrics, progress=progress):
            parts = [f"{name}={value}" for name, value in metrics.items()]
            parts += [] if progress is None else [f"{progress:.0%}"]
            return f"{attempt_id(task, number)} reported {', '.join(parts) or 'nothing'}"
        case ev.AttemptFinished(task=task, number=number, started=started, ended=ended, growth=growth):
            more = f", and asks to grow the graph by {count(len(growth), 'edit')}" if growth else ""
            return f"{attempt_id(task, number)} finished after {seconds(ended - started)}{more}"
        case ev.AttemptEnded(task=task, number=number, cause=cause, detail=detail):
            last = detail.strip().splitlines()[-1] if detail.strip() else ""
            return f"{attempt_id(task, number)} ended: {cause} ({EXPLAINED[cause]})" + (f": {last}" if last else "")
        case ev.ForecastMade(makespan_s=makespan, lower_bound_s=bound, mode=mode, policy=policy):
            return f"predicted makespan {seconds(makespan)} ({mode}, {policy}), at least {seconds(bound)}"
        case ev.PolicyChosen(plan=plan, makespan_s=makespan, reason=reason):
            return f"policy auto chose {plan.name}: {reason or seconds(makespan)}"
    raise AssertionError(f"no words for {type(event).__name__}")


def _amount(cores: int, gpus: int) -> str:
    return count(cores, "core") + (f", {count(gpus, 'GPU')}" if gpus else "")
