"""A future of a state: when it finishes, within which band, at least when, and what it uses.

P10, P50 and P90 have one of four bases, and `Outlook.basis` says from which:

* ``"certain"``: all durations are exact, so the three are one number;
* ``"sampled"``: few open tasks (see `SAMPLED`): both futures are played under the same sampled durations, so that the
  difference between them is the edit's alone and not the luck of the draw;
* ``"scaled"``: many open tasks. P50 is the finish under expected durations, and P10 and P90 lie around it as those of
  the last forecast did around its P50, relative to the time that was still to go. Sound for what a what-if is asked
  for: both futures are judged alike, and the relative spread changes slowly - it is renewed with every forecast that
  the engine makes, within a second of a change - while an edit seldom changes how uncertain tasks are. What it cannot
  show is an edit that itself changes the uncertainty; ask with `samples` for that;
* ``"expected"``: as before, but no forecast has a band yet: the three are the finish under expected durations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.core.state import Task
from workbench.model.states import ACTIVE, ENDED, TaskState

from .compact import NotCompact, compile_state
from .durations import Durations
from .forecast import quantiles
from .remaining import holds, remaining_bound
from .simulate import provide_nodes, simulate

SAMPLED = 3000  # tasks played in all samples of one future together: what a person does not notice
LEAST_SAMPLES = 10
MOST_SAMPLES = 40
PATIENT = 20_000  # the same where no forecast has a band yet, which is before a campaign starts
HOUR = 3600.0

Tx = dict[str, "float | list[float]"]


@dataclass(frozen=True)
class Outlook:
    """A future.

    Attributes
    ----------
    finish_p10_s, finish_p50_s, finish_p90_s : float
        Finish in unscaled seconds from the campaign's first assignment; infinite where some task would never end.
    bound_s : float
        No schedule of what is left, on the nodes that are wanted, finishes before, by expected durations.
    core_hours, gpu_hours : float
        What tasks use from now on.
    offered_core_hours, offered_gpu_hours : float
        What the nodes offer from now to the P50 of the finish, used or not. Nodes that are leaving count for nothing.
    open_tasks : int
        Tasks that have not ended.
    basis : str
        ``"certain"``, ``"sampled"``, ``"scaled"`` or ``"expected"``; see the module.
    """

    finish_p10_s: float
    finish_p50_s: float
    finish_p90_s: float
    bound_s: float
    core_hours: float
    gpu_hours: float
    offered_core_hours: float = 0.0
    offered_gpu_hours: float = 0.0
    open_tasks: int = 0
    basis: str = ""

    @property
    def ends(self) -> bool:
        """Whether every task would end by itself."""
        return math.isfinite(self.finish_p50_s)


# --- durations ------------------------------------------------------------------------------------------------------


def expected_tx(state: State) -> Tx | None:
    """Expected TX of each set as the core ranks by it; None if nothing is known. Sets unknown take the others' mean."""
    known = [m for s in state.sets.values() if s.size and (m := s.mean_s) is not None]
    if not known:
        return None
    usual = sum(known) / len(known)
    found: Tx = {}
    for s in state.sets.values():
        mean = usual if s.mean_s is None else s.mean_s
        own = None
        if s.n_open:
            own = {
                i: t.member.estimate.mean
                for i, t in enumerate(s.tasks)
                if t is not None and t.member is not None and t.member.estimate is not None
            }
        found[s.name] = [own.get(i, mean) for i in range(len(s.tasks))] if own else mean
    return found


def _open(state: State) -> int:
    return sum(s.n_open for s in state.sets.values())


