"""Dask: `client.submit` on a local cluster of two worker processes, and ``resources=`` for placement."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import common
from distributed import Client, LocalCluster, get_worker, wait


class Submit:
    """Two workers of one thread. With `slots`, each task asks for one of a worker's declared slots."""

    def __init__(self, slots: bool = False) -> None:
        self.options: dict[str, Any] = {"resources": {"slot": 1}} if slots else {}
        self.client = Client(
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.ERROR,
                **({"resources": {"slot": 1}} if slots else {}),
            )
        )

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.client.submit(fn, *args, pure=False, **self.options)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        return list(self.client.gather(list(futures)))

    def close(self) -> None:
        cluster = self.client.cluster
        self.client.close()
        cluster.close()


def hold_here(seconds: float, *after: Any) -> tuple[str, float, float]:
    """`common.hold`, with the worker's address."""
    began, ended = common.hold(seconds)
    return get_worker().address, began, ended


def placed(
    rows: list[dict[str, Any]], nodes: int, cores: int, gpus: int, scale: float, mode: str, priorities: bool = False
) -> dict[str, Any]:
    """A paper workflow, placed by ``resources=``: one worker process stands for each node.

    Parameters
    ----------
    rows : list of dict
        Fields of `workbench.gallery.paper.Row`.
    mode : str
        ``sequential``: a barrier after each stage. ``asynchronous``: everything submitted at once.
    priorities : bool
        Give Dask the best order that is known.
    """
    cluster = LocalCluster(
        n_workers=nodes,
        threads_per_worker=cores,  # every task is a sleep: threads must never be what limits
        processes=True,
        dashboard_address=None,
        memory_limit=0,
        silence_logs=logging.ERROR,
        resources={"core": cores, "gpu": gpus},
    )
    client = Client(cluster)
    client.wait_for_workers(nodes)
    sets: dict[str, list[Any]] = {}
    began = time.time()
    stage = None
    for row in sorted(rows, key=lambda r: r["stage"]) if mode == "sequential" else rows:
        if mode == "sequential" and stage not in (None, row["stage"]):
            wait([f for futures in sets.values() for f in futures])
        stage = row["stage"]
        needs = [f for name in row["after"] for f in sets[name]]
        asks = {"core": row["cores"], **({"gpu": row["gpus"]} if row["gpus"] else {})}
        more = {"priority": -common.rank_of(row["name"])} if priorities else {}
        sets[row["name"]] = [
            client.submit(hold_here, row["tx_s"] * scale, *needs, resources=asks, pure=False, **more)
            for _ in range(row["n"])
        ]
    done = {name: client.gather(futures) for name, futures in sets.items()}
    ended = max(end for spans in done.values() for _, _, end in spans)
    amounts = {row["name"]: row for row in rows}
    held = {
        what: max(common.peaks((w, a, b, amounts[n][what]) for n, spans in done.items() for w, a, b in spans).values())
        for what in ("cores", "gpus")
    }
    client.close()
    cluster.close()
    return {"makespan_s": (ended - began) / scale, "peak_cores": held["cores"], "peak_gpus": held["gpus"]}


if __name__ == "__main__":
    common.serve(Submit, {"placed": placed})
