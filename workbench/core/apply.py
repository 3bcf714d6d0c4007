"""Accepted edits into state. Validation is over (`core.edits`); this is the fold, shared by live runs and replays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from workbench.model import edits as ed
from workbench.model.events import CommandAccepted
from workbench.model.ids import is_task, set_of, split_task
from workbench.model.specs import Member, SetSpec
from workbench.model.states import TaskState

from . import drain, flow, graph
from .state import Accepted, SetState, State, Task, least_need
from .transitions import BROKEN, DONE, KIND, TABLE

UNSET = msgspec.UNSET


def apply_command(state: State, e: CommandAccepted) -> None:
    """Fold an accepted command, and keep the books for undo and redo."""
    touched: set[str] = set()
    for edit in e.edits:
        touched.update(names_of(edit))
        _APPLY[type(edit)](state, edit)
    for name in touched:
        if name in state.sets:
            state.sets[name].changed = state.seq
    state.growths.pop(e.id, None)
    state.commands[e.id] = Accepted(state.seq, e.author, e.inverse, e.undoes, e.reason)
    if e.undoes:
        if e.undoes in state.undo_stack:
            state.undo_stack.remove(e.undoes)
            state.redo_stack.append(e.id)
        elif e.undoes in state.redo_stack:
            state.redo_stack.remove(e.undoes)
            state.undo_stack.append(e.id)
        elif e.undoes in state.commands:  # a task's command, or an undo from before the latest new command
            (state.undo_stack if is_undo(state, e.undoes) else state.redo_stack).append(e.id)
    elif e.inverse is not None and not e.author.startswith(("task:", "engine")):
        state.undo_stack.append(e.id)
        state.redo_stack.clear()


def is_undo(state: State, command: str) -> bool:
    """Whether an accepted command took another one back (and did not bring one back, as the undo of an undo does)."""
    odd = False
    while (name := state.commands[command].undoes) in state.commands:
        odd, command = not odd, name
    return odd


def names_of(edit: ed.Edit) -> set[str]:
    """Names of the sets that an edit touches."""
    if isinstance(edit, ed.AddSet):
        return {edit.spec.name}
    if isinstance(edit, ed.RemoveSet):
        return {edit.name}
    if isinstance(edit, ed.AddTasks):
        return {edit.set}
    if isinstance(edit, (ed.RemoveTasks, ed.RestoreTasks)):
        return {set_of(t) for t in edit.tasks}
    if isinstance(edit, (ed.AddEdges, ed.RemoveEdges)):
        return {set_of(x.dst) for x in edit.edges}
    if isinstance(edit, (ed.ReplaceSpec, ed.SetPriority, ed.Steer)):
        return {set_of(edit.target)}
    if isinstance(edit, (ed.Hold, ed.Release, ed.Cancel, ed.Retry, ed.Invalidate)):
        return {set_of(t) for t in edit.targets}
    return set()


def targets(state: State, names: Iterable[str]) -> Iterator[Task]:
    """The tasks that set names and task ids stand for."""
    for name in names:
        if is_task(name):
            task = state.task(name)
            if task is not None:
                yield task
        else:
            yield from list(state.sets[name].live())


# --- structure ------------------------------------------------------------------------------------------------------


def _grow(state: State, s: SetState, members: Iterable[Member | None]) -> list[Task]:
    new = []
    number = state.numbers.get(s.name, 0)
    for m in members:
        task = Task(s, len(s.tasks), m)
        task.number = number
        s.tasks.append(task)
        new.append(task)
    _count(state, s, new, 1)
    return new


def _count(state: State, s: SetState, tasks: list[Task], sign: int) -> None:
    """Add tasks to the counters (or take them out), by the state that they are in."""
    for t in tasks:
        s.counts[t.state] += sign
        state.counts[t.state] += sign
        kind = KIND[t.state]
        s.n_done += sign * (kind == DONE)
        s.n_broken += sign * (kind == BROKEN)
    s.size += sign * len(tasks)
    state.graph_version += 1
    state.after = None


def _add_set(state: State, e: ed.AddSet) -> None:
    s = SetState(msgspec.structs.replace(e.spec, members=()))
    state.sets[s.name] = s
    _grow(state, s, e.spec.members or [None] * e.spec.n)
    links = [graph.join(state, edge) for edge in e.edges]
    inward = all(x.dst is s for x in links) and all(x.src is not s for x in links)
    if inward:
        graph.place_new(state, s)
    for link in links:
        flow.attach(state, link)
    if inward:
        flow.move_barrier(state)
        flow.regate_one(state, s)
    else:
        _restructure(state)


def _remove_set(state: State, e: ed.RemoveSet) -> None:
    s = state.sets[e.name]
    outward = list(s.links())
    for link in {id(x): x for x in [*s.into, *outward]}.values():
        flow.detach(state, link)
        graph.cut(state, link)
    _count(state, s, list(s.live()), -1)
    for t in s.live():
        t.order = -1  # its entry in a queue of ready tasks means nothing any more
    # A lost attempt may still report: a set that comes back under this name must not take it for one of its own.
    number = max((t.number for t in [*s.live(), *s.removed.values()]), default=0)
    if number:
        state.numbers[s.name] = number
    del state.sets[e.name]
    _restructure(state)


def _add_tasks(state: State, e: ed.AddTasks) -> None:
    s = state.sets[e.set]
    before = flow.facts(s)
    new = _grow(state, s, e.members or [None] * e.n)
    s.set_spec(msgspec.structs.replace(s.spec, n=len(s.tasks)))
    for t in new:
        flow.attach_task(state, t)
    flow.settle(state, s, before)
    for t in new:
        flow.ready_if_possible(state, t)


def full_spec(s: SetState) -> SetSpec:
    """The set as it could be declared again: what edits changed in single tasks becomes members."""
    tasks = [t if t is not None else s.removed[i] for i, t in enumerate(s.tasks)]
    members = tuple(t.member or Member() for t in tasks) if any(t.member for t in tasks) else ()
    return msgspec.structs.replace(s.spec, n=len(tasks), members=members)


def _remove_tasks(state: State, e: ed.RemoveTasks) -> None:
    for task in list(targets(state, e.tasks)):
        s, i = task.set, task.index
        for link in s.links_from(i):
            flow.detach(state, link)
        for link in s.out_each:
            flow.count_ith(state, link, i, -1)
        flow.move(state, task, "block")
        before = flow.facts(s)
        _count(state, s, [task], -1)
        task.missing = task.broken = 0
        task.order = -1
        s.tasks[i] = None
        s.removed[i] = task
        flow.settle(state, s, before)


def _restore_tasks(state: State, e: ed.RestoreTasks) -> None:
    for name in e.tasks:
        owner, i = split_task(name)
        s = state.sets[owner]
        task = s.tasks[i] = s.removed.pop(i)
        before = flow.facts(s)
        _count(state, s, [task], 1)
        flow.attach_task(state, task)
        flow.settle(state, s, before)
        for link in s.links_from(i):
            flow.attach(state, link)
        for link in s.out_each:
            flow.count_ith(state, link, i, 1)
        flow.ready_if_possible(state, task)


def _add_edges(state: State, e: ed.AddEdges) -> None:
    for edge in e.edges:
        flow.attach(state, graph.join(state, edge))
    _restructure(state)


def _remove_edges(state: State, e: ed.RemoveEdges) -> None:
    for edge in e.edges:
        link = graph.find(state, edge)
        if link is not None:
            flow.detach(state, link)
            graph.cut(state, link)
    _restructure(state)


def _restructure(state: State) -> None:
    graph.restructure(state)
    flow.move_barrier(state)
    flow.regate(state)


# --- what tasks are -------------------------------------------------------------------------------------------------


def replaced(spec: SetSpec, e: ed.ReplaceSpec) -> SetSpec:
    """The spec with the edit's fields in place."""
    fields = ("resources", "estimate", "parameters", "timeout_s", "retries", "tags", "stage", "on_failed_input")
    new: dict[str, Any] = {f: getattr(e, f) for f in fields if getattr(e, f) is not UNSET}
    return msgspec.structs.replace(spec, **new)


