"""What is learned about a set from its tasks, and about sets from one another: a mean and a spread nobody knows."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from random import Random
from statistics import NormalDist

from .laws import LEAST, Shape, log_beyond, normal_beyond

POOLED_WEIGHT = 4.0  # of what all sets have shown, against what one has, in degrees of freedom
SKEWED = 0.4  # relative spread above which logarithms are taken
SWEEPS = 12  # of the Gibbs sampler before the first draw, and 2 between draws
SPREADS_STEP = 0.35  # between spreads on the grid, as logarithms
CENSORED = 200  # attempts under way that are looked at in a set; more count for one another


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
        if self._n < 2:  # futures differ by what is asked for alone, and so their median is what is known
            self.now = (self.middle, self.apart)
            return
        chi = rng.gammavariate(self._freedom / 2, 2.0)
        spread = min(self._scale * math.sqrt(self._freedom / max(chi, LEAST)), 2.0)
        self.now = (rng.gauss(self.middle, spread / math.sqrt(self._n)), spread)

    def factor(self, level: float) -> float:
        """The number of another set in this future, at this quantile; not a logarithm."""
        middle, spread = self.now
        return math.exp(middle + spread * NormalDist().inv_cdf(min(max(level, 1e-6), 1 - 1e-6)))


class Chain:
    """What is known of a set's mean and spread: a Gibbs sampler over both and over what is not finished yet.

    Where less has finished than is under way its steps would be too small: there the odds are tabulated.

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
        self._apart = apart
        self._cells: list[tuple[float, float]] = []
        self._odds: list[float] = []
        if n < len(self._waits) * self._weight:  # steps would be small against what is unknown
            self._tabulate()
            return
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
        if self._cells:
            u, log_c = self._cells[bisect(self._odds, rng.random() * self._odds[-1])]
            u, log_c = u + (rng.random() - 0.5) * self._step, log_c + (rng.random() - 0.5) * SPREADS_STEP
            self._m, self._s = self._at(u, math.exp(log_c))
        else:
            self._sweep(rng)
            self._sweep(rng)
        return Shape(self._m, self._s, self._logs, self._residuals, self._n / (self._n + 20.0))

    def _at(self, u: float, c: float) -> tuple[float, float]:
        """Mean and spread of a cell: `u` is the logarithm of the mean, `c` the relative spread."""
        return (u, c) if self._logs else (math.exp(u), c * math.exp(u))

    def _tabulate(self) -> None:
        """Where most is under way yet: the odds of means and spreads on a grid, in place of the chain."""
        groups = Counter(self._waits)
        if len(groups) > 16:
            ordered = sorted(self._waits)
            share = len(ordered) / 16
            groups = Counter({ordered[int((i + 0.5) * share)]: 1 for i in range(16)})
            scale = self._weight * len(ordered) / sum(groups.values())
        else:
            scale = self._weight
        waits = [(x, k * scale) for x, k in groups.items()]
        most = max(groups)
        top = most if self._logs else math.log(max(most, LEAST))
        low, high = -4 * self._apart, max(4 * self._apart, top + self._apart)
        if self._n:
            middle = self._sum / self._n if self._logs else math.log(max(self._sum / self._n, LEAST))
            low, high = min(low, middle - self._apart), max(high, middle + 2 * self._apart)
        spreads = [math.log(self._varied) + SPREADS_STEP * i for i in range(-3, 4)]
        us: list[float] = []
        scores: list[tuple[float, float, float]] = []
        for n, kept in ((64, spreads[::3]), (32, spreads)):
            self._step = (high - low) / (n - 1)
            us = [low + i * self._step for i in range(n)]
            scores = [(self._score(u, c, waits), u, c) for u in us for c in kept]
            best = max(score for score, _, _ in scores)
            likely = [u for score, u, _ in scores if score > best - 10]
            low, high = min(likely) - self._step, max(likely) + self._step
        total = mean = std = 0.0
        for score, u, c in scores:
            odds = math.exp(score - best)
            if odds > 1e-6:
                total += odds
                self._cells.append((u, c))
                self._odds.append(total)
                a, b = Shape(*self._at(u, math.exp(c)), self._logs).moments()
                mean, std = mean + odds * a, std + odds * b
        self.mean, self.std = mean / total, std / total

    def _score(self, u: float, log_c: float, waits: Sequence[tuple[float, float]]) -> float:
        """Log odds of a cell."""
        m, s = self._at(u, math.exp(log_c))
        apart = 2 * (log_c - math.log(self._varied))
        score = -u * u / (2 * self._apart**2) - POOLED_WEIGHT / 2 * (apart + math.exp(-apart))
        if self._n:
            around = self._squares - 2 * m * self._sum + self._n * m * m
            score -= self._n * math.log(s) + max(around, 0.0) / (2 * s * s)
        return score + sum(k * log_beyond((x - m) / s) for x, k in waits)

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
