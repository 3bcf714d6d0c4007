"""What tests wait for outside of the conversation: gates of bodies, processes that must go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil


async def opened(gate: Path) -> None:
    """Until a body says that it is at `gate`."""
    while not Path(f"{gate}.reached").exists():
        await asyncio.sleep(0.002)


def alive(pid: int) -> bool:
    """Whether a process runs (zombies do not)."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def gone(*pids: int) -> None:
    """Until none of the processes runs."""
    while any(map(alive, pids)):
        await asyncio.sleep(0.002)
