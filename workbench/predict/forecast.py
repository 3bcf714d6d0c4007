"""The prediction that the engine journals when a campaign starts and whenever its graph or what is known changes."""

from __future__ import annotations

import time

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.core.graph import tx_of
from workbench.core.state import Task
from workbench.model.events import ForecastMade
from workbench.model.states import MODES, TaskState

from .bounds import lower_bounds
from .simulate import Duration, provide_nodes, simulate

# Above this many tasks, the other modes are not simulated beside the present one.
COMPARED = 20_000


def expected(state: State) -> Duration | None:
    """Expected TX of each task: what it took, else learned, else estimated; None while nothing at all is known.

    A set about which nothing is known is taken to need the mean TX of the others.
    """
    means = [s.mean_s for s in state.sets.values() if s.size]
    known = [m for m in means if m is not None]
    if not known:
        return None
    fallback = sum(known) / len(known)

    def duration(task: Task) -> float:
        if task.state is TaskState.done and task.ended:
            return (task.ended - task.started) / state.time_scale
        if task.set.mean_s is None and (task.member is None or task.member.estimate is None):
            return fallback
        return tx_of(task.set, task.member)

    return duration


def breathe() -> None:
    """Let the thread that waits for the interpreter have it."""
    time.sleep(0)


def forecast(state: State, at: float) -> ForecastMade | None:
    """Predict the makespan of `state` (a copy: it is changed); None while no duration is known at all."""
    duration = expected(state)
    if duration is None or not state.size:
        return None
    provide_nodes(state, at)
    if not state.nodes:
        return None
    bound = lower_bounds(state, duration).best
    others: dict[str, float] = {}
    if state.size <= COMPARED:
        for mode in MODES:
            if mode != state.mode:
                copy = copy_state(state)
                change_mode(copy, mode)
                run = simulate(copy, at, duration, pause=breathe)
                if run.ended:
                    others[mode] = run.makespan_s
    seq, mode, policy = state.seq, state.mode, state.policy
    run = simulate(state, at, duration, pause=breathe)
    if not run.ended:
        return None
    others[mode] = run.makespan_s
    return ForecastMade(
        at=at,
        makespan_s=run.makespan_s,
        lower_bound_s=bound,
        mode=mode,
        policy=policy,
        made_at_seq=seq,
        alternatives={m: others[m] for m in MODES if m in others},
    )


def change_mode(state: State, mode: str) -> None:
    """Let a copied state go on in another mode."""
    from workbench.core.flow import regate

    state.mode = mode
    regate(state)
