"""How functions, arguments and results become bytes, and values again.

Functions and arguments travel from a campaign's owner to the owner's own workers as cloudpickle. A handle among the
arguments is replaced by a reference, ``("task", "sim[3]")``, ``("set", "sim")``, ``("each", "sim")`` or ``("item",)``:
its type has a method ``__workbench_ref__`` that gives it. Results take the plainest form that gives back exactly what
was returned: JSON, then npy, then pickle.
"""

from __future__ import annotations

import functools
import io
import math
import pickle
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from workbench.model.errors import NotSerializable

from .diagnose import culprit

Ref = tuple[str, ...]

_MAX_JSON_NODES = 100_000
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_WAY_OUT = "create it inside the function, or pass a path or plain values instead"


# --- functions and arguments ----------------------------------------------------------------------------------------


def encode_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, list[Ref]]:
    """Pickle the arguments of a call, with references in place of handles.

    Returns
    -------
    data : bytes
        For `decode_call`.
    references : list of tuple of str
        What was referred to, each once, in the order found: where the edges come from.

    Raises
    ------
    NotSerializable
        Naming the argument and the type of what cannot be sent.
    """
    references: dict[Ref, None] = {}

    def refer(obj: Any) -> Ref | None:
        found = _ref_of(obj)
        if found is not None:
            references[found] = None
        return found

    try:
        return _dumps((args, kwargs), refer), list(references)
    except Exception as error:
        for label, value in [*((f"argument {i}", v) for i, v in enumerate(args)), *kwargs.items()]:
            problem = culprit(value, label, lambda v: _dumps(v, _ref_of))
            if problem is not None:
                raise NotSerializable(f"{problem} cannot be sent to a worker: {_first(error)}; {_WAY_OUT}") from error
        raise NotSerializable(f"the arguments cannot be sent to a worker: {_first(error)}; {_WAY_OUT}") from error


def references(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Ref]:
    """What `args` and `kwargs` refer to; raises as `encode_call`."""
    return encode_call(args, kwargs)[1]


