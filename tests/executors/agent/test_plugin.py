"""The agent in real Dask workers: installed, found again, stopped in time, gone with its worker."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import SmallHub
from tests.executors.agent.waiting import gone
from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.plugin import AgentPlugin
from workbench.executors.agent.wire import Node

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
async def hub(home: Path) -> AsyncIterator[SmallHub]:
    hub = SmallHub(home)
    await hub.start()
    yield hub
    await hub.close()


def cluster(**more: Any) -> LocalCluster:
    return LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", asynchronous=True, memory_limit=0, **more
    )


def pids(hub: SmallHub) -> list[int]:
    return [p.pid for p in psutil.Process(hub.hellos[-1].pid).children(recursive=True)]


async def test_installed_found_again_and_stopped(home: Path, hub: SmallHub) -> None:
    config = AgentConfig(str(home), {"*": (Node("{worker}@{agent}", "p", 1),)}, ())
    async with cluster(processes=True) as c, Client(c, asynchronous=True) as client:
        await client.register_plugin(AgentPlugin(config))
        hello = await hub.greeted()
        (node,) = hello.nodes
        assert node.name == f"0@{hello.agent}"
        assert hello.dask == next(iter(c.scheduler.workers))
        assert hello.pid != os.getpid()
        hub.run(hub.define(bodies.gated, (str(home / "g"),)), node=node.name)
        await hub.started("t[0]")
        await client.register_plugin(AgentPlugin(config))  # a new engine does this
        (home / "g").touch()
        await hub.value("t[0]")
        assert len(hub.hellos) == 1
        below = pids(hub)
        assert len(below) >= 2
    await gone(*below)
    assert [p for p in os.listdir(home / "logs") if p.startswith(".")] == []


async def test_a_worker_that_comes_back_has_a_new_agent_and_the_old_ones_processes_are_gone(
    home: Path, hub: SmallHub
) -> None:
    config = AgentConfig(str(home), {"0": (Node("{worker}@{agent}", "p", 1),)}, ())
    async with cluster(processes=True) as c, Client(c, asynchronous=True) as client:
        await client.register_plugin(AgentPlugin(config))
        first = await hub.greeted()
        hub.run(hub.define(bodies.stubborn, (str(home / "g"),)), node=first.nodes[0].name)
        await hub.started("t[0]")
        below = pids(hub)
        os.kill(first.pid, signal.SIGKILL)
        await gone(*below)
        second = await hub.greeted(2)
        assert second.agent != first.agent
        assert second.nodes[0].name != first.nodes[0].name


async def test_a_function_gets_a_client_of_the_same_cluster(home: Path, hub: SmallHub) -> None:
    def uses_dask(n: int) -> list[int]:
        from workbench import task

        client = task.dask_client()
        assert task.dask_client() is client
        return list(client.gather(client.map(abs, range(-n, 0))))

    def may_not() -> None:
        from workbench import task

        task.dask_client()

    config = AgentConfig(str(home), {"0": (Node("n", "p", 1),)}, ())
    async with cluster(processes=True) as c, Client(c, asynchronous=True) as client:
        await client.register_plugin(AgentPlugin(config))
        await hub.greeted()
        hub.run(hub.define(uses_dask, (3,), dask=True), node="n")
        assert await hub.value("t[0]") == [3, 2, 1]
        hub.run(hub.define(may_not), "t[1]", node="n")
        assert "without dask=True" in (await hub.failure("t[1]")).detail


async def test_a_worker_without_nodes_has_no_agent(home: Path, hub: SmallHub) -> None:
    config = AgentConfig(str(home), {"other": (Node("n", "p", 1),)}, ())
    async with cluster(processes=False) as c, Client(c, asynchronous=True) as client:
        await client.register_plugin(AgentPlugin(config))
        (worker,) = c.workers.values()
        assert worker._workbench_agent.ended_event.is_set()
    assert hub.hellos == []


def test_node_names() -> None:
    config = AgentConfig("d", {"a": (Node("a", "p", 1),), "pool": (Node("{worker}.{agent}", "p", 2),)})
    assert config.nodes_of("a", "id") == (Node("a", "p", 1),)
    assert config.nodes_of("pool-12", "id") == (Node("pool-12.id", "p", 2),)
    assert config.nodes_of("b", "id") == ()
