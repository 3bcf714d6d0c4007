"""How long tasks take: what was estimated, until what finished and what is under way says otherwise.

One model for every set, in multiples of its *base* (the estimate's mean; a member's own; where there is none, the mean
of the other sets):

* *As estimated*: TX is drawn from the estimate. Believed until the tasks of the set speak against it, in the odds of
  the two explanations (a Bayes factor of mean and spread).
* *Learned*: tasks of a set share a mean and a spread that nobody knows. Each sampled future draws both from what is
  known of them - finished tasks, tasks that have run so long without an end (censored: the first to finish are the
  short ones), and the prior - by Gibbs sampling, so that few observations make a wide band. Around them individual
  tasks vary as the finished ones did (smoothed residuals), the fewer there are the more as a normal law.

Attempts under way are drawn given that they have not ended yet, and given the progress that they reported. Attempts
that fail and run again take their time again, at the rate observed in the set.

Standard library only: the engine's process forecasts, and is kept small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from statistics import NormalDist

from workbench.core.state import SetState, State, Task
from workbench.model.specs import Constant, Estimate, LogNormal, Normal, Synthetic, Uniform
from workbench.model.states import ACTIVE, TaskState

# TX for each set: of all of its tasks, or of each by index (whatever it is for those that have ended).
Tx = dict[str, "float | list[float]"]

ROUGH = 0.1  # relative error of a bare number given for real work, before anything finished
FREE = 0.5  # relative spread of a mean that is to be learned, around its prior
VARIED = 0.2  # relative spread of the tasks of a set, as long as nothing is known
VARIED_WEIGHT = 2.0  # in degrees of freedom, against what all sets have shown
POOLED_WEIGHT = 4.0  # of what all sets have shown, against what one has
BELIEVED = 10.0  # odds of an estimate before anything finished
SKEWED = 0.4  # relative spread above which logarithms are taken
ALIKE = 0.003  # relative spread below which tasks of a set are taken to last the same
SWEEPS = 12  # of the Gibbs sampler before the first draw, and 2 between draws
CENSORED = 200  # attempts under way that are looked at in a set; more count for one another
TRIES = 16  # of a rejection
FEW = 3.0  # attempts of a set that those of all sets count for, where it is asked how many fail
AGAIN = 20  # most failures of one task in one future
LEAST = 1e-9

_OPEN = frozenset({TaskState.waiting, TaskState.held, TaskState.ready})


@dataclass(slots=True)
class Running:
    """An attempt under way: what has passed of it, and the TX that its reported progress amounts to (0: none)."""

    index: int
    elapsed: float
    told: float = 0.0
    told_std: float = 0.0


@dataclass(slots=True)
class Seen:
    """What is known of the tasks of one set; seconds."""

    finished: list[tuple[int, float]] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    failed: int = 0  # attempts that failed and were, or are to be, made again
    most: int = AGAIN  # more of them than this in one task are its end


class Durations:
    """TX of every task of a state, as a distribution.

    Parameters
    ----------
    state : State
        Read only while this is made.
    at : float or None
        Present time on the state's clock, seconds; None: that of its last event.

    Attributes
    ----------
    known : bool
        Whether anything is known of any task; nothing else may be asked otherwise.
    certain : bool
        Whether every sample would be the same.
    """

    def __init__(self, state: State, at: float | None = None) -> None:
        now = state.at if at is None else at
        seen = {s.name: look(s, now, state.time_scale) for s in state.sets.values()}
        bases = {name: _base(state.sets[name]) for name in seen}
        means = [m for m in (_mean(bases[name], known) for name, known in seen.items()) if m is not None]
        self.known = bool(means)
        self._scale = state.time_scale
        self._sets: dict[str, SetDurations] = {}
        if not means:
            self.certain = True
            return
        pooled = Pooled(_varied(bases, seen), _failing(seen))
        pooled.means = Common([math.log(max(m, LEAST)) for m in means], FREE)
        usual = sum(means) / len(means)
        # What finished tells how far estimates are to be believed where nothing has.
        for s in sorted(state.sets.values(), key=lambda s: not seen[s.name].finished):
            base = bases[s.name]
            if base is not None:
                made = SetDurations(s, seen[s.name], base, pooled)
                if made.odds < math.inf and seen[s.name].finished:
                    pooled.believe(made)
            else:
                own = _mean(None, seen[s.name])
                made = SetDurations(s, seen[s.name], own or math.exp(pooled.means.middle), pooled, usual)
            self._sets[s.name] = made
        self._sets = {name: self._sets[name] for name in state.sets}
        self._pooled = pooled
        self.certain = all(s.certain for s in self._sets.values())

    def mean(self) -> Tx:
        """Expected TX."""
        return {name: s.mean() for name, s in self._sets.items()}

    def sample(self, rng: Random) -> Tx:
        """TX in one future."""
        return self.samples(rng, 1)[0]

    def samples(self, rng: Random, n: int) -> list[Tx]:
        """TX in `n` futures; what the tasks of a set have in common is spread evenly over them (Latin hypercube)."""
        levels: dict[str, list[float]] = {}
        for name in self._sets:
            levels[name] = [(i + 0.5) / n for i in range(n)]
            rng.shuffle(levels[name])
        futures = []
        for i in range(n):
            self._pooled.draw(rng)
            futures.append({name: s.sample(rng, levels[name][i]) for name, s in self._sets.items()})
        return futures

    def of(self, tx: Tx) -> Callable[[Task], float]:
        """What `predict.simulate` and `bounds` take: `tx` for what is open, and what finished tasks really took."""
        scale = self._scale

        def duration(task: Task) -> float:
            if task.state is TaskState.done and task.ended:
                return (task.ended - task.started) / scale
            each = tx[task.set.name]
            return each[task.index] if isinstance(each, list) else each

        return duration


class Common:
    """What numbers of several sets have in common: normal around a middle that is as unknown as their spread.

    Parameters
    ----------
    values : sequence of float
        Logarithms, one of each set that is known.
    spread : float
        Of them, as long as there are few.
    """

    def __init__(self, values: Sequence[float], spread: float) -> None:
        self._n = len(values)
        self.middle = sum(values) / self._n
        self._freedom = self._n - 1 + POOLED_WEIGHT
        squares = sum((x - self.middle) ** 2 for x in values)
        self._scale = math.sqrt((POOLED_WEIGHT * spread * spread + squares) / self._freedom)
        self.now = (self.middle, self._scale)

    @property
    def apart(self) -> float:
        """Spread of another one around the middle."""
        return self._scale * math.sqrt(1 + 1 / self._n)

    def draw(self, rng: Random) -> None:
        """Middle and spread in the next future."""
        chi = rng.gammavariate(self._freedom / 2, 2.0)
        spread = min(self._scale * math.sqrt(self._freedom / max(chi, LEAST)), 2.0)
        self.now = (rng.gauss(self.middle, spread / math.sqrt(self._n)), spread)

    def factor(self, level: float) -> float:
        """The number of another set in this future, at this quantile; not a logarithm."""
        middle, spread = self.now
        return math.exp(middle + spread * NormalDist().inv_cdf(min(max(level, 1e-6), 1 - 1e-6)))


class Pooled:
    """What all sets together tell about each of them.

    Attributes
    ----------
    varied : float
        Relative spread of the tasks of a set.
    failing : float
        Share of attempts that fail and are made again.
    means : Common
        Mean TX of sets.
    errors : Common
        What estimates have to be multiplied with, where they are wrong.
    wrong : float
        Share of the estimates that turned out to be wrong.
    """

    def __init__(self, varied: float, failing: float) -> None:
        self.varied, self.failing = varied, failing
        self.means = Common([0.0], FREE)
        self.errors = Common([0.0], ROUGH)
        self.wrong = 0.0
        self._errors = [0.0]
        self._weights = 1.0  # estimates hold until something speaks against them
        self._wrong = 0.0

    def believe(self, s: SetDurations) -> None:
        """Take into account how the estimate of one set turned out."""
        if not s.bare:
            weight = min(s.finished / 3, 1.0)
            self._weights += weight
            self._wrong += weight / (1 + s.odds)
            self.wrong = self._wrong / self._weights
        if s.odds < 1:
            self._errors.append(math.log(max(s.learned, LEAST)))
            self.errors = Common(self._errors, ROUGH)

    def draw(self, rng: Random) -> None:
        """What the sets have in common in the next future."""
        self.means.draw(rng)
        self.errors.draw(rng)


class SetDurations:
    """The distribution of TX in one set; see `Durations`.

    Parameters
    ----------
    s, seen : SetState, Seen
        The set, and what is known of its tasks.
    base : float or list of float
        What its tasks may be expected to take, seconds: all of them, or each by index.
    pooled : Pooled
        What other sets tell.
    usual : float
        Mean TX of other sets, where nobody said anything of this one; 0: `base` was estimated.

    Attributes
    ----------
    odds : float
        That the estimate is right, against that the truth is another; infinite while nothing speaks against it.
    bare : bool
        The estimate is a number without a distribution.
    """

    def __init__(
        self, s: SetState, seen: Seen, base: float | list[float], pooled: Pooled, usual: float = 0.0
    ) -> None:
        self._seen, self._base, self._size = seen, base, len(s.tasks)
        self._own = {i: t.member.estimate for i, t in enumerate(s.tasks) if t is not None and t.member is not None}
        self._estimate = s.spec.estimate
        self._exact = isinstance(s.spec.work, Synthetic)  # it takes what its estimate says
        self._pooled, self._usual = pooled, usual
        self._estimated = not usual
        base_of = self._base_of
        ratios = [x / base_of(i) for i, x in seen.finished]
        waits = [(r.elapsed / base_of(r.index)) for r in seen.running]
        self.bare = self._estimated and all(isinstance(e, Constant) for e in self._estimates())
        self._chain: Chain | None = None
        self.odds = math.inf
        if ratios or (any(waits) and not (self.bare and self._exact)):
            least = ALIKE if self.bare and self._exact else pooled.varied
            if self._estimated:
                apart = FREE if ratios else max(pooled.errors.apart, ROUGH)
            else:
                apart = FREE if ratios else pooled.means.apart
            self._chain = Chain(ratios, waits, least, apart)
            self.odds = self._compare(seen.running) if self._estimated and not self.bare else 0.0
        attempts = len(seen.finished) + seen.failed
        self._fails = (seen.failed + FEW * pooled.failing, attempts - seen.failed + FEW * (1 - pooled.failing))
        self.certain = self._is_certain()

    @property
    def finished(self) -> int:
        """Number of finished tasks."""
        return len(self._seen.finished)

    @property
    def learned(self) -> float:
        """Mean over `base`, as far as tasks tell."""
        return 1.0 if self._chain is None else self._chain.mean

    def _is_certain(self) -> bool:
        if not (self._seen.pending or self._seen.running):
            return True
        return self.bare and self._exact and self._chain is None and not self._fails[0]

    def _estimates(self) -> list[Estimate | None]:
        given = [e for e in self._own.values() if e is not None]
        return [*given, self._estimate] if len(given) < self._size else list(given)

    def _base_of(self, index: int) -> float:
        return max(self._base[index] if isinstance(self._base, list) else self._base, LEAST)

    def _estimate_of(self, index: int) -> Estimate | None:
        return self._own.get(index) or self._estimate

    def _compare(self, running: Sequence[Running]) -> float:
        """Odds of the estimate, by mean and spread of what is known; unfinished tasks as it says that they will end."""
        rng = Random(len(self._seen.finished))
        scores = []
        for i, x in self._seen.finished:
            mean, std = moments(self._estimate_of(i))
            scores.append((x - mean) / max(std, ALIKE * mean, LEAST))
        for r in running[:CENSORED]:
            estimate = self._estimate_of(r.index)
            mean, std = moments(estimate)
            if estimate is not None:
                scores.append((draw(estimate, rng, r.elapsed) - mean) / max(std, ALIKE * mean, LEAST))
        n = len(scores)
        mean = sum(scores) / n
        which = [i for i, _ in self._seen.finished[:50]] or [r.index for r in running[:50]]
        typical = [moments(self._estimate_of(i)) for i in which]
        free = FREE * sum(m for m, _ in typical) / max(sum(sd for _, sd in typical), LEAST)  # in units of the spread
        believed = min(BELIEVED, (1 - self._pooled.wrong) / max(self._pooled.wrong, LEAST))
        log_odds = math.log(max(believed, 1 / BELIEVED))
        log_odds += _log_normal(mean, 1 / n) - _log_normal(mean, 1 / n + free * free)
        if n > 2:
            spread = math.log(max(sum((z - mean) ** 2 for z in scores) / (n - 1), 1e-6))
            log_odds += _log_normal(spread, 2 / (n - 1)) - _log_normal(spread, 2 / (n - 1) + 1.0)
        return math.exp(min(max(log_odds, -50.0), 50.0))

    # ------------------------------------------------------------------ what it amounts to
    def mean(self) -> float | list[float]:
        """Expected TX of the set, or of each task."""
        chain = self._chain
        if chain is None:
            ratio = 1.0 if self._estimated else self._usual / max(self._base_of(0), LEAST)
        else:
            believed = 1.0 if self.odds == math.inf else self.odds / (1 + self.odds)
            ratio = believed + (1 - believed) * chain.mean
        if not self._seen.running and not isinstance(self._base, list):
            return self._base * ratio
        values = [self._base_of(i) * ratio for i in range(self._size)]
        for r in self._seen.running:
            _, std = self._law(r.index, ratio)
            values[r.index] = max(residual_mean(values[r.index], std, r.elapsed), LEAST)
        return values

    def _law(self, index: int, ratio: float) -> tuple[float, float]:
        base = self._base_of(index)
        if self._chain is not None:
            return base * ratio, base * self._chain.std
        if self._estimated:
            return base * ratio, moments(self._estimate_of(index))[1]
        return base * ratio, base * self._pooled.varied

    def sample(self, rng: Random, level: float) -> float | list[float]:
        """TX of the set, or of each task, in one future.

        `level` (0 to 1) says how this future compares with others in what the tasks have in common.
        """
        chain, pooled = self._chain, self._pooled
        if chain is None and self._estimated:
            if self.bare:
                return self._as_estimated(rng, 1.0 if self._exact else pooled.errors.factor(level))
            return self._as_estimated(rng, pooled.errors.factor(level) if rng.random() < pooled.wrong else 1.0)
        if chain is None:
            middle = pooled.means.factor(level) / max(self._base_of(0), LEAST)
            return self._draws(rng, Shape(middle, middle * pooled.varied))
        if self.odds and rng.random() * (1 + self.odds) < self.odds:
            return self._as_estimated(rng, 1.0)
        return self._draws(rng, chain.draw(rng))

    def _as_estimated(self, rng: Random, off: float) -> float | list[float]:
        """As estimated, but for a factor."""
        one = self._estimate
        if isinstance(one, Constant) and not self._fails[0] and not self._own and not self._seen.running:
            return one.s * off
        values = [0.0] * self._size

        def one_of(i: int, past: float = 0.0) -> float:
            estimate = self._estimate_of(i)
            return self._base_of(i) * off if estimate is None else draw(estimate, rng, past / off) * off

        if isinstance(one, Normal) and not self._own:  # most of the cost of a forecast
            _fill(values, self._seen.pending, rng, one.mean * off, one.std * off, 0.0)
        else:
            for i in self._seen.pending:
                values[i] = one_of(i)
        for r in self._seen.running:
            if r.told:
                values[r.index] = _told(rng, *self._law(r.index, off), r)
            else:
                values[r.index] = one_of(r.index, r.elapsed)
        self._fail(rng, values, one_of)
        return values

    def _draws(self, rng: Random, shape: Shape) -> float | list[float]:
        alike = shape.std < ALIKE * shape.mean and not shape.logs
        if alike and not self._seen.running and not self._fails[0] and not isinstance(self._base, list):
            return self._base * shape.mean
        values = [0.0] * self._size
        base = self._base
        if isinstance(base, list):
            for i in self._seen.pending:
                values[i] = self._base_of(i) * shape.draw(rng)
        elif not shape.residuals and not shape.logs:
            mean = base * shape.mean
            _fill(values, self._seen.pending, rng, mean, base * shape.std, 0.02 * mean)
        else:
            one = shape.draw
            for i in self._seen.pending:
                values[i] = base * one(rng)
        for r in self._seen.running:
            own = self._base_of(r.index)
            if r.told:
                mean, std = shape.moments()
                values[r.index] = _told(rng, own * mean, own * std, r)
            else:
                values[r.index] = own * shape.beyond(rng, r.elapsed / own)
        self._fail(rng, values, lambda i: self._base_of(i) * shape.draw(rng))
        return values

    def _fail(self, rng: Random, values: list[float], another: Callable[[int], float]) -> None:
        """Let attempts fail at a rate as the observed one: they take their time, and then another's."""
        failed, held = self._fails
        if not failed:
            return
        rate = rng.betavariate(failed, max(held, LEAST))
        for i in [*self._seen.pending, *(r.index for r in self._seen.running)]:
            for _ in range(self._seen.most):
                if rng.random() >= rate:
                    break
                values[i] += another(i)


