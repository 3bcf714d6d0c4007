"""What a worker's agent is told when it is installed."""

from __future__ import annotations

import re

import msgspec

from workbench.executors.agent.wire import Node

_INSTANCE = re.compile(r"-\d+$")


class AgentConfig(msgspec.Struct, frozen=True):
    """Settings of the agents of one campaign; travels with the plugin to each worker.

    Attributes
    ----------
    directory : str
        The campaign's directory, shared by all workers: contact file, store, logs, scratch.
    offers : dict
        Worker name -> the nodes that this worker carries. A name is looked up as it is, then without ``-NUMBER`` at
        its end, then as ``"*"``. In node names ``{worker}`` and ``{agent}`` are replaced by the worker's name and by
        the agent's id, which is new in each life of a worker; so names are never used twice.
    preload : tuple of str
        Modules that every keeper imports before it forks; those not installed are left out. NumPy costs 4 MiB (PSS)
        for each process and saves a child's first import 60 ms; a set can ask for it alone (`Function.preload`).
    warm : bool
        Fork the first child before there is work for it.
    orphan_s : float
        An agent that has found no engine for so long ends its attempts and itself.
    stop_s : float
        Upper bound of an orderly stop.
    """

    directory: str
    offers: dict[str, tuple[Node, ...]]
    preload: tuple[str, ...] = ()
    warm: bool = True
    orphan_s: float = 600.0
    stop_s: float = 1.0

    def nodes_of(self, worker: str, agent: str) -> tuple[Node, ...]:
        """The nodes that the agent `agent` in the Dask worker `worker` carries."""
        for key in (worker, _INSTANCE.sub("", worker), "*"):
            if key in self.offers:
                break
        else:
            return ()
        return tuple(
            msgspec.structs.replace(n, name=n.name.replace("{worker}", worker).replace("{agent}", agent))
            for n in self.offers[key]
        )
