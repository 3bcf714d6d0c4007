"""One segment of molecular dynamics: Langevin dynamics of the structure-based model on the Reference platform.

A segment is a pure function of its arguments (start, steps, seed, temperature) as long as nobody asks it to stop or
steers it. While it runs it reports its order parameters and progress, takes a changed ``temperature``, and on a
request to stop it ends early and keeps the frames it has.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import task
from workbench.gallery.deepdrivemd import order as order_parameters
from workbench.gallery.deepdrivemd import protein
from workbench.model.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

FRICTION_PER_PS = 0.5
STEP_PS = 0.010
HEAT_K = 450.0
"""Temperature at which unfolded starting structures are made from the extended chain."""
REPORT_EVERY_S = 0.2


def seed_for(*numbers: int) -> int:
    """A seed for OpenMM (31 bits, never 0, which would mean "any") that depends on all of `numbers`."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) % (2**31 - 2) + 1


def segment(
    start: NDArray[Any] | None,
    steps: int,
    *,
    seed: int,
    temperature: float = 305.0,
    every: int = 200,
    heat_steps: int = 5000,
    order: Iterable[str] = (),
) -> dict[str, Any]:
    """Run `steps` steps of 10 fs from `start` and keep a frame every `every` steps.

    Parameters
    ----------
    start : array (35, 3) or None
        Positions in nm; None makes an unfolded structure first (`heat_steps` at 450 K from the extended chain, not
        counted as steps).
    steps, every : int
        `steps` must be a positive multiple of `every`.
    seed : int
        For velocities and the thermostat.
    temperature : float
        Kelvin.
    order : names of `order.NAMES`
        Reported live and given for the last frame in ``metrics``.
    Returns
    -------
    dict
        ``frames`` float32 (n, 35, 3) in nm, ``start`` float32 (35, 3), ``steps`` run, ``stopped`` early or not,
        ``cpu_s``, ``metrics`` of the last frame (only what `order` names).

    Raises
    ------
    WorkbenchError
        When a number is out of range, or when the positions are no longer finite.
    """
    if every < 1 or steps < every or steps % every:
        raise WorkbenchError(f"steps={steps} must be a positive multiple of the steps between frames, every={every}")
    if not temperature > 0:
        raise WorkbenchError(f"temperature={temperature} K must be above zero")
    order = tuple(order)
    began = time.process_time()
    if start is None:
        hot, integrator = _context(protein.extended(), HEAT_K, seed_for(seed, 1))
        integrator.step(heat_steps)
        start = _positions(hot)
    context, integrator = _context(start, temperature, seed_for(seed, 2))
    frames: list[NDArray[np.float32]] = []
    stopped = False
    reported = 0.0
    now_k = temperature
    for done in range(every, steps + 1, every):
        steered = task.parameters()
        if task.should_stop() or task.index() in steered.get("give_way", ()):
            stopped = True
            break
        wanted = float(steered.get("temperature", now_k))
        if wanted != now_k and wanted > 0:
            integrator.setTemperature(wanted)
            now_k = wanted
        integrator.step(every)
        frames.append(_positions(context).astype(np.float32))
        if time.monotonic() - reported > REPORT_EVERY_S or done == steps:
            reported = time.monotonic()
            task.report(**_last(frames[-1], order))
            task.progress(done / steps)
    kept = np.stack(frames) if frames else np.zeros((0, protein.RESIDUES, 3), dtype=np.float32)
    return {
        "frames": kept,
        "start": np.asarray(start, dtype=np.float32),
        "steps": len(frames) * every,
        "stopped": stopped,
        "cpu_s": time.process_time() - began,
        "metrics": _last(kept[-1], order) if frames else {},
    }


def _context(positions: NDArray[Any], kelvin: float, seed: int) -> tuple[Any, Any]:
    import openmm as mm

    integrator = mm.LangevinMiddleIntegrator(kelvin, FRICTION_PER_PS, STEP_PS)
    integrator.setRandomNumberSeed(seed)
    context = mm.Context(protein.system(), integrator, mm.Platform.getPlatform("Reference"))
    context.setPositions(np.asarray(positions, dtype=np.float64))
    context.setVelocitiesToTemperature(kelvin, seed)
    return context, integrator


def _positions(context: Any) -> NDArray[np.float64]:
    x = np.asarray(context.getState(getPositions=True).getPositions(asNumpy=True)._value, dtype=np.float64)
    if not np.isfinite(x).all():
        raise WorkbenchError("the simulation blew up: positions are no longer finite; lower the temperature")
    return x


def _last(frame: NDArray[Any], order: tuple[str, ...]) -> dict[str, float]:
    return {name: round(float(v[0]), 4) for name, v in order_parameters.measure(frame[None], order).items()}