@dataclass(slots=True)
class Shape:
    """How tasks of a set vary in one future, in multiples of their base.

    `mean` and `std` are those of the logarithm where `logs`. `residuals` are standardized ones of finished tasks, drawn
    with probability `weight`.
    """

    mean: float
    std: float
    logs: bool = False
    residuals: Sequence[float] = ()
    weight: float = 0.0

    def draw(self, rng: Random) -> float:
        """TX over base of one task."""
        if self.residuals and rng.random() < self.weight:
            z = (rng.choice(self.residuals) + 0.2 * rng.gauss(0.0, 1.0)) * 0.98058  # kept at a variance of one
        else:
            z = rng.gauss(0.0, 1.0)
        x = self.mean + self.std * z
        return math.exp(min(x, 100.0)) if self.logs else max(x, 0.02 * self.mean)

    def beyond(self, rng: Random, past: float) -> float:
        """The same of a task that has taken `past` already."""
        if past <= 0:
            return self.draw(rng)
        for _ in range(TRIES):
            x = self.draw(rng)
            if x > past:
                return x
        if self.logs:
            return math.exp(min(normal_beyond(rng, self.mean, self.std, math.log(past)), 100.0))
        return normal_beyond(rng, self.mean, self.std, past)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        if not self.logs:
            return self.mean, self.std
        var = min(self.std * self.std, 9.0)
        mean = math.exp(min(self.mean + var / 2, 100.0))
        return mean, mean * math.sqrt(math.expm1(var))


