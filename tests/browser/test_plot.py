"""The figures' browser side with the real BokehJS, apart from JupyterLab: what comes fast, twice, or beside a theme."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import bokeh
import pytest
from bokeh.models import ColumnDataSource
from bokeh.util.paths import bokehjs_path

from tests.report.campaigns import Run, ddmd
from workbench.report.tables import Tables
from workbench.ui.bundle import bundle
from workbench.ui.dashboard import _DRAWINGS
from workbench.ui.figures import FiguresView
from workbench.ui.plots import themed

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

ADDRESS = "http://127.0.0.1:8000/"  # answered by the test itself

# A model as anywidget gives it to the bundle, two views of it on the page, and then patches in one burst, a few
# microtasks apart, as messages come that waited for each other; the theme turns in the midst of it.
BURST = """async ({ script, document: whole, version, patches, gap }) => {
  const heard = new Map();
  const tell = (event, ...args) => { for (const callback of heard.get(event) ?? []) callback(...args); };
  const traits = { document: whole, bokeh_version: version };
  const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; },
    save_changes: () => {},
    send: () => {},
    on: (event, callback) => heard.set(event, (heard.get(event) ?? new Set()).add(callback)),
    off: (event, callback) => heard.get(event)?.delete(callback),
  };
  const source = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const widget = (await import(source)).default();
  widget.initialize({ model });
  const places = ["one", "two"].map((id) => {
    const el = document.createElement("div");
    el.id = id;
    document.body.append(el);
    widget.render({ model, el });
    return el;
  });
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  while (!places.every((el) => el.querySelector(".wb-place"))) await frame();
  for (const patch of patches) {
    tell("msg:custom", patch, []);
    for (let i = 0; i < gap; i += 1) await null;
    if (patch.version % 4 === 0) document.body.dataset.jpThemeLight = String(patch.version % 8 === 0);
  }
}"""
TEXTS = """() => Bokeh.documents.map(document => [...document.all_models].filter(m => m.type === 'ColumnDataSource')
  .flatMap(m => m.data.text ? [...m.data.text] : []).sort())"""
"""Every text in the figures of each view, sorted."""


@pytest.fixture
def console(page: Page) -> Iterator[list[str]]:
    told: list[str] = []
    page.on("console", lambda m: told.append(m.text) if m.type in ("error", "warning") else None)
    yield told
    assert told == []


@pytest.mark.parametrize("gap", [1, 4, 8, 13])
def test_two_views_take_a_burst_of_patches(page: Page, console: list[str], gap: int) -> None:
    chance = random.Random(gap)
    run = Run(ddmd(1), name="bursts")
    run.forecast(1235.0, 1170.0)
    run.run()
    view = FiguresView([(themed(make), span) for make, span in _DRAWINGS])
    whole = view.get_state("document")["document"]
    patches: list[Any] = []
    view.send = lambda content, buffers=None: patches.append(content)
    for end in [*sorted(chance.sample(range(1, len(run.records)), 14)), len(run.records)]:
        tables = Tables()
        tables.fold(run.records[:end])
        view.show(tables, "live")
    sources = [model for model in view._doc.models if isinstance(model, ColumnDataSource)]
    final = sorted(text for source in sources for text in source.data.get("text", []))
    view.close()

    page.route(ADDRESS, lambda route: route.fulfill(body="<!doctype html><body></body>", content_type="text/html"))
    page.goto(ADDRESS)
    page.add_script_tag(path=bokehjs_path() / "js" / "bokeh.min.js")
    given = {"script": bundle("plot"), "document": whole, "version": bokeh.__version__}
    page.evaluate(BURST, {**given, "patches": patches, "gap": gap})
    page.wait_for_function(f"final => ({TEXTS})().every(texts => `${{texts}}` === `${{final}}`)", arg=final)
    assert len(page.evaluate(TEXTS)) == 2
    assert page.locator(".wb-place").count() == 2 * len(_DRAWINGS)
    assert "209 of 209 tasks  ·  100 %" in final
