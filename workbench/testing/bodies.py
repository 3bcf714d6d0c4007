"""Functions that the conformance suite runs as tasks. They are imported by workers, so they live in a module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workbench import task

PATIENCE_S = 60.0


def add(a: Any, b: Any = 0) -> Any:
    """The sum."""
    return a + b


def echo(*args: Any, **parameters: Any) -> dict[str, Any]:
    """What it was called with."""
    return {"args": list(args), "parameters": parameters}


def zeros(n: int) -> Any:
    """An array."""
    import numpy

    return numpy.zeros((n, 2))


def both(n: int) -> tuple[str, set[int]]:
    """Something that only pickle keeps."""
    return "pair", {n, n + 1}


def blob(n: int) -> bytes:
    """`n` bytes."""
    return bytes(n)


def fail(word: str) -> None:
    """Raise."""
    raise ValueError(f"no such {word}")


def leave(code: int) -> None:
    """Leave the interpreter, as a careless function does."""
    sys.exit(code)


def kill_self() -> None:
    """Die without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def who() -> dict[str, Any]:
    """What the attempt sees of itself."""
    return {
        "task": task.id(),
        "number": task.attempt(),
        "index": task.index(),
        "inside": task.inside(),
        "scratch": str(task.scratch()),
        "pid": os.getpid(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cores": len(os.sched_getaffinity(0)),
        "attempt": os.environ.get("WORKBENCH_ATTEMPT"),
    }


def talk() -> None:
    """Write to both outputs, also from a child process."""
    print("said aloud")
    print("complained", file=sys.stderr)
    sys.stdout.flush()
    subprocess.run(["sh", "-c", "echo from below"], check=True)


def mutter(gate: str, hoard: int = 0) -> None:
    """Say many lines aloud and complain once, hold `hoard` bytes, make `gate`, and stay."""
    for i in range(100):
        print(f"step {i}")
    print("it does not converge", file=sys.stderr)
    held = bytearray(os.urandom(1)) * hoard
    Path(gate).touch()
    time.sleep(PATIENCE_S)
    del held


def measure() -> str:
    """Report metrics and progress."""
    task.report(loss=0.5, step=3, phase="warm", good=True)
    task.progress(0.25)
    return "measured"


def follow(gate: str, **_: Any) -> dict[str, Any]:
    """Run until told to stop, and return the parameters at that time. `gate` is made when it runs."""
    Path(gate).touch()
    until = time.monotonic() + PATIENCE_S
    while not task.should_stop() and time.monotonic() < until:
        time.sleep(0.005)
    return task.parameters()


def hold(gate: str) -> tuple[float, float]:
    """Run until the file `gate` exists; returns when it began and ended."""
    begun = time.time()
    until = time.monotonic() + PATIENCE_S
    while not os.path.exists(gate) and time.monotonic() < until:
        time.sleep(0.005)
    return begun, time.time()


def nap(seconds: float) -> tuple[float, float]:
    """Sleep; returns when it began and ended."""
    begun = time.time()
    time.sleep(seconds)
    return begun, time.time()


def defy(pids: str) -> None:
    """Ignore polite signals, start a child and a daemon in a session of its own, write all pids, and stay."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "120"])
    daemon = subprocess.Popen(["setsid", "sh", "-c", 'sleep 120 & echo $! > "$0"; wait', f"{pids}.daemon"])
    until = time.monotonic() + PATIENCE_S
    while not Path(f"{pids}.daemon").exists() or not Path(f"{pids}.daemon").read_text().strip():
        if time.monotonic() > until:
            return
        time.sleep(0.005)
    below = Path(f"{pids}.daemon").read_text().strip()
    Path(f"{pids}.part").write_text(f"{os.getpid()} {child.pid} {daemon.pid} {below}")
    os.rename(f"{pids}.part", pids)
    time.sleep(PATIENCE_S)


def grow_by(n: int) -> int:
    """Ask for another set."""
    with task.grow() as campaign:
        campaign.tasks(add, 1, n=n, name="grown")
    return n
