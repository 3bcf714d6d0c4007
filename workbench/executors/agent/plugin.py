"""Installs the agent in Dask workers; those that join later get it too."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from distributed import Status, WorkerPlugin

from workbench.executors.agent.agent import Agent
from workbench.executors.agent.config import AgentConfig

NAME = "workbench-agent"
_ATTRIBUTE = "_workbench_agent"


class AgentPlugin(WorkerPlugin):  # type: ignore[misc]
    """A worker plugin that starts one `Agent` in each worker.

    Registering it again (a new engine, a scheduler that came back) leaves a running agent of the same campaign alone.

    Parameters
    ----------
    config : AgentConfig
        Of the campaign.
    """

    name = NAME

    def __init__(self, config: AgentConfig) -> None:
        self.config = config

    async def setup(self, worker: Any) -> None:
        """Start the agent, or find it there."""
        there: Agent | None = getattr(worker, _ATTRIBUTE, None)
        if there is not None and not there.ended_event.is_set():
            if there.config.directory == self.config.directory:
                return
            await _stop(there)
        encrypted = bool(worker.security.require_encryption)
        agent = Agent(
            self.config,
            str(worker.name),
            address=worker.address,
            ssl_context=worker.security.get_connection_args("worker")["ssl_context"] if encrypted else None,
            dask={"address": worker.scheduler.address, "security": _client_security(worker) if encrypted else None},
        )
        setattr(worker, _ATTRIBUTE, agent)
        if agent.nodes:
            agent.start_thread()
        else:
            agent.ended_event.set()

    async def teardown(self, worker: Any) -> None:
        """Stop it, in bounded time, when the worker closes; not when the plugin is merely replaced."""
        agent: Agent | None = getattr(worker, _ATTRIBUTE, None)
        if agent is None or worker.status in (Status.running, Status.paused):
            return
        await _stop(agent)


async def _stop(agent: Agent) -> None:
    agent.stop_threadsafe()
    until = time.monotonic() + agent.config.stop_s + 0.5
    while not agent.ended_event.is_set() and time.monotonic() < until:
        await asyncio.sleep(0.01)


def _client_security(worker: Any) -> dict[str, Any]:
    """What a client needs to join the cluster with the worker's own certificate."""
    s = worker.security
    return {
        "require_encryption": True,
        "tls_ca_file": s.tls_ca_file,
        "tls_client_cert": s.tls_worker_cert,
        "tls_client_key": s.tls_worker_key,
    }
