"""Names of the gallery, their parameters, and the parsing of ``NAME?key=value&...``.

A builder is a function ``build(c, **parameters)`` that declares into a `Campaign` (or a task's growth). It is imported
when it is used, so that listing the gallery costs nothing and needs no extras.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from workbench.model.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.api.declare import Declarer

SUMMIT = "nodes=16,cores=168,gpus=6"
"""The paper's allocation: 16 Summit nodes of 42 cores with four hardware threads each, and 6 GPUs."""

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "ints": "whole numbers separated by commas",
    "words": "words separated by commas",
}


class UnknownCampaign(WorkbenchError):
    """No campaign of that name in the gallery."""


class BadParameter(WorkbenchError):
    """A parameter that the campaign does not have, or a value of the wrong kind."""


class MissingExtra(WorkbenchError):
    """Libraries that the campaign needs are not installed."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a campaign.

    Attributes
    ----------
    name : str
        As the builder calls it.
    kind : str
        ``int``, ``float``, ``bool``, ``str``, ``ints`` or ``words``.
    default : object
        What the builder uses when it is left out, as a person would write it.
    summary : str
        What it is, in one line.
    choices : tuple of str
        The only values, if there are but a few.
    """

    name: str
    kind: str
    default: Any
    summary: str
    choices: tuple[str, ...] = ()

    def parse(self, value: Any, campaign: str) -> Any:
        """`value` (text, or already of the right type) as the builder wants it.

        Raises
        ------
        BadParameter
            Naming the campaign, the parameter, the value and what it may be.
        """
        wanted = f"one of {', '.join(self.choices)}" if self.choices else _KINDS[self.kind]
        try:
            parsed = _parse(self.kind, value)
        except (KeyError, TypeError, ValueError):
            raise BadParameter(f"{campaign}: {self.name} must be {wanted}, not {value!r}") from None
        if self.choices and str(parsed) not in self.choices:
            raise BadParameter(f"{campaign}: {self.name} must be {wanted}, not {value!r}")
        return parsed


@dataclasses.dataclass(frozen=True)
class Entry:
    """One campaign of the gallery.

    Attributes
    ----------
    name : str
        ``"paper/ddmd"``.
    summary : str
        What it is, in one line.
    builder : str
        ``"module:function"``.
    parameters : tuple of Parameter
        What ``?key=value`` may set.
    pool : str
        The pool it is meant for, as ``--pool`` takes it.
    needs : tuple of str
        Modules it imports beyond the core.
    extras : tuple of str
        Extras of the distribution that bring them.
    """

    name: str
    summary: str
    builder: str
    parameters: tuple[Parameter, ...]
    pool: str = "local"
    needs: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parse `given` parameters.

        Raises
        ------
        BadParameter
            For an unknown one (naming those there are) or a value of the wrong kind.
        """
        known = {p.name: p for p in self.parameters}
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise BadParameter(f"{self.name} has no parameter {key!r}; {hint}it has: {', '.join(known)}")
        return {key: known[key].parse(value, self.name) for key, value in given.items()}

    def missing(self) -> tuple[str, ...]:
        """Modules of `needs` that are not installed."""
        return tuple(m for m in self.needs if importlib.util.find_spec(m) is None)

    def load(self) -> Callable[..., Any]:
        """The builder.

        Raises
        ------
        MissingExtra
            If libraries are missing; says how to install them.
        """
        if missing := self.missing():
            raise MissingExtra(
                f"{self.name} needs {' and '.join(missing)}: pip install 'campaign-workbench[{','.join(self.extras)}]'"
            )
        module, _, function = self.builder.partition(":")
        builder: Callable[..., Any] = getattr(importlib.import_module(module), function)
        return builder


@dataclasses.dataclass(frozen=True)
class Choice:
    """An entry with parameters: something that can be built."""

    entry: Entry
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @property
    def pool(self) -> str:
        """The pool it is meant for, as ``--pool`` takes it."""
        return self.entry.pool

    def build(self, c: Declarer) -> None:
        """Declare it in `c`; raises `MissingExtra`, or a `WorkbenchError` of the builder's."""
        self.entry.load()(c, **self.parameters)


def list_gallery() -> tuple[Entry, ...]:
    """All campaigns, in the order in which a newcomer should read them."""
    return _ENTRIES


def resolve(text: str, **parameters: Any) -> Choice:
    """The campaign that ``"NAME"`` or ``"NAME?key=value&..."`` names; `parameters` win over those in the text.

    Raises
    ------
    UnknownCampaign
        Suggesting names that are close.
    BadParameter
        For parameters that do not exist, are given twice, or are of the wrong kind.
    """
    name, _, query = text.strip().partition("?")
    entry = {e.name: e for e in _ENTRIES}.get(name)
    if entry is None:
        near = _close(name, [e.name for e in _ENTRIES])
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(e.name for e in _ENTRIES)}"
        raise UnknownCampaign(f"there is no campaign {name!r} in the gallery; {hint} (workbench list shows them)")
    given: dict[str, Any] = {}
    if query:
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        except ValueError:
            raise BadParameter(f"{text!r} is malformed; write {name}?key=value&key=value") from None
        for key, value in pairs:
            if key in given:
                raise BadParameter(f"{name}: {key} is given twice in {text!r}; write it once")
            given[key] = value
    return Choice(entry, entry.check({**given, **parameters}))


