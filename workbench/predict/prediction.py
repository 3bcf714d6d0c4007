"""A whole campaign predicted: the finish and its band, the same in the other modes, and the policy that was chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from statistics import median

from workbench.core import State, evolve
from workbench.core.copying import copy_state
from workbench.core.policies import AUTO
from workbench.core.state import SetState
from workbench.model.errors import WorkbenchError
from workbench.model.specs import Constant, Estimate, LogNormal
from workbench.model.states import MODES, TaskState

from .bounds import lower_bounds
from .counting import depth, edges
from .durations import Durations, Tx
from .forecast import SAMPLES, TASKS, Player, change_mode, quantiles
from .outlook import HOUR, to_use
from .overheads import NONE, Overheads
from .portfolio import RUNS, choose
from .remaining import remaining_bound
from .simulate import provide_nodes, simulate

COMPARED = 5  # futures in which the other modes are compared
COMPARED_RUNS = 100  # simulations in which ``auto`` looks for their plans
BUDGET_S = 10.0  # no simulation of a choice begins later


class Unpredictable(WorkbenchError):
    """A campaign whose finish nobody can tell: no duration is known, or it never ends."""


@dataclass(frozen=True)
class Prediction:
    """What a campaign will do; times in unscaled seconds from its first assignment.

    Attributes
    ----------
    tasks, edges, depth : int
        Size of the graph between tasks (see `predict.counting`).
    lower_bound_s : float
        No schedule finishes before, by expected durations and without overheads.
    makespan_s : float
        The prediction: P50 of the sampled futures, or the one future where durations are exact.
    p10_s, p50_s, p90_s : float
        Quantiles of the finish.
    mode, policy : str
        As predicted; the name of the plan where the policy is ``auto``.
    reason : str
        Why that plan, where the policy is ``auto``.
    modes : dict of str to float
        The makespan in each mode; under ``auto`` each with a plan of its own.
    alternatives : dict of str to float
        Other plans that were tried, where the policy is ``auto``.
    core_hours, gpu_hours : float
        What tasks use, from the state's present on.
    samples : int
        Number of futures; 0 where durations are exact.
    open_tasks : int
        Tasks that have not ended yet.
    """

    tasks: int
    edges: int
    depth: int
    lower_bound_s: float
    makespan_s: float
    p10_s: float
    p50_s: float
    p90_s: float
    mode: str
    policy: str
    reason: str = ""
    modes: dict[str, float] = field(default_factory=dict)
    alternatives: dict[str, float] = field(default_factory=dict)
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    samples: int = 0
    open_tasks: int = 0


def predict(
    state: State, at: float | None = None, samples: int | None = None, overheads: Overheads = NONE
) -> Prediction:
    """Predict the finish of `state`, which is not changed.

    Parameters
    ----------
    state : State
        Nodes that its pools still lack join at once.
    at : float, optional
        Present time on its clock, seconds; None: that of its last event.
    samples : int, optional
        Futures to sample; None: 20 to 100, by the size of the campaign.
    overheads : Overheads
        What the machine adds.

    Raises
    ------
    Unpredictable
        If nothing is known of any duration, there is nothing to run or to run on, or some task would never end.
    """
    now = state.at if at is None else max(at, state.at)
    if state.first_assigned_at is None:
        now = 0.0  # no clock matters before the first assignment, and seconds since the epoch would cost digits
    if not state.size:
        raise Unpredictable(f"{state.name} has no tasks, so there is nothing to predict")
    durations = Durations(state, now)
    if not durations.known:
        raise Unpredictable(
            f"no duration of any task of {state.name} is known: declare estimates, or run it until a task has finished"
        )
    base = copy_state(state)
    provide_nodes(base, now)
    if not base.nodes:
        raise Unpredictable(f"{state.name} has no nodes to run on: give it a pool, or name an allocation")
    mean = durations.mean()
    draws = _draws(state, durations, samples)
    plain = base.policy != AUTO
    reason, tried = "", {}
    work = base if plain else copy_state(base)
    if not plain:
        chosen = choose(work, now, durations.of(mean), BUDGET_S, RUNS)
        if chosen is not None:
            reason, tried = chosen.reason, chosen.alternatives
            evolve(work, chosen)
    finishes = _play(work, now, durations, draws, overheads)
    band = quantiles(finishes)
    modes = {base.mode: band[1]}
    for mode in MODES:
        if mode != base.mode:
            other = _in_mode(base, mode, now, durations, mean)
            apart = [
                b - a for a, b in zip(finishes, _play(other, now, durations, draws[:COMPARED], overheads), strict=False)
            ]
            modes[mode] = band[1] + median(apart)
    cores, gpus = _hours(work, now, mean)
    plan = work.plan.name if not plain and work.plan is not None else ""
    return Prediction(
        tasks=state.size,
        edges=edges(state),
        depth=depth(state),
        lower_bound_s=min(_bound(base, now, durations, mean), band[1]),
        makespan_s=band[1],
        p10_s=band[0],
        p50_s=band[1],
        p90_s=band[2],
        mode=base.mode,
        policy=plan or base.policy,
        reason=reason,
        modes={mode: modes[mode] for mode in MODES},
        alternatives=tried,
        core_hours=cores,
        gpu_hours=gpus,
        samples=0 if durations.certain else len(draws),
        open_tasks=sum(s.n_open for s in state.sets.values()),
    )


def _draws(state: State, durations: Durations, samples: int | None) -> list[Tx]:
    if durations.certain:
        return [durations.mean()]
    least, most = SAMPLES
    n = samples if samples is not None else max(least, min(most, TASKS // state.size))
    return durations.samples(Random(f"{state.seed}/{state.seq}"), n)


def _play(state: State, at: float, durations: Durations, draws: list[Tx], overheads: Overheads) -> list[float]:
    """The finish of each future."""
    found = []
    player = Player(state, at) if overheads == NONE else None
    for tx in draws:
        if player is not None:
            future = player.play(tx)
            finish, ended = future.finish_s, future.ended
        else:
            run = simulate(copy_state(state), at, durations.of(tx), overheads=overheads)
            finish, ended = run.makespan_s, run.ended
        if not ended:
            held = state.counts[TaskState.held]
            why = (
                f"{held} of its tasks {'are' if held > 1 else 'is'} held: release first"
                if held
                else "no node could ever hold some task"
            )
            raise Unpredictable(f"{state.name} does not end by itself, so nobody can tell when: {why}")
        found.append(finish)
    return found


def _in_mode(base: State, mode: str, at: float, durations: Durations, mean: Tx) -> State:
    """`base` as it would go on in another mode, with a plan for it where the policy is ``auto``."""
    other = copy_state(base)
    change_mode(other, mode)
    if other.policy == AUTO:
        chosen = choose(other, at, durations.of(mean), BUDGET_S, COMPARED_RUNS)
        if chosen is not None:
            evolve(other, chosen)
    return other


def _bound(state: State, at: float, durations: Durations, mean: Tx) -> float:
    whole = lower_bounds(state, durations.of(mean)).best
    if state.first_assigned_at is None:
        return whole
    return max(whole, (at - state.first_assigned_at) / state.time_scale + remaining_bound(state, at, mean))


def _hours(state: State, at: float, mean: Tx) -> tuple[float, float]:
    cores, gpus = to_use(state, at, mean)
    return cores / HOUR, gpus / HOUR


def measured(s: SetState, scale: float) -> Estimate | None:
    """An estimate of a set from its finished tasks; None if there are none. `scale` is the campaign's time scale."""
    took = [(t.ended - t.started) / scale for t in s.live() if t.state is TaskState.done and t.ended]
    if not took:
        return None
    mean = sum(took) / len(took)
    std = math.sqrt(sum((x - mean) ** 2 for x in took) / (len(took) - 1)) if len(took) > 1 else 0.0
    return LogNormal(mean, std) if std > 0 and mean > 0 else Constant(max(mean, 0.0))
