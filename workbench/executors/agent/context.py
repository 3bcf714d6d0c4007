"""The attempt that runs, as `workbench.task` sees it: in a child process and in a thread alike."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from workbench.model.ids import attempt_id
from workbench.task import Metric

BURST, PER_SECOND = 100.0, 20.0
"""Reports are sent at once up to a burst, then so many a second; what comes faster is merged, newest value first."""

_clients: dict[str, Any] = {}


def make_declarer(directory: str, task: str) -> Any:
    """The collecting declarer behind `workbench.task.grow`; payloads go to the store in `directory`."""
    from workbench.api.growth import Growth

    return Growth(directory, task)


class TaskContext:
    """Identity, parameters, scratch and reports of one attempt.

    Subclasses say how a report leaves (`_say`) and how news is read (`_poll`).
    """

    def __init__(
        self,
        task: str,
        number: int,
        index: int,
        directory: str,
        parameters: dict[str, Any],
        dask: dict[str, Any] | None,
    ) -> None:
        self.task, self.number, self.index = task, number, index
        self._directory = directory
        self._parameters = parameters
        self._dask = dask
        self._stop = False
        self._scratch: Path | None = None
        self._growth: list[Any] = []
        self._tokens, self._filled = BURST, 0.0
        self._metrics: dict[str, Metric] = {}
        self._progress: float | None = None

    # --- what subclasses provide ---

    def _say(self, metrics: dict[str, Metric], progress: float | None) -> None:
        raise NotImplementedError

    def _poll(self) -> None:
        """Read what came, without waiting."""

    # --- what `workbench.task` calls ---

    def scratch(self) -> Path:
        if self._scratch is None:
            path = Path(self._directory, "scratch", attempt_id(self.task, self.number))
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._scratch = path
        return self._scratch

    def parameters(self) -> dict[str, Any]:
        self._poll()
        return dict(self._parameters)

    def should_stop(self) -> bool:
        self._poll()
        return self._stop

    def report(self, metrics: dict[str, Metric], progress: float | None) -> None:
        now = time.monotonic()
        if self._filled:
            self._tokens = min(BURST, self._tokens + (now - self._filled) * PER_SECOND)
        self._filled = now
        self._metrics.update(metrics)
        if progress is not None:
            self._progress = progress
        if self._tokens >= 1:
            self._tokens -= 1
            self.flush()

    def dask_client(self) -> Any:
        if self._dask is None:
            raise RuntimeError(f"{self.task} was declared without dask=True, so it has no Dask client")
        address = self._dask["address"]
        client = _clients.get(address)
        if client is None or client.status != "running":
            from distributed import Client, Security

            given = self._dask.get("security")
            security = Security(**given) if given else None
            client = _clients[address] = Client(address, security=security, set_as_default=False, timeout=30)
        return client

    def declarer(self) -> Any:
        return make_declarer(self._directory, self.task)

    def grown(self, declarer: Any) -> None:
        self._growth.extend(declarer.edits)

    # --- what the worker calls ---

    def flush(self) -> None:
        """Send what was reported and held back."""
        if self._metrics or self._progress is not None:
            metrics, progress = self._metrics, self._progress
            self._metrics, self._progress = {}, None
            self._say(metrics, progress)

    def steer(self, parameters: dict[str, Any], stop: bool) -> None:
        if parameters:
            self._parameters = {**self._parameters, **parameters}
        self._stop = self._stop or stop

    def growth(self) -> bytes:
        """The edits that the task asked for, as `wire.Finished` carries them."""
        return msgspec.msgpack.encode(tuple(self._growth)) if self._growth else b""

    def succeeded(self) -> None:
        """Remove the scratch directory."""
        if self._scratch is not None:
            import shutil

            shutil.rmtree(self._scratch, ignore_errors=True)


def mark_environment(task: str, number: int, index: int) -> dict[str, str]:
    """Variables that tell a process, and what it starts, which attempt it belongs to."""
    return {
        "WORKBENCH_TASK": task,
        "WORKBENCH_ATTEMPT": attempt_id(task, number),
        "WORKBENCH_INDEX": str(index),
    }


def put_environment(values: dict[str, str]) -> None:
    """Set variables of this process."""
    os.environ.update(values)