class Chain:
    """What is known of a set's mean and spread: a Gibbs sampler over both and over what is not finished yet.

    Parameters
    ----------
    ratios, waits : sequence of float
        TX of finished tasks over their base, and what has passed of those under way over theirs.
    varied, apart : float
        Relative spread of tasks, and of the mean around 1, as far as other sets tell.
    """

    def __init__(self, ratios: Sequence[float], waits: Sequence[float], varied: float, apart: float) -> None:
        n = len(ratios)
        raw = sum(ratios) / n if n else 1.0
        spread = math.sqrt(sum((x - raw) ** 2 for x in ratios) / (n - 1)) / max(raw, LEAST) if n > 3 else varied
        self._logs = spread > SKEWED
        if self._logs:
            varied = math.sqrt(math.log1p(varied * varied))
            self._done = [math.log(max(x, LEAST)) for x in ratios]
            self._waits = [math.log(x) for x in waits if x > LEAST]
            self._middle = 0.0
        else:
            self._done, self._waits = list(ratios), [x for x in waits if x > 0]
            self._middle = 1.0
        self._prior = 1.0 / (apart * apart)
        self._varied = varied
        self._weight = max(1.0, len(self._waits) / CENSORED)
        if self._weight > 1.0:
            step = len(self._waits) / CENSORED
            self._waits = [self._waits[int(i * step)] for i in range(CENSORED)]
        self._n, self._sum, self._squares = n, sum(self._done), sum(x * x for x in self._done)
        self._m = self._sum / n if n else max([self._middle, *self._waits])
        self._s = self._spread_around(self._m)
        self._residuals: list[float] = []
        own = math.sqrt(max(self._squares / n - (self._sum / n) ** 2, 0.0)) if n else 0.0
        if n >= 8 and own and len(self._waits) * self._weight <= n / 2:
            self._residuals = [(x - self._sum / n) / own for x in self._done[-1000:]]
        rng = Random(n)  # where the chain stands before the first draw is the same for the same state
        kept = []
        for sweep in range(SWEEPS + 8):
            self._sweep(rng)
            if sweep >= SWEEPS:
                kept.append(Shape(self._m, self._s, self._logs).moments())
        self.mean = sum(m for m, _ in kept) / len(kept)
        self.std = sum(s for _, s in kept) / len(kept)

    def draw(self, rng: Random) -> Shape:
        """Mean and spread in one future."""
        self._sweep(rng)
        self._sweep(rng)
        return Shape(self._m, self._s, self._logs, self._residuals, self._n / (self._n + 20.0))

    def _spread_around(self, mean: float) -> float:
        prior = self._varied if self._logs else self._varied * mean
        squares = self._squares - 2 * mean * self._sum + self._n * mean * mean
        return math.sqrt((POOLED_WEIGHT * prior * prior + max(squares, 0.0)) / (POOLED_WEIGHT + self._n))

    def _sweep(self, rng: Random) -> None:
        n, total, squares = float(self._n), self._sum, self._squares
        if self._waits:
            m, s = self._m, self._s
            later = [normal_beyond(rng, m, s, x) for x in self._waits]
            n += len(later) * self._weight
            total += sum(later) * self._weight
            squares += sum(x * x for x in later) * self._weight
        precision = self._prior + n / (self._s * self._s)
        mean = (self._prior * self._middle + total / (self._s * self._s)) / precision
        m = rng.gauss(mean, 1 / math.sqrt(precision))
        if not self._logs:
            m = max(m, 0.02)
        prior = self._varied if self._logs else self._varied * m
        around = max(squares - 2 * m * total + n * m * m, 0.0) + POOLED_WEIGHT * prior * prior
        freedom = POOLED_WEIGHT + n
        self._m, self._s = m, math.sqrt(around / max(rng.gammavariate(freedom / 2, 2.0), LEAST))


