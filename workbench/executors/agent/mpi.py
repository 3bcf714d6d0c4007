"""The command line that starts an MPI program."""

from __future__ import annotations

import math

from workbench.executors.agent.executable import Refused, expand
from workbench.model.causes import Cause
from workbench.model.specs import Mpi


def launcher(work: Mpi, nodes: int, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """The launcher's part of the command line, its placeholders replaced.

    Parameters
    ----------
    nodes : int
        Number of nodes of the attempt.
    hosts : tuple of str
        Their host names.

    Raises
    ------
    Refused
        If the ranks cannot be spread, or the launcher wants host names that are not known.
    """
    if work.ranks < nodes:
        raise Refused(
            Cause.LaunchRefused, f"{work.ranks} ranks cannot be spread over {nodes} nodes; ask for fewer nodes"
        )
    if not hosts and any("{hosts}" in part for part in work.launcher):
        raise Refused(Cause.LaunchRefused, "the launcher wants {hosts}, but the host names of the nodes are not known")
    values = {
        "ranks": work.ranks,
        "ranks_per_node": math.ceil(work.ranks / nodes),
        "cores_per_rank": work.cores_per_rank,
        "nodes": nodes,
        "hosts": ",".join(hosts),
    }
    return tuple(expand(part, values) for part in work.launcher)
