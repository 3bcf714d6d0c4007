"""How good forecasts were, once the truth is known.

Each forecast names quantiles of when something ends, and is kept with the sequence number at which it was made. When
that has ended, it is scored:

* *coverage*: how often the truth lay between P10 and P90. Four times in five, if the forecasts are honest.
* *bias*: how far the median was off, relative to the truth; positive: too late.
* *pinball loss*: the average over P10, P50 and P90 of how far the truth was from the quantile, weighed by the
  probability on that side (Koenker and Bassett 1978), seconds. Smaller is better; it rewards narrow bands only while
  they hold. Divided by the truth it can be compared between campaigns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

LEVELS = (0.1, 0.5, 0.9)

Band = tuple[float, float, float]

CAMPAIGN = ""  # in place of the name of a set: the campaign as a whole


@dataclass(frozen=True)
class Score:
    """One forecast of one end beside the truth.

    Attributes
    ----------
    seq : int
        Sequence number at which the forecast was made.
    t : float
        When it was made, unscaled seconds from the campaign's first assignment, as all others.
    p10_s, p50_s, p90_s, actual_s : float
        What was forecast, and what happened.
    """

    seq: int
    t: float
    p10_s: float
    p50_s: float
    p90_s: float
    actual_s: float

    @property
    def covered(self) -> bool:
        """Whether the truth lay in the band; one without width, of certain durations, is right to a hundredth."""
        slack = 0.01 * self.actual_s if self.p10_s == self.p90_s else 1e-9 * self.actual_s
        return self.p10_s - slack <= self.actual_s <= self.p90_s + slack

    @property
    def bias(self) -> float:
        """How far the median was off, relative to the truth; 0 where nothing took any time."""
        return (self.p50_s - self.actual_s) / self.actual_s if self.actual_s > 0 else 0.0

    @property
    def pinball_s(self) -> float:
        """Pinball loss, seconds."""
        return pinball((self.p10_s, self.p50_s, self.p90_s), self.actual_s)


def pinball(band: Band, actual: float) -> float:
    """Average pinball loss of P10, P50 and P90."""
    losses = (max(p * (actual - q), (p - 1) * (actual - q)) for p, q in zip(LEVELS, band, strict=True))
    return sum(losses) / len(LEVELS)


@dataclass(frozen=True)
class Summary:
    """Scores of several forecasts.

    Attributes
    ----------
    n : int
        How many.
    coverage : float
        Share of them whose band held the truth.
    bias : float
        Median of the relative errors of the medians.
    pinball_s, pinball : float
        Mean pinball loss in seconds, and relative to the truth.
    """

    n: int
    coverage: float
    bias: float
    pinball_s: float
    pinball: float


def summary(scores: Iterable[Score]) -> Summary | None:
    """Coverage, bias and loss of `scores`; None where there are none."""
    kept = list(scores)
    if not kept:
        return None
    n = len(kept)
    loss = sum(s.pinball_s for s in kept)
    relative = sum(s.pinball_s / s.actual_s for s in kept if s.actual_s > 0)
    return Summary(n, sum(s.covered for s in kept) / n, median(s.bias for s in kept), loss / n, relative / n)


@dataclass
class Scores:
    """Keeps the forecasts of one campaign and scores them when ends become known. Incremental.

    A forecast of an end that had come when it was made says nothing, and is not kept. Where a set or the campaign goes
    on after it had ended (it grew, or something is run again), its scores are taken back until it ends again; what was
    forecast before is then scored against the new end, as it did not foresee it.
    """

    _kept: dict[str, list[tuple[int, float, Band]]] = field(default_factory=dict)
    _scored: dict[str, list[Score]] = field(default_factory=dict)
    _truth: dict[str, float] = field(default_factory=dict)

    def made(self, seq: int, t: float, whole: Band | None, sets: dict[str, Band]) -> None:
        """Keep a forecast: of the campaign (None: without a band), and of each set."""
        bands = dict(sets)
        if whole is not None:
            bands[CAMPAIGN] = whole
        for name, band in bands.items():
            actual = self._truth.get(name)
            if actual is None or t < actual:
                self._kept.setdefault(name, []).append((seq, t, band))
                if actual is not None:  # it ended while it was foretold
                    self._scored[name].append(Score(seq, t, *band, actual))

    def ended(self, name: str, actual_s: float) -> None:
        """The set of that name, or `CAMPAIGN`, ended then."""
        if self._truth.get(name) == actual_s:
            return
        self._truth[name] = actual_s
        self._scored[name] = [
            Score(seq, t, *band, actual_s) for seq, t, band in self._kept.get(name, ()) if t < actual_s
        ]

    def goes_on(self, name: str) -> None:
        """It has not ended after all."""
        if self._truth.pop(name, None) is not None:
            del self._scored[name]

    @property
    def known(self) -> Iterable[str]:
        """Names of which the end is known."""
        return self._truth

    def of(self, name: str = CAMPAIGN) -> list[Score]:
        """Scores of the forecasts of one set, or of the campaign; oldest first."""
        return self._scored.get(name, [])

    @property
    def sets(self) -> dict[str, list[Score]]:
        """Scores of each set that has ended and of which there were forecasts."""
        return {name: scores for name, scores in self._scored.items() if name != CAMPAIGN and scores}

    def summary(self, name: str | None = None) -> Summary | None:
        """Scores of one set or of the campaign together; None: of all sets together."""
        if name is not None:
            return summary(self.of(name))
        return summary(score for scores in self.sets.values() for score in scores)
