"""Contact maps: what the autoencoder sees of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.gallery.deepdrivemd.protein import CONTACT_NM, RESIDUES

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 36
"""Side of the images: the 35 residues and one empty row, so that two strided convolutions halve it exactly."""


def pack(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Contact maps of `frames` (n, 35, 3) as bits of the upper triangle: (n, 75) bytes instead of 4900."""
    i, j = np.triu_indices(RESIDUES, k=1)
    x = np.asarray(frames, dtype=np.float32)
    d = x[:, i] - x[:, j]
    return np.packbits((d * d).sum(axis=-1) < CONTACT_NM**2, axis=1)


def images(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Inverse of `pack`: symmetric 0/1 images (n, 1, 36, 36), ones on the diagonal of the residues."""
    i, j = np.triu_indices(RESIDUES, k=1)
    bits = np.unpackbits(packed, axis=1, count=len(i)).astype(np.float32)
    out = np.zeros((len(packed), 1, SIDE, SIDE), dtype=np.float32)
    out[:, 0, i, j] = bits
    out[:, 0, j, i] = bits
    diagonal = np.arange(RESIDUES)
    out[:, 0, diagonal, diagonal] = 1.0
    return out
