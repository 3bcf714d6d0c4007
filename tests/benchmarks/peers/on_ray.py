"""Ray: remote functions of one CPU each on two CPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import common
import ray


class Remote:
    """A local Ray with two CPUs and no dashboard."""

    def __init__(self) -> None:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self.remote: dict[Callable[..., Any], Any] = {}

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        remote = self.remote.get(fn)
        if remote is None:
            remote = self.remote[fn] = ray.remote(num_cpus=1)(fn)
        return remote.remote(*args)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        return list(ray.get(list(futures)))

    def close(self) -> None:
        ray.shutdown()


if __name__ == "__main__":
    common.serve(Remote)
