"""Worker processes, seen from the engine: a fresh interpreter each, and a socket to it.

`multiprocessing`, which Dask's nannies use, imports the user's ``__main__`` again in every process that it spawns: a
script without ``if __name__ == "__main__"`` would start its campaign again in each worker. It also writes thread
limits into our own environment. So workers are started here as plain subprocesses. What they need comes over the
socket in two frames: the module path as soon as the process exists, so that it imports Dask while we do the same, and
its settings once there is a scheduler. The end of the socket tells each side of the death of the other.

No Dask in this module: the first processes start before the engine itself has imported it.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import struct
import subprocess
import sys
from typing import Any

HEAD = struct.Struct("<I")
MAX_FRAME = 16 << 20
BOOT = """
import os, pickle, socket, struct, sys
sock = socket.socket(fileno={fd})
os.set_inheritable({fd}, False)
def frame():
    data = b""
    size = 4
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            os._exit(1)
        data += more
        if size == 4 and len(data) == 4:
            size, data = struct.unpack("<I", data)[0], b""
            if not size:
                return b""
    return data
sys.path[:] = pickle.loads(frame())
from workbench.executors.dask.worker import main
main(sock, frame)
"""


class WorkerDied(RuntimeError):
    """A worker process ended before it was of use; the text has the last lines that it wrote."""


class Spawned:
    """A worker process and the socket to it.

    Parameters
    ----------
    log : str
        File for what the worker itself writes (attempts have files of their own).
    """

    def __init__(self, log: str) -> None:
        self.log = log
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        try:
            out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            try:
                # A session of its own: an interrupt typed in our terminal is for us, not for the workers.
                self.process = subprocess.Popen(
                    [sys.executable, "-c", BOOT.format(fd=theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            finally:
                os.close(out)
            path = [entry or os.getcwd() for entry in sys.path]
            self.sock.sendall(_frame(path))
        except BaseException:
            self.sock.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    async def settle(self, settings: dict[str, Any], timeout_s: float) -> str:
        """Send the settings, wait until the worker serves; returns its address.

        Raises
        ------
        WorkerDied
            If it ends, or does not serve in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                await loop.sock_sendall(self.sock, _frame(settings))
                head = await self._read(HEAD.size)
                (size,) = HEAD.unpack(head)
                return (await self._read(min(size, MAX_FRAME))).decode()
        except TimeoutError:
            raise WorkerDied(f"the worker did not start within {timeout_s:g} s; {self.last_words()}") from None
        except OSError as e:
            raise WorkerDied(f"the worker ended while it started ({e}); {self.last_words()}") from None

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < size:
            more = await loop.sock_recv(self.sock, size - len(data))
            if not more:
                raise ConnectionResetError("it closed its socket")
            data += more
        return data

    async def ended(self) -> int:
        """Wait until the process has ended; its exit status."""
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(self.sock, 4096):
                pass
        except OSError:
            pass
        # A worker that closed its socket has nothing left to live for.
        return await self._reap(2.0)

    async def end(self, timeout_s: float) -> None:
        """Ask the worker to close, and kill it if it has not after `timeout_s`. What it started goes with it."""
        if self.process.returncode is None:
            try:
                self.sock.setblocking(False)
                self.sock.send(HEAD.pack(0))
            except OSError:
                pass
            await self._reap(timeout_s)
        self.sock.close()

    def kill(self) -> None:
        """Kill it now."""
        if self.process.returncode is None:
            self.process.kill()

    async def _reap(self, timeout_s: float) -> int:
        loop = asyncio.get_running_loop()

        def wait() -> int:
            try:
                return self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return self.process.wait()

        return await loop.run_in_executor(None, wait)

    def last_words(self) -> str:
        """The last lines that the worker wrote, for an error message."""
        try:
            with open(self.log, "rb") as f:
                f.seek(max(0, os.fstat(f.fileno()).st_size - 2000))
                text = f.read().decode(errors="replace").strip()
        except OSError as e:
            return f"its log cannot be read ({e})"
        return f"{self.log} ends with:\n{text}" if text else f"{self.log} is empty"


def _frame(value: Any) -> bytes:
    data = pickle.dumps(value, 5)
    return HEAD.pack(len(data)) + data
