"""Clocks: order, jumps, threads, and the error in place of a wait for ever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from workbench.testing.clock import START, FakeClock, LoopClock, VirtualTimeLoop, run_virtual


def test_fake_clock_fires_in_order_and_at_the_right_times() -> None:
    clock, seen = FakeClock(start=0.0), list[tuple[str, float]]()
    for name, delay in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        clock.call_later(delay, lambda name=name: seen.append((name, clock.now())))
    assert clock.advance(1.5) == 2
    assert seen == [("first", 1.0), ("second", 1.0)]
    assert clock.now() == 1.5
    assert clock.step() and clock.now() == 2.0
    assert not clock.step()


def test_fake_clock_fires_what_a_timer_starts() -> None:
    clock, seen = FakeClock(start=0.0), list[float]()

    def again() -> None:
        seen.append(clock.now())
        if len(seen) < 3:
            clock.call_later(1, again)

    clock.call_later(1, again)
    clock.advance(10)
    assert seen == [1.0, 2.0, 3.0]


def test_fake_clock_survives_rounding() -> None:
    clock, seen = FakeClock(), list[str]()
    clock.call_later(0.5, seen.append, "half")
    for _ in range(5):
        clock.advance(0.1)
    assert seen == ["half"]


def test_a_cancelled_timer_never_fires() -> None:
    clock, seen = FakeClock(), list[str]()
    timer = clock.call_later(1, seen.append, "never")
    timer.cancel()
    clock.advance(2)
    assert seen == [] and clock.next_at() is None


def test_virtual_loop_jumps_over_hours_in_order() -> None:
    seen: list[str] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(name)

    async def main() -> float:
        await asyncio.gather(nap("day", 86400), nap("hour", 3600), nap("minute", 60))
        return LoopClock().now()

    begun = time.monotonic()
    now = run_virtual(main())
    assert seen == ["minute", "hour", "day"]
    assert now == pytest.approx(START + 86400)
    assert time.monotonic() - begun < 3600  # hours did not pass


def test_virtual_time_stands_still_while_a_thread_works() -> None:
    release = threading.Event()

    async def main() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, lambda: (release.wait(10) and "worked") or "not released")
        timer = loop.call_later(5, lambda: None)
        threading.Timer(0.05, release.set).start()
        said = await work
        timer.cancel()
        return loop.time(), said

    assert run_virtual(main()) == (0.0, "worked")


def test_virtual_loop_says_so_when_nothing_can_ever_happen() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="will never happen"):
        run_virtual(main(), patience_s=0.01)


def test_loop_clock_is_real_on_an_ordinary_loop() -> None:
    async def main() -> float:
        assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
        return LoopClock().now()

    before = time.time()
    assert before <= asyncio.run(main()) <= time.time()
