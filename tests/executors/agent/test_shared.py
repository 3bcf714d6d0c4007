"""Inputs that many attempts take: told once, kept as long as somebody needs them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import SmallHub, rig
from tests.executors.agent.waiting import opened
from workbench.executors.agent import wire
from workbench.executors.agent.children import GIVEN
from workbench.executors.agent.recent import Recent
from workbench.executors.agent.wire import Node
from workbench.model.causes import Cause
from workbench.model.specs import Result

REF = type("R", (), {"__workbench_ref__": lambda self: ("set", "sim")})()


def total(values: list[int]) -> int:
    return sum(values)


def total_at(values: list[int], gate: str) -> int:
    bodies.reached(gate)
    return sum(values)


def give(hub: SmallHub, key: str, values: range) -> None:
    hub.send(wire.Given(key, wire.encode_results(tuple(Result(inline=b"%d" % v) for v in values))))


@pytest.mark.parametrize("isolation", ["child", "thread"])
async def test_attempts_take_what_was_given_before(home: Path, isolation: str) -> None:
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        key = hub.define(total, (REF,), isolation=isolation)
        give(hub, "d", range(1000))
        for i in range(20):
            hub.run(key, f"t[{i}]", shared={"sim": "d"}, queued=i > 1)
        hub.send(wire.Forget(("d",)))  # what was ordered before keeps it
        assert [await hub.value(f"t[{i}]") for i in range(20)] == [499500] * 20
        hub.run(key, "u[0]", shared={"sim": "d"})
        end = await hub.failure("u[0]")
        assert end.cause is Cause.LaunchRefused
        assert "results of sim" in end.detail
        give(hub, "d", range(1000))
        hub.run(key, "u[1]", shared={"sim": "d"}, inputs={"other": (Result(inline=b"1"),)})
        assert await hub.value("u[1]") == 499500


async def test_nothing_given_survives_the_connection_but_what_was_ordered_does(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        held = hub.define(total_at, (REF, str(gate)))
        give(hub, "d", range(100))
        hub.run(held, "t[0]", shared={"sim": "d"})
        await opened(gate)
        hub.run(hub.define(total, (REF,)), "t[1]", shared={"sim": "d"}, queued=True)
        await hub.looked()
        assert hub.link is not None
        hub.link.abort()
        await hub.greeted(2)
        hub.run(held, "u[0]", shared={"sim": "d"}, queued=True)
        assert (await hub.failure("u[0]")).cause is Cause.LaunchRefused
        gate.touch()
        assert [await hub.value("t[0]"), await hub.value("t[1]")] == [4950, 4950]


async def test_a_child_forgets_only_what_waits_no_more(home: Path) -> None:
    """More lists than a child keeps, in an order that makes it drop and take again, with calls waiting in its pipe."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        key = hub.define(total, (REF,))
        lists = [range(10 + i) for i in range(2 * GIVEN)]
        for i, values in enumerate(lists):
            give(hub, f"d{i}", values)
        picked = [rng.randrange(len(lists)) for _ in range(300)]
        for i, which in enumerate(picked):
            hub.run(key, f"t[{i}]", shared={"sim": f"d{which}"}, queued=i > 1)
        assert [await hub.value(f"t[{i}]") for i in range(300)] == [sum(lists[which]) for which in picked]


def test_the_longest_unused_go_first_and_never_those_in_use() -> None:
    recent: Recent[str] = Recent(3, 100)
    assert [recent.use(key, 10) for key in "abca"] == [True, True, True, False]
    assert recent.surplus() == []
    recent.use("d", 10)
    assert recent.surplus({"b"}) == ["c"]
    assert recent.use("e", 200) and recent.surplus() == ["b", "a", "d"], "one that is too large stands alone"
    assert recent.use("a", 1) and "e" in recent and len(recent) == 2
    recent.clear()
    assert len(recent) == 0 and recent.use("a", 1)