# ---------------------------------------------------------------------------------------------------- what is known


def look(s: SetState, now: float, scale: float) -> Seen:
    """What the tasks of `s` tell at `now`."""
    known = Seen()
    failures = gone = 0
    burned = False
    done, finished, pending = TaskState.done, known.finished, known.pending
    for t in s.tasks:
        if t is None:
            continue
        state = t.state
        if state is done:
            if t.ended:
                finished.append((t.index, (t.ended - t.started) / scale))
        elif state in _OPEN:
            pending.append(t.index)
        elif state in ACTIVE:
            began = t.started or t.assigned_at
            elapsed = max((now - began) / scale, 0.0)
            known.running.append(Running(t.index, elapsed, *told(t, began, scale)))
        elif state is TaskState.failed:
            gone += 1
        if t.burned or t.crashes:
            failures += t.burned + t.crashes
            burned = burned or t.burned > 0
    known.failed = max(failures - gone, 0)
    if burned or not failures:
        known.most = min(AGAIN, s.spec.retries)
    return known


def told(t: Task, began: float, scale: float) -> tuple[float, float]:
    """TX that the reported progress amounts to, and how far it may be off; zeros where none was reported."""
    if t.progress is None or not 0.01 < t.progress <= 1.0 or t.progress_at <= began:
        return 0.0, 0.0
    tx = (t.progress_at - began) / scale / t.progress
    return tx, tx * (0.01 + 0.3 * (1 - t.progress))


