"""An environment for each peer, made from ``peers/NAME.txt`` once and again when that file changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ("dask", "parsl", "ray", "executorlib", "colmena")


class NoEnvironment(RuntimeError):
    """A peer's environment could not be made; the text says why."""


def ensure(peer: str, base: Path = ROOT / ".bench") -> Path:
    """The Python of `peer`'s environment.

    Raises
    ------
    NoEnvironment
        With the last lines of what pip said.
    """
    wanted = HERE / "peers" / f"{peer}.txt"
    folder = base / peer
    stamp = folder / "installed"
    text = f"{sys.version}\n{wanted.read_text()}"
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    python = folder / "bin" / "python"
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return python
    print(f"installing {peer} into {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)], peer)
    _run([str(python), "-m", "pip", "install", "-q", "--no-input", "--requirement", str(wanted)], peer)
    stamp.write_text(digest)
    return python


def versions(python: Path, peer: str) -> str:
    """Versions of what ``peers/NAME.txt`` names, as they are installed."""
    names = [line.partition("==")[0] for line in (HERE / "peers" / f"{peer}.txt").read_text().split()]
    code = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True).stdout.strip()


def environment(python: Path, tag: str) -> dict[str, str]:
    """Environment of a peer's script: its programs come first, and its processes can be found by `tag`."""
    from tests.benchmarks.peers.common import TAG

    return {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(HERE / "peers"),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        TAG: tag,
    }


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise NoEnvironment(f"the environment of {peer} could not be made: {' '.join(command)} said\n{last}")
