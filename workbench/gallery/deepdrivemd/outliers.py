"""Outliers of the latent space: frames where few other frames are, by the local outlier factor (LOF)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEIGHBOURS = 20


def scores(latent: NDArray[Any], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Negative local outlier factor of each row of `latent` (n, d): about -1 inside a cluster, lower outside.

    With fewer than three rows nothing can be an outlier, and all scores are -1.
    """
    from sklearn.neighbors import LocalOutlierFactor

    n = len(latent)
    if n < 3:
        return np.full(n, -1.0)
    found = LocalOutlierFactor(n_neighbors=min(neighbours, n - 1)).fit(np.asarray(latent, dtype=np.float64))
    return np.asarray(found.negative_outlier_factor_)


def strongest(score: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Indices of the `n` strongest outliers, strongest first; equal scores in order of index."""
    return np.argsort(score, kind="stable")[:n]
