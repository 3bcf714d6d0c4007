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