def _close(name: str, known: list[str]) -> list[str]:
    tail = name.rpartition("/")[2]
    near = difflib.get_close_matches(name, known, 2, 0.6)
    return near or [k for k in known if tail and (tail in k or k.rpartition("/")[2] in tail)][:2]


def _parse(kind: str, value: Any) -> Any:
    if kind == "bool":
        if isinstance(value, bool):
            return value
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[_text(value).lower()]
    if kind == "int":
        return _whole(value)
    if kind == "float":
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    if kind in ("ints", "words"):
        if isinstance(value, Iterable) and not isinstance(value, str):
            parts: list[Any] = list(value)
        else:
            parts = str(value).split(",") if isinstance(value, str | int) and not isinstance(value, bool) else [None]
        return tuple(_whole(p) if kind == "ints" else _text(p).strip() for p in parts)
    return _text(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


_ITERATIONS = Parameter("iterations", "int", 3, "iterations of simulate, aggregate, train, infer")
_VARIANT = Parameter(
    "variant", "str", "executed", "Table 2 as printed, or what the runs on Summit really were", ("executed", "printed")
)
_STAGES = Parameter(
    "stages", "int", 5, "stages of sequential mode: 5 as in Eq. 2, 4 as executed (T3 to T6 together)", ("5", "4")
)

_ENTRIES: tuple[Entry, ...] = (
    Entry(
        "deepdrivemd",
        "Protein folding steered by an autoencoder: simulations, learning and an agent, asynchronously. The real thing",
        "workbench.gallery.deepdrivemd.campaign:deepdrivemd",
        (
            Parameter("mode", "words", "both", "plain, lof, rmsd, both, several with commas, or compare for all four"),
            Parameter("quick", "bool", False, "a small budget: under two minutes on two cores"),
            Parameter("seed", "int", 1, "seed of everything"),
            Parameter("seeds", "ints", "", "several seeds: one run of each mode for each"),
            Parameter("order", "words", "q,rmsd", "order parameters to report: q, rmsd, rg, or none"),
            Parameter("rank", "str", "rmsd", "order parameter that ranks restart points", ("q", "rmsd", "rg")),
            Parameter("iterations", "int", 8, "the budget of a run is iterations x simulations x steps (quick: 4)"),
            Parameter("simulations", "int", 8, "simulations side by side (quick: 4)"),
            Parameter("steps", "int", 10_000, "steps of 10 fs in a simulation (quick: 30000)"),
            Parameter("temperature", "float", 305.0, "kelvin"),
            Parameter("ensembles", "int", 2, "2: simulations never wait for learning; 1: they do", ("1", "2")),
            Parameter("early_stop", "bool", True, "whether the agent stops unproductive simulations"),
            Parameter("every", "int", 200, "steps between frames"),
            Parameter("heat_steps", "int", 5000, "steps at 450 K that unfold the starting structures"),
            Parameter("window", "int", 4, "iterations whose frames are learned from and chosen among"),
            Parameter("first_epochs", "int", 12, "passes over the frames in the first training"),
            Parameter("epochs", "int", 4, "passes over the frames in a later iteration"),
            Parameter("train_cores", "int", 1, "cores of a training task"),
        ),
        needs=("openmm", "torch", "sklearn"),
        extras=("md", "ml"),
    ),
    Entry(
        "paper/example",
        "The worked example of section 5.3: 7500 s sequentially, 5500 s asynchronously",
        "workbench.gallery.paper:example",
        (
            Parameter("tasks", "int", 16, "tasks of each set"),
            Parameter("cores", "int", 4, "cores of each task"),
            Parameter("gpus", "int", 0, "GPUs of each task"),
        ),
        SUMMIT,
    ),
    Entry(
        "paper/ddmd",
        "DeepDriveMD as synthetic tasks (Table 1): 1578 s in 12 stages",
        "workbench.gallery.paper:ddmd",
        (
            _ITERATIONS,
            Parameter("graph", "str", "chains", "independent chains, or staggered (Fig. 3a)", ("chains", "staggered")),
            Parameter("inference_cores", "int", 16, "cores of an inference task; 7 suits nodes of 44 cores"),
        ),
        SUMMIT,
    ),
    Entry(
        "paper/c-dg1",
        "The graph of Fig. 3b with durations that leave nothing to gain",
        "workbench.gallery.paper:c_dg1",
        (_VARIANT, _STAGES),
        SUMMIT,
    ),
    Entry(
        "paper/c-dg2",
        "The graph of Fig. 3b with durations that mask each other: 26 % less time",
        "workbench.gallery.paper:c_dg2",
        (_VARIANT, _STAGES),
        SUMMIT,
    ),
)
