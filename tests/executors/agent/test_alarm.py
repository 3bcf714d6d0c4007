"""Alarms ring in order, each once, and not at all once they are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from workbench.executors.agent import alarm
from workbench.executors.agent.alarm import Clock


@pytest.fixture(params=["kernel", "loop"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "loop":
        monkeypatch.setattr(alarm, "_timer", lambda: -1)
    return str(request.param)


def test_alarms_ring_at_their_times_whatever_the_order_of_asking(kind: str) -> None:
    async def ringing() -> list[tuple[str, bool]]:
        loop = asyncio.get_running_loop()
        clock, rung, over = Clock(loop), list[tuple[str, bool]](), loop.create_future()
        now = loop.time()
        for name, after in (("late", 0.03), ("early", 0.01), ("past", -1.0), ("middle", 0.02)):
            clock.at(now + after, lambda n=name, t=now + after: rung.append((n, loop.time() >= t - 1e-3)))
        clock.at(now + 0.04, lambda: over.set_result(None))
        await over
        clock.close()
        return rung

    assert asyncio.run(ringing()) == [("past", True), ("early", True), ("middle", True), ("late", True)]


def test_a_cancelled_alarm_never_rings_and_one_that_rang_is_over(kind: str) -> None:
    async def ringing() -> list[str]:
        loop = asyncio.get_running_loop()
        clock, rung, over = Clock(loop), list[str](), loop.create_future()
        now = loop.time()
        first = clock.at(now, lambda: rung.append("first"))
        second = clock.at(now + 0.005, lambda: rung.append("second"))
        clock.at(now + 0.01, lambda: over.set_result(None))
        second.cancel()
        assert first.pending and not second.pending
        await over
        assert not first.pending
        clock.close()
        return rung

    assert asyncio.run(ringing()) == ["first"]


def test_an_alarm_may_set_further_ones_and_a_closed_clock_is_silent(kind: str) -> None:
    async def ringing() -> int:
        loop = asyncio.get_running_loop()
        clock, count, over = Clock(loop), 0, loop.create_future()

        def again() -> None:
            nonlocal count
            count += 1
            if count < 5:
                clock.at(loop.time() + 0.001, again)
            else:
                over.set_result(None)

        clock.at(loop.time(), again)
        await over
        clock.at(loop.time() + 0.001, again)
        clock.close()
        await asyncio.sleep(0.01)
        return count

    assert asyncio.run(ringing()) == 5
