"""Parsl: the high-throughput executor with two workers on this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import common
import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider


class Htex:
    """`prefetch` tasks may wait at the manager beyond those that run."""

    def __init__(self, prefetch: int = 0) -> None:
        self.run_dir = tempfile.mkdtemp(prefix="parsl-")
        executor = HighThroughputExecutor(
            label="htex",
            address="127.0.0.1",
            max_workers_per_node=2,
            cores_per_worker=1,
            prefetch_capacity=prefetch,
            encrypted=False,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
        parsl.load(Config(executors=[executor], run_dir=self.run_dir, initialize_logging=False, strategy="none"))
        self.apps: dict[Callable[..., Any], Any] = {}

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        app = self.apps.get(fn)
        if app is None:
            app = self.apps[fn] = parsl.python_app(fn)
        return app(*args)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        return [f.result() for f in futures]

    def close(self) -> None:
        parsl.dfk().cleanup()
        parsl.clear()
        shutil.rmtree(self.run_dir, ignore_errors=True)


if __name__ == "__main__":
    common.serve(Htex)
