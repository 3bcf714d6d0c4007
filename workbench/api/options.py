"""Parse what a user writes beside a function: resources, estimates, names, tags, parameters.

Each function takes one loosely typed value and returns the exact model value, or raises `BadValue` with one sentence
that names the option and the way out. Nothing here knows a campaign.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.executors.pools import BadPool, parse_memory
from workbench.model import specs
from workbench.model.errors import BadValue
from workbench.model.ids import SET_NAME
from workbench.model.resources import Resources

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ESTIMATES = (specs.Constant, specs.Normal, specs.Uniform, specs.LogNormal)

ISOLATIONS = ("child", "thread")
FAILED_INPUT = ("skip", "hold")


def plain(value: Any) -> Any:
    """`value`, or the Python scalar inside a numpy scalar, so that numbers computed with numpy are numbers."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def whole(value: Any, what: str, at_least: int) -> int:
    """A whole number of at least `at_least`."""
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise BadValue(f"{what} must be a whole number of at least {at_least}, not {value!r}", what)
    return int(value)


def integer(value: Any, what: str) -> int:
    """A whole number of any sign."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**31:
        raise BadValue(f"{what} must be a whole number, not {value!r}", what)
    return value


def number(value: Any, what: str) -> float:
    """A finite number."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue(f"{what} must be a number, not {value!r}", what)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadValue(f"{what} must be a finite number, not {value!r}", what)
    return found


def seconds(value: Any, what: str, *, zero: bool = True) -> float:
    """Seconds: finite, not negative, and above zero unless `zero`."""
    found = number(value, what)
    if found < 0 or (found == 0 and not zero):
        raise BadValue(f"{what} must be {'zero or more' if zero else 'more than zero'} seconds, not {value!r}", what)
    return found


def memory(value: Any, what: str = "memory") -> int:
    """Bytes from a whole number or from text such as ``"2 GiB"`` or ``"500 MB"``; 0 and None mean not stated."""
    value = plain(value)
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return parse_memory(value, what)
    except BadPool as error:
        raise BadValue(str(error), what) from None


def set_name(value: Any) -> str:
    """A name that a task set may have."""
    if not isinstance(value, str) or not SET_NAME.fullmatch(value):
        raise BadValue(
            f"{value!r} is no name for a task set: begin with a letter or _ and go on with at most 79 letters, digits, "
            f"_, . or -",
            str(value)[:100],
        )
    return value


def name_from(label: str) -> str:
    """The nearest valid set name to `label`."""
    cleaned = re.sub(r"[^A-Za-z0-9_.\-]+", "-", label.replace("<lambda>", "task")).strip("-.")
    if not cleaned:
        return "task"
    if not SET_NAME.match(cleaned):
        cleaned = f"task-{cleaned}"
    return cleaned[:60]


def estimate(value: Any, what: str = "estimate") -> specs.Estimate | None:
    """An estimate of TX: None, seconds, or one of the distributions of `workbench.model.specs`.

    Raises
    ------
    BadValue
        For anything negative, infinite, NaN or of another kind.
    """
    value = plain(value)
    if value is None:
        return None
    if not isinstance(value, _ESTIMATES):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadValue(
                f"{what} must be seconds, Constant, Normal, Uniform or LogNormal, or None to learn it, not {value!r}",
                what,
            )
        return specs.Constant(seconds(value, what))
    fields = {field: seconds(getattr(value, field), f"{what}.{field}") for field in value.__struct_fields__}
    if isinstance(value, specs.Uniform) and fields["low"] > fields["high"]:
        raise BadValue(f"{what} runs from {value.low} to {value.high} seconds: write the smaller number first", what)
    if isinstance(value, specs.LogNormal) and fields["mean"] == 0:
        raise BadValue(f"{what}.mean must be more than zero seconds: no log-normal time has the mean 0", what)
    return type(value)(**fields)


def resources(work: specs.Work, cores: Any, gpus: Any, mem: Any, nodes: Any) -> Resources:
    """Resources of one task; an MPI task that states no cores gets those of its ranks."""
    n_nodes = whole(nodes, "nodes", 1)
    if n_nodes > 1 and not isinstance(work, specs.Mpi | specs.Synthetic):
        raise BadValue(
            f"nodes={n_nodes} needs an Mpi or Synthetic task: a function or executable runs on one node", "nodes"
        )
    n_gpus = whole(gpus, "gpus", 0)
    least = 1
    if isinstance(work, specs.Mpi):
        least = math.ceil(work.ranks / n_nodes) * work.cores_per_rank
    n_cores = least if cores is None else whole(cores, "cores", 0 if n_gpus else 1)
    if n_cores < least and isinstance(work, specs.Mpi):
        raise BadValue(
            f"cores={n_cores} per node are too few for {work.ranks} ranks x {work.cores_per_rank} cores on {n_nodes} "
            f"node{'s' if n_nodes > 1 else ''}: ask for {least} or leave cores out",
            "cores",
        )
    return Resources(cores=n_cores, gpus=n_gpus, memory=memory(mem), nodes=n_nodes)


