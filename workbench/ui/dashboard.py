"""The dashboard of a campaign: header, task graph, use of CPUs and GPUs, makespan, progress."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython

from workbench.model.errors import WorkbenchError

from .dag import DagView
from .feed import Feed, Source
from .figures import Drawing, FiguresView
from .header import HeaderView
from .makespan import MakespanView
from .palette import Theme
from .plots import themed
from .progress import ProgressView
from .source import DirectorySource
from .utilization import UtilizationView
from .wire import standing

_DRAWINGS: tuple[tuple[Callable[[Theme], Drawing], int], ...] = (
    (UtilizationView, 12),
    (MakespanView, 6),
    (ProgressView, 6),
)
"""The figures below the graph, and how many of twelve columns each takes."""


class NoFrontEnd(WorkbenchError):
    """There is no notebook to draw into."""


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, so that somebody can see a widget."""
    return hasattr(get_ipython(), "kernel")


class Dashboard:
    """Live views of one campaign. Show it by making it the last value of a cell.

    It follows the campaign from a thread, also while cells run, until the campaign is closed or `close` is called.

    Parameters
    ----------
    source : Session or path
        A session, or the directory of a campaign, whether an engine serves it or not.

    Raises
    ------
    NoCampaign
        If the path holds no campaign.
    BundleMissing
        If the browser side was not built.
    """

    def __init__(self, source: Source | str | os.PathLike[str]) -> None:
        self.source: Source = DirectorySource(source) if isinstance(source, (str, os.PathLike)) else source
        self.header = HeaderView()
        self.dag = DagView()
        drawings = [(themed(view), span) for view, span in _DRAWINGS]
        self.figures = FiguresView(drawings)
        self.widget = ipywidgets.VBox([self.header, self.dag, self.figures], layout={"width": "100%"})
        self.feed = Feed(self.source, [self.header, self.dag, self.figures])
        # The first picture is complete when the cell shows it, and does not wait for the thread.
        self.feed.turn()
        self.feed.start()

    @property
    def live(self) -> bool:
        """Whether the views follow the campaign."""
        return self.feed.running

    def close(self) -> None:
        """Stop following and take the views off the page."""
        self.feed.stop()
        for widget in (self.header, self.dag, self.figures, self.widget):
            widget.close()

    def summary(self) -> str:
        """The campaign in one line, for where widgets cannot be shown."""
        tables = self.feed.tables
        progress = tables.progress()
        state = standing(tables, "live" if self.source.alive else "closed")
        return f"{tables.name}: {state}; {progress.ended} of {progress.total} tasks ended"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = self.widget._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**data, "text/plain": self.summary()}, metadata

    def __repr__(self) -> str:
        return f"<Dashboard {self.summary()}>"


def open_dashboard(source: Source | str | os.PathLike[str]) -> Dashboard:
    """A dashboard, if there is a notebook to show it in.

    Raises
    ------
    NoFrontEnd
        Outside Jupyter; says what to use instead.
    NoCampaign, BundleMissing
        As `Dashboard`.
    """
    if not in_notebook():
        raise NoFrontEnd(
            "the dashboard is drawn by Jupyter, and this is not a notebook; `workbench lab` opens one, "
            "`workbench status DIR` shows the campaign in the terminal, `workbench report DIR` writes a page to look at"
        )
    return Dashboard(source)
