"""`Campaign.explain`: the analytic model of a campaign, as words and, in a notebook, as a figure."""

from __future__ import annotations

import importlib
from typing import Any

from workbench.core.state import State
from workbench.executors.pools import LocalPool
from workbench.model.errors import WorkbenchError
from workbench.predict.fitting import Allocation
from workbench.predict.setrows import model_of
from workbench.report.explained import Explained

from .opening import AnyPool, parse_pools

# Who knows what was printed about a workflow. By name, as the gallery stands above this room; and any campaign may be
# one of the gallery's, also when it was resumed from its directory.
PUBLICATIONS = "workbench.gallery.printed"


class Explanation(Explained):
    """What the paper's model says of a campaign. Show it by making it the last value of a cell, or print it."""

    def figure(self) -> Any:
        """The sets over time, in sequence and as Eq. 3 has them: a widget.

        Raises
        ------
        BundleMissing
            If the browser side was not built.
        """
        from workbench.ui.explained import figure

        return figure(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text()}

    def _ipython_display_(self) -> None:
        from .show import in_notebook

        if not in_notebook():
            print(self.text())
            return
        from IPython.display import display

        display({"text/plain": self.text()}, raw=True)
        if self.model.times is not None:
            try:
                display(self.figure())
            except WorkbenchError as error:
                print(error)


def explain(name: str, state: State, pool: AnyPool | None = None, measured: bool = False) -> Explanation:
    """The explanation of a campaign.

    Parameters
    ----------
    name : str
        For people.
    state : State
        It is not changed.
    pool : LocalPool, Pool or str, optional
        Where; default the campaign's own pools.
    measured : bool
        TX from finished tasks rather than as declared.

    Raises
    ------
    WorkbenchError
        If there is nothing to explain, or the pool can never hold one of the tasks.
    """
    pools = [] if pool is None else [p.pool if isinstance(p, LocalPool) else p for p in parse_pools(pool)]
    return explained(name, state, Allocation.of_pools(pools) if pools else None, measured)


def explained(name: str, state: State, allocation: Allocation | None, measured: bool = False) -> Explanation:
    """As `explain`, on an allocation."""
    model = model_of(state, allocation, measured)
    return Explanation(name, model, importlib.import_module(PUBLICATIONS).printed(model))
