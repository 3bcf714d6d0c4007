"""Events into state. `evolve` is the only way in which a campaign's state changes.

It is total: an event that is illegal in the present state (a late finisher, a repeated report, an unknown name)
changes nothing but the count of such events, because agents may report anything in any order after a partition and
a replay must never stop. Attempt numbers are the fence: only the task's current attempt can move it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptAssigned,
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    CampaignCreated,
    CommandAccepted,
    CommandRefused,
    EngineStarted,
    EngineStopped,
    Event,
    ForecastMade,
    NodeJoined,
    NodeLeft,
    PolicyChosen,
)
from workbench.model.states import MODES, TaskState

from .apply import apply_command
from .drain import full
from .flow import move, ready_if_possible, regate, requeue
from .placement import PACKINGS, give_back, take
from .policies import AUTO, POLICIES
from .retry import after_end
from .state import NodeState, State, Task, least_need

ASSIGNED, RUNNING, CANCELLING = TaskState.assigned, TaskState.running, TaskState.cancelling


def evolve(state: State, event: Event) -> bool:
    """Fold one event. Returns whether it meant anything in the present state."""
    state.seq += 1
    state.at = event.at
    if _HANDLERS[type(event)](state, event):
        return True
    state.fenced += 1
    return False


def _created(state: State, e: CampaignCreated) -> bool:
    if state.id:
        return False
    state.id, state.name, state.seed = e.id, e.name, e.seed
    state.mode, state.policy, state.time_scale = e.mode, e.policy, e.time_scale
    return True


def _engine_started(state: State, e: EngineStarted) -> bool:
    if e.epoch <= state.epoch:
        return False
    state.epoch = e.epoch
    return True


def _engine_stopped(state: State, e: EngineStopped) -> bool:
    return True


def _node_joined(state: State, e: NodeJoined) -> bool:
    if e.node in state.nodes or e.cores < 1:
        return False
    pool = state.pools.get(e.pool)
    least = least_need(pool, state.pools.values())
    node = NodeState(e.node, state.node_count, e.pool, e.cores, e.gpus, e.memory, e.prefetch, least)
    node.draining = full(state, e.pool)  # it was on its way when the pool was made smaller
    state.nodes[e.node] = node
    there = state.nodes.values()
    total = (sum(n.cores for n in there), sum(n.gpus for n in there), sum(n.memory for n in there))
    state.most = (max(state.most[0], total[0]), max(state.most[1], total[1]), max(state.most[2], total[2]))
    state.node_count += 1
    state.graph_version += 1  # what is scarce depends on what there is
    return True


def _node_left(state: State, e: NodeLeft) -> bool:
    node = state.nodes.get(e.node)
    if node is None:
        return False
    for task in [*node.queue, *node.holding]:
        _end(state, task, e.cause, e.detail, 0.0, e.at)
    del state.nodes[e.node]
    state.graph_version += 1
    return True


def _command_accepted(state: State, e: CommandAccepted) -> bool:
    if e.id in state.commands:
        return False
    apply_command(state, e)
    return True


def _command_refused(state: State, e: CommandRefused) -> bool:
    if e.id not in state.growths:
        return False
    del state.growths[e.id]
    state.refused[e.id] = e.message
    return True


def _assigned(state: State, e: AttemptAssigned) -> bool:
    task = state.task(e.task)
    node = state.nodes.get(e.node)
    if task is None or node is None or e.number != task.number + 1 or task.state is not TaskState.ready:
        return False
    if e.others and not all(x.node in state.nodes for x in e.others):
        return False
    move(state, task, "assign")
    task.number = e.number
    task.node, task.cores, task.gpus, task.memory, task.others = e.node, e.cores, e.gpus, e.memory, e.others
    task.queued = e.queued
    task.assigned_at, task.started, task.ended = e.at, 0.0, 0.0
    task.cause, task.progress, task.metrics = None, None, None
    task.detail, task.stopping = "", False
    if e.queued:
        node.queue.append(task)
    else:
        take(state, task, node, e.gpus)
        for share in e.others:
            take(state, task, state.nodes[share.node], share.gpus)
    if state.first_assigned_at is None:
        state.first_assigned_at = e.at
    return True


def _current(state: State, task_id: str, number: int) -> Task | None:
    """The task, if `number` is the attempt that it has under way."""
    task = state.task(task_id)
    if task is None or task.number != number:
        return None
    now = task.state
    return task if now is RUNNING or now is ASSIGNED or now is CANCELLING else None


def _started(state: State, e: AttemptStarted) -> bool:
    task = _current(state, e.task, e.number)
    if task is None or task.started:
        return False
    task.started = e.started
    move(state, task, "start")
    return True


def _reported(state: State, e: AttemptReported) -> bool:
    task = _current(state, e.task, e.number)
    if task is None:
        return False
    if e.progress is not None:
        task.progress, task.progress_at = e.progress, e.at
    if e.metrics:
        task.metrics = {**(task.metrics or {}), **e.metrics}
    return True


def _finished(state: State, e: AttemptFinished) -> bool:
    task = _current(state, e.task, e.number)
    if task is None:
        return False
    _vacate(state, task)
    task.started, task.ended = e.started, e.ended
    if state.last_ended_at is None or e.at > state.last_ended_at:
        state.last_ended_at = e.at
    s = task.set
    if task.state is not CANCELLING:
        task.result = e.result
        took = (e.ended - e.started) / state.time_scale
        s.seen += 1
        s.sum_s += took
        s.sum_sq += took * took
        if s.seen & (s.seen - 1) == 0:  # at 1, 2, 4, 8 ... samples
            s.judge_quick()
            if s.learn():
                state.learned += 1
                if s.n_open > 1:  # ranks matter only where tasks are still to be ranked
                    state.graph_version += 1
        if e.growth:
            key = f"{e.task}+"
            if key not in state.commands and key not in state.refused:
                state.growths[key] = (e.task, e.growth)
    move(state, task, "finish")
    return True


def _attempt_ended(state: State, e: AttemptEnded) -> bool:
    task = _current(state, e.task, e.number)
    if task is None:
        return False
    _end(state, task, e.cause, e.detail, e.started, e.ended or e.at)
    return True


def _end(state: State, task: Task, cause: Cause, detail: str, started: float, ended: float) -> None:
    _vacate(state, task)
    task.started, task.ended = started or task.started, ended
    task.cause, task.detail = cause, detail
    state.last_ended_at = max(state.last_ended_at or 0.0, state.at)
    if task.state is CANCELLING:
        move(state, task, "end_cancel")
        return
    trigger = after_end(task, cause)
    if trigger == "end_hold":
        task.input_hold = True
    move(state, task, trigger)
    if trigger == "end_again":
        ready_if_possible(state, task)


def _vacate(state: State, task: Task) -> None:
    """Give the attempt's slots back on every node that is still there."""
    node = state.nodes.get(task.node)
    if task.queued:
        if node is not None:
            node.queue.remove(task)
        task.queued = False
    else:
        if node is not None:
            give_back(state, task, node, task.gpus)
        if task.others:
            for share in task.others:
                other = state.nodes.get(share.node)
                if other is not None:
                    give_back(state, task, other, share.gpus)
    task.node, task.gpus, task.others = "", (), ()


def _forecast(state: State, e: ForecastMade) -> bool:
    state.forecasts.append(e)
    return True


def _policy_chosen(state: State, e: PolicyChosen) -> bool:
    plan = e.plan
    if state.policy != AUTO or plan.policy not in POLICIES:
        return False  # a person chose another policy meanwhile, or it was registered where this plan was made
    if (plan.packing and plan.packing not in PACKINGS) or (plan.mode and plan.mode not in MODES):
        return False
    if plan != state.plan:
        gate = state.gate
        state.plan = plan
        requeue(state)
        if state.gate != gate:
            regate(state)
    return True


_HANDLERS: dict[type, Callable[[State, Any], bool]] = {
    CampaignCreated: _created,
    EngineStarted: _engine_started,
    EngineStopped: _engine_stopped,
    NodeJoined: _node_joined,
    NodeLeft: _node_left,
    CommandAccepted: _command_accepted,
    CommandRefused: _command_refused,
    AttemptAssigned: _assigned,
    AttemptStarted: _started,
    AttemptReported: _reported,
    AttemptFinished: _finished,
    AttemptEnded: _attempt_ended,
    ForecastMade: _forecast,
    PolicyChosen: _policy_chosen,
}
