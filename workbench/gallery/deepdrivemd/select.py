"""Where new simulations start: the published way, its two halves, and none.

=========  ==================================================================  ========  ================
mode       restart points                                                      learns    knows the native
                                                                                         state
=========  ==================================================================  ========  ================
``plain``  each simulation goes on from its own last frame (the baseline)      no        no
``lof``    strongest outliers of the autoencoder's latent space                yes       no
``rmsd``   best-ranked frames only: lowest RMSD, or what ``rank`` names        no        yes
``both``   latent outliers, ranked by RMSD (or ``rank``): as published         yes       yes
=========  ==================================================================  ========  ================

All modes get the same budget of simulation steps. ``both`` contains both ingredients; only beside ``lof`` and ``rmsd``
can one see which of them a gain comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.gallery.deepdrivemd import outliers
from workbench.model.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODES = ("plain", "lof", "rmsd", "both")
LEARNS = frozenset({"lof", "both"})
RANKS = frozenset({"rmsd", "both"})
CANDIDATES = 60
"""Outliers that mode ``both`` ranks."""
TOLERANCE = 0.1
"""A running simulation is behind when its start is worse than every new start by more than this fraction."""


def choose(
    mode: str, n: int, *, score: NDArray[Any] | None = None, bad: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Indices of the `n` frames to start from, best first (fewer if there are fewer frames).

    Parameters
    ----------
    mode : ``"lof"``, ``"rmsd"`` or ``"both"``
        ``plain`` chooses nothing: its simulations go on by themselves.
    score : array (frames,)
        Negative local outlier factors; needed by ``lof`` and ``both``.
    bad : array (frames,)
        Rank of each frame, lower is better (`order.badness`); needed by ``rmsd`` and ``both``.

    Raises
    ------
    WorkbenchError
        For an unknown mode or a missing ingredient.
    """
    if mode == "lof":
        return outliers.strongest(_needed(score, mode, "outlier scores"), n)
    if mode == "rmsd":
        return np.argsort(_needed(bad, mode, "an order parameter"), kind="stable")[:n]
    if mode == "both":
        candidates = outliers.strongest(_needed(score, mode, "outlier scores"), max(CANDIDATES, n))
        ranks = _needed(bad, mode, "an order parameter")[candidates]
        return np.asarray(candidates[np.argsort(ranks, kind="stable")][:n])
    raise WorkbenchError(f"{mode!r} does not choose restart points; modes that do: lof, rmsd, both")


def unproductive(
    mode: str,
    *,
    running: NDArray[np.int64],
    chosen: NDArray[np.int64],
    score: NDArray[Any] | None = None,
    bad: NDArray[Any] | None = None,
) -> list[int]:
    """Which running simulations should give way: positions in `running`, at most half of them, worst first.

    A simulation is known by the frame that it started from, `running` (indices like `chosen`). With outliers: it gives
    way when its start has become ordinary, i.e. lies among the denser half of all frames now. With ranks: when its
    start is worse than every new start by more than `TOLERANCE`. ``both`` asks for both; ``plain`` stops nothing.
    """
    if mode == "plain" or not len(running) or not len(chosen):
        return []
    gives_way = np.ones(len(running), dtype=bool)
    worst_first = np.zeros(len(running))
    if mode in LEARNS:
        s = _needed(score, mode, "outlier scores")
        gives_way &= s[running] > np.median(s)
        worst_first = -s[running]
    if mode in RANKS:
        b = _needed(bad, mode, "an order parameter")
        limit = b[chosen].max()
        gives_way &= b[running] > limit + TOLERANCE * abs(limit)
        worst_first = -b[running]
    ranked = np.argsort(worst_first, kind="stable")
    return [int(i) for i in ranked if gives_way[i]][: len(running) // 2]


def _needed(values: NDArray[Any] | None, mode: str, what: str) -> NDArray[Any]:
    if values is None:
        raise WorkbenchError(f"mode {mode!r} needs {what}")
    return np.asarray(values)
