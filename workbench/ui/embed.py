"""Bokeh figures for a page that stands alone: the documents as JSON, and the library that draws them."""

from __future__ import annotations

from importlib import resources

from bokeh import __version__ as BOKEH
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document

from workbench.report.tables import Tables

from .makespan import MakespanView
from .plots import themed
from .progress import ProgressView
from .utilization import UtilizationView

FIGURES = ("utilization", "makespan", "progress")


def figures(tables: Tables) -> str:
    """The three figures as the JSON of one Bokeh document with three roots, in the order of `FIGURES`."""
    document = Document()
    rows = max(1, len(tables.state.sets))
    views = (themed(UtilizationView), themed(MakespanView), themed(lambda t: ProgressView(t, rows)))
    for view in views:
        view.update(tables)  # type: ignore[attr-defined]
    with document.models.freeze():
        for view in views:
            document.add_root(view.figure)  # type: ignore[attr-defined]
    return serialize_json(document.to_json())


def library() -> str:
    """BokehJS, as installed with Bokeh: the core is all that the figures need.

    Raises
    ------
    RuntimeError
        If the installed Bokeh comes without it, or with one that cannot stand inside a page.
    """
    file = resources.files("bokeh").joinpath("server", "static", "js", "bokeh.min.js")
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RuntimeError(f"Bokeh {BOKEH} lacks its bokeh.min.js; install it again") from error
    if "</script" in text.lower() or "<!--" in text:
        raise RuntimeError(f"the bokeh.min.js of Bokeh {BOKEH} cannot stand inside a page; use another release")
    return text
