"""Campaign directories written by hand, and the command as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from workbench.journal import JournalWriter
from workbench.model import edits
from workbench.model import events as ev
from workbench.model.causes import Cause
from workbench.model.resources import NodeShape, Pool, Resources
from workbench.model.specs import Constant, Edge, SetSpec, Synthetic
from workbench.store.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
START = 1_700_000_000.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workbench(tmp_path: Path) -> Run:
    """Run the command in an empty directory; ``run("status", d, env={...})``."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()

    def run(
        *words: object, env: dict[str, str] | None = None, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            program(*words), cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=100, check=False
        )

    return run


def program(*words: object) -> list[str]:
    return [sys.executable, "-m", "workbench.cli", *map(str, words)]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **(extra or {})}


def history(failing: bool = False) -> list[ev.Event]:
    """A campaign of two simulations and a training that waits for both; with `failing`, the second one fails."""
    sim = SetSpec("sim", Synthetic(), n=2, resources=Resources(cores=2, gpus=1), estimate=Constant(10))
    train = SetSpec("train", Synthetic(), resources=Resources(cores=4), estimate=Constant(5))
    pool = Pool("local", 1, NodeShape(4, 2), "virtual")
    t = START
    events: list[ev.Event] = [
        ev.CampaignCreated(t, "c-1", "by hand", 7),
        ev.EngineStarted(t, 1, "here", 42, "0.1.0"),
        ev.CommandAccepted(
            t,
            "1",
            (
                edits.AddPool(pool),
                edits.AddSet(sim),
                edits.AddSet(train, (Edge("sim", "train"),)),
            ),
        ),
        ev.NodeJoined(t, "local-0", "local", 4, 2, 0, "here"),
        ev.ForecastMade(t, 15.0, 15.0, "adaptive", "resource-aware"),
        ev.AttemptAssigned(t, "sim[0]", 1, "local-0", 2, (0,)),
        ev.AttemptAssigned(t, "sim[1]", 1, "local-0", 2, (1,)),
        ev.AttemptStarted(t, "sim[0]", 1, t),
        ev.AttemptStarted(t, "sim[1]", 1, t),
        ev.AttemptFinished(t + 10, "sim[0]", 1, t, t + 10),
    ]
    if failing:
        events.append(ev.AttemptEnded(t + 10, "sim[1]", 1, Cause.UserError, "Boom\nValueError: bad", t, t + 10, 1))
    else:
        events += [
            ev.AttemptFinished(t + 10, "sim[1]", 1, t, t + 10),
            ev.AttemptAssigned(t + 10, "train[0]", 1, "local-0", 4),
            ev.AttemptStarted(t + 10, "train[0]", 1, t + 10),
            ev.AttemptFinished(t + 16, "train[0]", 1, t + 10, t + 16),
        ]
    return [*events, ev.EngineStopped(events[-1].at, "the campaign has ended")]


def write(directory: Path, events: Sequence[ev.Event]) -> Path:
    """A campaign's directory with these records."""
    Layout.create(directory, "c-1", "by hand")
    with JournalWriter(directory, fsync="never") as journal:
        for event in events:
            journal.append(event)
    return directory


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A campaign that has ended well."""
    return write(tmp_path / "finished", history())


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """A campaign with a task that failed for good."""
    return write(tmp_path / "failed", history(failing=True))
