"""The Dask cluster of a local pool: a scheduler in this process, worker processes, and a watch that keeps them there.

Dask provisions and watches; it never places a task of a campaign. Everything listens on 127.0.0.1 only. Tasks that use
Dask themselves get a client of this cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import dask
from distributed import LocalCluster
from distributed.core import Status
from distributed.protocol.pickle import dumps
from distributed.utils import silence_logging_cmgr

from workbench.executors.dask.process import WorkerProcess
from workbench.executors.dask.spawn import Spawned

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
RECONCILE_S = 1.0
QUIET = {
    # No bokeh, no Prometheus: their pages would cost 40 MB and half a second.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # The sampling profilers look at Dask's own tasks, of which there are none in a campaign.
    "distributed.worker.profile.enabled": False,
    # A cell that holds the GIL for minutes keeps the scheduler from hearing its workers; processes that live are alive.
    "distributed.scheduler.worker-ttl": None,
    "distributed.comm.timeouts.connect": "10s",
}


class _Silence:
    """Keeps Dask's chatter off the terminal while any cluster of this process lives.

    A cluster that silences for itself (`silence_logs`) ends the silence of all others when it closes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._kept = contextlib.ExitStack()

    def begin(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._wanted == 1:
                self._kept.enter_context(silence_logging_cmgr(logging.ERROR))

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._kept.close()


_silence = _Silence()


class DaskCluster:
    """A scheduler and named workers.

    Parameters
    ----------
    logs : str
        Directory for the workers' own output.
    security : distributed.Security, optional
        TLS for everything.
    """

    def __init__(self, logs: str, security: Any = None) -> None:
        self._logs = logs
        self._security = security
        self._cluster: Any = None
        self._keeping: asyncio.Task[None] | None = None
        self._closing = False
        self._silent = False

    async def start(self) -> None:
        """Start the scheduler; no worker yet."""
        _silence.begin()
        self._silent = True
        with dask.config.set(QUIET):
            self._cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                worker_class=WorkerProcess,
                host=HOST,
                scheduler_port=0,
                dashboard_address=f"{HOST}:0",
                scheduler_kwargs={"dashboard": False},
                asynchronous=True,
                security=self._security,
                silence_logs=False,
            )
            await self._cluster
        self._keeping = asyncio.create_task(self._keep())

    @property
    def scheduler_address(self) -> str:
        """For clients."""
        return str(self._cluster.scheduler_address)

    async def install(self, plugin: Any) -> None:
        """Give `plugin` to every worker, and to those that join later."""
        await self._cluster.scheduler.register_worker_plugin(
            None, plugin=dumps(plugin), name=plugin.name, idempotent=False
        )

    def listed(self, address: str) -> bool:
        """Whether the scheduler sees a worker at `address`."""
        return self._cluster is not None and address in self._cluster.scheduler.workers

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the workers that should be there."""
        return tuple(self._cluster.worker_spec) if self._cluster is not None else ()

    def pid(self, name: str) -> int:
        """Process id of a worker; 0 while there is none."""
        worker = self._cluster.workers.get(name)
        return worker.pid if worker is not None else 0

    def add(self, name: str, *, threads: int, memory: int, spawned: Spawned | None = None) -> None:
        """Want a worker called `name`; `correct` brings it."""
        settings = {
            "nthreads": threads,
            "memory_limit": memory,
            "host": HOST,
            "dashboard": False,
            "security": self._security,
            "config": QUIET,
        }
        options: dict[str, Any] = {"log": self.log_of(name), "settings": settings}
        if spawned is not None:
            options["spawned"] = spawned
        self._cluster.worker_spec[name] = {"cls": WorkerProcess, "options": options}

    def remove(self, names: Sequence[str]) -> None:
        """Do not want these workers any more; `correct` ends them."""
        for name in names:
            self._cluster.worker_spec.pop(name, None)

    def log_of(self, name: str) -> str:
        """File of what the worker itself writes."""
        return os.path.join(self._logs, f"{name}.log")

    async def correct(self) -> None:
        """Bring what is there to what is wanted; raises `WorkerDied` if a new worker does not start."""
        try:
            # Shielded, for a worker that is being started must not slip out of the cluster's table.
            await asyncio.shield(self._cluster._correct_state())
        finally:
            # A process started in advance serves once; the next worker of that name starts its own.
            for spec in self._cluster.worker_spec.values():
                spec["options"].pop("spawned", None)

    async def _keep(self) -> None:
        """A worker that the cluster has lost is dropped from its table silently: bring it back."""
        while True:
            await asyncio.sleep(RECONCILE_S)
            workers = self._cluster.workers
            for name, worker in list(workers.items()):
                if worker.status in (Status.failed, Status.closed):
                    del workers[name]
            if self._closing or len(workers) >= len(self._cluster.worker_spec):
                continue
            try:
                await self.correct()
            except Exception as e:
                log.warning("a worker could not be brought back: %s", e)

    async def close(self) -> None:
        """End all workers and the scheduler."""
        self._closing = True
        try:
            if self._keeping is not None:
                self._keeping.cancel()
                await asyncio.gather(self._keeping, return_exceptions=True)
            if self._cluster is not None:
                await self._end(self._cluster)
        finally:
            if self._silent:
                self._silent = False
                _silence.end()

    async def _end(self, cluster: Any) -> None:
        try:
            await cluster.close()
        finally:
            for worker in list(cluster._created):
                if worker.status != Status.closed:
                    with contextlib.suppress(Exception):
                        await worker.close()
