"""Rules about what tasks are and do: specs, priorities, holds, cancels, retries, steering. See `core.edits`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from workbench.model import edits as ed
from workbench.model.errors import AlreadyEnded, AlreadyRunning, BadValue
from workbench.model.ids import is_task, set_of
from workbench.model.specs import Function
from workbench.model.states import ACTIVE, ENDED, MODES, TaskState

from .apply import downstream, replaced, targets
from .draft import Draft, Inverse, close_to
from .explain import broken_input
from .policies import policy_names
from .values import check_common, check_estimate, check_json, check_resources, check_spec

UNSET = msgspec.UNSET


def replace_spec(d: Draft, e: ed.ReplaceSpec) -> Inverse:
    """Values mean something and fit; what has started keeps what it started with."""
    d.require(e.target)
    given = [f for f in e.__struct_fields__ if f != "target" and getattr(e, f) is not UNSET]
    if not given:
        raise BadValue(f"{e.target}: say what to replace", e.target)
    if is_task(e.target):
        wrong = [f for f in given if f not in ("parameters", "estimate")]
        if wrong:
            raise BadValue(f"{e.target}: {wrong[0]} belongs to the whole set; name {set_of(e.target)!r}", e.target)
        d.not_started(e.target, "change it")
        check_json({} if e.parameters is UNSET else e.parameters, e.target)
        _check_taken(d, e)
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
    _check_taken(d, e)
    if e.resources is not UNSET:
        check_resources(new.resources, f"task set {e.target!r}")
        check_spec(msgspec.structs.replace(new, members=(), n=0))
        d.check_fits(new)
    if e.stage is not UNSET and e.stage is not None:
        for edge in d.into(e.target):
            a = set_of(edge.src)
            if a != e.target and d.stage(a) > e.stage:
                raise BadValue(f"{e.target!r} depends on {a!r} of stage {d.stage(a)}; give it that stage or later", a)
        for edge in d.out_of(e.target):
            b = set_of(edge.dst)
            declared = d.spec(b).stage
            if b != e.target and declared is not None and declared < e.stage:
                raise BadValue(f"{b!r} of stage {declared} depends on {e.target!r}; give it that stage or earlier", b)
    d.specs[e.target] = new
    d.length.setdefault(e.target, d.n(e.target))
    return (ed.ReplaceSpec(e.target, **{f: getattr(spec, f) for f in given}),)


def _check_taken(d: Draft, e: ed.ReplaceSpec) -> None:
    """The function takes the new parameters; one that it does not take would fail every attempt."""
    work = d.spec(set_of(e.target)).work
    if e.parameters is UNSET or not isinstance(work, Function) or work.takes is None:
        return
    for name in e.parameters:
        if name not in work.takes:
            takes = f"it takes {', '.join(work.takes)}" if work.takes else "it takes none"
            raise BadValue(
                f"{e.target}: {work.name.rpartition(':')[2]} has no parameter {name!r}{close_to(name, work.takes)}; "
                f"{takes}",
                e.target,
            )


def set_priority(d: Draft, e: ed.SetPriority) -> Inverse:
    """The target exists."""
    d.require(e.target)
    if is_task(e.target):
        task = d.state.task(e.target)
        return (ed.SetPriority(e.target, None if task is None else task.priority),)
    if e.priority is None:
        raise BadValue(f"set {e.target!r} needs a number as its priority", e.target)
    return (ed.SetPriority(e.target, d.spec(e.target).priority),)


def _some(d: Draft, names: tuple[str, ...], able: Callable[[Any], bool], what: str) -> list[Any]:
    """The tasks of `names` for which the edit means something; raises if there are none."""
    if not names:
        raise BadValue(f"name at least one task or set to {what}")
    tasks = [t for name in names for t in d.existing(name)]
    chosen = [t for t in tasks if able(t)]
    if chosen or d.lenient or any(set_of(n) in d.new for n in names):
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


def hold(d: Draft, e: ed.Hold) -> Inverse:
    """Something of it has not started."""

    def able(t: Any) -> bool:
        return t.state in (TaskState.waiting, TaskState.ready) or (t.state is TaskState.held and not t.held)

    chosen = _some(d, e.targets, able, "hold")
    return (ed.Release(_compact(d, e.targets, chosen, able) or e.targets),)


def release(d: Draft, e: ed.Release) -> Inverse:
    """Something of it is held, and not because an input failed."""

    def able(t: Any) -> bool:
        return t.state is TaskState.held

    chosen = _some(d, e.targets, able, "release")
    broken = [t for t in chosen if t.broken or t.set.broken]
    if broken and len(broken) == len(chosen):
        raise BadValue(f"{broken[0].id} is held because {_blamed(broken[0])} first", broken[0].id)
    return (ed.Hold(tuple(t.id for t in chosen if t.held) or e.targets),)


def _blamed(task: Any) -> str:
    """The input that keeps a task from running, and the way out."""
    root = broken_input(task)
    if root is None:
        return "an input failed; retry that input"
    return f"{root.id} {'failed' if root.state is TaskState.failed else 'was cancelled'}; retry {root.id}"


def cancel(d: Draft, e: ed.Cancel) -> Inverse:
    """Something of it has not ended. Has no inverse."""
    if not math.isfinite(e.grace_s) or e.grace_s < 0:
        raise BadValue(f"grace {e.grace_s!r} makes no sense; give seconds, 0 or more")
    _some(d, e.targets, lambda t: t.state not in ENDED and t.state is not TaskState.cancelling, "cancel")
    return None


def retry(d: Draft, e: ed.Retry) -> Inverse:
    """Something of it failed or was cancelled. Has no inverse."""
    tasks = [t for name in e.targets for t in d.existing(name)]
    if tasks and all(t.state is TaskState.skipped for t in tasks):
        raise BadValue(f"{tasks[0].id} was skipped because {_blamed(tasks[0])}", tasks[0].id)
    _some(d, e.targets, lambda t: t.state in (TaskState.failed, TaskState.cancelled), "retry")
    return None


def invalidate(d: Draft, e: ed.Invalidate) -> Inverse:
    """Something of it is done, and nothing that uses it is under way. Has no inverse."""
    _some(d, e.targets, lambda t: t.state is TaskState.done, "invalidate")
    for t in downstream(d.state, targets(d.state, e.targets)):
        if t.state in ACTIVE:
            raise AlreadyRunning(f"{t.id} is {t.state} and uses what you invalidate; cancel it or wait for it", t.id)
    return None


def steer(d: Draft, e: ed.Steer) -> Inverse:
    """It is a function that has not ended. Has no inverse."""
    d.require(e.target)
    if not e.parameters and not e.stop:
        raise BadValue(f"{e.target}: give parameters to change, or stop=True", e.target)
    check_json(e.parameters, e.target)
    if not isinstance(d.spec(set_of(e.target)).work, Function):
        raise BadValue(f"{e.target} is not a Python function, so it cannot listen; cancel or replace it", e.target)
    _some(d, (e.target,), lambda t: t.state not in ENDED, "steer")
    return None


def set_mode(d: Draft, e: ed.SetMode) -> Inverse:
    """The mode is known."""
    if e.mode not in MODES:
        raise BadValue(f"mode {e.mode!r} is unknown{close_to(e.mode, MODES)}; use one of {', '.join(MODES)}", e.mode)
    return (ed.SetMode(d.state.mode),)


def set_policy(d: Draft, e: ed.SetPolicy) -> Inverse:
    """The policy is known."""
    known = policy_names()
    if e.policy not in known:
        raise BadValue(
            f"policy {e.policy!r} is unknown{close_to(e.policy, known)}; use one of {', '.join(known)}", e.policy
        )
    return (ed.SetPolicy(d.state.policy),)
