"""The prediction that the engine journals when a campaign starts and whenever its graph or what is known changes.

Futures are sampled: every task's TX is drawn (`predict.durations`), the scheduler is played to the end, and the
finishes of many such futures make the quantiles. So a barrier waits for the slowest of its set, as it will in fact, and
a mean of TX misleads nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from workbench.core import State
from workbench.core.copying import copy_state
from workbench.core.flow import regate
from workbench.core.state import SetState, Task
from workbench.model.events import ForecastMade
from workbench.model.states import MODES, TaskState

from .bounds import lower_bounds
from .compact import Compact, NotCompact, compile_state
from .courtesy import breathe
from .durations import Durations, Tx
from .simulate import Duration, no_pause, provide_nodes, simulate

SAMPLES = (20, 100)  # at least and at most
TASKS = 200_000  # simulated in one forecast: small campaigns are sampled more often
NAMED = 300  # sets whose finish is told
COMPARED = 20_000  # above this many tasks, the other modes are not simulated beside the present one
COMPARED_IN = (2, 5)  # futures in which modes are compared: of large campaigns and of small ones

# P10, P50 and P90 of a finish, unscaled seconds from the campaign's first assignment.
Band = tuple[float, float, float]


@dataclass(frozen=True)
class Future:
    """One sampled future: when the campaign and each of its sets end, and the one task that was asked for.

    Times are unscaled seconds from the campaign's first assignment. `task_s` is None where no task was asked for, or it
    never ends.
    """

    finish_s: float
    ended: bool
    sets: dict[str, float]
    task_s: float | None = None


def expected(state: State, at: float | None = None) -> Duration | None:
    """Expected TX of each task: what it took, else learned, else estimated; None while nothing at all is known.

    A set about which nothing is known is taken to need the mean TX of the others.
    """
    durations = Durations(state, at)
    return durations.of(durations.mean()) if durations.known else None


def forecast(state: State, at: float, samples: int = 0) -> ForecastMade | None:
    """Predict the finish of `state` and of its sets; None while no duration is known at all, or it would never end.

    The same state gives the same forecast.

    Parameters
    ----------
    state : State
        A copy: missing nodes of its pools join.
    at : float
        Present time on the state's clock, seconds.
    samples : int
        Number of futures; 0: as many as its size allows (`SAMPLES`).
    """
    durations = Durations(state, at)
    if not durations.known or not state.size:
        return None
    seq = state.seq
    provide_nodes(state, at)
    if not state.nodes:
        return None
    bound = lower_bounds(state, durations.of(durations.mean())).best
    player = Player(state, at)
    draws = _draws(state, seq, durations, samples)
    futures = [player.play(tx) for tx in draws]
    if not all(f.ended for f in futures):
        return None
    band = quantiles([f.finish_s for f in futures])
    others = {state.mode: band[1]}
    if state.size <= COMPARED:
        some = draws[: COMPARED_IN[state.size * len(draws) < TASKS]]
        for mode in MODES:
            if mode != state.mode:
                played = [player.play(tx, mode) for tx in some]
                if all(f.ended for f in played):
                    # The same futures under both: only how they differ counts, and a few tell that.
                    apart = [a.finish_s - b.finish_s for a, b in zip(played, futures, strict=False)]
                    others[mode] = band[1] + median(apart)
    return ForecastMade(
        at=at,
        makespan_s=band[1],
        lower_bound_s=min(bound, band[1]),  # it is one for the expected TX; the median of futures may be below
        mode=state.mode,
        policy=state.policy,
        made_at_seq=seq,
        alternatives={m: others[m] for m in MODES if m in others},
        p10_s=band[0],
        p50_s=band[1],
        p90_s=band[2],
        sets=_nearest(state, bands(futures)),
        samples=len(futures),
    )


def _nearest(state: State, each: dict[str, Band]) -> dict[str, Band]:
    """Of a campaign of very many sets, those that end next: a forecast is kept in the journal, and must stay small."""
    if len(each) <= NAMED:
        return each
    still = sorted((band[1], name) for name, band in each.items() if state.sets[name].n_open)
    kept = {name for _, name in still[:NAMED]}
    return {name: band for name, band in each.items() if name in kept}


def of_task(state: State, at: float, task_id: str, samples: int = 20) -> Band | None:
    """P10, P50 and P90 of the end of one task; None while nothing is known, or where it would never end.

    Parameters
    ----------
    state, at : State, float
        As for `forecast`.
    task_id : str
        ``"set[index]"``.
    samples : int
        Number of futures.
    """
    task = state.task(task_id)
    durations = Durations(state, at)
    if task is None or not durations.known:
        return None
    if task.state is TaskState.done:
        origin = at if state.first_assigned_at is None else state.first_assigned_at
        took = (task.ended - origin) / state.time_scale
        return took, took, took
    draws = _draws(state, state.seq, durations, samples)
    ends = []
    for tx in draws:
        end = drive(state, at, durations.of(tx), task_id=task_id).task_s
        if end is None:
            return None
        ends.append(end)
    return quantiles(ends)


class Player:
    """Plays a state to its end, as often as wanted: by counts where that is possible, else on copies.

    Parameters
    ----------
    state, at : State, float
        With its nodes; not changed.
    pause : callable
        Called between futures, and now and then within them.
    """

    def __init__(self, state: State, at: float, pause: Callable[[], None] = breathe) -> None:
        self._state, self._at, self._pause = state, at, pause
        self._compact: Compact | None = compile_state(state, at)
        self._ended = {name: s for name, s in _finishes(state, at).items() if not state.sets[name].n_open}

    def play(self, tx: Tx, mode: str = "") -> Future:
        """The future in which tasks take `tx`, in the campaign's mode or another."""
        self._pause()
        if self._compact is not None:
            try:
                run = self._compact.run(tx, mode=mode, want_sets=True)
            except NotCompact:
                pass
            else:
                return Future(run.finish_s, run.ended, {**self._ended, **run.sets})
        return drive(self._state, self._at, _by_index(tx), mode, self._pause)


