"""In which order ready tasks are offered to the nodes, and which node takes them.

One extension point: `register` a `Policy`. A policy gives each ready task a key (smallest first; a task's priority
comes before it, the order in which tasks became ready after it) and names a packing rule of `core.placement`. Tasks
that do not fit now are passed over (backfill); a policy with ``reserve=True`` keeps a node free for the first task
that does not fit, and lets others pass only where they do not delay it.

No single rule is best everywhere: on the same graph the priority order alone decides between 13.9 and 19.7 s. So the
choice is a value in the journal, changed by a command, and the predictor compares them by simulating: under policy
``auto`` the last `PolicyChosen` says which `Plan` holds (see `workbench.predict.portfolio`). `scheduling` gives what
holds now, whoever chose it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from workbench.model.specs import Plan

from .graph import paths_after, tx_of, upward_ranks

if TYPE_CHECKING:
    from .state import SetState, State, Task

Key = float | tuple[float, ...]


@dataclass(frozen=True)
class Policy:
    """A scheduling policy.

    Attributes
    ----------
    name, summary : str
        What people type, and one sentence that explains it to them.
    key : callable
        ``key(state, set)``: smaller goes first. Pure; may read estimates and ranks, never the clock.
    member_key : callable or None
        ``member_key(state, task)`` for tasks that differ from their set (own estimate), of the same kind as `key`.
    packing : str
        Rule of `core.placement.PACKINGS`.
    dynamic : bool
        Keys depend on ranks or estimates and are computed again when these change.
    reserve : bool
        Keep a node for the first task that does not fit.
    """

    name: str
    summary: str
    key: Callable[[State, SetState], Key]
    member_key: Callable[[State, Task], Key] | None = None
    packing: str = "first"
    dynamic: bool = False
    reserve: bool = False


class Scheduling(NamedTuple):
    """What holds now: a policy, and a rule of `core.placement.PACKINGS` (the policy's own, or the plan's)."""

    policy: Policy
    packing: str


AUTO = "auto"  # follows `State.plan`
UNPLANNED = "upward-rank"  # what `AUTO` is until a first plan is chosen
POLICIES: dict[str, Policy] = {}
_OWN: dict[str, Scheduling] = {}  # made once, as every task that becomes ready asks for it


def register(policy: Policy) -> Policy:
    """Make a policy available by its name; the name must be new."""
    if policy.name in POLICIES or policy.name == AUTO:
        raise ValueError(f"a policy named {policy.name!r} exists; choose another name")
    POLICIES[policy.name] = policy
    _OWN[policy.name] = Scheduling(policy, policy.packing)
    return policy


def policy_names() -> tuple[str, ...]:
    """What a campaign's policy may be: every registered one, and ``auto``."""
    return (*POLICIES, AUTO)


def scheduling(state: State) -> Scheduling:
    """The policy and the packing rule by which `state` schedules now."""
    own = _OWN.get(state.policy)
    if own is not None:
        return own
    if state.policy != AUTO:
        raise KeyError(f"policy {state.policy!r} is not registered")
    plan = state.plan
    if plan is None:
        return _OWN[UNPLANNED]
    if state.planned is None or state.planned[0] is not plan:
        state.planned = (plan, planned(plan))
    return state.planned[1]


def planned(plan: Plan) -> Scheduling:
    """What `plan` means; raises `KeyError` for a policy that is not registered."""
    policy = POLICIES[plan.policy]
    packing = plan.packing or policy.packing
    if not plan.order:
        return Scheduling(policy, packing)
    place = {name: i for i, name in enumerate(plan.order)}
    last = len(place)

    def in_order(state: State, s: SetState) -> Key:
        return place.get(s.name, last)

    return Scheduling(replace(policy, key=in_order, member_key=None, dynamic=False), packing)


def key_of(state: State, policy: Policy, task: Task) -> Key:
    """Key of one task under `policy`."""
    if policy.member_key is not None and task.member is not None and task.member.estimate is not None:
        return policy.member_key(state, task)
    return policy.key(state, task.set)


