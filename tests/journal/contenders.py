"""Many processes want one lease at the same instant. Run by test_lease: ``contenders.py DIRECTORY ROUNDS N SEED``.

Prints a line for each round: how many won, the epoch of the winner, the epoch before, and how many dead claims there
were. All contenders live until all of them have tried, so that more than one winner is a fault.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from workbench.journal.lease import Lease, _myself, _read, _temporary
from workbench.model.errors import CampaignHeld


def slowly(rng: random.Random, real):  # type: ignore[no-untyped-def]
    """`real`, but others may run before and after it."""

    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        for _ in range(rng.randrange(4)):
            os.sched_yield()
        result = real(*args, **kwargs)
        for _ in range(rng.randrange(4)):
            os.sched_yield()
        return result

    return call


def forked(work) -> int:  # type: ignore[no-untyped-def]
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return pid


def dead_claim(root: Path, epoch: int) -> None:
    def work() -> None:
        os.link(_temporary(root, _myself(epoch)), root / f"lease.json.{epoch}.claim")

    os.waitpid(forked(work), 0)


def contend(root: Path, n: int, rng: random.Random) -> list[str]:
    start_r, start_w = os.pipe()
    told_r, told_w = os.pipe()
    end_r, end_w = os.pipe()
    seeds = [rng.random() for _ in range(n)]

    def work(seed: float) -> None:
        os.close(start_w)
        os.close(end_w)
        mine = random.Random(seed)
        for name in ("link", "replace", "unlink"):
            setattr(os, name, slowly(mine, getattr(os, name)))
        os.read(start_r, 1)
        try:
            lease = Lease.take(root)
            assert lease.valid
            os.write(told_w, b"%d\n" % lease.epoch)
        except CampaignHeld:
            os.write(told_w, b"held\n")
        os.read(end_r, 1)

    children = [forked(lambda seed=seed: work(seed)) for seed in seeds]
    os.close(start_w)
    told = b""
    while told.count(b"\n") < n:
        told += os.read(told_r, 1000)
    os.close(end_w)
    for child in children:
        os.waitpid(child, 0)
    for fd in (start_r, told_r, told_w, end_r):
        os.close(fd)
    return told.decode().split()


def main(directory: str, rounds: int, n: int, seed: int) -> None:
    root = Path(directory)
    rng = random.Random(seed)
    for _ in range(rounds):
        before = _read(root / "lease.json")
        epoch = before.epoch if before else 0
        dead = rng.choice([0, 0, 1, 2])
        for k in range(dead):
            dead_claim(root, epoch + 1 + k)
        told = contend(root, n, rng)
        winners = [int(word) for word in told if word != "held"]
        print(len(winners), max(winners, default=0), epoch, dead, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
