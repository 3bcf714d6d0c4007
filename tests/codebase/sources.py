"""The files of the project, as the architecture tests read them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Every file under version control or about to be; without git, every file outside of what git would ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.split("\0") if name]
        return tuple(sorted(path for path in names if path.is_file()))
    ignored = {"node_modules", "__pycache__", "lib", "static"}
    found = (p for p in ROOT.rglob("*") if not any(part in ignored or part[0] == "." for part in p.parts))
    return tuple(sorted(p for p in found if p.is_file()))


def under(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> Iterator[tuple[str, str]]:
    """Name (relative to the root) and text of the files below `folders` that end in one of `suffixes`."""
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in suffixes and any(name == f or name.startswith(f + "/") for f in folders):
            yield name, path.read_text(encoding="utf-8")
