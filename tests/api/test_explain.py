"""`campaign.explain()`: words everywhere, a figure in a notebook, and nothing of a user's text as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Make
from workbench.api import show
from workbench.gallery import resolve
from workbench.model.errors import BadValue, NeverFits
from workbench.model.specs import Synthetic

SUMMIT = "nodes=16,cores=168,gpus=6"


def test_the_papers_workflow_is_known_by_what_it_is(make: Make) -> None:
    c = make("any name", pool=SUMMIT)
    resolve("paper/ddmd?graph=staggered").build(c)
    told = c.explain()
    assert (told.t_seq_s, told.t_async_s, told.model.wla) == (1578.0, 1320.0, 1)
    assert told.published is not None and told.published.workflow == "DeepDriveMD"
    text = repr(told)
    assert text.startswith("any name  12 sets, 627 tasks on 16 nodes of 168 cores and 6 GPUs")
    assert told._repr_mimebundle_() == {"text/plain": text}
    c.task(Synthetic(), name="more", estimate=1)
    assert c.explain().published is None


def test_another_pool_and_measured_times(make: Make) -> None:
    c = make(time_scale=0.001)
    c.tasks(Synthetic(), n=2, name="a", estimate=50)
    b = c.tasks(Synthetic(), n=2, name="b", estimate=30)
    assert c.explain().t_seq_s == 50.0 and c.explain().model.doa_res == 1
    assert c.explain("nodes=1,cores=2").model.doa_res == 0
    with pytest.raises(NeverFits, match="can never hold"):
        c.tasks(Synthetic(), after=b, n=1, name="wide", cores=4, estimate=1)
        c.explain("nodes=9,cores=2")
    c.run()
    assert c.explain().t_seq_s == 51.0
    measured = c.explain(measured=True).t_seq_s
    assert measured is not None and measured != 51.0


def test_nothing_to_explain(make: Make) -> None:
    with pytest.raises(BadValue, match="no task set"):
        make().explain()


def test_in_a_notebook_the_figure_follows_the_words(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    c = make("<img src=x onerror=alert(1)>")
    c.task(Synthetic(), name="a", estimate=5)
    told = c.explain()
    shown: list[tuple[Any, bool]] = []
    monkeypatch.setattr(show, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda what, raw=False: shown.append((what, raw)))
    monkeypatch.setattr(type(told), "figure", lambda self: "a widget")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)  # rich would display HTML of its own
    told._ipython_display_()
    assert shown == [({"text/plain": told.text()}, True), ("a widget", False)]
    assert told.text().startswith("<img src=x onerror=alert(1)>  1 set, 1 task")
    assert set(told._repr_mimebundle_()) == {"text/plain"} and not hasattr(told, "_repr_html_")


def test_in_a_terminal_there_are_words(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    c = make("plain")
    c.task(Synthetic(), name="a")
    c.explain()._ipython_display_()
    assert "No TX is known for a" in capsys.readouterr().out