def _replace_spec(state: State, e: ed.ReplaceSpec) -> None:
    if is_task(e.target):
        task = state.task(e.target)
        if task is None:
            return
        member = task.member or Member()
        if e.parameters is not UNSET:
            member = msgspec.structs.replace(member, parameters=e.parameters)
        if e.estimate is not UNSET:
            member = msgspec.structs.replace(member, estimate=e.estimate)
        task.member = member
        state.graph_version += 1
        state.after = None
        return
    s = state.sets[e.target]
    before = s.shape
    s.set_spec(replaced(s.spec, e))
    state.graph_version += 1
    state.after = None
    if s.shape != before:
        for t in s.live():
            if t.state is TaskState.ready:
                flow.push(state, t)
    if e.stage is not UNSET:
        _restructure(state)
    if e.on_failed_input is not UNSET:
        flow.regate(state)


def _set_priority(state: State, e: ed.SetPriority) -> None:
    if is_task(e.target):
        task = state.task(e.target)
        if task is not None:
            task.priority = e.priority
            moved = [task]
        else:
            moved = []
    else:
        s = state.sets[e.target]
        s.set_spec(msgspec.structs.replace(s.spec, priority=e.priority or 0))
        moved = list(s.live())
    for t in moved:
        if t.state is TaskState.ready:
            flow.push(state, t)


