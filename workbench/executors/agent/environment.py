"""Variables that bind an attempt's processes to what it was given."""

from __future__ import annotations

from workbench.executors.agent.attempts import Attempt
from workbench.executors.agent.context import mark_environment
from workbench.executors.agent.wire import Node

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def devices(a: Attempt, node: Node) -> tuple[str, ...]:
    """Device ids of the attempt's GPUs on this node."""
    return tuple(node.devices[g] if g < len(node.devices) else str(g) for g in a.run.gpus)


def pinned(gpus: tuple[str, ...], threads: int) -> dict[str, str]:
    """GPU mask (empty: none visible) and thread counts."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), **dict.fromkeys(THREADS, str(threads))}


def of_program(a: Attempt, node: Node, threads: int, own: dict[str, str], scratch: str) -> dict[str, str]:
    """All that is added to the environment of a program; the declaration's own variables win."""
    return {
        **pinned(devices(a, node), threads),
        **own,
        **mark_environment(a.task, a.number, a.run.index),
        "WORKBENCH_SCRATCH": scratch,
    }
