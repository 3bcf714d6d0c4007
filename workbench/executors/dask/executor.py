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
from workbench.model.events import Event
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
        self._named: dict[str, tuple[str, ...]] = {}  # pool -> its nodes that shall leave
        self._shrinking: set[str] = set()  # pools that may have a node that shall leave
        self._joins = 0  # of the hub, when that was last looked at
        self._giving_back = False
        self._deliver: Deliver | None = None
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
        self._deliver = deliver
        try:
            for pool in self._pools.values():
                self._wanted[pool.name] = pool.nodes
                for name in self._offer(pool, pool.nodes):
                    # The interpreters start now and import Dask while this one does.
                    self._spawned[name] = Spawned(os.path.join(self._layout.logs, f"{name}.log"))
            await self._start()
        except Exception as e:
            await self.close()
            raise ExecutorFailed(f"the local cluster did not start: {e}") from e
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        from workbench.executors.dask.cluster import DaskCluster

        self._cluster = DaskCluster(str(self._layout.logs), self._security)
        await self._cluster.start()
        self._hub = Hub(
            str(self._layout.directory),
            self._told,
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
        name = action.pool
        if name not in self._pools:
            return
        changed = (self._wanted.get(name), self._named.get(name, ())) != (action.nodes, action.retire)
        self._wanted[name], self._named[name] = action.nodes, action.retire
        self._shrinking.add(name)
        # The engine is not called back from within its own call.
        asyncio.get_running_loop().call_soon(self._give_back, name if action.now else "")
        if changed:
            self._changes.put_nowait(name)

    def _told(self, events: Sequence[Event]) -> None:
        """What the hub delivers; an end may have emptied a node that shall leave, a late one may be one too many."""
        assert self._deliver is not None
        self._deliver(events)
        if self._hub is not None and self._hub.joins != self._joins:
            self._joins = self._hub.joins
            self._shrinking.update(self._wanted)
        if self._shrinking:
            self._give_back()

    def _give_back(self, now: str = "") -> None:
        """Let the nodes go that shall leave and are empty; those of the pool `now` whatever runs on them."""
        if self._giving_back or self._hub is None:  # called by what it tells itself, or after the end
            return
        self._giving_back = True
        try:
            for name in list(self._shrinking):
                pool = self._pools[name]
                leaving, _ = self._sorted(pool)
                if not leaving:
                    self._shrinking.discard(name)
                for worker, nodes in leaving:
                    if name == now or not any(self._hub.busy(node) for node in nodes):
                        self._retire(pool, worker, nodes)
        finally:
            self._giving_back = False

    def _retire(self, pool: Pool, worker: str, nodes: Sequence[str]) -> None:
        assert self._hub is not None
        wanted = self._wanted[pool.name]
        said = f"pool {pool.name} was brought to {wanted} node{'' if wanted == 1 else 's'}"
        for node in nodes:
            offered = self._hub.retire(node, Cause.Preempted, said)
            if pool.kind == "virtual" and offered is not None:
                self._resting.setdefault(pool.name, []).append(offered)
        if worker:
            self._cluster.remove([worker])
            self._changes.put_nowait(pool.name)

    def _sorted(self, pool: Pool) -> tuple[list[tuple[str, list[str]]], int]:
        """What of a pool shall leave, as pairs of a worker and its nodes, and how many nodes are there to stay.

        Virtual nodes leave one by one, and their worker stays for the others: its name is left empty.
        """
        assert self._hub is not None
        there, wanted = self._hub.nodes_of(pool.name), self._wanted[pool.name]
        named = set(self._named.get(pool.name, ()))
        if pool.kind == "virtual":
            remaining = [node for node in there if node not in named][:wanted]
            return [("", [node]) for node in there if node not in remaining], len(remaining)
        carried: dict[str, list[str]] = {}
        for node in there:
            carried.setdefault(self._hub.worker_of(node), []).append(node)
        workers = self._workers_of(pool)
        # In the order in which their nodes joined; those without one (dead, being started again) are the first to go.
        order = [*carried, *(w for w in workers if w not in carried)]
        # A worker that was told to end may join in its last moment, and is none of those that are wanted.
        staying = [w for w in order if w in workers and named.isdisjoint(carried.get(w, ()))][:wanted]
        return [(w, carried.get(w, [])) for w in order if w not in staying], len(staying)

    async def _change(self) -> None:
        while True:
            name = await self._changes.get()
            try:
                await self._resize(self._pools[name])
            except Exception as e:
                log.error("pool %s could not be brought to %d nodes: %s", name, self._wanted[name], e)

    async def _resize(self, pool: Pool) -> None:
        """Bring what is missing, and end the workers that were given back."""
        assert self._hub is not None
        resting = self._resting.get(pool.name, [])
        missing = self._wanted[pool.name] - self._sorted(pool)[1]
        while missing > 0 and resting:
            missing -= self._hub.revive(resting.pop())
        if missing > 0:
            added = self._offer(pool, missing)
            await self._install()
            for name in added:
                self._add(name)
        await self._cluster.correct()

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
