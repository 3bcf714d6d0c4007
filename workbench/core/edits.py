"""The rules that a command must keep, and the inverse of each edit.

`validate(state, command)` reads the state, raises an `EditRefused` that names the broken rule, or returns the edits
that undo the command (None where nothing can). It changes nothing; `core.apply` carries accepted edits out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from workbench.model import edits as ed
from workbench.model.errors import (
    AlreadyEnded,
    AlreadyRunning,
    BadValue,
    DuplicateName,
    NothingToUndo,
    NotUndoable,
    StaleBase,
    StillNeeded,
    UnknownName,
)
from workbench.model.ids import is_task, split_task, task_id
from workbench.model.specs import Edge, Function
from workbench.model.states import ACTIVE, ENDED, MODES, TaskState

from .apply import downstream, full_spec, names_of, replaced, targets
from .draft import Draft, close_to, owner
from .policies import POLICIES
from .state import SetState, State
from .values import check_common, check_estimate, check_json, check_pool, check_resources, check_spec

Inverse = tuple[ed.Edit, ...] | None
UNSET = msgspec.UNSET


def resolve(state: State, command: ed.Command) -> ed.Command:
    """Fill in what an undo or redo stands for; other commands come back as they are."""
    if command.undoes not in (ed.UNDO, ed.REDO) or command.edits:
        return command
    stack = state.undo_stack if command.undoes == ed.UNDO else state.redo_stack
    if not stack:
        raise NothingToUndo(f"there is nothing to {command.undoes}")
    accepted = state.commands[stack[-1]]
    if accepted.inverse is None:
        raise NotUndoable(f"command {stack[-1]} cannot be taken back: it ended or restarted work", stack[-1])
    reason = command.reason or f"{command.undoes} {stack[-1]}"
    return msgspec.structs.replace(command, edits=accepted.inverse, undoes=stack[-1], reason=reason)


def validate(state: State, command: ed.Command) -> Inverse:
    """Judge a command against the present state.

    Returns
    -------
    tuple of Edit, or None
        What takes the whole command back; None if some edit of it has no inverse.

    Raises
    ------
    EditRefused
        Naming the first rule that the command breaks.
    """
    if not command.edits:
        raise BadValue("the command holds no edit; say what to change")
    if command.base >= 0:
        for name in sorted(set().union(*(names_of(e) for e in command.edits))):
            s = state.sets.get(name)
            if s is not None and s.changed > command.base:
                raise StaleBase(
                    f"task set {name!r} was changed at {s.changed}, after {command.base}, the state that this edit was "
                    "made against; look at it again and repeat the edit if you still want it",
                    name,
                )
    draft = Draft(state)
    inverse: list[ed.Edit] | None = []
    for edit in command.edits:
        back = _RULES[type(edit)](draft, edit)
        if back is None or inverse is None:
            inverse = None
        else:
            inverse[:0] = back
    return None if inverse is None else tuple(inverse)


# --- pools ----------------------------------------------------------------------------------------------------------


def _add_pool(d: Draft, e: ed.AddPool) -> Inverse:
    check_pool(e.pool)
    if e.pool.name in d.pools:
        raise DuplicateName(f"there is a pool {e.pool.name!r} already; scale it or choose another name", e.pool.name)
    d.pools[e.pool.name] = e.pool
    return None


def _scale_pool(d: Draft, e: ed.ScalePool) -> Inverse:
    pool = d.pools.get(e.pool)
    if pool is None:
        raise UnknownName(f"there is no pool {e.pool!r}{close_to(e.pool, d.pools)}", e.pool)
    if e.nodes < 0:
        raise BadValue(f"pool {e.pool!r}: nodes={e.nodes} makes no sense; use 0 or more", e.pool)
    d.pools[e.pool] = msgspec.structs.replace(pool, nodes=e.nodes)
    if e.nodes < pool.nodes:
        for s in d.state.sets.values():
            if s.n_open and s.name not in d.gone:
                d.check_fits(d.spec(s.name))
    return (ed.ScalePool(e.pool, pool.nodes),)


# --- structure ------------------------------------------------------------------------------------------------------


def _add_set(d: Draft, e: ed.AddSet) -> Inverse:
    spec = e.spec
    check_spec(spec)
    if d.has(spec.name):
        raise DuplicateName(f"there is a task set {spec.name!r} already; choose another name", spec.name)
    d.check_fits(spec)
    d.new.add(spec.name)
    d.gone.discard(spec.name)
    d.specs[spec.name] = spec
    d.length[spec.name] = spec.n
    for edge in e.edges:
        if owner(edge.dst) != spec.name and owner(edge.src) != spec.name:
            raise BadValue(f"the edge {edge.src} > {edge.dst} has nothing to do with set {spec.name!r}", spec.name)
        _add_edge(d, edge)
    return (ed.RemoveSet(spec.name),)


def _remove_set(d: Draft, e: ed.RemoveSet) -> Inverse:
    d.spec(e.name)
    d.not_started(e.name, "remove its set")
    for edge in d.out_of(e.name):
        if edge.data and owner(edge.dst) != e.name:
            raise StillNeeded(f"{edge.dst} uses the result of {edge.src}; remove {owner(edge.dst)} first", edge.dst)
    back: list[ed.Edit] = []
    if e.name not in d.new:
        s = d.state.sets[e.name]
        edges = dict.fromkeys([*d.into(e.name), *d.out_of(e.name)])
        back.append(ed.AddSet(full_spec(s), tuple(edges)))
        every = [*s.live(), *s.removed.values()]
        held = tuple(t.id for t in every if t.held)
        if held:
            back.append(ed.Hold(held))
        back += [ed.SetPriority(t.id, t.priority) for t in every if t.priority is not None]
        if s.removed:
            back.append(ed.RemoveTasks(tuple(task_id(e.name, i) for i in sorted(s.removed))))
    else:
        edges = dict.fromkeys([*d.into(e.name), *d.out_of(e.name)])
        back.append(ed.AddSet(d.specs[e.name], tuple(edges)))
    d.gone_edges.update(edges)
    d.new.discard(e.name)
    d.specs.pop(e.name, None)
    d.length.pop(e.name, None)
    d.gone.add(e.name)
    return tuple(back)


def _check_growable(d: Draft, name: str, what: str) -> None:
    """Whoever waits for the whole set must not have started."""
    for edge in d.out_of(name):
        if edge.src == name and edge.kind == "all":
            d.not_started(edge.dst, f"{what} {name}, which it waited for")


def _add_tasks(d: Draft, e: ed.AddTasks) -> Inverse:
    spec = d.spec(e.set)
    count = len(e.members) or e.n
    if count < 1 or (e.members and e.n not in (0, len(e.members))):
        raise BadValue(f"set {e.set!r}: add at least one task, with n equal to the number of members", e.set)
    for i, m in enumerate(e.members):
        check_json(m.parameters, f"{e.set}[+{i}]")
        check_estimate(m.estimate, f"{e.set}[+{i}]")
    _check_growable(d, e.set, "add tasks to")
    first = d.n(e.set)
    for edge in d.into(e.set):
        if edge.kind == "each" and d.n(edge.src) < first + count:
            raise BadValue(
                f"{e.set!r} follows {edge.src!r} task by task, which has only {d.n(edge.src)} tasks; add to it first",
                e.set,
            )
    d.specs[e.set] = spec
    d.length[e.set] = first + count
    return (ed.RemoveTasks(tuple(task_id(e.set, first + i) for i in range(count))),)


def _remove_tasks(d: Draft, e: ed.RemoveTasks) -> Inverse:
    for target in dict.fromkeys(e.tasks):
        if not is_task(target):
            raise BadValue(f"{target!r} is not one task; remove tasks by ids such as {target}[0]", target)
        d.not_started(target, "remove it")
        name, index = split_task(target)
        for edge in d.out_of(name):
            used = edge.src == target or (edge.kind == "each" and index < d.n(edge.dst))
            dst = task_id(edge.dst, index) if edge.kind == "each" else edge.dst
            if used and edge.data and dst not in d.gone_tasks:
                raise StillNeeded(f"{dst} uses the result of {target}; remove it first", dst)
        d.gone_tasks.add(target)
        d.back_tasks.discard(target)
    if not e.tasks:
        raise BadValue("name at least one task to remove")
    return (ed.RestoreTasks(tuple(dict.fromkeys(e.tasks))),)


def _restore_tasks(d: Draft, e: ed.RestoreTasks) -> Inverse:
    for target in e.tasks:
        name, index = split_task(target) if is_task(target) else (target, -1)
        d.spec(name)
        s = d.state.sets.get(name)
        removed = target in d.gone_tasks or (s is not None and index in s.removed and target not in d.back_tasks)
        if not removed:
            raise BadValue(f"{target!r} was not removed, so there is nothing to restore", target)
        _check_growable(d, name, "restore a task of")
        d.gone_tasks.discard(target)
        d.back_tasks.add(target)
    return (ed.RemoveTasks(e.tasks),)


def _add_edge(d: Draft, edge: Edge) -> None:
    if edge.kind not in ("all", "each"):
        raise BadValue(f"edge kind {edge.kind!r} is unknown; use 'all' or 'each'", edge.dst)
    d.require(edge.src)
    d.require(edge.dst)
    if edge.kind == "each":
        if is_task(edge.src) or is_task(edge.dst):
            raise BadValue("an edge from the i-th to the i-th task joins two sets, not tasks", edge.dst)
        if d.n(edge.dst) > d.n(edge.src):
            raise BadValue(
                f"{edge.dst!r} has {d.n(edge.dst)} tasks and {edge.src!r} only {d.n(edge.src)}; the i-th of one cannot "
                "follow the i-th of the other",
                edge.dst,
            )
    if d.has_edge(edge):
        raise DuplicateName(f"there is an edge {edge.src} > {edge.dst} already", edge.dst)
    if owner(edge.dst) not in d.new:
        d.not_started(edge.dst, f"let it wait for {edge.src}")
    a, b = owner(edge.src), owner(edge.dst)
    outward = b not in d.new or any(True for _ in d.out_of(b)) or a == b
    if outward:
        d.check_acyclic(edge)
    declared = d.spec(b).stage
    if a != b and declared is not None and declared < d.stage(a):
        raise BadValue(
            f"set {b!r} is declared for stage {declared} but depends on {a!r} of stage {d.stage(a)}; sequential mode "
            "could never reach it. Give it a later stage",
            b,
        )
    d.new_edges.append(edge)
    d.stages.clear()


def _add_edges(d: Draft, e: ed.AddEdges) -> Inverse:
    if not e.edges:
        raise BadValue("name at least one edge to add")
    for edge in e.edges:
        _add_edge(d, edge)
    return (ed.RemoveEdges(e.edges),)


def _remove_edges(d: Draft, e: ed.RemoveEdges) -> Inverse:
    found: list[Edge] = []
    for edge in e.edges:
        d.require(edge.src)
        d.require(edge.dst)
        same = [x for x in d.into(owner(edge.dst)) if (x.src, x.dst, x.kind) == (edge.src, edge.dst, edge.kind)]
        if not same:
            raise UnknownName(f"there is no edge {edge.src} > {edge.dst} of kind {edge.kind!r}", edge.dst)
        if same[0].data:
            raise StillNeeded(
                f"{edge.dst} uses the result of {edge.src}, so the edge cannot go; remove {edge.dst} instead", edge.dst
            )
        d.not_started(edge.dst, f"free it from {edge.src}")
        d.gone_edges.add(same[0])
        found.append(same[0])
    if not found:
        raise BadValue("name at least one edge to remove")
    return (ed.AddEdges(tuple(found)),)


# --- what tasks are -------------------------------------------------------------------------------------------------


def _replace_spec(d: Draft, e: ed.ReplaceSpec) -> Inverse:
    d.require(e.target)
    given = [f for f in e.__struct_fields__ if f != "target" and getattr(e, f) is not UNSET]
    if not given:
        raise BadValue(f"{e.target}: say what to replace", e.target)
    if is_task(e.target):
        wrong = [f for f in given if f not in ("parameters", "estimate")]
        if wrong:
            raise BadValue(f"{e.target}: {wrong[0]} belongs to the whole set; name {owner(e.target)!r}", e.target)
        d.not_started(e.target, "change it")
        check_json({} if e.parameters is UNSET else e.parameters, e.target)
        check_estimate(None if e.estimate is UNSET else e.estimate, e.target)
        task = d.state.task(e.target)
        member = task.member if task is not None else None
        old: dict[str, Any] = {
            f: getattr(member, f) if member is not None else ({} if f == "parameters" else None) for f in given
        }
        return (ed.ReplaceSpec(e.target, **old),)
    spec = d.spec(e.target)
    if e.target not in d.new:
        s = d.state.sets[e.target]
        if s.size and all(t.state in ENDED for t in s.live()):
            raise AlreadyEnded(f"every task of {e.target!r} has ended; retry or invalidate some first", e.target)
    new = replaced(spec, e)
    check_common(new)
    if e.resources is not UNSET:
        check_resources(new.resources, f"task set {e.target!r}")
        check_spec(msgspec.structs.replace(new, members=(), n=0))
        d.check_fits(new)
    if e.stage is not UNSET and e.stage is not None:
        for edge in d.into(e.target):
            a = owner(edge.src)
            if a != e.target and d.stage(a) > e.stage:
                raise BadValue(f"{e.target!r} depends on {a!r} of stage {d.stage(a)}; give it that stage or later", a)
        for edge in d.out_of(e.target):
            b = owner(edge.dst)
            declared = d.spec(b).stage
            if b != e.target and declared is not None and declared < e.stage:
                raise BadValue(f"{b!r} of stage {declared} depends on {e.target!r}; give it that stage or earlier", b)
    d.specs[e.target] = new
    d.length.setdefault(e.target, d.n(e.target))
    return (ed.ReplaceSpec(e.target, **{f: getattr(spec, f) for f in given}),)


def _set_priority(d: Draft, e: ed.SetPriority) -> Inverse:
    d.require(e.target)
    if is_task(e.target):
        task = d.state.task(e.target)
        return (ed.SetPriority(e.target, None if task is None else task.priority),)
    if e.priority is None:
        raise BadValue(f"set {e.target!r} needs a number as its priority", e.target)
    return (ed.SetPriority(e.target, d.spec(e.target).priority),)


# --- what tasks do --------------------------------------------------------------------------------------------------


def _some(d: Draft, names: tuple[str, ...], able: Callable[[Any], bool], what: str) -> list[Any]:
    """The tasks of `names` for which the edit means something; raises if there are none."""
    if not names:
        raise BadValue(f"name at least one task or set to {what}")
    tasks = [t for name in names for t in d.existing(name)]
    chosen = [t for t in tasks if able(t)]
    if chosen or any(owner(n) in d.new for n in names):
        return chosen
    subject = ", ".join(names[:3]) + ("..." if len(names) > 3 else "")
    states = ", ".join(sorted({t.state for t in tasks})) or "empty"
    if any(t.state in ACTIVE for t in tasks):
        raise AlreadyRunning(f"{subject} is {states}: nothing there to {what}", names[0])
    raise AlreadyEnded(f"{subject} is {states}: nothing there to {what}", names[0])


def _compact(d: Draft, names: tuple[str, ...], chosen: list[Any], able: Callable[[Any], bool]) -> tuple[str, ...]:
    """The same tasks by set names where whole sets are meant."""
    whole = [n for n in names if not is_task(n) and n not in d.new and all(able(t) for t in d.state.sets[n].live())]
    return (*whole, *(t.id for t in chosen if t.set.name not in whole))


def _hold(d: Draft, e: ed.Hold) -> Inverse:
    def able(t: Any) -> bool:
        return t.state in (TaskState.waiting, TaskState.ready) or (t.state is TaskState.held and not t.held)

    chosen = _some(d, e.targets, able, "hold")
    return (ed.Release(_compact(d, e.targets, chosen, able) or e.targets),)


def _release(d: Draft, e: ed.Release) -> Inverse:
    def able(t: Any) -> bool:
        return t.state is TaskState.held

    chosen = _some(d, e.targets, able, "release")
    broken = [t for t in chosen if t.broken or t.set.broken]
    if broken and len(broken) == len(chosen):
        raise BadValue(f"{broken[0].id} is held because an input failed; retry that input first", broken[0].id)
    return (ed.Hold(tuple(t.id for t in chosen if t.held) or e.targets),)


def _cancel(d: Draft, e: ed.Cancel) -> Inverse:
    if not math.isfinite(e.grace_s) or e.grace_s < 0:
        raise BadValue(f"grace {e.grace_s!r} makes no sense; give seconds, 0 or more")
    _some(d, e.targets, lambda t: t.state not in ENDED and t.state is not TaskState.cancelling, "cancel")
    return None


def _retry(d: Draft, e: ed.Retry) -> Inverse:
    tasks = [t for name in e.targets for t in d.existing(name)]
    if tasks and all(t.state is TaskState.skipped for t in tasks):
        raise BadValue(f"{tasks[0].id} was skipped because an input failed; retry that input", tasks[0].id)
    _some(d, e.targets, lambda t: t.state in (TaskState.failed, TaskState.cancelled), "retry")
    return None


def _invalidate(d: Draft, e: ed.Invalidate) -> Inverse:
    _some(d, e.targets, lambda t: t.state is TaskState.done, "invalidate")
    for t in downstream(d.state, targets(d.state, e.targets)):
        if t.state in ACTIVE:
            raise AlreadyRunning(f"{t.id} is {t.state} and uses what you invalidate; cancel it or wait for it", t.id)
    return None


def _steer(d: Draft, e: ed.Steer) -> Inverse:
    d.require(e.target)
    if not e.parameters and not e.stop:
        raise BadValue(f"{e.target}: give parameters to change, or stop=True", e.target)
    check_json(e.parameters, e.target)
    if not isinstance(d.spec(owner(e.target)).work, Function):
        raise BadValue(f"{e.target} is not a Python function, so it cannot listen; cancel or replace it", e.target)
    _some(d, (e.target,), lambda t: t.state not in ENDED, "steer")
    return None


# --- the campaign ---------------------------------------------------------------------------------------------------


def _set_mode(d: Draft, e: ed.SetMode) -> Inverse:
    if e.mode not in MODES:
        raise BadValue(f"mode {e.mode!r} is unknown{close_to(e.mode, MODES)}; use one of {', '.join(MODES)}", e.mode)
    return (ed.SetMode(d.state.mode),)


def _set_policy(d: Draft, e: ed.SetPolicy) -> Inverse:
    if e.policy not in POLICIES:
        raise BadValue(
            f"policy {e.policy!r} is unknown{close_to(e.policy, POLICIES)}; use one of {', '.join(POLICIES)}", e.policy
        )
    return (ed.SetPolicy(d.state.policy),)


def effective_parameters(s: SetState, task: Any) -> dict[str, Any]:
    """Parameters of a task: the set's, over them its own, over them what a person steered."""
    own = task.member.parameters if task.member is not None else {}
    return {**s.spec.parameters, **own, **(task.steered or {})}


_RULES: dict[type, Callable[[Draft, Any], Inverse]] = {
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
