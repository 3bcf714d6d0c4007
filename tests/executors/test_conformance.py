"""The executor conformance suite against the executors that ship."""

from __future__ import annotations

import os
import signal

import pytest

from workbench.executors.dask.executor import DaskExecutor
from workbench.executors.fake import FakeCluster
from workbench.executors.port import Executor
from workbench.store import Layout
from workbench.testing.bench import Bench
from workbench.testing.clock import VirtualTimeLoop
from workbench.testing.conformance import POOLS, SUITES, conformance

_NO_PROCESS = "it calls functions in the test's own process and starts none"


class TestFakeCluster(
    conformance(without={"processes": _NO_PROCESS, "executables": _NO_PROCESS, "mpi": _NO_PROCESS})  # type: ignore[misc]
):
    """In memory, in virtual time."""

    loop_factory = VirtualTimeLoop

    def make(self, layout: Layout) -> Executor:
        return FakeCluster(pools=POOLS, layout=layout)

    def break_node(self, bench: Bench, node: str) -> None:
        cluster = bench.executor
        assert isinstance(cluster, FakeCluster)

        async def lose() -> None:
            cluster.lose(node)
            cluster.join("real", after_s=1.0)

        bench.run(lose())


class TestDaskExecutor(conformance()):  # type: ignore[misc]
    """On a Dask cluster of this machine."""

    def make(self, layout: Layout) -> Executor:
        return DaskExecutor(POOLS, layout, preload=())

    def break_node(self, bench: Bench, node: str) -> None:
        assert isinstance(bench.executor, DaskExecutor)
        os.kill(bench.executor.pid_of(node), signal.SIGKILL)


def test_the_dask_executor_claims_everything() -> None:
    assert TestDaskExecutor.without == {}
    assert all(issubclass(TestDaskExecutor, suite) for suite in SUITES.values())


@pytest.mark.parametrize("without", [{"juggling": "no hands"}, {"mpi": ""}])
def test_what_is_missing_needs_a_name_and_a_reason(without: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="the reason why it is missing"):
        conformance(without=without)