def tags(value: Any) -> dict[str, str]:
    """A mapping of text to text; numbers become text."""
    if not isinstance(value, Mapping):
        raise BadValue(f'tags must be a dictionary such as {{"campaign": "test"}}, not {value!r}', "tags")
    for key, item in value.items():
        if not isinstance(key, str) or isinstance(item, bool) or not isinstance(plain(item), str | int | float):
            raise BadValue(f"tags map text to text, but {key!r} maps to {item!r}", "tags")
    return {key: str(plain(item)) for key, item in value.items()}


def choice(value: Any, what: str, allowed: Sequence[str]) -> str:
    """One of `allowed`."""
    if value not in allowed:
        raise BadValue(f"{what} must be one of {', '.join(allowed)}, not {value!r}", what)
    return str(value)


def truth(value: Any, what: str) -> bool:
    """True or False, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise BadValue(f"{what} must be True or False, not {value!r}", what)
    return value


def modules(value: Any, what: str = "preload") -> tuple[str, ...]:
    """Module names from one name or several."""
    names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
    for name in names:
        if not isinstance(name, str) or not _MODULE.fullmatch(name):
            raise BadValue(f'{what} takes names of modules such as "numpy", not {name!r}', what)
    return names


def json_value(value: Any, depth: int = 0) -> Any:
    """`value` as the JSON value that a journal keeps unchanged, else raise ValueError with the reason.

    Tuples, NaN and infinities, whole numbers beyond 64 bits and keys that are not text do not survive JSON.
    """
    value = plain(value)
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{value} needs more than 64 bits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"JSON has no {value}")
        return value
    if depth > 50:
        raise ValueError("it is nested too deeply")
    if kind is list:
        return [json_value(item, depth + 1) for item in value]
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise ValueError(f"the key {key!r} is not text")
        return {key: json_value(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"{kind.__name__} is no JSON type")


def parameters(value: Any, what: str = "parameters") -> dict[str, Any]:
    """A dictionary of JSON values under names that a function can receive."""
    if not isinstance(value, Mapping):
        raise BadValue(f'{what} must be a dictionary such as {{"lr": 0.1}}, not {value!r}', what)
    found: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise BadValue(f"{what}: {key!r} is no name that a function can receive", what)
        try:
            found[key] = json_value(list(item) if type(item) is tuple else item)
        except ValueError as error:
            raise BadValue(
                f"{what}[{key!r}] cannot be kept as JSON ({error}): pass it as a positional argument instead", what
            ) from None
    return found


def split_keywords(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters (JSON: can be edited and steered) and the keyword arguments that only pickle can carry."""
    as_json: dict[str, Any] = {}
    as_pickle: dict[str, Any] = {}
    for key, item in keywords.items():
        try:
            as_json[key] = json_value(item)
        except ValueError:
            as_pickle[key] = item
    return as_json, as_pickle


def per_member(value: Any) -> bool:
    """Whether `value` gives one value for each task rather than one for all."""
    return isinstance(value, list | tuple) or (type(value).__module__ == "numpy" and getattr(value, "ndim", 0) == 1)


def argv(value: Any, what: str) -> tuple[str, ...]:
    """The words of a command; never a line for a shell."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise BadValue(
            f'{what} takes a list of words such as ["echo", "hello"], not {value!r}: no shell is involved', what
        )
    words = tuple(_word(word, what) for word in value)
    if not words or not words[0]:
        raise BadValue(f"{what} names no program: begin the list with one", what)
    return words


def _word(word: Any, what: str) -> str:
    word = plain(word)
    if isinstance(word, os.PathLike):
        word = os.fspath(word)
    if isinstance(word, int | float) and not isinstance(word, bool):
        word = json.dumps(word)
    if not isinstance(word, str) or "\0" in word:
        raise BadValue(f"{what} takes text, paths and numbers, not {word!r}", what)
    return word


def texts(value: Any, what: str) -> dict[str, str]:
    """A mapping of names to text (environment, input files)."""
    if not isinstance(value, Mapping):
        raise BadValue(f"{what} must be a dictionary of text, not {value!r}", what)
    return {_word(key, what): _word(item, what) for key, item in value.items()}
