"""Turn the first argument of a declaration into `workbench.model.specs.Work`, and check calls before they are sent."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from workbench.model import specs
from workbench.model.errors import BadValue

from . import options
from .taskset import OPTIONS

Packed = Callable[[Callable[..., Any], str], specs.Payload]


def label_of(fn: Any) -> str:
    """A short name for people: the function's, or the program's."""
    if isinstance(fn, specs.Executable | specs.Mpi):
        words = options.argv(fn.argv, type(fn).__name__)
        return os.path.basename(words[0]) or "task"
    if isinstance(fn, specs.Synthetic):
        return "task"
    while isinstance(fn, functools.partial):
        fn = fn.func
    return str(getattr(fn, "__name__", type(fn).__name__))


def qualified(fn: Any) -> str:
    """``module:qualname`` of a callable."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return f"{getattr(named, '__module__', None) or '__main__'}:{named.__qualname__}"


def parse(fn: Any, pack: Packed, *, isolation: Any, preload: Any, dask: Any) -> specs.Work:
    """The work that `fn` describes.

    Raises
    ------
    BadValue
        If it is no work, or an option does not apply to it.
    NotSerializable
        If a function cannot be sent.
    """
    how = options.choice(isolation, "isolation", options.ISOLATIONS)
    modules = options.modules(preload)
    uses_dask = options.truth(dask, "dask")
    kind = type(fn).__name__
    if isinstance(fn, specs.Executable | specs.Mpi | specs.Synthetic):
        if how != "child" or modules or uses_dask:
            raise BadValue(
                f"isolation, preload and dask are for Python functions, and this is {_a(kind)} task: leave them out"
            )
    if isinstance(fn, specs.Synthetic):
        return fn
    if isinstance(fn, specs.Executable):
        return specs.Executable(options.argv(fn.argv, kind), *_files(fn))
    if isinstance(fn, specs.Mpi):
        return specs.Mpi(
            options.argv(fn.argv, kind),
            options.whole(fn.ranks, "ranks", 1),
            options.whole(fn.cores_per_rank, "cores_per_rank", 1),
            options.argv(fn.launcher, "Mpi.launcher"),
            *_files(fn),
        )
    if inspect.isclass(fn) and issubclass(fn, specs.Executable | specs.Mpi | specs.Synthetic):
        raise BadValue(f"{fn.__name__} is a kind of task, not a task: write {fn.__name__}(...)")
    if not callable(fn):
        raise BadValue(f"{fn!r} is no task: give a function, Executable([...]), Mpi([...], ranks=8) or Synthetic()")
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        raise BadValue(
            f"{label_of(fn)} is a generator or coroutine function, so calling it runs nothing: give a function that "
            "returns its result",
            label_of(fn),
        )
    name = qualified(fn)
    return specs.Function(pack(fn, name), name, how, modules, uses_dask)


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIOM" else f"a {kind}"


def _files(fn: specs.Executable | specs.Mpi) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    kind = type(fn).__name__
    env = options.texts(fn.env, f"{kind}.env")
    for key in env:
        if not key or "=" in key:
            raise BadValue(f"{kind}.env: {key!r} is no name of an environment variable")
    inputs = options.texts(fn.inputs, f"{kind}.inputs")
    for name in inputs:
        _inside(name, f"{kind}.inputs")
    if isinstance(fn.outputs, str):
        raise BadValue(f'{kind}.outputs is a list of file names: write ["{fn.outputs}"]')
    outputs = tuple(options.argv(fn.outputs, f"{kind}.outputs")) if tuple(fn.outputs) else ()
    for name in outputs:
        _inside(name, f"{kind}.outputs")
    # The program runs in a scratch directory of its own, so a relative path would no longer lead to the file.
    absolute = {name: os.path.abspath(os.path.expanduser(path)) for name, path in inputs.items()}
    return env, absolute, outputs


def _inside(name: str, what: str) -> None:
    if not name or os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] in (os.pardir, os.curdir):
        raise BadValue(f"{what}: {name!r} is no file name inside the task's scratch directory")


_signatures: WeakKeyDictionary[FunctionType, tuple[tuple[Any, ...], inspect.Signature]] = WeakKeyDictionary()


def _signature(fn: Any) -> inspect.Signature | None:
    """What `fn` can be called with; None for a builtin without a signature, which tells nothing.

    Kept for plain functions: a loop that declares thousands of tasks asks for the same one each time.
    """
    plain = type(fn) is FunctionType
    made_of = (fn.__code__, fn.__defaults__, fn.__kwdefaults__, fn.__dict__.get("__signature__")) if plain else ()
    known = _signatures.get(fn) if plain else None
    if known is not None and all(a is b for a, b in zip(known[0], made_of, strict=True)):
        return known[1]
    try:
        found = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    if plain:
        _signatures[fn] = (made_of, found)
    return found


def check_call(fn: Any, n_args: int, keywords: Iterable[str], name: str) -> None:
    """Refuse a call that the function's signature cannot take, which would fail on the worker for sure.

    Raises
    ------
    BadValue
        With Python's own reason, and the option that a keyword was probably meant to be.
    """
    keys = list(keywords)
    signature = _signature(fn)
    if signature is None:
        return
    try:
        signature.bind(*[None] * n_args, **dict.fromkeys(keys))
    except TypeError as error:
        hint = ""
        for key in keys:
            near = difflib.get_close_matches(key, OPTIONS, 1, 0.75)
            if near and key not in signature.parameters:
                hint = f" (for the option write {near[0]}=)"
        raise BadValue(f"{name}: the function cannot be called like this: {error}{hint}", name) from None


def takes(fn: Any, n_args: int) -> tuple[str, ...] | None:
    """Names that `fn` takes as keywords beside `n_args` positional arguments; None: any, or nobody knows."""
    signature = _signature(fn)
    if signature is None:
        return None
    given = list(signature.parameters.values())
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in given):
        return None
    positional = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    bound = {p.name for p in positional[:n_args]}
    return tuple(p.name for p in given if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in bound)


def item_parameters(item: Any, what: str) -> dict[str, Any]:
    """What an executable's item gives its command line: a dictionary as it is, anything else as ``{item}``."""
    return options.parameters(item if isinstance(item, Mapping) else {"item": item}, what)


def labels(value: Any, n: int) -> Sequence[str]:
    """One label for each task."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise BadValue(f"labels must be one text for each task, not {value!r}", "labels")
    found = [str(label) for label in value]
    if len(found) != n:
        raise BadValue(f"there are {len(found)} labels for {n} tasks: give one for each", "labels")
    return found