def _no_key(state: State, s: SetState) -> Key:
    return 0.0


def _upward(state: State, s: SetState) -> Key:
    return -upward_ranks(state)[s.name]


def _upward_member(state: State, task: Task) -> Key:
    s = task.set
    # While the graph is being declared the set's own path will do, as all keys are computed again before they count.
    path = None
    if state.after is not None or state.queued_version == state.graph_version:
        path = paths_after(state).get(s.name)
    if path is None:  # or where something that may follow has no estimate: learned means included
        path = upward_ranks(state)[s.name] - tx_of(s)
    return -(tx_of(s, task.member) + (path[task.index] if isinstance(path, list) else path))


def _longest(state: State, s: SetState) -> Key:
    return -tx_of(s)


def _longest_member(state: State, task: Task) -> Key:
    return -tx_of(task.set, task.member)


def _largest(state: State, s: SetState) -> Key:
    r = s.spec.resources
    return (-r.cores * r.nodes, -r.gpus * r.nodes)


def _scarce_first(state: State, s: SetState) -> Key:
    return (-scarcity(state, s), -upward_ranks(state)[s.name])


def _scarce_member(state: State, task: Task) -> Key:
    upward = _upward_member(state, task)
    assert isinstance(upward, float)
    return (-scarcity(state, task.set), upward)


def pressure(state: State) -> tuple[float, float, float]:
    """Work over capacity for cores, GPUs and memory of the nodes at hand: seconds that each would be busy.

    The largest is the scarce resource (and a lower bound of the makespan for equal nodes).
    """
    if state.pressure_version != state.graph_version:
        state.pressure, state.pressure_version = _pressure(state), state.graph_version
    return state.pressure


def _pressure(state: State) -> tuple[float, float, float]:
    cores = gpus = memory = 0.0
    for s in state.sets.values():
        r, work = s.spec.resources, s.size * tx_of(s) * s.spec.resources.nodes
        cores += r.cores * work
        gpus += r.gpus * work
        memory += r.memory * work
    have = [n for n in state.nodes.values() if not n.draining]
    total = (sum(n.cores for n in have), sum(n.gpus for n in have), sum(n.memory for n in have))
    per = [w / t if t else 0.0 for w, t in zip((cores, gpus, memory), total, strict=True)]
    return per[0], per[1], per[2]


def work_left(state: State) -> float:
    """Seconds that all cores together would need for what has not ended, roughly; infinite where there are none."""
    cores = sum(n.cores for n in state.nodes.values() if not n.draining)
    work = sum(s.n_open * tx_of(s) * s.spec.resources.cores * s.spec.resources.nodes for s in state.sets.values())
    return work * state.time_scale / cores if cores else float("inf")


def scarcity(state: State, s: SetState) -> float:
    """1.0 for sets that need the scarcest resource, 0.0 for others. Cores count as scarce only if nothing else is."""
    cores, gpus, memory = pressure(state)
    r = s.spec.resources
    if gpus >= cores and gpus >= memory and gpus > 0:
        return 1.0 if r.gpus else 0.0
    if memory > cores:
        return 1.0 if r.memory else 0.0
    return 0.0


register(Policy("fifo", "in the order in which tasks became ready", _no_key))
register(
    Policy(
        "upward-rank",
        "longest remaining path through the graph first (HEFT)",
        _upward,
        _upward_member,
        packing="best",
        dynamic=True,
    )
)
register(Policy("largest-first", "tasks of most cores first, as RADICAL-Pilot's scheduler places a bulk", _largest))
register(Policy("longest-first", "longest TX first (LPT)", _longest, _longest_member, packing="best", dynamic=True))
register(
    Policy(
        "resource-aware",
        "tasks that need the scarcest resource first, by remaining path; others fill the gaps behind them",
        _scarce_first,
        _scarce_member,
        packing="balance",
        dynamic=True,
        reserve=True,
    )
)
