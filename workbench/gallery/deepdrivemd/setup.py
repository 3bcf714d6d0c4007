"""What a DeepDriveMD campaign is asked to do, checked once, and how its budget of steps is spent. Pure values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from workbench.gallery.deepdrivemd import order as order_parameters
from workbench.gallery.deepdrivemd.select import LEARNS, MODES, RANKS
from workbench.model.errors import WorkbenchError


@dataclasses.dataclass(frozen=True)
class Run:
    """One way of choosing restart points, from one seed."""

    mode: str
    seed: int

    @property
    def learns(self) -> bool:
        """Whether it trains the autoencoder."""
        return self.mode in LEARNS


@dataclasses.dataclass(frozen=True)
class Setup:
    """A checked set of parameters; see `campaign.deepdrivemd` for their meaning."""

    runs: tuple[Run, ...]
    order: tuple[str, ...]
    rank: str
    iterations: int
    simulations: int
    steps: int
    every: int
    heat_steps: int
    temperature: float
    ensembles: int
    window: int
    first_epochs: int
    epochs: int
    early_stop: bool
    train_cores: int

    @property
    def budget(self) -> int:
        """Simulation steps that each run may spend, whatever its mode."""
        return self.iterations * self.simulations * self.steps

    def size(self, round_: int) -> int:
        """Simulations of one run in round `round_`: the ensembles take turns."""
        turn = round_ % self.ensembles
        return self.simulations // self.ensembles + (turn < self.simulations % self.ensembles)


def check(
    *,
    mode: str | Sequence[str],
    order: str | Iterable[str] | None,
    rank: str,
    seeds: Sequence[int],
    iterations: int,
    simulations: int,
    steps: int,
    every: int,
    heat_steps: int,
    temperature: float,
    ensembles: int,
    window: int,
    first_epochs: int,
    epochs: int,
    early_stop: bool,
    train_cores: int,
) -> Setup:
    """Parse loosely given parameters.

    Raises
    ------
    WorkbenchError
        Naming the parameter, its value and what it may be.
    """
    words = mode.split(",") if isinstance(mode, str) else list(mode)
    modes = list(dict.fromkeys(m for word in words for m in (MODES if word.strip() == "compare" else [word.strip()])))
    for m in modes:
        if m not in MODES:
            raise WorkbenchError(
                f"mode={m!r} is unknown; choose among {', '.join(MODES)}, several with commas, or compare for all"
            )
    names = order_parameters.parse(order)
    if rank not in order_parameters.NAMES:
        raise WorkbenchError(f"rank={rank!r} is no order parameter; choose among {', '.join(order_parameters.NAMES)}")
    needs = [m for m in modes if m in RANKS]
    if needs and rank not in names:
        raise WorkbenchError(
            f"mode {needs[0]!r} ranks frames by {rank!r}, which order={','.join(names) or 'none'} leaves out; "
            f"add it to order, set rank to one that is there, or use mode lof or plain"
        )
    least = {"iterations": (iterations, 1), "simulations": (simulations, 1), "every": (every, 1), "epochs": (epochs, 1),
             "heat_steps": (heat_steps, 1), "window": (window, 1), "first_epochs": (first_epochs, 1),
             "train_cores": (train_cores, 1)}  # fmt: skip
    for what, (value, low) in least.items():
        if value < low:
            raise WorkbenchError(f"{what}={value} must be at least {low}")
    if steps < every or steps % every:
        raise WorkbenchError(f"steps={steps} must be a positive multiple of every={every}, the steps between frames")
    if not 1 <= temperature <= 2000:
        raise WorkbenchError(f"temperature={temperature} K must lie between 1 and 2000")
    if ensembles not in (1, 2):
        raise WorkbenchError(f"ensembles={ensembles} must be 1 (simulations wait for the agent) or 2 (they never do)")
    if simulations < ensembles:
        raise WorkbenchError(f"simulations={simulations} must be at least the number of ensembles, {ensembles}")
    if not seeds:
        raise WorkbenchError("seeds must name at least one seed")
    runs = tuple(Run(m, int(s)) for s in dict.fromkeys(seeds) for m in modes)
    return Setup(runs, names, rank, iterations, simulations, steps, every, heat_steps, float(temperature), ensembles,
                 window, first_epochs, epochs, early_stop, train_cores)  # fmt: skip
