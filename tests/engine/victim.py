"""Runs a campaign in a directory until it has ended, or is killed. ``python victim.py DIR NOTES SEED``.

The bodies note when they begin and end, and whoever submits an edit notes when it was acknowledged, in files that only
grow, so that the test can compare what happened with what the journal says.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from workbench import Campaign, LocalPool, task

LEAVES = 24


def note(path: str, text: str) -> None:
    """Append a line with one write, and make it last."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, (text + "\n").encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def leaf(i: int, notes: str, seed: int) -> dict[str, int]:
    note(notes + "/bodies", f"begin {task.id()} {task.attempt()}")
    time.sleep(random.Random(f"{seed}/{i}").uniform(0.005, 0.08))
    note(notes + "/bodies", f"end {task.id()} {task.attempt()}")
    return {"i": i, "square": i * i}


def combine(parts: list[dict[str, int]], notes: str, seed: int) -> int:
    note(notes + "/bodies", f"begin {task.id()} {task.attempt()}")
    with task.grow() as g:
        late = g.map(leaf, range(100, 104), notes, seed, name="late")
        g.task(total, late, notes, name="last")
    return sum(p["square"] for p in parts)


def total(parts: list[dict[str, int]], notes: str) -> int:
    note(notes + "/bodies", f"begin {task.id()} {task.attempt()}")
    return sum(p["square"] for p in parts)


def edit(campaign: Any, notes: str, seed: int) -> None:
    """Submit edits while it runs, noting each that was acknowledged."""
    rng = random.Random(time.time_ns() ^ seed)
    for _ in range(200):
        priority = rng.randint(-50, 50)
        try:
            campaign.prioritize("leaf", priority)
        except Exception:
            return
        note(notes + "/acks", f"{campaign.history()[-1].id} {priority}")
        time.sleep(0.02)


def main() -> None:
    directory, notes, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pool = LocalPool(nodes=2, cores=1)
    if (Path(directory) / "campaign.json").exists():
        campaign = Campaign.resume(directory, pool=pool)
    else:
        campaign = Campaign("victim", pool=pool, dir=directory)
    with campaign.batch():
        known = {s.name for s in campaign.sets}
        if "leaf" not in known:
            leaves = campaign.map(leaf, range(LEAVES), notes, seed, name="leaf")
            campaign.task(combine, leaves, notes, seed, name="combine")
    campaign.start()
    threading.Thread(target=edit, args=(campaign, notes, seed), daemon=True).start()
    status = campaign.wait(60.0)
    print(status, flush=True)
    campaign.stop()


if __name__ == "__main__":
    main()