def drawn(state: State, at: float, samples: int | None) -> tuple[tuple[Tx, ...], bool]:
    """Sampled durations of so many futures (none: too dear), and whether all would be the same."""
    left = max(_open(state), 1)
    if samples is None:
        n = min(MOST_SAMPLES, SAMPLED // left)
        if n < LEAST_SAMPLES:
            if _band(state) is not None or PATIENT // left < LEAST_SAMPLES:
                return (), False
            n = LEAST_SAMPLES
    else:
        n = samples
    durations = Durations(state, at)
    if durations.certain:
        return (), True
    return tuple(durations.samples(Random(f"{state.seed}/{state.seq}"), n)), False


def _band(state: State) -> tuple[float, float] | None:
    """P10 and P90 over P50 of the time to go, by the last forecast that was sampled."""
    for f in reversed(state.forecasts):
        if not f.samples:
            continue
        origin = state.first_assigned_at
        passed = 0.0 if origin is None else max(0.0, (f.at - origin) / state.time_scale)
        to_go = f.p50_s - passed
        if to_go <= 0:
            return None
        return max(0.0, f.p10_s - passed) / to_go, max(0.0, f.p90_s - passed) / to_go
    return None


# --- futures ----------------------------------------------------------------------------------------------------------


def outlook(
    state: State, at: float, means: Tx, samples: tuple[Tx, ...], certain: bool, spare: bool
) -> tuple[Outlook | None, str]:
    """The future of `state`, which is changed only if it may be (`spare`)."""
    origin = state.first_assigned_at
    now = 0.0 if origin is None else (at - origin) / state.time_scale
    left = _open(state)
    if not left:
        end = _last(state)
        return Outlook(end, end, end, end, 0.0, 0.0, basis="certain"), ""
    if not state.nodes and not any(p.nodes and p.shape.cores for p in state.pools.values()):
        return None, "there is no node and no pool that would bring one"
    bound = now + remaining_bound(state, at, means)
    players = _Player(state, at, spare and not samples)
    middle, ended, used = players.play(means)
    finishes = [(middle, ended)]
    basis = "certain" if certain else "expected"
    if samples:
        played = [players.play(tx)[:2] for tx in samples]
        finishes, basis = played, "sampled"
    if not all(e for _, e in finishes):
        p10 = p50 = p90 = math.inf
    elif basis == "sampled":
        p10, p50, p90 = quantiles([f for f, _ in finishes])
    else:
        p10 = p50 = p90 = middle
        band = None if certain else _band(state)
        if band is not None:
            p10, p90, basis = now + (middle - now) * band[0], now + (middle - now) * band[1], "scaled"
    cores, gpus = _offered(state)
    to_go = max(0.0, p50 - now)
    future = Outlook(
        p10,
        p50,
        p90,
        bound,
        used[0] / HOUR,
        used[1] / HOUR,
        cores * to_go / HOUR,
        gpus * to_go / HOUR,
        left,
        basis,
    )
    note = "" if future.ends else _stalled(state)
    return future, note


class _Player:
    """Plays one state under different durations."""

    def __init__(self, state: State, at: float, spare: bool) -> None:
        self._state, self._at, self._spare = state, at, spare
        self._compact = compile_state(state, at)

    def play(self, tx: Tx) -> tuple[float, bool, tuple[float, float]]:
        """Finish in unscaled seconds, whether all ends, core-seconds and GPU-seconds from now on."""
        if self._compact is not None:
            try:
                run = self._compact.run(tx)
                return run.finish_s, run.ended, (run.used.get("cores", 0.0), run.used.get("gpus", 0.0))
            except NotCompact:
                self._compact = None
        work = self._state if self._spare else copy_state(self._state)
        used = to_use(work, self._at, tx)
        provide_nodes(work, self._at)
        outcome = simulate(work, self._at, _duration(tx))
        return outcome.makespan_s, outcome.ended, used


def _duration(tx: Tx) -> Callable[[Task], float]:
    def duration(task: Task) -> float:
        each = tx[task.set.name]
        return max(0.0, each[task.index] if isinstance(each, list) else each)

    return duration


def to_use(state: State, at: float, tx: Tx) -> tuple[float, float]:
    """Core-seconds and GPU-seconds of all open tasks from `at` on."""
    duration = _duration(tx)
    cores = gpus = 0.0
    for s in state.sets.values():
        if not s.n_open:
            continue
        r = s.spec.resources
        for t in s.live():
            if t.state in ACTIVE:
                rest = max(0.0, duration(t) - (at - (t.started or t.assigned_at)) / state.time_scale)
                has = holds(t)
                cores, gpus = cores + rest * has[0], gpus + rest * has[1]
            elif t.state not in ENDED:
                whole = duration(t)
                cores, gpus = cores + whole * r.cores * r.nodes, gpus + whole * r.gpus * r.nodes
    return cores, gpus


def _offered(state: State) -> tuple[int, int]:
    """Cores and GPUs of the nodes that stay, and of those that the pools still lack."""
    cores = sum(n.cores for n in state.nodes.values() if not n.draining)
    gpus = sum(n.gpus for n in state.nodes.values() if not n.draining)
    for pool in state.pools.values():
        lacking = pool.nodes - sum(n.pool == pool.name and not n.draining for n in state.nodes.values())
        cores += max(0, lacking) * pool.shape.cores
        gpus += max(0, lacking) * pool.shape.gpus
    return cores, gpus


def _last(state: State) -> float:
    if state.first_assigned_at is None or state.last_ended_at is None:
        return 0.0
    return (state.last_ended_at - state.first_assigned_at) / state.time_scale


def _stalled(state: State) -> str:
    held = state.counts[TaskState.held]
    if held:
        return f"{held} task{'s are' if held > 1 else ' is'} held, so the campaign does not end by itself"
    return "some tasks could never start on the nodes that are left, so the campaign does not end by itself"
