"""`workbench lab`: JupyterLab on loopback, opened on a notebook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from workbench.cli.text import put_json
from workbench.model.errors import WorkbenchError

_START_S = 60.0


class NoLab(WorkbenchError):
    """JupyterLab cannot be opened on what was asked for."""


def command_line(path: Path | None, port: int, browser: bool) -> list[str]:
    """The program that serves JupyterLab, with its root here, or beside `path` where that lies elsewhere.

    Raises
    ------
    NoLab
        If `path` does not exist.
    """
    root, url = Path.cwd(), "/lab"
    if path is not None:
        target = path.expanduser().resolve()
        if not target.exists():
            raise NoLab(f"{path} does not exist; give a notebook or a directory, or leave it out")
        if not target.is_relative_to(root):
            root = target if target.is_dir() else target.parent
        inside = target.relative_to(root).as_posix()
        url = "/lab" if inside == "." else f"/lab/tree/{quote(inside)}"
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url={url}",
        # Nothing is fetched from elsewhere: no catalogue of extensions, no news, no updates.
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=",
    ]
    if not browser:
        words.append("--no-browser")
    if os.geteuid() == 0:
        words.append("--allow-root")  # the only user of many containers
    return words


def surroundings() -> dict[str, str]:
    """The environment of the server: ours, and other defaults for settings, which those that the user made override."""
    ours = str(Path(__file__).with_name("jupyter"))
    return {
        **os.environ,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [ours, os.environ.get("JUPYTER_CONFIG_PATH")])),
    }


def serve(path: Path | None, port: int, browser: bool, as_json: bool) -> int:
    """Serve until somebody stops it; with `as_json` say where on one line of stdout first.

    Returns
    -------
    int
        The server's exit code.
    """
    words = command_line(path, port, browser and not as_json)
    if not as_json:
        sys.stdout.flush()
        os.execve(words[0], words, surroundings())
    with subprocess.Popen(words, stdout=sys.stderr, env=surroundings()) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.terminate())
        put_json(_where(server, path))
        return server.wait()


def _where(server: subprocess.Popen[bytes], path: Path | None) -> dict[str, object]:
    from jupyter_server.serverapp import list_running_servers

    for _ in range(int(_START_S / 0.2)):
        for info in list_running_servers():
            if info["pid"] == server.pid:
                return {"url": info["url"], "token": info["token"], "pid": server.pid, "root": info["root_dir"]}
        try:
            code = server.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        raise NoLab(f"JupyterLab ended with status {code} before it served; its words are above")
    server.terminate()
    raise NoLab(f"JupyterLab does not serve after {_START_S:g} s; its words are above")
