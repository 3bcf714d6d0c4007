"""The dashboard in a real JupyterLab: live while a cell runs, in both themes, stable, and safe with any text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, cell_outputs, command, kernel_is, open_notebook, run_all, use_theme

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SETUP = """
from tests.report.campaigns import Run, ddmd
from tests.ui.scripted import ScriptedSession, from_now
from workbench.ui.dashboard import Dashboard
run = Run(ddmd(), name={name!r}); run.forecast(1235.0, 1170.0); run.run()
session = ScriptedSession(from_now(run.records), 45)
dashboard = Dashboard(session)
dashboard
"""

# Feeds the views from the cell itself: not before the page has seen how it was, and not ending before it has seen the
# last record. It asks for files that the test writes then; nothing that the browser sends can arrive meanwhile.
BUSY = """
import pathlib, time
while not pathlib.Path("begin").exists():
    time.sleep(0.05)
for n in range(40):
    session.release(len(run.records) // 40 + 1)
    time.sleep(0.1)
while not pathlib.Path("seen").exists():
    time.sleep(0.05)
print("cell ended")
"""

HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>$$x^2$$ </style><b>bold</b>'


def start(page: Page, lab: Lab, name: str, cells: list[str]) -> None:
    lab.write_notebook(name, cells)
    open_notebook(page, lab, name)
    run_all(page)
    page.wait_for_selector(".wb-card", timeout=60_000)
    page.wait_for_selector(".wb-plot canvas", timeout=60_000)


def places(page: Page) -> dict[str, str]:
    """Where each card lies in the graph, whatever the zoom."""
    found: dict[str, str] = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.react-flow__node')]"
        ".map(n => [n.dataset.id, n.style.transform]))"
    )
    return found


def test_views_are_live_while_a_cell_runs(page: Page, lab: Lab) -> None:
    for name in ("begin", "seen"):
        (lab.root / name).unlink(missing_ok=True)
    start(page, lab, "live.ipynb", [SETUP.format(name="DeepDriveMD"), BUSY])
    before = places(page)
    assert len(before) == 12
    assert page.evaluate(_LAST) < 1200
    (lab.root / "begin").touch()
    page.wait_for_function("() => document.querySelector('.wb-state-ended, .wb-chip')?.textContent === 'finished'")
    page.wait_for_function("() => document.querySelectorAll('.wb-card.wb-m-done').length === 12")
    kernel_is(page, "busy")  # all of that while the cell ran
    page.wait_for_function(f"() => ({_LAST})() > 1200")
    assert places(page) == before, "no card moved"
    assert page.locator(".wb-card").first.get_attribute("aria-label") == (
        "sim-0: 96 tasks, 96 done; each 4 cores · 1 GPU; before aggr-0"
    )
    assert page.locator(".wb-value").all_inner_texts()[0] == "627 of 627"
    (lab.root / "seen").touch()
    kernel_is(page, "idle")
    assert cell_outputs(page)[1] == [{"name": "stdout", "output_type": "stream", "text": "cell ended\n"}]


_LAST = """() => {
  let last = 0;
  for (const document of window.Bokeh.documents)
    for (const model of document.all_models)
      if (model.type === 'ColumnDataSource' && model.data.xs)
        for (const xs of model.data.xs) for (const x of xs) if (x > last) last = x;
  return last;
}"""
"""The latest time in the figures: Bokeh's own data, not pixels."""


def test_the_dashboard_follows_the_theme_without_the_kernel(page: Page, lab: Lab) -> None:
    start(page, lab, "theme.ipynb", [SETUP.format(name="themes")])
    background = "() => getComputedStyle(document.querySelector('.wb-flow')).backgroundColor"
    text = """() => { for (const d of window.Bokeh.documents) for (const m of d.all_models)
                  if (m.type === 'LinearAxis') return m.major_label_text_color; }"""
    light = page.evaluate(background), page.evaluate(text)
    use_theme(page, dark=True)
    page.wait_for_selector('.wb-root.wb-plot[data-theme="dark"]')
    dark = page.evaluate(background), page.evaluate(text)
    assert light[0] == "rgb(255, 255, 255)" and light[0] != dark[0]
    assert light[1] != dark[1]
    use_theme(page, dark=False)
    page.wait_for_selector('.wb-root.wb-plot[data-theme="light"]')
    assert (page.evaluate(background), page.evaluate(text)) == light


def test_a_feed_that_falls_silent_is_called_stale_and_recovers(page: Page, lab: Lab) -> None:
    start(page, lab, "stale.ipynb", [SETUP.format(name="stale"), "dashboard.feed.stop()"])
    page.wait_for_selector(".wb-flow .wb-stale", timeout=30_000)
    page.wait_for_selector(".wb-header .wb-stale", timeout=30_000)
    assert page.locator(".wb-header .wb-stale").inner_text().startswith("STALE · ")
    page.evaluate(
        "() => void [...window.jupyterapp.shell.widgets('main')].find(w => w.context?.sessionContext)"
        ".context.sessionContext.session.kernel.requestExecute({ code: 'dashboard.feed.start()' })"
    )
    page.wait_for_selector(".wb-stale", state="detached", timeout=30_000)


def test_a_page_that_is_loaded_again_shows_what_is_true_now(page: Page, lab: Lab) -> None:
    start(page, lab, "again.ipynb", [SETUP.format(name="again"), "session.release(); session.close()"])
    page.wait_for_function("() => document.querySelectorAll('.wb-card.wb-m-done').length === 12")
    before = places(page)
    command(page, "docmanager:save")
    page.wait_for_function(
        "() => [...window.jupyterapp.shell.widgets('main')].some(w => w.context && !w.context.model.dirty)"
    )
    page.reload()
    page.wait_for_function("() => document.querySelectorAll('.wb-card.wb-m-done').length === 12", timeout=90_000)
    page.wait_for_selector(".wb-plot canvas", timeout=60_000)
    page.wait_for_function(f"() => ({_LAST})() > 1200", timeout=60_000)
    assert places(page) == before


def test_no_text_becomes_html_or_mathematics(page: Page, lab: Lab) -> None:
    rename = """
import msgspec
from workbench.model.events import Record
bad = msgspec.json.encode({hostile!r})
def renamed(record):
    told = msgspec.json.encode(record).replace(b'"sim-0"', bad).replace(b'sim-0[', bad[1:-1] + b'[')
    return msgspec.json.decode(told, type=Record)
session = ScriptedSession(from_now([renamed(r) for r in run.records]), len(run.records))
worse = Dashboard(session)
worse
"""
    cells = [SETUP.format(name=HOSTILE), rename.format(hostile=HOSTILE)]
    lab.write_notebook("hostile.ipynb", cells)
    open_notebook(page, lab, "hostile.ipynb")
    run_all(page)
    page.locator(".wb-plot").nth(1).locator("canvas").first.wait_for(timeout=90_000)
    page.wait_for_function(
        "bad => [...document.querySelectorAll('.wb-name')].some(n => n.textContent === bad)", arg=HOSTILE
    )
    assert page.locator(".wb-campaign").first.inner_text() == HOSTILE
    page.locator(".wb-card", has_text="<img").first.click()
    assert page.locator(".wb-details strong").inner_text() == HOSTILE
    assert page.evaluate("() => window.broken") is None
    inside = (
        "() => document.querySelectorAll('.wb-root img, .wb-root script, .wb-root b, .wb-root mjx-container').length"
    )
    assert page.evaluate(inside) == 0


def test_keys_in_the_graph_stay_in_the_graph(page: Page, lab: Lab) -> None:
    start(page, lab, "keys.ipynb", [SETUP.format(name="keys"), "1 + 1"])
    cells = "() => [...window.jupyterapp.shell.widgets('main')].find(w => w.content.widgets).content.widgets.length"
    assert page.evaluate(cells) == 2
    page.locator('.wb-card[data-set="sim-0"]').focus()
    for key in ("ArrowRight", "Enter", "b", "d", "d", "a"):
        page.keyboard.press(key)
    assert page.evaluate("() => document.activeElement.dataset.set") == "aggr-0"
    assert page.locator(".wb-details").get_attribute("aria-label") == "Details of aggr-0"
    assert page.evaluate(cells) == 2, "no cell was added or deleted"
    unlabelled = "() => [...document.querySelectorAll('.wb-dag button')].filter(b => !b.ariaLabel && !b.title).length"
    assert page.evaluate(unlabelled) == 0


def test_a_click_does_not_keep_the_graph_from_fitting_a_narrower_page(page: Page, lab: Lab) -> None:
    start(page, lab, "narrow.ipynb", [SETUP.format(name="narrow")])
    page.locator(".wb-card").first.click()
    page.wait_for_selector(".wb-details")
    page.set_viewport_size({"width": 760, "height": 1500})
    inside = """() => {
      const box = document.querySelector('.wb-flow').getBoundingClientRect();
      const cards = [...document.querySelectorAll('.wb-card')].map(c => c.getBoundingClientRect());
      return box.width < 700 && cards.every(c => c.left >= box.left && c.right <= box.right);
    }"""
    page.wait_for_function(inside)
    # One below the other where there is no room side by side, and as wide as there is room.
    tops = "() => [...document.querySelectorAll('.wb-place')].map(p => Math.round(p.getBoundingClientRect().top))"
    assert len(set(page.evaluate(tops))) == 3
    page.set_viewport_size({"width": 1500, "height": 1500})
    page.wait_for_function(f"() => new Set(({tops})()).size === 2")


def test_a_second_view_of_an_output_follows_like_the_first(page: Page, lab: Lab) -> None:
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    for name in ("begin", "seen"):
        (lab.root / name).unlink(missing_ok=True)
    start(page, lab, "second.ipynb", [SETUP.format(name="second"), BUSY])
    page.evaluate(
        "() => { const tab = [...window.jupyterapp.shell.widgets('main')].find(w => w.content.widgets);"
        " tab.content.activeCellIndex = 0; }"
    )
    command(page, "notebook:create-output-view")
    page.wait_for_function("() => document.querySelectorAll('.wb-plot .wb-place').length === 6")
    (lab.root / "begin").touch()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.wb-chip')].filter(c => c.textContent === 'finished').length === 2"
    )
    texts = """() => window.Bokeh.documents.map(d => [...d.all_models].filter(m => m.type === 'ColumnDataSource')
      .flatMap(m => m.data.text ? [...m.data.text] : []))"""
    page.wait_for_function(f"() => ({texts})().filter(t => t.some(x => x.startsWith('627 of 627'))).length === 2")
    (lab.root / "seen").touch()
    kernel_is(page, "idle")
    assert told == []
