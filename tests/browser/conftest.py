"""One lab and one browser for each module of browser tests; skipped without Chromium, except where CI requires it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import CHROMIUM, Lab, chromium, running_lab
from tests.codebase.sources import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        said = f"there is no {CHROMIUM}; install Chromium (Debian: apt-get install chromium)"
        if os.environ.get("WORKBENCH_REQUIRE_BROWSER"):
            pytest.fail(said)
        pytest.skip(said)
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    with running_lab(folder / "notebooks", folder / "private", python_path=[ROOT]) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page; errors that nobody caught fail the test, and nothing may be fetched from another machine."""
    context = browser.new_context(viewport={"width": 1200, "height": 1500})
    opened = context.new_page()
    errors: list[str] = []
    strangers: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", lambda request: strangers.append(request.url) if _is_strange(request.url) else None)
    yield opened
    context.close()
    assert errors == []
    assert strangers == []


def _is_strange(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:"))
