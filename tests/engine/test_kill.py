"""The process that holds the engine is killed at random instants: nothing is lost, nothing comes twice.

``WORKBENCH_KILLS=200`` kills more often; ``WORKBENCH_SEED=N`` repeats one run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from workbench.core import State, evolve
from workbench.core.invariants import check
from workbench.journal.reader import read
from workbench.model.events import AttemptAssigned, AttemptFinished, CommandAccepted
from workbench.model.states import TaskState
from workbench.store.codec import decode_result
from workbench.store.layout import Layout
from workbench.store.store import Store

from .victim import LEAVES

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("WORKBENCH_KILLS", "20"))
SEED = int(os.environ.get("WORKBENCH_SEED", "-1"))
EACH = 4  # kills before a run may end


def run_killed(directory: Path, notes: Path, seed: int) -> int:
    """Start the victim, kill it, start it again, until it ends by itself; number of kills that hit."""
    rng = random.Random(seed)
    kills = 0
    notes.mkdir()
    for life in range(60):
        with open(notes / f"life-{life}", "wb") as log:
            victim = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("victim.py")), str(directory), str(notes), str(seed)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        # Instants are measured in bytes of the journal, so that they fall all over the campaign and not the imports.
        if kills < EACH:
            wait_for_growth(directory, victim, rng.randint(1, 12_000))
        try:
            victim.wait(rng.uniform(0.0, 0.05) if kills < EACH else 60.0)
        except subprocess.TimeoutExpired:
            victim.send_signal(signal.SIGKILL)
            victim.wait(30)
            kills += 1
            continue
        text = (notes / f"life-{life}").read_text()
        assert victim.returncode == 0, f"life {life} ended with {victim.returncode}:\n{text[-3000:]}"
        return kills
    raise AssertionError("the campaign does not end")


def wait_for_growth(directory: Path, victim: subprocess.Popen[bytes], growth: int) -> None:
    """Until the victim has written so many bytes to its journal, or ended."""
    before = size(directory)
    until = time.monotonic() + 60
    while size(directory) < before + growth and victim.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def size(directory: Path) -> int:
    journal = directory / "journal"
    return sum(p.stat().st_size for p in journal.glob("*.jsonl")) if journal.is_dir() else -1


def left_behind(directory: Path) -> list[str]:
    """Processes that still belong to an attempt of this campaign."""
    found = []
    for p in psutil.process_iter():
        try:
            if str(directory) in " ".join([*p.cmdline(), *p.environ().values()]) and p.pid != os.getpid():
                found.append(f"{p.pid} {' '.join(p.cmdline())[:100]}")
        except psutil.Error:
            continue
    return found


def verify(directory: Path, notes: Path) -> tuple[int, int]:
    """Check the promises; returns (executions, tasks)."""
    state = State()
    published: Counter[str] = Counter()
    assigned: Counter[str] = Counter()
    commands: set[str] = set()
    for record in read(directory):
        event = record.event
        meant = evolve(state, event)
        if isinstance(event, AttemptFinished) and meant:
            published[event.task] += 1
        elif isinstance(event, AttemptAssigned):
            assigned[event.task] += 1
        elif isinstance(event, CommandAccepted):
            commands.add(event.id)
    assert check(state) == []
    tasks = {t.id: t for t in state.tasks()}
    assert len(tasks) == LEAVES + 1 + 4 + 1, "the graph, with what combine asked for once"
    assert {t.state for t in tasks.values()} == {TaskState.done}
    assert published == dict.fromkeys(tasks, 1), "each result is published exactly once"
    store = Store(Layout.open(directory).directory)
    squares = sum(i * i for i in range(LEAVES))
    for task, expected in (("combine[0]", squares), ("last[0]", sum(i * i for i in range(100, 104)))):
        result = tasks[task].result
        assert result is not None
        assert decode_result(result.codec, store.load_result_bytes(result)) == expected
    acks = [line.split() for line in (notes / "acks").read_text().splitlines()] if (notes / "acks").exists() else []
    lost = [a for a in acks if len(a) == 2 and a[0] not in commands]
    assert not lost, f"acknowledged commands are not in the journal: {lost}"
    begun = Counter(
        tuple(line.split()[1:]) for line in (notes / "bodies").read_text().splitlines() if line.startswith("begin")
    )
    twice = {k: n for k, n in begun.items() if n > 1}
    assert not twice, f"attempts that began twice: {twice}"
    assert sum(begun.values()) <= sum(assigned.values()), "a body ran that no decision in the journal asked for"
    return sum(begun.values()), len(tasks)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_kill_the_engine_at_random_instants(tmp_path: Path) -> None:
    kills = runs = extra = 0
    while kills < KILLS:
        seed = SEED if SEED >= 0 else 1000 + runs
        repeat = f"WORKBENCH_SEED={seed} pytest tests/engine/test_kill.py"
        directory, notes = tmp_path / f"c{runs}", tmp_path / f"n{runs}"
        try:
            kills += run_killed(directory, notes, seed)
            executions, tasks = verify(directory, notes)
            deadline = time.monotonic() + 10
            while (left := left_behind(directory)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert left == [], "processes were left behind"
        except AssertionError as error:
            raise AssertionError(f"seed {seed}; repeat with {repeat}") from error
        extra += executions - tasks
        runs += 1
        if SEED >= 0:
            break
    print(f"{runs} runs, {kills} kills, 0 lost, 0 twice, {extra} executions more than tasks")
