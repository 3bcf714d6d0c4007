"""The contract between the engine and whatever runs attempts.

Rules, which `workbench.testing.conformance` checks against every implementation:

1. All methods are called, and all events delivered, on the engine's event loop; `deliver` never blocks.
2. Actions are repeatable: a `Launch` for an attempt that is already known changes nothing; a `Stop` or `Tell` for
   one that is unknown is ignored.
3. Each launched attempt ends in exactly one `AttemptFinished` or `AttemptEnded`, or its node ends in `NodeLeft`.
   `AttemptStarted` comes before, and may be left out for attempts shorter than 50 ms.
4. Slots given by the core are never exceeded: attempts with `placed.queued` start, in order, when an earlier attempt
   of the same node has ended. (Functions in child processes may be handed ahead, and then pass each other by a bounded
   number of places.)
5. `NodeJoined` precedes any other event about the node. A node name is never used again in the same campaign.
6. A node that `Provide.retire` names ends in `NodeLeft` (cause `Preempted`) once nothing runs, queues or has a share on
   it, after the last end there; nothing is killed for it unless `Provide.now`. A later `Provide` that names it no more
   keeps it, if it is still there: the same node, under the same name. Nodes beyond `Provide.nodes` that nobody named
   are treated as if they were, those that have not joined first, then those that joined last.
7. After `close` returns nothing that the executor started is alive, and nothing more is delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from workbench.model.actions import Action
from workbench.model.events import Event

Deliver = Callable[[Sequence[Event]], None]


class Executor(Protocol):
    """Runs attempts on nodes and tells what happened to them."""

    async def start(self, deliver: Deliver, *, epoch: int) -> None:
        """Begin to provide nodes; `epoch` fences agents that belong to an earlier engine."""

    def act(self, actions: Sequence[Action]) -> None:
        """Carry out a batch of actions; returns at once."""

    async def close(self) -> None:
        """End every attempt and give every node back."""
