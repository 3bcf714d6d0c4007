"""Campaigns on real processes of this machine: what a notebook does, from the declaration to the results."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.api.conftest import until
from workbench import Campaign, Executable, LocalPool, Synthetic
from workbench.journal import read
from workbench.model.errors import NoProgress, TaskFailed
from workbench.model.events import AttemptAssigned
from workbench.model.states import TaskState

POOL = LocalPool(cores=2, gpus=0, memory=0)


@pytest.fixture
def open_here(tmp_path: Path) -> Iterator[Callable[..., Campaign]]:
    made: list[Campaign] = []

    def one(**options: Any) -> Campaign:
        made.append(Campaign("end to end", POOL, dir=tmp_path / f"c{len(made)}", **options))
        return made[-1]

    yield one
    for campaign in made:
        campaign.stop("the test is over")


def wait_for_file(path: str) -> int:
    """Run until somebody makes the file `path`; gives the attempt's number."""
    import threading

    from workbench import task

    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.01)
    return task.attempt()


def test_functions_programs_closures_and_mapped_edges(open_here: Callable[..., Campaign], tmp_path: Path) -> None:
    c = open_here()
    factor = 3
    scale = np.arange(3.0)

    def simulate(x: int, *, offset: int = 0) -> np.ndarray:  # what a notebook defines: a closure, sent by value
        return scale * x * factor + offset

    sims = c.map(simulate, [1, 2], offset=1, name="sim")
    means = c.map(lambda a: float(a.mean()), sims, name="mean")
    best = c.task(max, means, name="best")
    (tmp_path / "in.txt").write_text("from outside")
    program = c.map(
        Executable(
            ["sh", "-c", "cat in.txt; echo $WHO {item} > out.txt; echo oops >&2"],
            env={"WHO": "me"},
            inputs={"in.txt": str(tmp_path / "in.txt")},
            outputs=["out.txt"],
        ),
        ["a", "b"],
        name="program",
        after=best,
    )
    quick = c.tasks(abs, -4, n=20, name="quick", isolation="thread")
    rest = c.task(Synthetic(), quick, name="rest", estimate=0.01)
    status = c.run()
    assert status.phase == "ended" and status.done == status.total == 28, repr(status)
    assert sims[1].result().tolist() == [1.0, 7.0, 13.0]
    assert means.results() == [4.0, 7.0] and best.result() == 7.0
    second = program[1].result()
    assert (second["returncode"], second["stdout"], second["stderr"]) == (0, "from outside", "oops\n")
    assert Path(second["files"]["out.txt"]["path"]).read_text() == "me b\n"
    assert quick.results() == [4] * 20 and rest.state is TaskState.done
    order = [r.event.task for r in read(c.directory) if isinstance(r.event, AttemptAssigned)]
    assert order.index("best[0]") < order.index("program[0]") < order.index("program[1]")


def test_growth_failure_skip_hold_and_retry(open_here: Callable[..., Campaign], tmp_path: Path) -> None:
    c = open_here()
    flag = tmp_path / "mended"

    def grow(round_: int) -> int:
        from workbench import task

        if round_ < 2:
            with task.grow() as g:
                values = g.map(lambda x: x * 10, [round_, round_ + 1], name=f"work-{round_}")
                g.task(lambda r, values: grow(r), round_ + 1, values, name=f"decide-{round_ + 1}")
        return round_

    def fragile(path: str) -> str:
        if not Path(path).exists():
            raise RuntimeError("not mended yet")
        return "mended"

    c.task(grow, 0, name="decide-0")
    bad = c.task(fragile, str(flag), name="bad", retries=1)
    skipped = c.task(str.upper, bad, name="skipped")
    held = c.task(str.upper, bad, name="held", on_failed_input="hold")
    status = c.run()
    assert status.phase == "stuck" and c["decide-2"].results() == [2] and c["work-1"].results() == [10, 20]
    with pytest.raises(
        TaskFailed, match=r"skipped\[0\] was skipped because bad\[0\] failed in attempt 2(?s:.*)mended yet"
    ):
        skipped.result()
    with pytest.raises(NoProgress, match=r"retry bad\[0\]"):
        held.result()
    assert "RuntimeError" in bad.story()
    flag.touch()
    c.retry(bad)
    assert (bad.result(60), skipped.result(60), held.result(60)) == ("mended", "MENDED", "MENDED")


