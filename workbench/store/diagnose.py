"""Which part of a value cannot be pickled: the answer that a pickle error does not give."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

_MAX_TRIES = 300
_MAX_DEPTH = 8


def culprit(value: Any, label: str, dumps: Callable[[Any], object]) -> str | None:
    """Describe the innermost part of `value` that `dumps` refuses, or None if it refuses nothing.

    Returns
    -------
    str or None
        For example ``"argument 1: ['model'].lock (a _thread.lock)"``.
    """
    tries = _MAX_TRIES
    seen: set[int] = set()

    def refused(part: Any) -> bool:
        nonlocal tries
        tries -= 1
        try:
            dumps(part)
        except Exception:
            return True
        return False

    if not refused(value):
        return None
    path, depth = "", 0
    while depth < _MAX_DEPTH:
        seen.add(id(value))
        for step, part in _parts(value):
            if tries <= 0:
                break
            if id(part) not in seen and refused(part):
                path, value = path + step, part
                break
        else:
            break
        if tries <= 0:
            break
        depth += 1
    kind = type(value)
    where = f": {path.lstrip('.')}" if path else ""
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{label}{where} (of type {home}{kind.__qualname__})"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of `value` with how one would write the way to them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_short(key)}]", item
        return
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield f"[{i}]", item
        return
    if isinstance(value, (set, frozenset)):
        for item in value:
            yield ".{element}", item
        return
    if isinstance(value, types.MethodType):
        yield ".self", value.__self__
        value = value.__func__
    if isinstance(value, types.FunctionType):
        yield from _used_by(value)
        return
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        for name, item in attributes.items():
            yield f".{name}", item


def _used_by(fn: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function brings along when it is pickled by value: closure, defaults, and the globals that it names."""
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            yield f".{name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for i, default in enumerate(fn.__defaults__ or ()):
        yield f".{{default {i}}}", default
    for name, default in (fn.__kwdefaults__ or {}).items():
        yield f".{{default {name}}}", default
    for name in _names(fn.__code__):
        if name in fn.__globals__:
            yield f".{name}", fn.__globals__[name]


def _names(code: types.CodeType) -> Iterator[str]:
    """Names that `code` and the functions within it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."