def _base(s: SetState) -> float | list[float] | None:
    """What was estimated; None where nothing was. Members without an estimate are taken as the mean of the others."""
    own = {
        t.index: t.member.estimate.mean
        for t in s.tasks
        if t is not None and t.member is not None and t.member.estimate is not None
    }
    whole = None if s.spec.estimate is None else s.spec.estimate.mean
    if not own:
        return whole
    rest = sum(own.values()) / len(own) if whole is None else whole
    return [own.get(i, rest) for i in range(len(s.tasks))]


def _mean(base: float | list[float] | None, seen: Seen) -> float | None:
    """Mean TX of a set: of its finished tasks, else as estimated, else None."""
    if seen.finished:
        return sum(x for _, x in seen.finished) / len(seen.finished)
    if isinstance(base, list):
        return sum(base) / len(base) if base else None
    return base


def _failing(seen: dict[str, Seen]) -> float:
    """Share of attempts that fail and are made again, in all sets."""
    failed = sum(known.failed for known in seen.values())
    return failed / (failed + sum(len(known.finished) for known in seen.values()) + 1.0)


def _varied(bases: dict[str, float | list[float] | None], seen: dict[str, Seen]) -> float:
    """How much tasks of one set vary, relatively, as far as all sets tell."""
    weight, squares = VARIED_WEIGHT, VARIED_WEIGHT * VARIED * VARIED
    for name, known in seen.items():
        base = bases[name]
        ratios = [x / max(base[i], LEAST) for i, x in known.finished] if isinstance(base, list) else None
        values = ratios or [x for _, x in known.finished]
        n = len(values)
        mean = sum(values) / n if n else 0.0
        if n < 2 or mean <= 0 or len(known.running) > n:  # those that finish first are alike
            continue
        # A set of thousands says no more about another set than one of a few tens.
        share = min(n - 1, 30) / (n - 1)
        squares += share * min(sum((x / mean - 1) ** 2 for x in values), n - 1.0)
        weight += share * (n - 1)
    return math.sqrt(squares / weight)


