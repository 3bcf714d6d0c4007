"""Journals of every released format open and replay, on any machine and with any hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.core import State, evolve
from workbench.core.invariants import check
from workbench.journal.reader import read
from workbench.model.events import FORMAT

FORMATS = Path(__file__).parent / "formats"
ROOT = Path(__file__).parents[2]


def samples() -> list[tuple[Path, str]]:
    found = []
    for release in sorted(FORMATS.iterdir()):
        for line in (release / "tasks.txt").read_text().splitlines():
            seed, _, expected = line.partition(" ")
            found.append((release / seed, expected))
    return found


def replay(directory: Path) -> State:
    state = State()
    for record in read(directory):
        evolve(state, record.event)
    return state


def test_there_are_samples_of_every_format() -> None:
    assert {p.name for p in FORMATS.iterdir()} == {str(n) for n in range(1, FORMAT + 1)}


@pytest.mark.parametrize("directory, expected", samples(), ids=lambda v: str(v)[-3:] if isinstance(v, Path) else "")
def test_a_journal_of_a_released_format_replays(directory: Path, expected: str) -> None:
    state = replay(directory)
    tasks = ",".join(f"{t.id}={t.state}#{t.number}" for t in state.tasks())
    assert f"seq={state.seq} mode={state.mode} policy={state.policy} {tasks}" == expected
    assert check(state) == []


def test_a_replay_does_not_depend_on_the_hash_seed() -> None:
    script = (
        "import sys; from tests.journal.test_formats import replay, samples\n"
        "print([replay(d).digest() for d, _ in samples()])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
            capture_output=True, text=True, timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1 and len(next(iter(said))) > 100
