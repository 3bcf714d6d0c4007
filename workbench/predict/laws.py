"""Laws of durations: drawing from an estimate, from a normal law beyond what has passed, and from what tasks showed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import NormalDist

from workbench.model.specs import Constant, Estimate, LogNormal, Normal, Uniform

LEAST = 1e-9
TRIES = 16  # of a rejection


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
def normals() -> tuple[float, ...]:
    """Quantiles of the normal law, all as probable: drawing one of them is several times faster than `gauss`."""
    law = NormalDist()
    return tuple(law.inv_cdf((i + 0.5) / 8192) for i in range(8192))


def fill(values: list[float], indices: Sequence[int], rng: Random, mean: float, std: float, least: float) -> None:
    """Put normal values into their places, none below `least`."""
    drawn = [mean + std * z for z in rng.choices(normals(), k=len(indices))]
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


def log_beyond(a: float) -> float:
    """Logarithm of the probability that a standard normal value is larger than `a`."""
    if a < 6:
        return math.log(math.erfc(a / math.sqrt(2)) / 2)
    return -a * a / 2 - math.log(a * math.sqrt(2 * math.pi))


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


def as_told(rng: Random, mean: float, std: float, told: float, told_std: float, past: float) -> float:
    """TX of an attempt that reported progress: that and the set's law, each weighed by how sure it is."""
    if std <= 0:
        std = 0.1 * mean
    a, b = 1 / (std * std), 1 / max(told_std * told_std, LEAST)
    return normal_beyond(rng, (a * mean + b * told) / (a + b), 1 / math.sqrt(a + b), past)


def log_normal(x: float, var: float) -> float:
    return -(x * x / var + math.log(var)) / 2
