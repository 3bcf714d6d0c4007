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
from random import Random

from workbench.core.state import SetState, State, Task
from workbench.model.specs import Constant, Estimate, Normal, Synthetic
from workbench.model.states import TaskState

from .evidence import Running, Seen, base_of_set, failing_of_all, look, mean_of_set, varied_of_all
from .laws import LEAST, Shape, as_told, draw, fill, log_normal, moments, residual_mean
from .learning import CENSORED, Chain, Common

# TX for each set: of all of its tasks, or of each by index (whatever it is for those that have ended).
Tx = dict[str, "float | list[float]"]

ROUGH = 0.07  # of a bare number given for real work, before anything finished: relative error around what such numbers
# are off in common, which is as little known. Together a tenth.
OVERDUE = 0.8  # of a bare number: what has run for so long without an end tells something of it
FREE = 0.5  # relative spread of a mean that is to be learned, around its prior
BELIEVED = 10.0  # odds of an estimate before anything finished
ALIKE = 0.003  # relative spread below which tasks of a set are taken to last the same
FEW = 3.0  # attempts of a set that those of all sets count for, where it is asked how many fail


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
        bases = {name: base_of_set(state.sets[name]) for name in seen}
        means = [m for m in (mean_of_set(bases[name], known) for name, known in seen.items()) if m is not None]
        self.known = bool(means)
        self._scale = state.time_scale
        self._sets: dict[str, SetDurations] = {}
        if not means:
            self.certain = True
            return
        pooled = Pooled(varied_of_all(bases, seen), failing_of_all(seen))
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
                own = mean_of_set(None, seen[s.name])
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

    def __init__(self, s: SetState, seen: Seen, base: float | list[float], pooled: Pooled, usual: float = 0.0) -> None:
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
        telling = any(waits) and not (self.bare and (self._exact or max(waits) < OVERDUE))
        if ratios or telling:
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
        log_odds += log_normal(mean, 1 / n) - log_normal(mean, 1 / n + free * free)
        if n > 2:
            spread = math.log(max(sum((z - mean) ** 2 for z in scores) / (n - 1), 1e-6))
            log_odds += log_normal(spread, 2 / (n - 1)) - log_normal(spread, 2 / (n - 1) + 1.0)
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
            fill(values, self._seen.pending, rng, one.mean * off, one.std * off, 0.0)
        else:
            for i in self._seen.pending:
                values[i] = one_of(i)
        for r in self._seen.running:
            if r.told:
                values[r.index] = as_told(rng, *self._law(r.index, off), r.told, r.told_std, r.elapsed)
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
            fill(values, self._seen.pending, rng, mean, base * shape.std, 0.02 * mean)
        else:
            one = shape.draw
            for i in self._seen.pending:
                values[i] = base * one(rng)
        for r in self._seen.running:
            own = self._base_of(r.index)
            if r.told:
                mean, std = shape.moments()
                values[r.index] = as_told(rng, own * mean, own * std, r.told, r.told_std, r.elapsed)
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
