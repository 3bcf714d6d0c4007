"""Randomness as a function of the campaign's seed: the same task draws the same TX in every replay and simulation."""

from __future__ import annotations

import math
import random

from workbench.model.specs import Constant, Estimate, LogNormal, Normal, Uniform


def draw_tx(estimate: Estimate | None, seed: int, task: str) -> float:
    """TX of `task` in seconds, drawn from its estimate; 0 where there is none."""
    if estimate is None:
        return 0.0
    if isinstance(estimate, Constant):
        return estimate.s
    rng = random.Random(f"{seed}/{task}")
    if isinstance(estimate, Uniform):
        return rng.uniform(estimate.low, estimate.high)
    if isinstance(estimate, Normal):
        return max(0.0, rng.gauss(estimate.mean, estimate.std))
    assert isinstance(estimate, LogNormal)
    var = math.log1p((estimate.std / estimate.mean) ** 2)
    return rng.lognormvariate(math.log(estimate.mean) - var / 2, math.sqrt(var))
