"""Values of a campaign on their way into its store and back: code, arguments, items, results."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from workbench.model.errors import NotSerializable, StoreDamaged, WorkbenchError
from workbench.model.specs import Payload, Result
from workbench.store import Store, codec

from .handles import Ref

_PLAIN = frozenset({int, str, float, bool, type(None)})


class StorePacker:
    """`declare.Packer` over the store of a campaign."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def code(self, fn: Callable[..., Any], name: str) -> Payload:
        """A function, with what it needs.

        Raises
        ------
        NotSerializable
            Naming what cannot be sent.
        """
        try:
            return self._store.payload(codec.encode_function(fn))
        except NotSerializable as error:
            raise _meant(error) from None

    def call(self, args: tuple[Any, ...], keywords: dict[str, Any], name: str) -> tuple[Payload, Sequence[Ref]]:
        """The arguments that a set shares, and what they refer to."""
        try:
            data, refs = codec.encode_call(args, keywords)
        except NotSerializable as error:
            raise _meant(error, name) from None
        return self._store.payload(data), refs

    def item(self, value: Any, name: str) -> tuple[Payload, Sequence[Ref]]:
        """A task's own item: a call with this one argument."""
        if type(value) in _PLAIN:
            # What `encode_call` writes for these, without the price of a pickler that looks for handles.
            return self._store.payload(pickle.dumps(((value,), {}), 5)), ()
        return self.call((value,), {}, name)


def _meant(error: NotSerializable, name: str = "") -> WorkbenchError:
    """The sentence for the user: a handle's own refusal if that was the reason, else the codec's."""
    if isinstance(error.__cause__, WorkbenchError):
        return error.__cause__
    return NotSerializable(f"{name}: {error}") if name else error


def unpack(store: Store, result: Result, task: str) -> Any:
    """The value of a published result; its digest is checked.

    Raises
    ------
    StoreDamaged
        If its file is missing or is not what was published; says how to make it anew.
    """
    try:
        return codec.decode_result(result.codec, store.load_result_bytes(result))
    except StoreDamaged as error:
        raise StoreDamaged(f"cannot read the result of {task}: {error}; invalidate({task!r}) runs it again") from error
