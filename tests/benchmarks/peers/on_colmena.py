"""Colmena: a local task server that starts what it is sent, and the slots of the nodes counted by hand in the thinker.

Colmena has neither dependencies nor placement: both are written out here.
"""

from __future__ import annotations

import time
from typing import Any

import common
from colmena.queue.python import PipeQueues
from colmena.task_server.local import LocalTaskServer


class Nodes:
    """Free cores and GPUs of each node; a task goes to the first node that holds it."""

    def __init__(self, nodes: int, cores: int, gpus: int) -> None:
        self.free = [[cores, gpus] for _ in range(nodes)]

    def take(self, cores: int, gpus: int) -> int | None:
        for i, have in enumerate(self.free):
            if have[0] >= cores and have[1] >= gpus:
                have[0] -= cores
                have[1] -= gpus
                return i
        return None

    def give(self, node: int, cores: int, gpus: int) -> None:
        self.free[node][0] += cores
        self.free[node][1] += gpus


def placed(rows: list[dict[str, Any]], nodes: int, cores: int, gpus: int, scale: float, mode: str) -> dict[str, Any]:
    """A paper workflow. See `on_dask.placed`; ready tasks start in the best order that is known."""
    queues = PipeQueues()
    server = LocalTaskServer(queues, [common.hold], threads=True, num_workers=nodes * (gpus + 2))
    server.start()
    by_name = {row["name"]: row for row in rows}
    queues.send_inputs(0.0, method="hold", task_info={"set": "", "node": 0})  # the server is up
    first = queues.get_result()
    assert first is not None and first.success
    table = Nodes(nodes, cores, gpus)
    waiting = {row["name"]: row["n"] for row in rows}
    left = dict(waiting)
    spans: list[tuple[str, int, float, float]] = []
    running = 0
    began = time.time()

    def ready() -> list[dict[str, Any]]:
        stage = min((row["stage"] for row in rows if left[row["name"]]), default=0)
        found = [
            row
            for row in rows
            if waiting[row["name"]]
            and not any(left[name] for name in row["after"])
            and (mode != "sequential" or row["stage"] == stage)
        ]
        return sorted(found, key=lambda row: common.rank_of(row["name"]))

    while any(left.values()):
        for row in ready():
            while waiting[row["name"]]:
                node = table.take(row["cores"], row["gpus"])
                if node is None:
                    break
                waiting[row["name"]] -= 1
                running += 1
                info = {"set": row["name"], "node": node}
                queues.send_inputs(row["tx_s"] * scale, method="hold", task_info=info)
        result = queues.get_result()
        assert result is not None and result.success, result
        running -= 1
        name, node = result.task_info["set"], result.task_info["node"]
        table.give(node, by_name[name]["cores"], by_name[name]["gpus"])
        left[name] -= 1
        spans.append((name, node, *result.value))
    ended = max(end for _, _, _, end in spans)
    queues.send_kill_signal()
    server.join()
    held = {
        what: max(common.peaks((str(node), a, b, by_name[name][what]) for name, node, a, b in spans).values())
        for what in ("cores", "gpus")
    }
    return {"makespan_s": (ended - began) / scale, "peak_cores": held["cores"], "peak_gpus": held["gpus"]}


if __name__ == "__main__":
    common.serve(lambda: None, {"placed": placed})  # type: ignore[arg-type, return-value]