def drive(
    state: State,
    at: float,
    duration: Duration,
    mode: str = "",
    pause: Callable[[], None] = no_pause,
    task_id: str = "",
) -> Future:
    """One future of `state`, which is not changed, by the core itself."""
    copy = copy_state(state)
    provide_nodes(copy, at)
    if mode and mode != copy.mode:
        change_mode(copy, mode)
    run = simulate(copy, at, duration, pause=pause)
    task = copy.task(task_id) if task_id else None
    origin = copy.first_assigned_at if copy.first_assigned_at is not None else at
    end = None if task is None or task.state is not TaskState.done else (task.ended - origin) / copy.time_scale
    return Future(run.makespan_s, run.ended, _finishes(copy, at), end)


def change_mode(state: State, mode: str) -> None:
    """Let a copied state go on in another mode."""
    state.mode = mode
    regate(state)


def quantiles(values: Sequence[float]) -> Band:
    """P10, P50 and P90 such that the next value lies below each with that probability.

    The k-th smallest of n values has ``k / (n + 1)`` of the probability below it, whatever the distribution (Weibull's
    plotting positions); between them by straight lines.
    """
    ordered = sorted(values)
    n = len(ordered)

    def at(p: float) -> float:
        k = min(max(p * (n + 1), 1.0), float(n))
        low = int(k)
        high = min(low + 1, n)
        return ordered[low - 1] + (k - low) * (ordered[high - 1] - ordered[low - 1])

    return at(0.1), at(0.5), at(0.9)


def bands(futures: Iterable[Future]) -> dict[str, Band]:
    """Quantiles of the finish of each set that ends in every one of `futures`."""
    found: dict[str, list[float]] = {}
    n = 0
    for future in futures:
        n += 1
        for name, end in future.sets.items():
            found.setdefault(name, []).append(end)
    return {name: quantiles(ends) for name, ends in found.items() if len(ends) == n}


def _draws(state: State, seq: int, durations: Durations, samples: int) -> list[Tx]:
    """TX in each future; one where all would be the same."""
    if durations.certain:
        return [durations.sample(Random(0))]
    least, most = SAMPLES
    n = samples or min(most, max(least, TASKS // max(state.size, 1)))
    return durations.samples(Random(f"{state.seed}/{seq}"), n)


def _by_index(tx: Tx) -> Duration:
    def duration(task: Task) -> float:
        each = tx[task.set.name]
        return each[task.index] if isinstance(each, list) else each

    return duration


def _finishes(state: State, at: float) -> dict[str, float]:
    """Last end in each set that has no open tasks; without those of which nothing ever ran."""
    origin = state.first_assigned_at if state.first_assigned_at is not None else at
    return {s.name: (end - origin) / state.time_scale for s in state.sets.values() if (end := _last_end(s)) > 0}


def _last_end(s: SetState) -> float:
    return 0.0 if s.n_open else max((t.ended for t in s.live()), default=0.0)
