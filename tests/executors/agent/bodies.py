"""What the tests run as tasks. Gates are files: a body waits until the test makes one, and says that it is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workbench import task


def reached(gate: str) -> None:
    """Say that the body is at `gate`, and wait until the test opens it."""
    Path(gate + ".reached").touch()
    until = time.monotonic() + 60
    while not os.path.exists(gate):
        if time.monotonic() > until:
            raise TimeoutError(gate)
        time.sleep(0.002)


def noop() -> None: ...


def add(a: int, b: int = 0) -> int:
    return a + b


def gated(gate: str) -> int:
    reached(gate)
    return os.getpid()


def gated_item(item: str, directory: str) -> str:
    """Log the start and the end; overlap would show in the log."""
    with open(f"{directory}/log", "a") as f:
        f.write(f"+{item}\n")
    reached(f"{directory}/{item}")
    with open(f"{directory}/log", "a") as f:
        f.write(f"-{item}\n")
    return item


def logged_item(item: str, directory: str) -> None:
    with open(f"{directory}/log", "a") as f:
        f.write(f"{item}\n")


def clocked(directory: str) -> None:
    """One line with the start and end of this body, from the machine's own clock."""
    start = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    total = sum(range(200))
    end = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    with open(f"{directory}/{os.getpid()}.clock", "a") as f:
        f.write(f"{start} {end} {total}\n")


def who() -> dict[str, Any]:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    marks = ("WORKBENCH_TASK", "WORKBENCH_ATTEMPT", "WORKBENCH_INDEX")
    return {
        **{n: os.environ[n] for n in (*names, *marks)},
        "cpus": sorted(os.sched_getaffinity(0)),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "inside": task.inside(),
        "id": task.id(),
        "index": task.index(),
        "attempt": task.attempt(),
        "heavy": sorted({"dask", "numpy", "bokeh", "distributed", "torch"} & sys.modules.keys()),
    }


def boom(text: str) -> None:
    print("about to fail")
    raise ValueError(text)


def exits(code: int) -> None:
    sys.exit(code)


def vanishes(code: int) -> None:
    os._exit(code)


def dies_by(number: int) -> None:
    print("last words", file=sys.stderr)
    sys.stderr.flush()
    os.kill(os.getpid(), number)


def unpicklable() -> Any:
    return {"lock": __import__("threading").Lock()}


def exhausts() -> None:
    raise MemoryError("no more")


def hoards(gate: str, size: int) -> None:
    """Hold `size` bytes in a process below this one."""
    code = f"x = bytearray({size}); import time; open({gate!r} + '.reached', 'w'); time.sleep(60)"
    subprocess.run([sys.executable, "-c", code], check=True)


def stubborn(gate: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reached(gate)


def family(gate: str) -> None:
    """Children of all kinds: plain, in a session of its own, and a daemon that forked twice."""
    script = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(300)"
    run = [sys.executable, "-c", script, gate + ".pids"]
    subprocess.Popen(run)
    subprocess.Popen(run, start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(run, start_new_session=True)
        os._exit(0)
    os.wait()
    while not os.path.exists(gate + ".pids") or len(Path(gate + ".pids").read_text().split()) < 3:
        time.sleep(0.005)
    reached(gate)


def leaves_behind(path: str) -> int:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path(path).write_text(str(os.getpid()))
    return os.getpid()


def chatty(gate: str) -> int:
    print("from print")
    sys.stderr.write("to stderr\n")
    os.system("echo from a program")
    reached(gate)
    print("at the end")
    return 1


def steered(gate: str, lr: float = 1.0) -> list[Any]:
    Path(gate + ".reached").touch()
    seen = [lr]
    while not task.should_stop():
        now = task.parameters()["lr"]
        if now != seen[-1]:
            seen.append(now)
            task.report(lr=now)
        time.sleep(0.002)
    return seen


def reports() -> None:
    task.report(loss=0.5, step=1, phase="warm", ok=True)
    task.progress(0.25)
    task.progress(7)


def floods(n: int) -> int:
    for i in range(n):
        task.report(step=i)
    return n


def uses_scratch(fail: bool) -> str:
    path = task.scratch()
    (path / "file").write_text("x")
    if fail:
        raise RuntimeError("scratch stays")
    return str(path)


def grows(n: int) -> int:
    with task.grow() as g:
        g.tasks(noop, n=n, name="more")
    return n


def grows_badly() -> int:
    try:
        with task.grow() as g:
            g.tasks(noop, n=2, name="more")
            raise KeyError("changed its mind")
    except KeyError:
        return 0


def forks_and_reports() -> int:
    """A forked copy of the task must not speak for it."""
    pid = os.fork()
    if pid == 0:
        task.report(ghost=1)
        os._exit(0 if not task.inside() else 3)
    _, status = os.waitpid(pid, 0)
    task.report(real=1)
    return os.waitstatus_to_exitcode(status)


def draws() -> tuple[float, float]:
    import random

    import numpy

    return random.random(), float(numpy.random.random())


def many_threads() -> dict[str, int]:
    import numpy

    a = numpy.ones((400, 400))
    for _ in range(3):
        a @ a
    return {"threads": len(os.listdir("/proc/self/task"))}
