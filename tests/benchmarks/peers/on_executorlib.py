"""executorlib: two persistent workers (block allocation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import common
from executorlib import SingleNodeExecutor


class Block:
    """Futures among the arguments are dependencies, as `disable_dependencies` is left off."""

    def __init__(self) -> None:
        self.executor = SingleNodeExecutor(max_workers=2, block_allocation=True)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.executor.submit(fn, *args)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        return [f.result() for f in futures]

    def close(self) -> None:
        self.executor.shutdown()


if __name__ == "__main__":
    common.serve(Block)
