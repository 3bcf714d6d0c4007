"""Looking ahead beside the engine, in a thread on a copy or in a forked child: the engine's state stays as it is."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.children import gone
from tests.core.campaigns import Campaign
from workbench.core import State
from workbench.engine import aside
from workbench.engine.fork import ChildFailed
from workbench.model.events import Event
from workbench.predict.forecast import forecast


def campaign() -> State:
    c = Campaign(nodes=2, cores=2)
    c.add("a", 6, tx=10.0)
    c.add("b", 2, "a", tx=5.0)
    c.go()
    return c.state


def foretell(state: State, at: float) -> list[Event]:
    made = forecast(state, at, samples=20)
    assert made is not None
    return [made]


@pytest.fixture(params=[1, 10**9], ids=["child", "thread"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(aside, "LARGE", request.param)
    return bool(request.param == 1)


def test_a_look_finds_the_same_and_changes_nothing(large: bool) -> None:
    state = campaign()
    before = state.digest()
    (found,) = asyncio.run(aside.aside(foretell, state, state.at))
    assert state.digest() == before
    (again,) = foretell(campaign(), state.at)
    assert found == again


def test_it_is_another_process_where_the_campaign_is_large(large: bool, tmp_path: Path) -> None:
    who = tmp_path / "who"

    def look(state: State, at: float) -> list[Event]:
        who.write_text(f"{os.getpid()} {threading.active_count()} {os.nice(0)}")
        return []

    assert asyncio.run(aside.aside(look, campaign(), 0.0)) == []
    pid, threads, nice = (int(x) for x in who.read_text().split())
    assert (pid != os.getpid()) is large
    if large:
        assert threads == 1 and nice > os.nice(0)
        assert gone()


def test_what_fails_there_is_told_here(large: bool) -> None:
    def look(state: State, at: float) -> list[Event]:
        raise ZeroDivisionError("nobody can tell")

    with pytest.raises((ChildFailed, ZeroDivisionError), match="nobody can tell"):
        asyncio.run(aside.aside(look, campaign(), 0.0))


def test_a_child_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "LARGE", 1)
    with pytest.raises(ChildFailed, match="without a word"):
        asyncio.run(aside.aside(lambda state, at: os._exit(3), campaign(), 0.0))


def test_a_look_that_nobody_waits_for_any_more_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aside, "LARGE", 1)
    fifo = tmp_path / "never"
    os.mkfifo(fifo)

    def look(state: State, at: float) -> list[Event]:
        fifo.open("rb").read()  # until somebody writes to it
        return []

    async def main() -> None:
        looking = asyncio.create_task(aside.aside(look, campaign(), 0.0))
        await asyncio.sleep(0)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking

    asyncio.run(main())
    assert gone()
