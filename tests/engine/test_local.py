"""The session that serves an engine from a thread: its end, in good order and otherwise."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from workbench.engine import loop
from workbench.engine.local import LocalSession
from workbench.executors.fake import FakeCluster
from workbench.journal.lease import Lease
from workbench.model import edits as ed
from workbench.model.edits import Command
from workbench.model.errors import BadValue, CampaignHeld, DirectoryTaken, NoCampaign, WorkbenchError
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Constant, SetSpec, Synthetic

POOL = Pool("p", 1, NodeShape(2), "fake")


def session(directory: Path) -> LocalSession:
    s = LocalSession.create(directory, name="test", time_scale=0.001)
    assert s.submit(Command("pool", (ed.AddPool(POOL),))).ok
    return s


def add(s: LocalSession, name: str, n: int = 3, tx: float = 1.0) -> None:
    spec = SetSpec(name, Synthetic(), n=n, estimate=Constant(tx))
    assert s.submit(Command(f"add {name}", (ed.AddSet(spec),))).ok


def test_a_campaign_is_stopped_resumed_and_ended(tmp_path: Path) -> None:
    s = session(tmp_path / "c")
    add(s, "a")
    s.start(FakeCluster(pools=[POOL]))
    assert s.wait_ended(20.0)
    add(s, "slow", 1, 1e6)
    assert not s.wait_ended(0.05)
    s.close("enough")
    assert not s.alive and Lease.holder(tmp_path / "c") is None
    again = LocalSession.resume(tmp_path / "c")
    try:
        assert again.submit(Command("cancel", (ed.Cancel(("slow",)),))).ok
        assert again.wait_ended(20.0)
        assert "cancelled" in again.story("slow[0]")
        assert "EngineLost" in again.story("slow[0]")
    finally:
        again.close()
    with pytest.raises(WorkbenchError, match="has stopped; resume"):
        again.submit(Command("late", (ed.Hold(("a",)),)))


def test_an_engine_that_breaks_tells_whoever_waits_and_leaves_a_campaign_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    s = session(tmp_path / "c")
    add(s, "a", 1, 1e6)
    cluster = FakeCluster(pools=[POOL])
    s.start(cluster)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(loop, "decide", broken)
    with (
        caplog.at_level(logging.CRITICAL, "workbench.engine"),
        pytest.raises(WorkbenchError, match="ZeroDivisionError"),
    ):
        s._loop.call_soon_threadsafe(s._engine._poke)
        s.wait_ended(20.0)
    s.close()
    assert not s.alive
    assert not [t for t in threading.enumerate() if t is s._thread and t.is_alive()]
    monkeypatch.undo()
    again = LocalSession.resume(tmp_path / "c")
    assert "a has 1 ready" in again.story("a")
    again.close()


def test_refusals_before_anything_is_made(tmp_path: Path) -> None:
    for bad in ({"mode": "adaptve"}, {"policy": "fast"}, {"time_scale": 0.0}, {"time_scale": float("nan")}):
        with pytest.raises(BadValue):
            LocalSession.create(tmp_path / "c", name="x", **bad)  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()
    with pytest.raises(NoCampaign):
        LocalSession.resume(tmp_path)
    s = session(tmp_path / "c")
    with pytest.raises(CampaignHeld):
        LocalSession.resume(tmp_path / "c")
    with pytest.raises(DirectoryTaken):
        LocalSession.create(tmp_path / "c", name="x")
    s.close()
    s.close()


def test_a_command_that_cannot_be_acknowledged_says_why(tmp_path: Path) -> None:
    s = session(tmp_path / "c")
    stuck = threading.Event()
    s._loop.call_soon_threadsafe(stuck.wait, 5.0)
    with pytest.raises(WorkbenchError, match="is not acknowledged after"):
        s.submit(Command("slow", (ed.SetMode("sequential"),)), timeout_s=0.05)
    stuck.set()
    s.close()
