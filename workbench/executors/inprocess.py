"""Calling a task's function in this process: what the fake cluster does where a worker would ask a child."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.model.actions import Launch
from workbench.model.edits import Edit
from workbench.model.specs import Function, Payload, Result
from workbench.store import Layout, Store, codec


@dataclass(frozen=True)
class Returned:
    """A function's published result and the edits that it asks for."""

    result: Result
    growth: tuple[Edit, ...] = ()


def call_function(launch: Launch, layout: Layout | None = None) -> Returned:
    """Decode the function and arguments of `launch`, call, encode what it returns.

    Parameters
    ----------
    launch : Launch
        Of a `Function`.
    layout : store.layout.Layout, optional
        Where the store is; without one, payloads must be inline and every result is.

    Raises
    ------
    BaseException
        Whatever the function raises.
    """
    work = launch.plan.work
    assert isinstance(work, Function)
    store = Store(layout.directory, durable=False) if layout is not None else None

    def load(payload: Payload) -> bytes:
        return payload.inline if store is None else store.load_payload(payload)

    def value(result: Result) -> Any:
        return codec.decode_result(result.codec, result.inline if store is None else store.load_result_bytes(result))

    def resolve(ref: codec.Ref) -> Any:
        if ref[0] == "item":
            item = launch.member.item if launch.member is not None else None
            return item_of(load(item), resolve) if item is not None else None
        name = f"{ref[1]}/each" if ref[0] == "each" else ref[1]
        values = [value(r) for r in launch.inputs[name]]
        return values if ref[0] == "set" else values[0]

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if launch.plan.args is not None:
        args, kwargs = codec.decode_call(load(launch.plan.args), resolve)
    own = launch.member.parameters if launch.member is not None else {}
    returned = codec.decode_function(load(work.code))(*args, **{**kwargs, **launch.plan.parameters, **own})
    kind, data = codec.encode_result(returned)
    return Returned(store.result(kind, data) if store is not None else Result(kind, data, size=len(data)))


def item_of(data: bytes, resolve: Any) -> Any:
    """A member's item: pickled as a call with one argument."""
    (item,), _ = codec.decode_call(data, resolve)
    return item
