"""Why a task is where it is: every waiting task can say what it waits for."""

from __future__ import annotations

from workbench.model.causes import EXPLAINED
from workbench.model.states import TaskState

from .flow import gate_open
from .placement import fits
from .state import State, Task


def why(state: State, task: Task) -> str:
    """One sentence about the present state of a task."""
    s, now = task.set, task.state
    if now is TaskState.waiting:
        missing = missing_inputs(state, task)
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            return f"{task.id} waits for {', '.join(missing[:3])}{more}"
        if not gate_open(state, s):
            if state.mode == "sequential":
                return f"{task.id} waits for stage {state.barrier} to end (sequential mode; it is in stage {s.stage})"
            before = [p for p in s.preds if state.sets[p].n_open]
            return f"{task.id} waits for all of {', '.join(before)} to end (asynchronous mode)"
        return f"{task.id} waits"
    if now is TaskState.ready:
        if not state.nodes:
            return f"{task.id} is ready and waits for a first node to join"
        if not any(fits(n, s.shape) for n in state.nodes.values()):
            r = s.spec.resources
            return f"{task.id} is ready and waits for {r.cores} cores and {r.gpus} GPUs to come free on one node"
        return f"{task.id} is ready; tasks that go before it take the slots (policy {state.policy})"
    if now is TaskState.held:
        if task.input_hold and not task.held:
            if task.cause is not None:
                return f"{task.id} is held: {EXPLAINED[task.cause]}; release it to run it again"
            return f"{task.id} is held because an input failed; retry the input"
        return f"{task.id} is held by a person; release it to let it run"
    if now is TaskState.assigned:
        return f"{task.id} {'queues' if task.queued else 'is starting'} on {task.node}"
    if now is TaskState.running:
        part = "" if task.progress is None else f", {task.progress:.0%} done"
        return f"{task.id} runs on {task.node} (attempt {task.number}{part})"
    if now is TaskState.cancelling:
        return f"{task.id} is being cancelled; its attempt on {task.node} has not ended yet"
    if now is TaskState.skipped:
        return f"{task.id} was skipped because an input ended without a result"
    if now is TaskState.failed and task.cause is not None:
        return f"{task.id} failed after {task.number} attempt(s), {task.cause}: {EXPLAINED[task.cause]}"
    return f"{task.id} is {now}"


def missing_inputs(state: State, task: Task) -> list[str]:
    """Names of the sets and tasks whose results the task still lacks."""
    names = []
    for link in task.set.into:
        if link.each:
            src = link.src.tasks[task.index] if task.index < len(link.src.tasks) else None
            if src is not None and src.state is not TaskState.done:
                names.append(src.id)
        elif link.missing and link.di in (-1, task.index):
            left = f" ({link.src.size - link.src.n_done} of {link.src.size} left)" if link.si < 0 else ""
            names.append(link.edge.src + left)
    return names
