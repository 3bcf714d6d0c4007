"""Commands: what people, tasks and agents may ask of a campaign.

A `Command` is one or more edits (imperative) with an author, the sequence number that it was made against and a
reason. The core validates it as a whole, or refuses it as a whole with the name of the rule that it breaks
(`errors.EditRefused`); an accepted one is journalled with its inverse (`events.CommandAccepted`).
Targets are set names or task ids.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .resources import Pool, Resources
from .specs import Edge, Estimate, Member, SetSpec


class _Edit(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="do", forbid_unknown_fields=True):
    pass


class AddPool(_Edit, frozen=True, tag="AddPool"):
    """Declare a pool."""

    pool: Pool


class ScalePool(_Edit, frozen=True, tag="ScalePool"):
    """Want `nodes` nodes in `pool`.

    Nodes that are too many finish what runs on them and then leave; without `drain` they leave at once, and their
    attempts run again elsewhere.
    """

    pool: str
    nodes: int
    drain: bool = True


class AddSet(_Edit, frozen=True, tag="AddSet"):
    """Add a task set with the edges that lead to its tasks."""

    spec: SetSpec
    edges: tuple[Edge, ...] = ()


class RemoveSet(_Edit, frozen=True, tag="RemoveSet"):
    """Remove a set none of whose tasks has started, with all its edges."""

    name: str


class AddTasks(_Edit, frozen=True, tag="AddTasks"):
    """Append `members` to `set` (``n`` plain ones where `members` is empty)."""

    set: str
    members: tuple[Member, ...] = ()
    n: int = 0


class RemoveTasks(_Edit, frozen=True, tag="RemoveTasks"):
    """Remove tasks that have not started; indices of the others stay."""

    tasks: tuple[str, ...]


class RestoreTasks(_Edit, frozen=True, tag="RestoreTasks"):
    """Bring back tasks that `RemoveTasks` took out (its inverse)."""

    tasks: tuple[str, ...]


class AddEdges(_Edit, frozen=True, tag="AddEdges"):
    """Add dependencies; their `dst` must not have started."""

    edges: tuple[Edge, ...]


class RemoveEdges(_Edit, frozen=True, tag="RemoveEdges"):
    """Remove dependencies."""

    edges: tuple[Edge, ...]


class ReplaceSpec(_Edit, frozen=True, tag="ReplaceSpec"):
    """Change what a set (or, for `parameters` and `estimate`, one task) is, for its attempts that have not started.

    A field left at UNSET stays. `parameters` replaces the whole dictionary.
    """

    target: str
    resources: Resources | msgspec.UnsetType = msgspec.UNSET
    estimate: Estimate | None | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    timeout_s: float | None | msgspec.UnsetType = msgspec.UNSET
    retries: int | msgspec.UnsetType = msgspec.UNSET
    tags: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    stage: int | None | msgspec.UnsetType = msgspec.UNSET
    on_failed_input: str | msgspec.UnsetType = msgspec.UNSET


class SetPriority(_Edit, frozen=True, tag="SetPriority"):
    """Higher first; None for a task means "as its set"."""

    target: str
    priority: int | None


class Hold(_Edit, frozen=True, tag="Hold"):
    """Keep tasks that have not started from starting."""

    targets: tuple[str, ...]


class Release(_Edit, frozen=True, tag="Release"):
    """Undo `Hold`."""

    targets: tuple[str, ...]


class Cancel(_Edit, frozen=True, tag="Cancel"):
    """End tasks for good; running attempts are killed with all their children after `grace_s`. Has no inverse."""

    targets: tuple[str, ...]
    grace_s: float = 2.0


class Retry(_Edit, frozen=True, tag="Retry"):
    """Run failed, cancelled or skipped tasks again, with a fresh retry budget."""

    targets: tuple[str, ...]


class Invalidate(_Edit, frozen=True, tag="Invalidate"):
    """Forget results of done tasks, and of every task that depends on them, and run them again."""

    targets: tuple[str, ...]


class Steer(_Edit, frozen=True, tag="Steer"):
    """Hand changed `parameters`, or a request to stop early, to the running attempts of `target`."""

    target: str
    parameters: dict[str, Any] = {}
    stop: bool = False


class SetMode(_Edit, frozen=True, tag="SetMode"):
    """``sequential``, ``asynchronous`` or ``adaptive``."""

    mode: str


class SetPolicy(_Edit, frozen=True, tag="SetPolicy"):
    """Name of a policy (`core.policies`)."""

    policy: str


Edit = (
    AddPool
    | ScalePool
    | AddSet
    | RemoveSet
    | AddTasks
    | RemoveTasks
    | RestoreTasks
    | AddEdges
    | RemoveEdges
    | ReplaceSpec
    | SetPriority
    | Hold
    | Release
    | Cancel
    | Retry
    | Invalidate
    | Steer
    | SetMode
    | SetPolicy
)


UNDO = "undo"
REDO = "redo"


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """A command that an undo or redo passed over, and why it could not be taken back."""

    id: str
    why: str


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One or more edits, applied together or not at all.

    Attributes
    ----------
    id : str
        Chosen by the author; a command sent twice under one id is applied once.
    edits : tuple of Edit
        Applied in order.
    author : str
        ``"user:NAME"``, ``"task:ID"`` or ``"agent:NAME"``.
    base : int
        Sequence number that the author saw; -1 means "whatever it is now".
    reason : str
        For the history.
    undoes : str
        Id of the command that this one undoes (or, for a redo, of the undo). A command without edits asks the engine
        to fill them in; with ``undoes=UNDO`` or ``REDO``, also to choose the command (see `core.undo`).
    passed : tuple of Passed
        The newest of the commands that were passed over in choosing; `passed_more` counts the others.
    """

    id: str
    edits: tuple[Edit, ...]
    author: str = "user"
    base: int = -1
    reason: str = ""
    undoes: str = ""
    passed: tuple[Passed, ...] = ()
    passed_more: int = 0


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a command: accepted at `seq`, or refused by `rule` with a sentence about `subject`."""

    id: str
    ok: bool
    seq: int = -1
    rule: str = ""
    message: str = ""
    subject: str = ""
