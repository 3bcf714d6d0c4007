"""The report in a browser: figures are drawn in both themes, nothing is loaded, nothing hostile runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import CHROMIUM, chromium
from tests.report.hostile import told
from tests.report.payloads import PAYLOADS
from workbench.report.html import write_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium of the system"),
]

# Elements of the page and of every shadow tree in it.
COUNT = """() => {
  const counts = {};
  const visit = (root) => {
    for (const e of root.querySelectorAll("*")) {
      counts[e.localName] = (counts[e.localName] ?? 0) + 1;
      for (const a of e.attributes) if (a.name.startsWith("on")) counts["@" + a.name] = 1;
      if (e.shadowRoot) visit(e.shadowRoot);
    }
  };
  visit(document);
  return counts;
}"""
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


def visit(browser: Any, report: Path, scheme: str) -> tuple[dict[str, int], float, list[str]]:
    page = browser.new_page(viewport={"width": 1280, "height": 1400}, color_scheme=scheme)
    told_: list[str] = []
    page.on("console", lambda m: told_.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: told_.append(f"error: {e}"))
    page.on("dialog", lambda d: (told_.append(f"dialog: {d.message}"), d.dismiss()))
    page.on("request", lambda r: told_.append(f"request: {r.url}") if r.url != report.as_uri() else None)
    try:
        page.goto(report.as_uri())
        page.wait_for_function(DRAWN)
        for figure in page.query_selector_all(".figure"):
            figure.scroll_into_view_if_needed()
            box = figure.bounding_box()
            for y in range(20, int(box["height"]), 24):
                page.mouse.move(box["x"] + 300, box["y"] + y)
        assert page.evaluate("window.pwned") is None
        return page.evaluate(COUNT), page.evaluate(BRIGHTNESS), told_
    finally:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_run_nothing_and_add_no_element(browser: Any, reports: dict[str, Path], scheme: str) -> None:
    hostile, brightness, trouble = visit(browser, reports["hostile"], scheme)
    tame, _, silence = visit(browser, reports["tame"], scheme)
    assert trouble == silence == []
    assert hostile["canvas"] == tame["canvas"] >= 6
    # Tooltips come and go with the pointer; they are made of these.
    of_tooltips = {"bk-tooltip", "div", "span", "style"}
    assert {k: v for k, v in hostile.items() if k not in of_tooltips} == {
        k: v for k, v in tame.items() if k not in of_tooltips
    }
    assert not any(k.startswith("@on") for k in hostile)
    assert brightness > 0.7 if scheme == "light" else brightness < 0.4
