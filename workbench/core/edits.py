"""The rules that a command must keep, and the inverse of each edit.

`validate(state, command)` reads the state, raises an `EditRefused` that names the broken rule, or returns the edits
that undo the command (None where nothing can). It changes nothing; `core.apply` carries accepted edits out. The rules
themselves are in `rules_structure` and `rules_tasks`, one function for each edit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.model import edits as ed
from workbench.model.errors import BadValue, StaleBase

from . import rules_structure as structure
from . import rules_tasks as tasks
from .apply import names_of
from .draft import Draft, Inverse
from .state import SetState, State


def validate(state: State, command: ed.Command) -> Inverse:
    """Judge a command against the present state.

    Returns
    -------
    tuple of Edit, or None
        What takes the whole command back; None if some edit of it has no inverse.

    Raises
    ------
    EditRefused
        Naming the first rule that the command breaks.
    """
    if not command.edits:
        raise BadValue("the command holds no edit; say what to change")
    if command.base >= 0:
        for name in sorted(set().union(*(names_of(e) for e in command.edits))):
            s = state.sets.get(name)
            if s is not None and s.changed > command.base:
                raise StaleBase(
                    f"task set {name!r} was changed at {s.changed}, after {command.base}, the state that this edit was "
                    "made against; look at it again and repeat the edit if you still want it",
                    name,
                )
    # A task that steers or cancels others races with their ends; a person who comes too late wants to know it.
    draft = Draft(state, lenient=command.author.startswith("task:"))
    inverse: list[ed.Edit] | None = []
    for edit in command.edits:
        back = _RULES[type(edit)](draft, edit)
        if back is None or inverse is None:
            inverse = None
        else:
            inverse[:0] = back
    draft.check_whole()
    return None if inverse is None else tuple(inverse)


def effective_parameters(s: SetState, task: Any) -> dict[str, Any]:
    """Parameters of a task: the set's, over them its own, over them what a person steered."""
    own = task.member.parameters if task.member is not None else {}
    return {**s.spec.parameters, **own, **(task.steered or {})}


_RULES: dict[type, Callable[[Draft, Any], Inverse]] = {
    ed.AddPool: structure.add_pool,
    ed.ScalePool: structure.scale_pool,
    ed.AddSet: structure.add_set,
    ed.RemoveSet: structure.remove_set,
    ed.AddTasks: structure.add_tasks,
    ed.RemoveTasks: structure.remove_tasks,
    ed.RestoreTasks: structure.restore_tasks,
    ed.AddEdges: structure.add_edges,
    ed.RemoveEdges: structure.remove_edges,
    ed.ReplaceSpec: tasks.replace_spec,
    ed.SetPriority: tasks.set_priority,
    ed.Hold: tasks.hold,
    ed.Release: tasks.release,
    ed.Cancel: tasks.cancel,
    ed.Retry: tasks.retry,
    ed.Invalidate: tasks.invalidate,
    ed.Steer: tasks.steer,
    ed.SetMode: tasks.set_mode,
    ed.SetPolicy: tasks.set_policy,
}
