"""JupyterLab and Chromium for tests: a private lab on a free port, driven through its own application object.

Readiness is asked of the lab (`sessionContext`, kernel status), never guessed from the page: runs that were started by
what the page looked like have stalled. `commands.execute` is never awaited inside `page.evaluate`, which would wait
without end.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NOTEBOOK = """() => {
  const app = window.jupyterapp;
  if (!app) return null;
  for (const widget of app.shell.widgets('main')) {
    if (widget.context && widget.context.sessionContext && widget.content.widgets) return widget;
  }
  return null;
}"""
_READY = f"""() => {{
  const notebook = ({_NOTEBOOK})();
  if (!notebook) return false;
  const session = notebook.context.sessionContext;
  return session.isReady && session.session && session.session.kernel && session.session.kernel.status === 'idle';
}}"""


class LabFailed(RuntimeError):
    """JupyterLab did not come up; the message ends with the last lines of its log."""


class Lab:
    """A running JupyterLab."""

    def __init__(self, url: str, root: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.root = root
        self.process = process
        self.log = log

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def write_notebook(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook of code cells below the root."""
        made = [
            {
                "cell_type": "code",
                "id": f"cell-{i}",
                "metadata": {},
                "source": text,
                "outputs": [],
                "execution_count": None,
            }
            for i, text in enumerate(cells)
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        path = self.root / name
        path.write_text(json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_lab(root: Path, private: Path, timeout_s: float = 60.0, python_path: Sequence[Path] = ()) -> Iterator[Lab]:
    """JupyterLab on `root`, with all its own files below `private`; ended on leaving, with its kernels.

    Raises
    ------
    LabFailed
        If it does not answer in time, or ends.
    """
    port = _free_port()
    private.mkdir(parents=True, exist_ok=True)
    folders = {name: private / name for name in ("config", "data", "runtime", "ipython", "workspaces", "settings")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    # No questions on the first page: the lab asks whether it may fetch news.
    asks = folders["settings"] / "@jupyterlab" / "apputils-extension"
    asks.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (asks / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folders["config"]),
        "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
        "JUPYTERLAB_WORKSPACES_DIR": str(folders["workspaces"]),
        "JUPYTERLAB_SETTINGS_DIR": str(folders["settings"]),
        "IPYTHONDIR": str(folders["ipython"]),
        "PYTHONPATH": os.pathsep.join([*map(str, python_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", f"--port={port}", "--no-browser", "--allow-root"),
        *(f"--ServerApp.root_dir={root}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly", "--LabApp.news_url="),
    ]
    log = private / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=root)
    lab = Lab(f"http://127.0.0.1:{port}", root, process, log)
    try:
        _await_answer(lab, timeout_s)
        yield lab
    finally:
        process.terminate()  # the server ends its kernels before it ends itself
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(lab: Lab, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if lab.process.poll() is not None:
            raise LabFailed(f"JupyterLab ended with status {lab.process.returncode}:\n{lab.tail()}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(f"{lab.url}/api", timeout=5) as answer:
                if answer.status == 200:
                    return
        with contextlib.suppress(subprocess.TimeoutExpired):
            lab.process.wait(0.1)
    raise LabFailed(f"JupyterLab did not answer within {timeout_s:.0f} s:\n{lab.tail()}")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium of the system, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=list(CHROMIUM_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def open_notebook(page: Page, lab: Lab, name: str, timeout_s: float = 90.0) -> None:
    """Open a notebook and wait until its kernel is ready to run cells."""
    page.goto(f"{lab.url}/lab/tree/{name}?reset", timeout=timeout_s * 1000)
    page.wait_for_function(_READY, timeout=timeout_s * 1000)
    page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")


def command(page: Page, name: str, arguments: dict[str, Any] | None = None) -> None:
    """Start a command of the lab; what it does is waited for by what can be seen."""
    page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, arguments or {}])


def run_all(page: Page) -> None:
    """Start running all cells."""
    command(page, "notebook:run-all-cells")


def use_theme(page: Page, dark: bool, timeout_s: float = 30.0) -> None:
    """Change the lab's theme and wait for it."""
    command(page, "apputils:change-theme", {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"})
    page.wait_for_function(
        "dark => document.body.dataset.jpThemeLight === (dark ? 'false' : 'true')", arg=dark, timeout=timeout_s * 1000
    )


def kernel_is(page: Page, status: str, timeout_s: float = 60.0) -> None:
    """Wait for the notebook's kernel to be ``"idle"`` or ``"busy"``."""
    asked = f"status => (({_NOTEBOOK})())?.context.sessionContext.session?.kernel?.status === status"
    page.wait_for_function(asked, arg=status, timeout=timeout_s * 1000)


def cell_outputs(page: Page) -> list[list[dict[str, Any]]]:
    """Outputs of each cell, as the notebook would save them."""
    found: list[list[dict[str, Any]]] = page.evaluate(
        f"() => ({_NOTEBOOK})().content.widgets.map(w => w.model.outputs ? w.model.outputs.toJSON() : [])"
    )
    return found
