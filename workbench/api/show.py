"""How a campaign shows itself; the views load when they are first used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.model.errors import WorkbenchError
from workbench.report.tables import Tables

from .session import Session

if TYPE_CHECKING:
    from .campaign import Campaign
    from .explain import Explanation
    from .opening import AnyPool


class Explained:
    """What a campaign says of itself by the analytic model."""

    @property
    def name(self) -> str:
        """The campaign's name."""
        raise NotImplementedError

    def tables(self) -> Tables:
        """The campaign's tables, folded up to now."""
        raise NotImplementedError

    def explain(self, pool: AnyPool | None = None, measured: bool = False) -> Explanation:
        """How asynchronous the campaign can be and what that can save, by the model of Pascuzzi et al.

        Degrees of asynchronicity, WLA, sequential and asynchronous time without overheads (Eq. 2 to 6), improvement,
        and which sets hide which: a table, and in a notebook a figure. For what will happen there are the forecasts.

        Parameters
        ----------
        pool : LocalPool, Pool or str, optional
            On these nodes in place of the campaign's own.
        measured : bool
            With the times that finished tasks took, rather than as declared.

        Raises
        ------
        WorkbenchError
            If nothing is declared, or the pool can never hold one of the tasks.
        """
        from .explain import explain

        return explain(self.name, self.tables().state, pool, measured)


def dashboard(session: Session) -> Any:
    """The live view of a session; raises as `workbench.ui.dashboard.Dashboard`."""
    from workbench.ui.dashboard import Dashboard

    return Dashboard(session)


def report(tables: Tables, path: Path) -> Path:
    """Write the HTML report; raises as `workbench.report.html.write_report`."""
    from workbench.report.html import write_report

    return write_report(tables, path.expanduser())


def display(campaign: Campaign) -> None:
    """What a bare campaign in a cell shows: the live view in a notebook, words in a terminal."""
    if campaign.status().counts and in_notebook():
        from IPython.display import display as show

        try:
            show(campaign.dashboard())
            return
        except WorkbenchError as error:
            print(error)
    print(repr(campaign))


def in_notebook() -> bool:
    """Whether output goes to a notebook's cell rather than to a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