def test_edits_and_steering_of_a_running_campaign(open_here: Callable[..., Campaign], tmp_path: Path) -> None:
    c = open_here()
    gate = tmp_path / "gate"

    def train(lr: float = 0.0) -> list[float]:
        import threading

        from workbench import task

        seen = [lr]
        task.report(lr=lr)
        pause = threading.Event()
        while not task.should_stop():
            now = task.parameters()["lr"]
            if now != seen[-1]:
                seen.append(now)
                task.report(lr=now)
            pause.wait(0.005)
        return seen

    def metric(name: str) -> Any:
        task = c.tables().state.task(name)
        return None if task is None or task.metrics is None else task.metrics.get("lr")

    first = c.task(wait_for_file, str(gate), name="first")
    trained = c.task(train, lr=0.5, name="train")
    later = c.task(lambda x, scale=1: x * scale, first, name="later")
    c.start()
    until(c, lambda: first.state is TaskState.running and metric("train[0]") == 0.5)
    c.steer(trained, lr=0.25)
    until(c, lambda: metric("train[0]") == 0.25)
    c.request_stop(trained)
    assert trained.result(60) == [0.5, 0.25]
    c.replace(later, parameters={"scale": 7})
    c.hold(later)
    c.undo()
    c.redo()
    extra = c.task(lambda x: x + 1, later, name="extra")
    gate.touch()
    assert first.result(60) == 1
    assert c.wait().phase == "stuck" and later.state is TaskState.held
    c.release(later)
    assert extra.result(60) == 8
    stuck = c.task(wait_for_file, str(tmp_path / "never"), name="stuck")
    until(c, lambda: stuck.state is TaskState.running)
    c.cancel(stuck, grace_s=0.1)
    assert c.wait().counts == {"done": 4, "cancelled": 1}


def test_resume_runs_only_what_is_left(open_here: Callable[..., Campaign], tmp_path: Path) -> None:
    c = open_here(seed=3)
    gate = tmp_path / "gate"
    done = c.map(lambda x: np.full(20_000, x), [1, 2], name="done")  # results large enough for the store
    slow = c.task(wait_for_file, str(gate), name="slow", after=done)
    total = c.task(lambda xs, n: float(sum(x.sum() for x in xs)) + n, done, slow, name="total")
    c.start()
    until(c, lambda: slow.state is TaskState.running)
    c.stop("enough for today")
    gate.touch()
    again = Campaign.resume(c.directory)
    try:
        assert again.run().phase == "ended"
        assert again["total[0]"].result() == total.result() == 60_002.0
        attempts = [r.event.task for r in read(c.directory) if isinstance(r.event, AttemptAssigned)]
        assert sorted(attempts) == ["done[0]", "done[1]", "slow[0]", "slow[0]", "total[0]"]
    finally:
        again.stop()


def test_a_script_runs_a_campaign_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = f"""
import json
from workbench import Campaign, LocalPool

if __name__ == "__main__":
    class Point:  # known only here, so it must travel by value
        def __init__(self, x):
            self.x = x

    c = Campaign("script", LocalPool(cores=2, gpus=0, memory=0), dir={str(tmp_path / "c")!r})
    points = c.map(Point, [1, 2, 3])
    total = c.task(lambda ps: sum(p.x for p in ps), points)
    c.run()
    print(json.dumps(total.result()))
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        timeout=100,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == 6 and done.stderr == ""