# ---------------------------------------------------------------------------------------------------- laws


def moments(estimate: Estimate | None) -> tuple[float, float]:
    """Mean and standard deviation of an estimate, seconds; zeros for none."""
    if estimate is None:
        return 0.0, 0.0
    if isinstance(estimate, Constant):
        return estimate.s, 0.0
    if isinstance(estimate, Uniform):
        return estimate.mean, (estimate.high - estimate.low) / math.sqrt(12)
    return estimate.mean, estimate.std


def draw(estimate: Estimate, rng: Random, past: float = 0.0) -> float:
    """TX drawn from an estimate, of a task that has run for `past` seconds."""
    if isinstance(estimate, Constant):
        return max(estimate.s, past)
    if isinstance(estimate, Uniform):
        low = max(estimate.low, past)
        return rng.uniform(low, estimate.high) if low < estimate.high else low * (1 + rng.expovariate(20.0))
    if isinstance(estimate, Normal):
        if past > 0:
            return normal_beyond(rng, estimate.mean, estimate.std, past)
        return max(0.0, rng.gauss(estimate.mean, estimate.std))
    assert isinstance(estimate, LogNormal)
    if estimate.mean <= 0:
        return past
    var = math.log1p((estimate.std / estimate.mean) ** 2)
    middle = math.log(estimate.mean) - var / 2
    if past > 0:
        return math.exp(normal_beyond(rng, middle, math.sqrt(var), math.log(past)))
    return rng.lognormvariate(middle, math.sqrt(var))


