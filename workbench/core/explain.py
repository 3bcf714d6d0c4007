"""Why a task is where it is: every waiting task can say what it waits for."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.model.causes import EXPLAINED, Cause
from workbench.model.states import TaskState

from .flow import gate_open
from .placement import fits
from .policies import AUTO
from .state import State, Task
from .transitions import BROKEN, KIND


def _policy(state: State) -> str:
    """The policy, and what it chose where it is the one that chooses."""
    return state.policy if state.policy != AUTO or state.plan is None else f"{AUTO}: {state.plan.name}"


def why(state: State, task: Task) -> str:
    """One sentence about the present state of a task."""
    s, now = task.set, task.state
    if now is TaskState.waiting:
        missing = missing_inputs(state, task)
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            held = _held_before(task)
            because = "" if held is None else f"; {why(state, held)}"
            return f"{task.id} waits for {', '.join(missing[:3])}{more}{because}"
        if not gate_open(state, s):
            by = "mode" if state.gate == state.mode else "barriers, chosen by policy auto"
            if state.gate == "sequential":
                return f"{task.id} waits for stage {state.barrier} to end (sequential {by}; it is in stage {s.stage})"
            before = [p for p in s.preds if state.sets[p].n_open]
            return f"{task.id} waits for all of {', '.join(before)} to end (asynchronous {by})"
        return f"{task.id} waits"
    if now is TaskState.ready:
        staying = [n for n in state.nodes.values() if not n.draining]
        if not staying:
            which = "another node to join; those that are there are leaving" if state.nodes else "a first node to join"
            return f"{task.id} is ready and waits for {which}"
        if not any(fits(n, s.shape) for n in staying):
            r = s.spec.resources
            return f"{task.id} is ready and waits for {r.cores} cores and {r.gpus} GPUs to come free on one node"
        return f"{task.id} is ready; tasks that go before it take the slots (policy {_policy(state)})"
    if now is TaskState.held:
        if task.input_hold and not task.held:
            if task.cause is Cause.DiskFull:
                return f"{task.id} is held: {EXPLAINED[task.cause]}; release it to run it again"
            root = broken_input(task)
            if root is None:
                return f"{task.id} is held because an input failed; retry the input"
            return f"{task.id} is held because {_end_of(root)}; retry {root.id}"
        return f"{task.id} is held by a person; release it to let it run"
    if now is TaskState.assigned:
        return f"{task.id} {'queues' if task.queued else 'is starting'} on {task.node}"
    if now is TaskState.running:
        part = "" if task.progress is None else f", {task.progress:.0%} done"
        return f"{task.id} runs on {task.node} (attempt {task.number}{part})"
    if now is TaskState.cancelling:
        return f"{task.id} is being cancelled; its attempt on {task.node} has not ended yet"
    if now is TaskState.skipped:
        root = broken_input(task)
        return f"{task.id} was skipped because " + ("an input was skipped" if root is None else _end_of(root))
    if now is TaskState.failed and task.cause is not None:
        attempts = "1 attempt" if task.number == 1 else f"{task.number} attempts"
        return f"{task.id} failed after {attempts}, {task.cause}: {EXPLAINED[task.cause]}"
    return f"{task.id} is {now}"


def broken_input(task: Task) -> Task | None:
    """The task whose own end without a result keeps `task` from running: it failed or was cancelled, not skipped.

    None if there is no such input (any more).
    """
    seen = {task}
    at = task
    while True:
        source = next((x for x in _sources(at) if KIND[x.state] == BROKEN and x not in seen), None)
        if source is None:
            return at if at is not task else None
        at = source
        if at.state is not TaskState.skipped:
            return at
        seen.add(at)


def _end_of(task: Task) -> str:
    if task.state is TaskState.failed and task.cause is not None:
        return f"{task.id} failed ({task.cause}: {EXPLAINED[task.cause]})"
    return f"{task.id} was {task.state}"


def _held_before(task: Task) -> Task | None:
    """A held task that `task` waits for, at whatever distance: the nearest one."""
    seen: dict[Task, None] = {task: None}
    todo = [task]
    for at in todo:
        for source in _sources(at):
            if source.state is TaskState.held:
                return source
            if source.state is TaskState.waiting and source not in seen:
                seen[source] = None
                todo.append(source)
    return None


def _sources(task: Task) -> Iterator[Task]:
    """The tasks whose results `task` still lacks, as far as single edges tell."""
    for link in task.set.links_to(task.index):
        if link.each:
            found = link.src.tasks[task.index : task.index + 1]
        elif link.si >= 0:
            found = [link.src.tasks[link.si]]
        else:
            found = link.src.tasks if link.src.n_done < link.src.size else []
        yield from (x for x in found if x is not None and x.state is not TaskState.done)


def missing_inputs(state: State, task: Task) -> list[str]:
    """Names of the sets and tasks whose results the task still lacks."""
    names = []
    for link in task.set.links_to(task.index):
        if link.each:
            src = link.src.tasks[task.index] if task.index < len(link.src.tasks) else None
            if src is not None and src.state is not TaskState.done:
                names.append(src.id)
        elif link.missing:
            left = f" ({link.src.size - link.src.n_done} of {link.src.size} left)" if link.si < 0 else ""
            names.append(link.edge.src + left)
    return names
