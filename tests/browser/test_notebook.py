"""The DeepDriveMD notebook in a real JupyterLab: all cells run, and its three views move while they do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import TimeoutError as Late

from tests.browser.lab import Lab, cell_outputs, kernel_is, open_notebook, run_all
from tests.codebase.sources import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.notebook, pytest.mark.timeout(900)]

LONG_MS = 300_000
"""For what takes seconds on a machine that has nothing else to do."""

# What the dashboard under the cell that contains `words` shows, and what Bokeh has drawn on the page: its own data, not
# pixels. A figure is one Bokeh document: areas have `xs` and a `name`, the bars of the makespan `s` and a `name`.
SEEN = """words => {
  const tab = [...window.jupyterapp.shell.widgets('main')].find(w => w.context?.sessionContext);
  const cell = tab.content.widgets.find(w => w.model.sharedModel.getSource().includes(words)).node;
  const facts = [...cell.querySelectorAll('.wb-fact')].map(f => [...f.children].map(c => c.textContent));
  const figures = [...(window.Bokeh?.documents ?? [])].map(document => {
    const data = [...document.all_models].filter(m => m.type === 'ColumnDataSource').map(m => m.data);
    const bars = data.find(d => d.s && d.name);
    return {
      areas: data.filter(d => d.xs && d.name).flatMap(d => [...d.name]),
      until: Math.max(0, ...data.filter(d => d.xs && d.name).flatMap(d => [...d.xs]).flatMap(xs => [...xs])
        .filter(x => x > 0)),
      makespans: Object.fromEntries(bars ? [...bars.name].map((name, i) => [name, bars.s[i]]) : []),
    };
  });
  return {
    kernel: tab.context.sessionContext.session.kernel.status,
    state: cell.querySelector('.wb-head .wb-chip')?.textContent ?? '',
    facts: Object.fromEntries(facts),
    cards: Object.fromEntries([...cell.querySelectorAll('.wb-card')].map(c => [c.dataset.set, c.ariaLabel])),
    done: cell.querySelectorAll('.wb-card.wb-m-done').length,
    progress: cell.querySelectorAll('.wb-header .wb-bar > *').length,
    figures,
  };
}"""


@pytest.fixture
def console(page: Page) -> Iterator[list[str]]:
    """What the page writes to its console as an error; there must be nothing."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    yield told
    assert told == []


def seen(page: Page, words: str, condition: str) -> dict[str, Any]:
    """The dashboard of a cell as soon as `condition`, JavaScript about ``d``, holds of it."""
    asked = f"words => {{ const d = ({SEEN})(words); return ({condition}) ? d : null; }}"
    try:
        found: dict[str, Any] = page.wait_for_function(asked, arg=words, timeout=LONG_MS, polling=200).json_value()
    except Late as late:
        now = page.evaluate(SEEN, words)
        raise AssertionError(f"never was {condition}; at last {now} with outputs {cell_outputs(page)}") from late
    return found


def test_the_notebook_runs_and_its_views_move(page: Page, lab: Lab, console: list[str]) -> None:
    shutil.copy(ROOT / "notebooks" / "deepdrivemd.ipynb", lab.root / "deepdrivemd.ipynb")
    page.set_viewport_size({"width": 1200, "height": 6000})  # all views at once, wherever the lab scrolls to
    open_notebook(page, lab, "deepdrivemd.ipynb")
    run_all(page)
    first = "campaign.start()"

    # While cells run: cards with tasks that run, areas of the cores, and a prediction beside what has elapsed.
    begun = seen(page, first, "d.kernel === 'busy' && Object.values(d.cards).some(c => / running/.test(c))")
    assert begun["state"] == "running"
    assert {"sim-0", "agg-0", "train-0", "infer-0", "agent-0", "agent-1"} <= set(begun["cards"])
    drawn = seen(page, first, "d.kernel === 'busy' && d.figures.some(f => f.areas.includes('sim-0'))")
    assert drawn["figures"][0]["until"] > 0
    page.locator(".wb-plot canvas").first.wait_for(timeout=LONG_MS)
    # The header and the figures speak each at their own pace, so either may be first.
    predicted = "d.figures.some(f => f.makespans.predicted > 0) && d.facts['predicted makespan'] !== '\u2013'"
    told = seen(page, first, f"d.kernel === 'busy' && {predicted}")
    (figure,) = told["figures"]
    assert 0 < figure["makespans"]["elapsed"]
    assert re.fullmatch(r"[\d.]+ (s|min.*)", told["facts"]["predicted makespan"])
    grown = seen(
        page, first, "d.kernel === 'busy' && 'sim-3' in d.cards && d.done > 0 && d.done < 40 && d.progress > 1"
    )
    ended, total = map(int, grown["facts"]["tasks ended"].split(" of "))
    assert 0 < ended < total

    # At the end: everything is done, in the graph, in the figures and in the numbers.
    last = seen(page, first, "d.state === 'finished' && d.done === Object.keys(d.cards).length")
    ended, total = map(int, last["facts"]["tasks ended"].split(" of "))
    assert ended == total > len(begun["cards"])
    assert all(re.search(r"(\d+) tasks?, \1 done", label) for label in last["cards"].values()), last["cards"]
    other = seen(page, "ablation.start()", "d.state === 'finished' && d.done === Object.keys(d.cards).length")
    assert "stop-0" not in begun["cards"] and "outcome" in other["cards"]
    kernel_is(page, "idle", timeout_s=LONG_MS / 1000)
    # The figures have their last data a little after the header has.
    closed = seen(page, first, "d.figures.length === 2 && d.figures.every(f => f.makespans.actual > 0)")
    outputs = cell_outputs(page)
    assert [o for cell in outputs for o in cell if o["output_type"] == "error"] == []
    printed = "".join("".join(o["text"]) for cell in outputs for o in cell if o.get("name") == "stdout")
    (made,) = re.findall(rf"ended: {total} of {total} tasks done in ([\d.]+) s", printed)
    spans = [figure["makespans"] for figure in closed["figures"]]
    assert float(made) == pytest.approx(min((s["actual"] for s in spans), key=lambda s: abs(s - float(made))), abs=0.06)
    for figure in closed["figures"]:
        assert {"sim-0", "train-0", "outcome"} <= set(figure["areas"])
        assert figure["until"] == pytest.approx(figure["makespans"]["actual"], rel=0.01)
        assert 0 < figure["makespans"]["lower bound"] <= figure["makespans"]["actual"]
        assert figure["makespans"]["predicted"] > 0
