"""The executor of local pools, real and virtual: a Dask cluster for the workers, a hub for their agents.

Each node of a real pool is carried by a worker of its own; all nodes of a virtual pool are carried by one. Workers are
called ``POOL.eEPOCH-INDEX``, nodes ``POOL-INDEX.eEPOCH``; a worker that is started again carries nodes of a new name.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Any

from workbench.executors.agent.config import AgentConfig
from workbench.executors.agent.wire import Node
from workbench.executors.dask.hub import Hub
from workbench.executors.dask.spawn import Spawned
from workbench.executors.pools import detect_cores
from workbench.executors.port import Deliver
from workbench.model.actions import Action, Launch, Provide, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.errors import WorkbenchError
from workbench.model.resources import Pool
from workbench.store import Layout

log = logging.getLogger(__name__)

PREFETCH_PER_CORE = 4


class ExecutorFailed(WorkbenchError):
    """The cluster did not start."""


class DaskExecutor:
    """`executors.port.Executor` on a Dask cluster of this machine.

    Parameters
    ----------
    pools : sequence of Pool
        Of kind ``"local"`` or ``"virtual"``.
    layout : store.layout.Layout
        Of the campaign.
    security : distributed.Security, optional
        TLS for the cluster and the agents.
    prefetch : int, optional
        How many micro-tasks may queue on a real node; by default four for each core.
    preload : tuple of str
        Modules that workers import once for all the children that they fork.
    grace_s : float
        How long an agent may be away before the cluster is asked whether its worker lives.
    journalled : bool
        Keep events at the agents until `acknowledge` says that they are on disk.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        layout: Layout,
        *,
        security: Any = None,
        prefetch: int | None = None,
        preload: tuple[str, ...] = ("numpy",),
        grace_s: float = 0.3,
        orphan_s: float = 60.0,
        journalled: bool = False,
    ) -> None:
        self._pools = {pool.name: pool for pool in pools}
        self._layout = layout
        self._security = security
        self._prefetch, self._preload = prefetch, preload
        self._grace_s, self._orphan_s, self._journalled = grace_s, orphan_s, journalled
        self._epoch = 0
        self._counts: dict[str, int] = {}  # pool -> how many workers it ever had
        self._offers: dict[str, tuple[Node, ...]] = {}
        self._bound: set[int] = set()  # CPUs that belong to a node
        self._resting: dict[str, list[Node]] = {}  # pool -> virtual nodes that were given back
        self._wanted: dict[str, int] = {}
        self._changes: asyncio.Queue[str] = asyncio.Queue()
        self._changing: asyncio.Task[None] | None = None
        self._spawned: dict[str, Spawned] = {}
        self._hub: Hub | None = None
        self._cluster: Any = None

    # --- the port ---

    async def start(self, deliver: Deliver, *, epoch: int) -> None:
        """Begin to provide nodes.

        Raises
        ------
        ExecutorFailed
            If the cluster or a worker does not start; nothing is left running then.
        """
        self._epoch = epoch
        try:
            for pool in self._pools.values():
                self._wanted[pool.name] = pool.nodes
                for name in self._offer(pool, pool.nodes):
                    # The interpreters start now and import Dask while this one does.
                    self._spawned[name] = Spawned(os.path.join(self._layout.logs, f"{name}.log"))
            await self._start(deliver)
        except Exception as e:
            await self.close()
            raise ExecutorFailed(f"the local cluster did not start: {e}") from e
        except BaseException:
            await self.close()
            raise

    async def _start(self, deliver: Deliver) -> None:
        from workbench.executors.dask.cluster import DaskCluster

        self._cluster = DaskCluster(str(self._layout.logs), self._security)
        await self._cluster.start()
        self._hub = Hub(
            str(self._layout.directory),
            deliver,
            epoch=self._epoch,
            listed=self._cluster.listed,
            grace_s=self._grace_s,
            orphan_s=self._orphan_s,
            ssl_context=self._ssl_context(),
            journalled=self._journalled,
        )
        await self._hub.start()
        await self._install()
        for name in self._offers:
            self._add(name)
        await self._cluster.correct()
        self._changing = asyncio.create_task(self._change())

    def act(self, actions: Sequence[Action]) -> None:
        hub = self._hub
        if hub is None:
            return
        for action in actions:
            if isinstance(action, Launch):
                hub.launch(action)
            elif isinstance(action, Stop):
                hub.stop(action)
            elif isinstance(action, Tell):
                hub.tell(action)
            else:
                self._provide(action)
        hub.flush()

    async def close(self) -> None:
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)
            self._changing = None
        if self._hub is not None:
            await self._hub.close()
        if self._cluster is not None:
            await self._cluster.close()
        # What was started in advance and never became a worker.
        for spawned in self._spawned.values():
            spawned.kill()
            await spawned.end(0.0)
        self._spawned.clear()
        self._hub = self._cluster = None

    # --- beyond the port ---

    def declare(self, pool: Pool) -> None:
        """Know a pool that was added to the campaign; `Provide` brings its nodes."""
        self._pools.setdefault(pool.name, pool)

    def acknowledge(self) -> None:
        """Everything delivered so far is on disk; see `journalled`."""
        if self._hub is not None:
            self._hub.acknowledge()

    @property
    def scheduler_address(self) -> str:
        """Of the Dask scheduler; empty before the start."""
        return self._cluster.scheduler_address if self._cluster is not None else ""

    @property
    def worker_pids(self) -> dict[str, int]:
        """Name of each worker -> its process id, 0 while it is started again."""
        return {name: self._cluster.pid(name) for name in self._cluster.names} if self._cluster is not None else {}

    def pid_of(self, node: str) -> int:
        """Process id of the worker that carries a real node; 0 if it is gone."""
        return self.worker_pids.get(self._hub.worker_of(node), 0) if self._hub is not None else 0

    # --- pools ---

    def _provide(self, action: Provide) -> None:
        if action.declared is not None:
            self.declare(action.declared)
        if action.pool in self._pools and self._wanted.get(action.pool) != action.nodes:
            self._wanted[action.pool] = action.nodes
            self._changes.put_nowait(action.pool)

    async def _change(self) -> None:
        while True:
            name = await self._changes.get()
            try:
                await self._resize(self._pools[name], self._wanted[name])
            except Exception as e:
                log.error("pool %s could not be brought to %d nodes: %s", name, self._wanted[name], e)

    async def _resize(self, pool: Pool, nodes: int) -> None:
        hub = self._hub
        assert hub is not None
        said = f"pool {pool.name} was brought to {nodes} nodes"
        if pool.kind == "virtual":
            missing = nodes - self._rest(pool, nodes, said)
        else:
            workers = self._workers_of(pool)
            # Those without a node (dead, being started again) go first, then idle ones, the youngest of them first.
            order = sorted(range(len(workers)), key=lambda i: (hub.load_of(workers[i]), -i))
            leaving = [workers[i] for i in order[: max(0, len(workers) - nodes)]]
            self._cluster.remove(leaving)
            for node in hub.nodes_of(pool.name):
                if hub.worker_of(node) in leaving:
                    hub.retire(node, Cause.Preempted, said)
            missing = nodes - len(workers)
        if missing > 0:
            added = self._offer(pool, missing)
            await self._install()
            for name in added:
                self._add(name)
        await self._cluster.correct()

    def _rest(self, pool: Pool, nodes: int, said: str) -> int:
        """Give surplus virtual nodes back, or take back what was given; how many there are then."""
        assert self._hub is not None
        hub, resting = self._hub, self._resting.setdefault(pool.name, [])
        there = hub.nodes_of(pool.name)
        order = sorted(range(len(there)), key=lambda i: (hub.load(there[i]), -i))
        for i in order[: max(0, len(there) - nodes)]:
            offered = hub.retire(there[i], Cause.Preempted, said)
            if offered is not None:
                resting.append(offered)
        count = len(hub.nodes_of(pool.name))
        while count < nodes and resting:
            count += hub.revive(resting.pop())
        return count

    def _workers_of(self, pool: Pool) -> list[str]:
        return [name for name in self._cluster.names if self._offers[name][0].pool == pool.name]

    def _offer(self, pool: Pool, nodes: int) -> list[str]:
        """Say what the workers for `nodes` more nodes will carry; their names."""
        first = self._counts.get(pool.name, 0)
        self._counts[pool.name] = first + nodes
        shape = pool.shape
        if pool.kind == "virtual":
            name = f"{pool.name}.e{self._epoch}-v{first}"
            self._offers[name] = tuple(
                Node(
                    f"{pool.name}-{i}.e{self._epoch}@{{agent}}", pool.name, shape.cores, shape.gpus, shape.memory, True
                )
                for i in range(first, first + nodes)
            )
            return [name]
        names = [f"{pool.name}.e{self._epoch}-{i}" for i in range(first, first + nodes)]
        prefetch = self._prefetch if self._prefetch is not None else PREFETCH_PER_CORE * shape.cores
        for i, name in enumerate(names, start=first):
            devices = devices_of(i, shape.gpus)
            node = Node(
                "{worker}@{agent}", pool.name, shape.cores, shape.gpus, shape.memory, False, prefetch, devices,
                self._cpus(shape.cores),
            )  # fmt: skip
            self._offers[name] = (node,)
        return names

    def _cpus(self, cores: int) -> tuple[int, ...]:
        """CPU ids for one more node; none once the machine has no more to give, as slots may outnumber CPUs."""
        free = [c for c in sorted(os.sched_getaffinity(0)) if c not in self._bound]
        if len(free) < cores or cores == len(os.sched_getaffinity(0)):
            return ()
        taken = tuple(free[:cores])
        self._bound.update(taken)
        return taken

    async def _install(self) -> None:
        from workbench.executors.agent.plugin import AgentPlugin

        config = AgentConfig(
            str(self._layout.directory), dict(self._offers), preload=self._preload, orphan_s=self._orphan_s
        )
        await self._cluster.install(AgentPlugin(config))

    def _add(self, name: str) -> None:
        node = self._offers[name][0]
        threads = detect_cores() if node.virtual else node.cores
        self._cluster.add(
            name, threads=threads, memory=0 if node.virtual else node.memory, spawned=self._spawned.pop(name, None)
        )

    def _ssl_context(self) -> Any:
        if self._security is None or not self._security.require_encryption:
            return None
        return self._security.get_listen_args("scheduler")["ssl_context"]


def devices_of(index: int, gpus: int) -> tuple[str, ...]:
    """Device ids of the GPUs of this machine's `index`-th node: its part of what ``CUDA_VISIBLE_DEVICES`` names."""
    if not gpus:
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [d.strip() for d in named.split(",") if d.strip()] if named else []
    wanted = range(index * gpus, (index + 1) * gpus)
    return tuple(visible[i] if i < len(visible) else str(i) for i in wanted)
