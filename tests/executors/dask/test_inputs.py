"""Which inputs go with a run, and which are told once and named."""

from __future__ import annotations

from pathlib import Path

from workbench.executors.agent import wire
from workbench.executors.dask.inputs import FEW, KNOWN, MOST, SMALL, Inputs
from workbench.model.specs import Result
from workbench.store import Store


def results(n: int, each: int = 100) -> tuple[Result, ...]:
    return tuple(Result(inline=b"%0*d" % (each, i)) for i in range(n))


def test_small_ones_and_single_ones_come_along(tmp_path: Path) -> None:
    inputs = Inputs(str(tmp_path))
    few, one = results(FEW, 10), results(1, 16 << 10)
    assert inputs.split({"a": few, "b[0]": one, "c": ()}) == ({"a": few, "b[0]": one, "c": ()}, {})


def test_the_second_task_that_takes_a_large_result_shares_it(tmp_path: Path) -> None:
    inputs = Inputs(str(tmp_path))
    (one,) = results(1, 16 << 10)
    assert inputs.split({"b[0]": (one,)})[1] == {}
    (second, third) = (inputs.split({"b[0]": (one,)})[1]["b[0]"] for _ in range(2))  # a tuple of its own each time
    assert second is third
    assert wire.decode_results(second.results) == (one,)


def test_keys_tell_contents_apart_and_nothing_else(tmp_path: Path) -> None:
    inputs, later = Inputs(str(tmp_path)), Inputs(str(tmp_path))
    first, same, other = results(20), results(20), results(21)
    keys = [inputs.split({"a": x})[1]["a"].key for x in (first, same, other, first)]
    assert keys[0] == keys[1] == keys[3] != keys[2]
    assert later.split({"b": first})[1]["b"].key == keys[0], "of one engine and the next"


def test_what_is_remembered_is_bounded_and_never_mistaken(tmp_path: Path) -> None:
    """Ids of objects that are gone are given to new ones."""
    inputs = Inputs(str(tmp_path))
    for i in range(3 * KNOWN):
        mine = results(10 + i % 50)
        assert wire.decode_results(inputs.split({"a": mine})[1]["a"].results) == mine
    assert len(inputs._known) == len(inputs._recent) == KNOWN


def test_too_large_for_a_message_goes_through_the_store(tmp_path: Path) -> None:
    inputs = Inputs(str(tmp_path))
    large = (*results(MOST // (16 << 10) + 1, 16 << 10), Result(inline=b"x" * SMALL))
    given = inputs.split({"a": large})[1]["a"]
    assert len(given.results) < MOST // 10
    seen = wire.decode_results(given.results)
    store = Store(tmp_path)
    assert [store.load_result_bytes(r) for r in seen] == [r.inline for r in large]
    assert seen[-1] == large[-1], "small ones stay"
