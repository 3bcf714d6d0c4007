"""Which command an undo or redo takes back.

Rules
-----
1. Undo takes back the newest command that can still be taken back; redo, the newest undo. A command that came too late
   (its tasks run or have ended, its set is gone, its nodes are too few) is passed over, stays where it is, and may be
   taken back later if it becomes possible again.
2. A command is passed over, too, if one that was passed over came after it and changed the same thing: the older value
   must not silently replace the newer one.
3. An undo that names a command takes back that one or is refused with the reason; rule 2 holds for it as well, with
   every later command that still stands.
4. Taking back is judged like any other edit (`edits.validate`), against the state as it is; nothing is remembered but
   the two stacks, so a replay chooses nothing: the record holds the edits, what they undo and what was passed over.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from workbench.model import edits as ed
from workbench.model.errors import EditRefused, NothingToUndo, NotUndoable, StaleBase, UnknownName
from workbench.model.ids import is_task, set_of

from .apply import is_undo
from .edits import validate
from .state import State

TOLD = 10  # commands that were passed over, of which the record says why; the rest are counted


def resolve(state: State, command: ed.Command) -> ed.Command:
    """Fill in what an undo or redo stands for; other commands come back as they are.

    Raises
    ------
    NothingToUndo
        If no command is left that can be taken back; says why for the newest one.
    UnknownName, NotUndoable, EditRefused
        If a certain command was named, and it cannot be taken back.
    """
    if not command.undoes or command.edits:
        return command
    if command.undoes == ed.UNDO:
        return _newest(state, command, state.undo_stack)
    if command.undoes == ed.REDO:
        return _newest(state, command, state.redo_stack)
    return _certain(state, command)


def _newest(state: State, command: ed.Command, stack: list[str]) -> ed.Command:
    kept = _Footprint()
    passed: list[ed.Passed] = []
    for name in reversed(stack):
        inverse = state.commands[name].inverse or ()
        mark = _Footprint(inverse)
        if kept.meets(mark):
            why = "a later command, which cannot be taken back either, changed the same"
        else:
            filled = _filled(state, command, name, inverse)
            try:
                validate(state, msgspec.structs.replace(filled, base=-1))
            except EditRefused as refusal:
                why = str(refusal)
            else:
                more = max(0, len(passed) - TOLD)
                return msgspec.structs.replace(filled, passed=tuple(passed[:TOLD]), passed_more=more)
        kept.add(mark)
        passed.append(ed.Passed(name, why))
    if not passed:
        raise NothingToUndo(f"there is nothing to {command.undoes}")
    late = (
        "it is too late for the last command" if len(passed) == 1 else f"it is too late for all {len(passed)} commands"
    )
    raise NothingToUndo(f"there is nothing to {command.undoes}: {late}; {passed[0].why}", passed[0].id)


def _certain(state: State, command: ed.Command) -> ed.Command:
    name = command.undoes
    accepted = state.commands.get(name)
    if accepted is None:
        raise UnknownName(f"there is no command {name!r}; the history lists them with their ids", name)
    if accepted.inverse is None:
        raise NotUndoable(f"command {name} cannot be taken back: it declared a pool, or ended or restarted work", name)
    # What was taken back and brought back again stands as the command that brought it back.
    taken = {other.undoes: k for k, other in state.commands.items() if other.undoes}
    last, stands = name, True
    while last in taken:
        last, stands = taken[last], not stands
    if not stands:
        raise NothingToUndo(f"command {name} was taken back already, by {last}; redo brings it back", name)
    name, accepted = last, state.commands[last]
    if accepted.inverse is None:
        raise NotUndoable(f"command {name} cannot be taken back: bringing it back restarted work", name)
    mark = _Footprint(accepted.inverse)
    stack = next((s for s in (state.undo_stack, state.redo_stack) if name in s), state.undo_stack)
    after = stack.index(name) + 1 if name in stack else 0
    for later in reversed(stack[after:]):
        other = state.commands[later]
        if other.seq > accepted.seq and _Footprint(other.inverse or ()).meets(mark):
            raise StaleBase(
                f"command {name} cannot be taken back by itself: command {later} changed the same later; take that one "
                "back first",
                name,
            )
    return _filled(state, command, name, accepted.inverse)


def _filled(state: State, command: ed.Command, name: str, inverse: tuple[ed.Edit, ...]) -> ed.Command:
    word = ed.REDO if is_undo(state, name) else ed.UNDO
    return msgspec.structs.replace(command, edits=inverse, undoes=name, reason=command.reason or f"{word} {name}")


class _Footprint:
    """What some edits write to, so that two commands can be asked whether they changed the same thing."""

    def __init__(self, edits: Iterable[ed.Edit] = ()) -> None:
        self._what: set[tuple[str, str]] = set()  # (aspect, target)
        self._part: set[tuple[str, str]] = set()  # (aspect, set) of which some tasks are a target
        self._touched: set[str] = set()  # sets, as far as anything of theirs is written to
        self._whole: set[str] = set()  # sets that are made or removed
        for edit in edits:
            self._look(edit)

    def _look(self, edit: ed.Edit) -> None:
        match edit:
            case ed.AddSet(spec=spec):
                self._whole.add(spec.name)
                self._touched.add(spec.name)
            case ed.RemoveSet(name=name):
                self._whole.add(name)
                self._touched.add(name)
            case ed.RemoveTasks(tasks=tasks) | ed.RestoreTasks(tasks=tasks):
                self._put("tasks", *tasks)
            case ed.AddEdges(edges=edges) | ed.RemoveEdges(edges=edges):
                for edge in edges:
                    self._put(f"edge {edge.kind} {edge.src}", edge.dst)
                    self._touched.add(set_of(edge.src))
            case ed.ReplaceSpec(target=target):
                for field in edit.__struct_fields__:
                    if field != "target" and getattr(edit, field) is not msgspec.UNSET:
                        # A task's own value and its set's are two values.
                        self._what.add((field, target))
                self._touched.add(set_of(target))
            case ed.SetPriority(target=target):
                self._what.add(("priority", target))
                self._touched.add(set_of(target))
            case ed.Hold(targets=targets) | ed.Release(targets=targets):
                self._put("hold", *targets)
            case ed.ScalePool(pool=pool):
                self._what.add(("pool", pool))
            case ed.SetMode() | ed.SetPolicy():
                self._what.add((type(edit).__name__, ""))

    def _put(self, aspect: str, *targets: str) -> None:
        for target in targets:
            self._what.add((aspect, target))
            self._touched.add(set_of(target))
            if is_task(target):
                self._part.add((aspect, set_of(target)))

    def add(self, other: _Footprint) -> None:
        """Take in what `other` writes to."""
        self._what |= other._what
        self._part |= other._part
        self._touched |= other._touched
        self._whole |= other._whole

    def meets(self, other: _Footprint) -> bool:
        """Whether both write to one thing: the same value, a set and a task of it, or a set that one of them makes."""
        return not (
            self._what.isdisjoint(other._what)
            and self._part.isdisjoint(other._what)
            and self._what.isdisjoint(other._part)
            and self._whole.isdisjoint(other._touched)
            and self._touched.isdisjoint(other._whole)
        )