@cache
def _normals() -> tuple[float, ...]:
    """Quantiles of the normal law, all as probable: drawing one of them is several times faster than `gauss`."""
    law = NormalDist()
    return tuple(law.inv_cdf((i + 0.5) / 8192) for i in range(8192))


def _fill(values: list[float], indices: Sequence[int], rng: Random, mean: float, std: float, least: float) -> None:
    """Put normal values into their places, none below `least`."""
    drawn = [mean + std * z for z in rng.choices(_normals(), k=len(indices))]
    if mean - 4 * std < least:
        drawn = [x if x > least else least for x in drawn]
    if len(indices) == len(values):
        values[:] = drawn
    else:
        for i, x in zip(indices, drawn, strict=True):
            values[i] = x


def normal_beyond(rng: Random, mean: float, std: float, past: float) -> float:
    """From a normal law, given that the value is larger than `past` (Robert 1995 for the tail)."""
    if std <= 0:
        return max(mean, past)
    a = (past - mean) / std
    if a < 0.5:
        while True:
            z = rng.gauss(0.0, 1.0)
            if z > a:
                return mean + std * z
    rate = (a + math.sqrt(a * a + 4)) / 2
    while True:
        z = a + rng.expovariate(rate)
        if rng.random() <= math.exp(-((z - rate) ** 2) / 2):
            return mean + std * z


def residual_mean(mean: float, std: float, past: float) -> float:
    """Mean of a normal law, given that the value is larger than `past`."""
    if past <= 0:
        return mean
    if std <= 0:
        return max(mean, past)
    a = (past - mean) / std
    if a > 8:  # the tail is exponential there
        return past + std / a
    beyond = math.erfc(a / math.sqrt(2)) / 2
    return mean + std * math.exp(-a * a / 2) / math.sqrt(2 * math.pi) / beyond


def _told(rng: Random, mean: float, std: float, r: Running) -> float:
    """TX of an attempt that reported progress: that and the set's law, each weighed by how sure it is."""
    if std <= 0:
        std = 0.1 * mean
    a, b = 1 / (std * std), 1 / max(r.told_std * r.told_std, LEAST)
    return normal_beyond(rng, (a * mean + b * r.told) / (a + b), 1 / math.sqrt(a + b), r.elapsed)


def _log_normal(x: float, var: float) -> float:
    return -(x * x / var + math.log(var)) / 2
