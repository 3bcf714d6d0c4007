"""Order parameters: numbers that say how far a frame is along the way to the folded state, each optional.

`measure` gives exactly the ones that were asked for. One that was not asked for is absent from reports and results,
never a made-up number (DeepDriveMD/DeepDriveMD-pipeline#39).

========  ===============================================  ==================  ===========================
name      is                                               better when         needs the native structure
========  ===============================================  ==================  ===========================
``q``     fraction of native contacts formed               larger              yes
``rmsd``  RMSD to the native state, nm                     smaller             yes
``rg``    radius of gyration, nm                           smaller             no
========  ===============================================  ==================  ===========================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.gallery.deepdrivemd import protein
from workbench.model.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARAMETERS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "q": (protein.q, -1.0),
    "rmsd": (protein.rmsd, 1.0),
    "rg": (protein.rg, 1.0),
}
NAMES: tuple[str, ...] = tuple(_PARAMETERS)


def parse(order: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names of order parameters from ``"q,rmsd"``, ``("q", "rmsd")``, ``"none"`` or None; order kept, no doubles.

    Raises
    ------
    WorkbenchError
        For a name that is not one of `NAMES`.
    """
    words = order.split(",") if isinstance(order, str) else list(order or ())
    names: list[str] = []
    for word in (w.strip() for w in words):
        if word in ("", "none"):
            continue
        if word not in _PARAMETERS:
            raise WorkbenchError(
                f"{word!r} is not an order parameter; choose among {', '.join(NAMES)}, separated by commas, or none"
            )
        if word not in names:
            names.append(word)
    return tuple(names)


def measure(frames: NDArray[Any], order: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Value of each order parameter in `order` for each of `frames` (n, 35, 3): name -> (n,)."""
    return {name: _PARAMETERS[name][0](frames) for name in order}


def badness(values: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """The order parameter `name` as a number that falls towards the folded state, whichever way it runs itself.

    Raises
    ------
    WorkbenchError
        If `name` was not measured.
    """
    if name not in values:
        raise WorkbenchError(
            f"frames are to be ranked by {name!r}, which is not measured; add it to order= (now: "
            f"{', '.join(values) or 'none'})"
        )
    return np.asarray(_PARAMETERS[name][1] * values[name])