# --- what tasks do --------------------------------------------------------------------------------------------------


def _hold(state: State, e: ed.Hold) -> None:
    for t in targets(state, e.targets):
        if t.state in (TaskState.waiting, TaskState.ready) or (t.state is TaskState.held and not t.held):
            t.held = True
            flow.move(state, t, "hold")


def _release(state: State, e: ed.Release) -> None:
    for t in targets(state, e.targets):
        if t.state is TaskState.held:
            t.held = False
            if not (t.broken or t.set.broken):
                t.input_hold = False
                t.cause = None
                flow.move(state, t, "release")
                flow.ready_if_possible(state, t)


def _cancel(state: State, e: ed.Cancel) -> None:
    for t in targets(state, e.targets):
        flow.move(state, t, "cancel")


def _retry(state: State, e: ed.Retry) -> None:
    for t in targets(state, e.targets):
        _again(state, t, "retry")


def _again(state: State, t: Task, trigger: str) -> None:
    t.burned = t.crashes = 0
    if t.state not in TABLE[trigger]:
        return  # one that is held, for instance, stays so: it has nothing to do again
    t.held = t.input_hold = False
    if flow.move(state, t, trigger):
        t.result, t.cause, t.detail = None, None, ""
        flow.ready_if_possible(state, t)


def _invalidate(state: State, e: ed.Invalidate) -> None:
    for t in downstream(state, targets(state, e.targets)):
        if t.state in (TaskState.done, TaskState.failed, TaskState.cancelled):
            _again(state, t, "invalidate")


def downstream(state: State, start: Iterable[Task]) -> list[Task]:
    """The tasks of `start` and every task that depends on one of them, each once, farthest last."""
    seen: dict[Task, None] = {}
    whole: set[str] = set()
    todo: list[Task | None] = list(start)
    for t in todo:
        if t is None or t in seen:
            continue
        seen[t] = None
        s, i = t.set, t.index
        for link in s.out_each:
            if i < len(link.dst.tasks):
                todo.append(link.dst.tasks[i])
        onward = list(s.links_from(i))
        if s.name not in whole:
            whole.add(s.name)
            onward += s.out
        for link in onward:
            todo.extend([link.dst.tasks[link.di]] if link.di >= 0 else link.dst.live())
    return list(seen)


def _steer(state: State, e: ed.Steer) -> None:
    for t in targets(state, (e.target,)):
        if t.state in (TaskState.assigned, TaskState.running):
            t.stopping = t.stopping or e.stop
        if e.parameters and t.state not in (TaskState.done, TaskState.failed, TaskState.cancelled):
            t.steered = {**(t.steered or {}), **e.parameters}


# --- the campaign ---------------------------------------------------------------------------------------------------


def _set_mode(state: State, e: ed.SetMode) -> None:
    state.mode = e.mode
    flow.regate(state)


def _set_policy(state: State, e: ed.SetPolicy) -> None:
    gate = state.gate
    state.policy = e.policy
    flow.requeue(state)
    if state.gate != gate:
        flow.regate(state)


def _add_pool(state: State, e: ed.AddPool) -> None:
    state.pools[e.pool.name] = e.pool
    for n in state.nodes.values():
        n.least = least_need(state.pools.get(n.pool), state.pools.values())


def _scale_pool(state: State, e: ed.ScalePool) -> None:
    state.pools[e.pool] = msgspec.structs.replace(state.pools[e.pool], nodes=e.nodes)
    drain.level(state, e.pool)


_APPLY: dict[type, Callable[[State, Any], None]] = {
    ed.AddPool: _add_pool,
    ed.ScalePool: _scale_pool,
    ed.AddSet: _add_set,
    ed.RemoveSet: _remove_set,
    ed.AddTasks: _add_tasks,
    ed.RemoveTasks: _remove_tasks,
    ed.RestoreTasks: _restore_tasks,
    ed.AddEdges: _add_edges,
    ed.RemoveEdges: _remove_edges,
    ed.ReplaceSpec: _replace_spec,
    ed.SetPriority: _set_priority,
    ed.Hold: _hold,
    ed.Release: _release,
    ed.Cancel: _cancel,
    ed.Retry: _retry,
    ed.Invalidate: _invalidate,
    ed.Steer: _steer,
    ed.SetMode: _set_mode,
    ed.SetPolicy: _set_policy,
}
