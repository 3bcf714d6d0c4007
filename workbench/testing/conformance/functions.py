"""Rules for Python functions: what they get, what they give back, what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptFinished,
    AttemptReported,
)
from workbench.model.specs import Member, Result
from workbench.store import codec
from workbench.testing import bodies
from workbench.testing.bench import Bench, Ref
from workbench.testing.conformance.base import REAL, Base


class FunctionRules(Base):
    """Python functions and their results."""

    def test_a_result_comes_back(self, bench: Bench) -> None:
        attempt = bench.call(bodies.add, bench.nodes(REAL, 2)[0], 2, 3)
        assert bench.value(attempt) == 5
        assert bench.finished(attempt).result.codec == "json"

    def test_a_closure_travels_by_value(self, bench: Bench) -> None:
        factor = 7

        def times(x: int) -> int:
            return factor * x

        assert bench.value(bench.call(times, bench.nodes(REAL, 2)[1], 6)) == 42

    @pytest.mark.parametrize(("fn", "kind"), [(bodies.zeros, "npy"), (bodies.both, "pickle")])
    def test_results_take_the_form_that_keeps_them(self, bench: Bench, fn: Callable[..., Any], kind: str) -> None:
        attempt = bench.call(fn, bench.nodes(REAL, 2)[0], 4)
        assert repr(bench.value(attempt)) == repr(fn(4))
        assert bench.finished(attempt).result.codec == kind

    def test_a_large_result_lies_in_the_store(self, bench: Bench) -> None:
        attempt = bench.call(bodies.blob, bench.nodes(REAL, 2)[0], 1_000_000)
        result = bench.finished(attempt).result
        assert result.digest and not result.inline and result.size >= 1_000_000
        assert bench.store.has(result.digest)
        assert bench.value(attempt) == bytes(1_000_000)

    def test_a_large_argument_comes_from_the_store(self, bench: Bench) -> None:
        assert bench.value(bench.call(bodies.add, bench.nodes(REAL, 2)[0], "x" * 100_000, "y"))[-2:] == "xy"

    def test_results_of_others_take_the_place_of_references(self, bench: Bench) -> None:
        large = Result("pickle", digest=bench.store.put(codec.encode_result({1, 2})[1]))
        inputs = {
            "sim[3]": (Result("json", b"3"),),
            "sim": (Result("json", b"1"), Result("json", b"2")),
            "agg/each": (large,),
        }
        references = {"one": Ref("task", "sim[3]"), "deep": [Ref("set", "sim"), (Ref("each", "agg"),)]}
        attempt = bench.call(bodies.echo, bench.nodes(REAL, 2)[0], references, inputs=inputs)
        assert bench.value(attempt)["args"] == [{"one": 3, "deep": [[1, 2], ({1, 2},)]}]

    def test_a_member_brings_its_item_and_parameters(self, bench: Bench) -> None:
        item, _ = codec.encode_call(({"angle": 30},), {})
        member = Member(bench.store.payload(item), {"lr": 0.2})
        attempt = bench.call(
            bodies.echo, bench.nodes(REAL, 2)[0], Ref("item"), 1, member=member, parameters={"lr": 0.1, "batch": 8}
        )
        assert bench.value(attempt) == {"args": [{"angle": 30}, 1], "parameters": {"lr": 0.2, "batch": 8}}

    def test_an_exception_ends_the_attempt_with_its_traceback(self, bench: Bench) -> None:
        ended = bench.ended(bench.call(bodies.fail, bench.nodes(REAL, 2)[0], "luck"))
        assert ended.cause is Cause.UserError
        assert "ValueError: no such luck" in ended.detail and "bodies.py" in ended.detail

    def test_sys_exit_is_an_error_of_the_task(self, bench: Bench) -> None:
        for code in (0, 3):
            ended = bench.ended(bench.call(bodies.leave, bench.nodes(REAL, 2)[0], code))
            assert ended.cause is Cause.UserError
            assert "exit" in ended.detail

    def test_a_result_that_cannot_travel_is_an_error_of_the_task(self, bench: Bench) -> None:
        def opened() -> Any:
            import threading

            return threading.Lock()

        ended = bench.ended(bench.call(opened, bench.nodes(REAL, 2)[0]))
        assert ended.cause is Cause.UserError
        assert "lock" in ended.detail

    def test_the_task_knows_who_it_is(self, bench: Bench) -> None:
        attempt = bench.call(bodies.who, bench.nodes(REAL, 2)[0], name="known", index=2, number=3, n=5)
        seen = bench.value(attempt)
        assert (seen["task"], seen["number"], seen["index"], seen["inside"]) == ("known[2]", 3, 2, True)
        assert Path(seen["scratch"]) == bench.layout.scratch("known[2]", 3)

    def test_metrics_and_progress_arrive_before_the_end(self, bench: Bench) -> None:
        attempt = bench.call(bodies.measure, bench.nodes(REAL, 2)[0])
        assert bench.value(attempt) == "measured"
        metrics: dict[str, Any] = {}
        for report in bench.reports(attempt):
            metrics.update(report.metrics)
        assert metrics == {"loss": 0.5, "step": 3, "phase": "warm", "good": True}
        assert bench.reports(attempt)[-1].progress == 0.25
        kinds = [type(e) for e in bench.events if getattr(e, "task", "") == attempt.task]
        assert kinds.index(AttemptReported) < kinds.index(AttemptFinished)

    def test_growth_comes_with_the_result(self, bench: Bench) -> None:
        finished = bench.finished(bench.call(bodies.grow_by, bench.nodes(REAL, 2)[0], 4))
        (edit,) = finished.growth
        assert (edit.spec.name, edit.spec.n) == ("grown", 4)  # type: ignore[union-attr]
