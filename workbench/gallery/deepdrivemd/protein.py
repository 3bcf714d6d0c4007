"""HP35, the villin headpiece, as a structure-based model of its C-alpha atoms, and its distance from the native state.

The native structure is ``test.pdb`` of the OpenMM distribution: 35 residues. The model is that of Clementi, Nymeyer
and Onuchic (J. Mol. Biol. 298, 2000, 937): bonds, angles and dihedrals at their native values, a 12-10 well for each
native contact and a 12th-power wall between all other pairs. Lengths are in nm, energies in kJ/mol, angles in rad.

The wall is written as one bond-like term for each pair instead of a non-bonded force with a cutoff: no neighbour
list is built, which makes a step 4.5 times cheaper at this size, and the energy differs by less than 0.001 kJ/mol.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.model.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]  # (n, RESIDUES, 3), nm

RESIDUES = 35
CONTACT_NM = 0.80
"""Two residues closer than this are in contact."""
NATIVE_FACTOR = 1.2
"""A native contact is formed while its distance is below this multiple of the native one."""
FOLDED_Q = 0.9
"""A frame is folded when more than this fraction of the native contacts is formed."""
EPSILON = 2.494
"""Energy unit, kJ/mol: kT at 300 K."""
MASS = 110.0
"""Of one residue, dalton."""
WALL_NM = 0.4


@functools.cache
def native() -> NDArray[np.float64]:
    """Native C-alpha positions, (35, 3) in nm.

    Raises
    ------
    WorkbenchError
        If OpenMM is not installed.
    """
    spec = importlib.util.find_spec("openmm")
    if spec is None or not spec.submodule_search_locations:
        raise WorkbenchError("deepdrivemd needs OpenMM; install it with: pip install 'campaign-workbench[md,ml]'")
    path = Path(spec.submodule_search_locations[0], "app", "data", "test.pdb")
    lines = [s for s in path.read_text().splitlines() if s.startswith("ATOM") and s[12:16].strip() == "CA"]
    xyz = np.array([[float(s[30:38]), float(s[38:46]), float(s[46:54])] for s in lines]) / 10.0
    if xyz.shape != (RESIDUES, 3):
        raise WorkbenchError(f"{path} holds {len(xyz)} residues; the HP35 structure with {RESIDUES} was expected")
    return xyz


@functools.cache
def native_contacts() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Native contacts: index pairs (c, 2) with j >= i + 3, and their native distances (c,) in nm."""
    x = native()
    i, j = np.triu_indices(RESIDUES, k=3)
    distance = np.linalg.norm(x[i] - x[j], axis=-1)
    near = distance < CONTACT_NM
    return np.stack([i[near], j[near]], axis=1), distance[near]


def extended() -> NDArray[np.float64]:
    """A stretched-out chain, (35, 3) in nm: where unfolded starting structures are heated from."""
    n = np.arange(RESIDUES)
    return np.stack([n * 0.36, (n % 2) * 0.12, np.zeros(RESIDUES)], axis=1)


def q(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Fraction of native contacts formed, (n,), for `frames` (n, 35, 3) in nm."""
    pairs, distance = native_contacts()
    d = np.linalg.norm(frames[:, pairs[:, 0]] - frames[:, pairs[:, 1]], axis=-1)
    return np.asarray((d < NATIVE_FACTOR * distance).mean(axis=1))


def rmsd(frames: NDArray[Any], reference: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Root mean square distance to `reference` (the native state by default) after superposition, (n,) in nm.

    Kabsch's algorithm for all frames at once: the best rotation is never built, its gain is the sum of the singular
    values, the smallest of them negated where the rotation would be a reflection.
    """
    r = native() if reference is None else np.asarray(reference, dtype=np.float64)
    r = r - r.mean(axis=0)
    x = np.asarray(frames, dtype=np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    covariance = np.einsum("nia,ib->nab", x, r)
    s = np.linalg.svd(covariance, compute_uv=False)
    gain = s[:, 0] + s[:, 1] + np.sign(np.linalg.det(covariance)) * s[:, 2]
    square = (x * x).sum(axis=(1, 2)) + (r * r).sum() - 2.0 * gain
    return np.asarray(np.sqrt(np.maximum(square, 0.0) / x.shape[1]))


def rg(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Radius of gyration, (n,) in nm, all residues alike."""
    x = np.asarray(frames, dtype=np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt((x * x).sum(axis=2).mean(axis=1)))


def _angle(a: Any, b: Any, c: Any) -> float:
    v, w = a - b, c - b
    return float(np.arccos(v @ w / (np.linalg.norm(v) * np.linalg.norm(w))))


def _dihedral(a: Any, b: Any, c: Any, d: Any) -> float:
    b1, b2, b3 = b - a, c - b, d - c
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    return float(np.arctan2(np.linalg.norm(b2) * (b1 @ n2), n1 @ n2))


@functools.cache
def system() -> Any:
    """The model as an ``openmm.System``, built once in a process."""
    import openmm as mm

    x = native()
    pairs, distance = native_contacts()
    out = mm.System()
    for _ in range(RESIDUES):
        out.addParticle(MASS)
    bonds = mm.HarmonicBondForce()
    for i in range(RESIDUES - 1):
        bonds.addBond(i, i + 1, float(np.linalg.norm(x[i + 1] - x[i])), 2e4 * EPSILON)
    angles = mm.HarmonicAngleForce()
    for i in range(RESIDUES - 2):
        angles.addAngle(i, i + 1, i + 2, _angle(*x[i : i + 3]), 40.0 * EPSILON)
    dihedrals = mm.PeriodicTorsionForce()
    for i in range(RESIDUES - 3):
        phi = _dihedral(*x[i : i + 4])
        for n, k in ((1, 1.0), (3, 0.5)):
            dihedrals.addTorsion(i, i + 1, i + 2, i + 3, n, n * phi + np.pi, k * EPSILON)
    wells = mm.CustomBondForce(f"{EPSILON}*(5*(s/r)^12-6*(s/r)^10)")
    wells.addPerBondParameter("s")
    for (i, j), s in zip(pairs.tolist(), distance.tolist(), strict=True):
        wells.addBond(i, j, [s])
    walls = mm.CustomBondForce(f"{EPSILON}*({WALL_NM}/r)^12")
    in_contact = {(i, j) for i, j in pairs.tolist()}
    for i in range(RESIDUES):
        for j in range(i + 4, RESIDUES):
            if (i, j) not in in_contact:
                walls.addBond(i, j, [])
    for force in (bonds, angles, dihedrals, wells, walls):
        out.addForce(force)
    return out


def potential_energy(frame: NDArray[Any]) -> float:
    """Potential energy of one frame (35, 3), kJ/mol."""
    import openmm as mm

    context = mm.Context(system(), mm.VerletIntegrator(0.001), mm.Platform.getPlatform("Reference"))
    context.setPositions(np.asarray(frame, dtype=np.float64))
    return float(context.getState(getEnergy=True).getPotentialEnergy()._value)
