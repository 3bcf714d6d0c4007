"""What a task asks for and what a node has."""

from __future__ import annotations

import msgspec


class Resources(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Resources of one task, **per node**.

    Attributes
    ----------
    cores : int
        Cores (hardware threads where the pool counts them so) on each node.
    gpus : int
        Whole GPUs on each node.
    memory : int
        Bytes on each node; 0 means not stated.
    nodes : int
        Number of nodes that the task spans; more than one needs an MPI or synthetic task.
    """

    cores: int = 1
    gpus: int = 0
    memory: int = 0
    nodes: int = 1


class NodeShape(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Capacity of one node: cores, GPUs, memory in bytes (0: not limited)."""

    cores: int
    gpus: int = 0
    memory: int = 0

    def holds(self, r: Resources) -> bool:
        """Whether an empty node of this shape can hold one node's share of `r`."""
        return r.cores <= self.cores and r.gpus <= self.gpus and (self.memory == 0 or r.memory <= self.memory)


class Pool(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A declared pool of equal nodes.

    Attributes
    ----------
    name : str
        Unique in the campaign.
    nodes : int
        Number of nodes wanted.
    shape : NodeShape
        Capacity of each.
    kind : str
        Which executor provides it: ``"local"``, ``"virtual"`` or ``"fake"``.
    """

    name: str
    nodes: int
    shape: NodeShape
    kind: str = "local"

    def can_ever_hold(self, r: Resources) -> bool:
        """Whether `r` fits on this pool when it is empty and complete."""
        return r.nodes <= self.nodes and self.shape.holds(r)