def decode_call(data: bytes, resolve: Callable[[Ref], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inverse of `encode_call`; `resolve` gives the value of each reference."""
    unpickler = _Unpickler(io.BytesIO(data))
    unpickler.resolve = resolve
    args, kwargs = unpickler.load()
    return args, kwargs


def encode_function(fn: Callable[..., Any]) -> bytes:
    """Pickle a function: by its name if a module can be imported that has it, else by value.

    Raises
    ------
    NotSerializable
        Naming the function and the type of what it holds that cannot be sent; also if it holds a handle.
    """
    name = getattr(fn, "__qualname__", None) or repr(fn)
    held: list[Ref] = []

    def refuse(obj: Any) -> Ref | None:
        found = _ref_of(obj)
        if found is not None:
            held.append(found)
        return found

    try:
        data = _dumps(fn, refuse)
    except Exception as error:
        problem = culprit(fn, f"function {name}", lambda v: _dumps(v, _ref_of)) or f"function {name}"
        raise NotSerializable(f"{problem} cannot be sent to a worker: {_first(error)}; {_WAY_OUT}") from error
    if held:
        raise NotSerializable(
            f"function {name} uses the handle of {held[0][-1]} from outside; pass it as an argument, so that the "
            "function receives its result"
        )
    return data


def decode_function(data: bytes) -> Callable[..., Any]:
    """Inverse of `encode_function`."""
    fn: Callable[..., Any] = pickle.loads(data)
    return fn


def _ref_of(obj: Any) -> Ref | None:
    refer = getattr(type(obj), "__workbench_ref__", None)
    return None if refer is None else tuple(refer(obj))


def _dumps(value: Any, refer: Callable[[Any], Ref | None]) -> bytes:
    buffer = io.BytesIO()
    pickler = _pickler()(buffer, protocol=5)
    pickler.refer = refer
    pickler.dump(value)
    return buffer.getvalue()


@functools.cache
def _pickler() -> Any:
    """The pickler's class: made on first use, since a child that only decodes plain calls never needs cloudpickle."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined, unused-ignore]
        refer: Callable[[Any], Ref | None]

        def persistent_id(self, obj: Any) -> Ref | None:
            return self.refer(obj)

    return Pickler


class _Unpickler(pickle.Unpickler):
    resolve: Callable[[Ref], Any]

    def persistent_load(self, ref: Ref) -> Any:
        return self.resolve(ref)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# --- results --------------------------------------------------------------------------------------------------------


def encode_result(value: Any) -> tuple[str, bytes]:
    """Encode what a task returned.

    Returns
    -------
    codec : str
        ``"json"`` if that gives back equal values of exactly equal types: None, bool, int of 64 bits, finite float,
        str, list, and dict with str keys; ``"npy"`` for a plain numpy array without objects; else ``"pickle"``.
    data : bytes
        For `decode_result`.

    Raises
    ------
    NotSerializable
        Naming the type of what cannot be sent.
    """
    kind = type(value)
    if value is None:
        return "json", b"null"
    if kind is int:
        if -0x8000000000000000 <= value < 0x8000000000000000:
            return "json", b"%d" % value
        return "pickle", pickle.dumps(value, 5)
    if kind in _PLAIN:
        try:
            if _count(value, 0) <= _MAX_JSON_NODES:
                return "json", _encode_json(value)
        except (ValueError, RecursionError):  # not plain within, half a surrogate pair, or a list that holds itself
            pass
    else:
        numpy = sys.modules.get("numpy")
        if numpy is not None and kind is getattr(numpy, "ndarray", None) and _npy_keeps(numpy, value.dtype):
            buffer = io.BytesIO()
            numpy.lib.format.write_array(buffer, value, allow_pickle=False)
            return "npy", buffer.getvalue()
    return "pickle", _pickle_result(value)


def decode_result(codec: str, data: bytes) -> Any:
    """Inverse of `encode_result`.

    Raises
    ------
    ValueError
        If there is no such codec.
    """
    if codec == "json":
        return _decode_json(data)
    if codec == "npy":
        import numpy

        return numpy.load(io.BytesIO(data), allow_pickle=False)
    if codec == "pickle":
        return pickle.loads(data)
    raise ValueError(f"{codec!r} is no codec for results; there are json, npy and pickle")


_PLAIN = frozenset({bool, float, str, list, dict})


def _count(value: Any, count: int) -> int:
    """Number of values within `value`, added to `count`; stops counting beyond the limit.

    Raises
    ------
    ValueError
        If one of them would not come back from JSON as it is.
    """
    kind = type(value)
    count += 1
    if kind is list:
        for item in value:
            if count > _MAX_JSON_NODES:
                return count
            count = _count(item, count)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str or count > _MAX_JSON_NODES:
                raise ValueError
            count = _count(item, count)
    elif kind is int:
        if not -0x8000000000000000 <= value < 0x8000000000000000:
            raise ValueError
    elif kind is float:
        if not math.isfinite(value):
            raise ValueError
    elif not (value is None or kind is bool or kind is str):
        raise ValueError
    return count


def _npy_keeps(numpy: Any, dtype: Any) -> bool:
    """Whether the npy format gives `dtype` back as it is."""
    if dtype.hasobject or dtype.metadata:
        return False
    try:
        return bool(numpy.lib.format.descr_to_dtype(numpy.lib.format.dtype_to_descr(dtype)) == dtype)
    except (TypeError, ValueError, Warning):
        return False


def _pickle_result(value: Any) -> bytes:
    try:
        return pickle.dumps(value, 5)
    except Exception:
        try:
            return _dumps(value, lambda obj: None)
        except Exception as error:
            problem = culprit(value, "the result", lambda v: _dumps(v, lambda obj: None)) or "the result"
            raise NotSerializable(
                f"{problem} cannot be sent back: {_first(error)}; return plain values, or the path of a file"
            ) from error
