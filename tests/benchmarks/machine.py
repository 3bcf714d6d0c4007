"""What a measurement depends on: the machine, its load, its disk, the versions."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any


def describe(folder: Path) -> dict[str, Any]:
    """The machine, and what one sync costs on the disk of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "filesystem": _filesystem(folder),
        "sync_ms": sync_ms(folder),
    }


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]


def step_ns(steps: int = 300_000) -> float:
    """Nanoseconds that a step of a plain Python loop takes now: machines that others share are not always as fast."""
    t0 = time.perf_counter()
    total = 0
    for i in range(steps):
        total += i * i % 7
    return 1e9 * (time.perf_counter() - t0) / steps


def sync_ms(folder: Path, times: int = 200) -> float:
    """Median milliseconds to append 200 bytes to a file and sync it."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            t0 = time.perf_counter()
            os.write(file.fileno(), b"x" * 200)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - t0)
    return 1e3 * median(took)


def commit(root: Path) -> str:
    """The version measured: the commit, and whether files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() if said.returncode == 0 else "unknown"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _filesystem(folder: Path) -> str:
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if folder.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
