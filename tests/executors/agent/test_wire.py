from __future__ import annotations

import msgspec
import pytest

from workbench.executors.agent import wire
from workbench.model.actions import Launch, SetPlan
from workbench.model.causes import Cause
from workbench.model.edits import AddTasks, Edit
from workbench.model.events import AttemptAssigned, AttemptEnded, AttemptFinished, AttemptReported, AttemptStarted
from workbench.model.resources import Resources
from workbench.model.specs import Executable, Member, Payload, Result, Synthetic

PLAN = SetPlan("k", "sim", 4, Executable(("a",), {"X": "1"}), Payload(b"x"), Resources(2, 1), {"lr": 0.1}, 3.0)
FROM_HUB = [
    wire.Challenge(b"n"),
    wire.Welcome(3, b"p", 7),
    wire.Define(PLAN),
    wire.Run("sim[1]", 2, "k", 1, "n", 2, (0,), 5, True, 0.5, Member(Payload(b"i")), {"a": (Result(inline=b"1"),)}),
    wire.Halt("sim[1]", 2, 0.5),
    wire.Tell("sim[1]", 2, {"lr": [1, None]}, True),
    wire.Ack(9),
    wire.Bye("over"),
    wire.Given("d1", wire.encode_results((Result(inline=b"1"), Result("pickle", b"", "d", 9)))),
    wire.Forget(("d1", "d2")),
]
FROM_AGENT = [
    wire.Hello("a", b"n", b"p", 1, "h", 2, "tcp://x", (wire.Node("n", "p", 4, cpus=(1, 2)),), 3, (("sim[1]", 2),)),
    wire.Started(1, "sim[1]", 2, 5.0, 77),
    wire.Reported(2, "sim[1]", 2, {"loss": 0.5, "ok": True, "s": "x"}, 0.25),
    wire.Finished(3, "sim[1]", 2, 5.0, 6.0, Result("json", b"1"), b"", 0.5, 1024),
    wire.Ended(4, "sim[1]", 2, Cause.Timeout, "late", 5.0, 6.0, -9, 0.5, 1024),
]


def test_every_message_comes_back_as_it_was() -> None:
    assert wire.from_hub.decode(wire.encode(FROM_HUB)) == FROM_HUB
    assert wire.from_agent.decode(wire.encode(FROM_AGENT)) == FROM_AGENT


def test_results_come_back_as_they_were() -> None:
    results = (Result(inline=b"1"), Result("pickle", b"", "d", 9))
    assert wire.decode_results(wire.encode_results(results)) == results


def test_a_hub_does_not_take_orders() -> None:
    for order in FROM_HUB:
        with pytest.raises(msgspec.ValidationError):
            wire.from_agent.decode(wire.encode([order]))


def test_the_hot_messages_are_small() -> None:
    assert len(wire.encode([wire.Run("sim[1234]", 1, "k12", 1234, "local-0")])) < 64
    assert len(wire.encode([wire.Finished(123456, "sim[1234]", 1, 1.7e9, 1.7e9)])) < 96


def test_reports_become_the_events_of_the_journal() -> None:
    started, reported, finished, ended = (wire.event_of(m, 9.0) for m in FROM_AGENT[1:])  # type: ignore[arg-type]
    assert started == AttemptStarted(9.0, "sim[1]", 2, 5.0, 77)
    assert reported == AttemptReported(9.0, "sim[1]", 2, {"loss": 0.5, "ok": True, "s": "x"}, 0.25)
    assert finished == AttemptFinished(9.0, "sim[1]", 2, 5.0, 6.0, Result("json", b"1"), (), 0.5, 1024)
    assert ended == AttemptEnded(9.0, "sim[1]", 2, Cause.Timeout, "late", 5.0, 6.0, -9, 0.5, 1024)


def test_growth_travels_as_edits() -> None:
    edits: tuple[Edit, ...] = (AddTasks("sim", n=3),)
    event = wire.event_of(wire.Finished(1, "a[0]", 1, 1.0, 2.0, growth=msgspec.msgpack.encode(edits)), 3.0)
    assert isinstance(event, AttemptFinished)
    assert event.growth == edits


@pytest.mark.parametrize("raw", [b"\xc1", b"\x91\x81\xa2do\xa4Boom", msgspec.msgpack.encode("no")])
def test_growth_that_means_nothing_fails_the_attempt_and_not_the_connection(raw: bytes) -> None:
    event = wire.event_of(wire.Finished(1, "a[0]", 1, 1.0, 2.0, growth=raw, cpu_s=0.5), 3.0)
    assert isinstance(event, AttemptEnded)
    assert event.cause is Cause.UserError
    assert "a[0]#1" in event.detail
    assert event.cpu_s == 0.5


def test_a_launch_becomes_a_run() -> None:
    placed = AttemptAssigned(1.0, "sim[3]", 2, "n", 4, (1,), 64, queued=True)
    launch = Launch(PLAN, 3, placed, Member(label="x"), {"a": (Result(),)}, 0.5)
    assert wire.run_of(launch, ("h",)) == wire.Run(
        "sim[3]", 2, "k", 3, "n", 4, (1,), 64, True, 0.5, Member(label="x"), {"a": (Result(),)}, (), ("h",)
    )
    assert wire.run_of(launch, (), {"sim": "d1"}).shared == {"sim": "d1"}
    assert wire.run_of(Launch(SetPlan("z", "z", 1, Synthetic(), None, Resources()), 0, placed)).inputs is None
