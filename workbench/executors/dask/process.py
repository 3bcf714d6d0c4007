"""A worker process as Dask's cluster manager wants it, with what a nanny does: start it again when it dies."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from distributed import Status
from distributed.deploy.spec import ProcessInterface

from workbench.executors.dask.spawn import Spawned, WorkerDied

log = logging.getLogger(__name__)

START_S = 60.0
CLOSE_S = 3.0
LONG_LIFE_S = 10.0


class WorkerProcess(ProcessInterface):  # type: ignore[misc]
    """One worker of a `SpecCluster`.

    Parameters
    ----------
    scheduler : str
        Address of the scheduler.
    name : str
        Of the Dask worker; stays the same when its process is started again.
    log : str
        File for what the worker writes.
    settings : dict
        Further arguments of `distributed.Worker`, and ``config`` for Dask.
    spawned : Spawned, optional
        A process that was started in advance.
    """

    def __init__(
        self,
        scheduler: str,
        name: str,
        *,
        log: str,
        settings: dict[str, Any],
        spawned: Spawned | None = None,
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.name = name
        self.log = log
        self.starts = 0
        self._settings = {**settings, "scheduler": scheduler, "name": name}
        self._spawned = spawned
        self._watch: asyncio.Task[None] | None = None

    @property
    def worker_address(self) -> str | None:
        """Address of the Dask worker."""
        return self.address

    @property
    def pid(self) -> int:
        """Of the present process; 0 between two."""
        return self._spawned.pid if self._spawned is not None else 0

    async def start(self) -> None:
        """Start the worker; raises `WorkerDied` with its last words if that fails."""
        try:
            await self._start()
        except WorkerDied:
            self.status = Status.failed
            raise
        await super().start()
        self._watch = asyncio.create_task(self._keep_alive())

    async def _start(self) -> None:
        self.starts += 1
        spawned = self._spawned if self._spawned is not None else Spawned(self.log)
        self._spawned = spawned
        try:
            self.address = await spawned.settle(self._settings, START_S)
        except BaseException:
            spawned.kill()
            await spawned.end(0.0)
            self._spawned = None
            raise

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        wait = 0.0
        while True:
            born = loop.time()
            assert self._spawned is not None
            status = await self._spawned.ended()
            self._spawned.sock.close()
            self._spawned = None
            log.info("worker %s ended with status %s; starting it again", self.name, status)
            if loop.time() - born > LONG_LIFE_S:
                wait = 0.0
            while True:
                await asyncio.sleep(wait)
                wait = min(5.0, wait * 2 + 0.1)
                try:
                    await self._start()
                    break
                except WorkerDied as e:
                    log.warning("worker %s did not start again: %s", self.name, e)

    async def close(self) -> None:
        """End the process with everything that it started."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        if self._spawned is not None:
            await self._spawned.end(CLOSE_S)
            self._spawned = None
        await super().close()
