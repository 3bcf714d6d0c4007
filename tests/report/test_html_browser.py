"""The report in a browser: figures are drawn in both themes, nothing is loaded, nothing hostile runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser.lab import CHROMIUM, chromium
from tests.report.hostile import told
from tests.report.payloads import PAYLOADS
from workbench.report.html import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium of the system"),
]

# Elements of the page and of every shadow tree in it, apart from tooltips, which come and go with the pointer.
COUNT = """() => {
  const counts = {};
  const visit = (root) => {
    for (const e of root.children) {
      for (const a of e.attributes) if (a.name.startsWith("on")) counts["@" + a.name] = 1;
      if (e.classList.contains("bk-Tooltip")) continue;
      counts[e.localName] = (counts[e.localName] ?? 0) + 1;
      if (e.shadowRoot) visit(e.shadowRoot);
      visit(e);
    }
  };
  visit(document);
  return counts;
}"""
# What tooltips are made of at this moment, and what they say.
TOOLTIPS = """() => {
  const parts = new Set(), texts = [];
  const inside = (root) => {
    for (const e of root.children) {
      parts.add(e.localName);
      for (const a of e.attributes) if (a.name.startsWith("on")) parts.add("@" + a.name);
      if (e.shadowRoot) inside(e.shadowRoot);
      if (e.localName === "style") continue;
      texts.push(...[...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data));
      inside(e);
    }
  };
  const find = (root) => {
    for (const e of root.children) {
      if (e.classList.contains("bk-Tooltip")) inside(e.shadowRoot);
      else { find(e); if (e.shadowRoot) find(e.shadowRoot); }
    }
  };
  find(document);
  return { parts: [...parts], texts };
}"""
# BokehJS answers the pointer and paints before the second frame after it.
FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"
DRAWN = "() => Bokeh.documents.length === 1 && Bokeh.documents[0].is_idle"
# Mean brightness of the first plot's canvas: dark figures on dark pages, light ones on light pages.
BRIGHTNESS = """() => {
  const find = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.localName === "canvas" && e.width > 300 && e.height > 100) return e;
      const inner = e.shadowRoot && find(e.shadowRoot);
      if (inner) return inner;
    }
    return null;
  };
  const canvas = find(document);
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) { sum += data[i] + data[i + 1] + data[i + 2]; n += 3; }
  return sum / n / 255;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    tame = [f"text {i:02d}" for i in range(60)]
    return {
        "hostile": write_report(told(PAYLOADS), folder / "hostile.html"),
        "tame": write_report(told(tame), folder / "tame.html"),
    }


class Visit(NamedTuple):
    """A report that was looked at, with the pointer over all of its figures."""

    elements: dict[str, int]
    brightness: float
    trouble: list[str]
    tooltip_parts: set[str]
    tooltip_texts: set[str]


def visit(browser: Any, report: Path, scheme: str) -> Visit:
    page = browser.new_page(viewport={"width": 1280, "height": 1400}, color_scheme=scheme)
    trouble: list[str] = []
    page.on("console", lambda m: trouble.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: trouble.append(f"error: {e}"))
    page.on("dialog", lambda d: (trouble.append(f"dialog: {d.message}"), d.dismiss()))
    page.on("request", lambda r: trouble.append(f"request: {r.url}") if r.url != report.as_uri() else None)
    parts: set[str] = set()
    texts: set[str] = set()
    try:
        page.goto(report.as_uri())
        page.wait_for_function(DRAWN)
        for figure in page.locator(".figure").all():
            figure.scroll_into_view_if_needed()
            page.evaluate(FRAMES)
            box = figure.bounding_box()
            for y in range(20, int(box["height"]), 24):
                page.mouse.move(box["x"] + 300, box["y"] + y)
                page.evaluate(FRAMES)
                shown = page.evaluate(TOOLTIPS)
                parts.update(shown["parts"])
                texts.update(shown["texts"])
        assert page.evaluate("window.pwned") is None
        return Visit(page.evaluate(COUNT), page.evaluate(BRIGHTNESS), trouble, parts, texts)
    finally:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_run_nothing_and_add_no_element(browser: Any, reports: dict[str, Path], scheme: str) -> None:
    hostile = visit(browser, reports["hostile"], scheme)
    tame = visit(browser, reports["tame"], scheme)
    assert hostile.trouble == tame.trouble == []
    assert hostile.elements["canvas"] >= 6
    assert hostile.elements == tame.elements
    assert not any(k.startswith("@on") for k in hostile.elements)
    assert hostile.tooltip_parts and hostile.tooltip_parts <= {"div", "span", "style"}
    assert any("window.pwned" in text for text in hostile.tooltip_texts), "no tooltip showed a hostile name"
    assert hostile.brightness > 0.7 if scheme == "light" else hostile.brightness < 0.4
