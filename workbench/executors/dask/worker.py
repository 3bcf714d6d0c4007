"""A worker process from the inside: one Dask worker, until the engine asks it to close or is gone.

`spawn.BOOT` calls `main`. Importing this module imports Dask; that happens while the engine still starts its
scheduler.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
from collections.abc import Callable
from typing import Any

import dask
from distributed import Status, Worker

CLOSE_S = 1.5


def main(sock: socket.socket, frame: Callable[[], bytes]) -> None:
    """Serve until told to stop; the process ends here.

    Parameters
    ----------
    sock : socket.socket
        To the engine.
    frame : callable
        Reads the next frame, and ends the process if the engine is gone.
    """
    settings = pickle.loads(frame())
    dask.config.set(settings.pop("config"))
    asyncio.run(_serve(sock, settings))
    os._exit(0)  # user threads that are not daemons would keep a finished worker alive


async def _serve(sock: socket.socket, settings: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    async with Worker(settings.pop("scheduler"), **settings) as worker:
        address = worker.address.encode()
        await loop.sock_sendall(sock, len(address).to_bytes(4, "little") + address)
        told = loop.create_task(_told(sock))
        ended = loop.create_task(worker.finished())
        await asyncio.wait([told, ended], return_when=asyncio.FIRST_COMPLETED)
        if told.done() and not told.result():
            os._exit(1)  # the engine is gone: the keeper sees us go and kills what runs
        told.cancel()
        if worker.status not in (Status.closing, Status.closed):
            await worker.close(timeout=CLOSE_S, executor_wait=False, nanny=False, reason="the engine gives it back")
        ended.cancel()


async def _told(sock: socket.socket) -> bool:
    """Whether the engine asked us to stop; False when it is gone."""
    loop = asyncio.get_running_loop()
    try:
        return bool(await loop.sock_recv(sock, 4))
    except OSError:
        return False
