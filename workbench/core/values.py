"""Checks of single values: each raises `BadValue` with one sentence that names the thing and the way out."""

from __future__ import annotations

import math
from typing import Any

from workbench.model.errors import BadValue
from workbench.model.ids import SET_NAME
from workbench.model.resources import Pool, Resources
from workbench.model.specs import Constant, Estimate, LogNormal, Mpi, Normal, SetSpec, Uniform


def check_name(name: str) -> None:
    """Set names are identifiers with ``.`` and ``-``, at most 80 characters."""
    if not SET_NAME.fullmatch(name):
        raise BadValue(
            f"{name!r} cannot name a task set; use a letter or _ first, then letters, digits, _ . - (at most 80)", name
        )


def check_resources(r: Resources, who: str) -> None:
    """Counts are not negative, and something is asked for."""
    for field, least in (("cores", 0), ("gpus", 0), ("memory", 0), ("nodes", 1)):
        value = getattr(r, field)
        if value < least:
            raise BadValue(f"{who}: {field}={value} makes no sense; use {least} or more", who)
    if r.cores == 0 and r.gpus == 0:
        raise BadValue(f"{who} asks for no core and no GPU; ask for at least one core", who)


def check_estimate(estimate: Estimate | None, who: str) -> None:
    """Seconds are finite and not negative."""
    if estimate is None:
        return
    values: dict[str, float]
    match estimate:
        case Constant(s=s):
            values = {"seconds": s}
        case Normal(mean=mean, std=std) | LogNormal(mean=mean, std=std):
            values = {"mean": mean, "std": std}
        case Uniform(low=low, high=high):
            values = {"low": low, "high": high}
            if low > high:
                raise BadValue(f"{who}: the estimate's low {low:g} is above its high {high:g}; swap them", who)
    for name, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise BadValue(f"{who}: the estimate's {name} is {value!r}; give seconds, finite and not negative", who)
    if isinstance(estimate, LogNormal) and estimate.mean <= 0:
        raise BadValue(f"{who}: a log-normal estimate needs a mean above 0 seconds", who)


def check_json(value: Any, who: str, where: str = "parameters") -> None:
    """Parameters are JSON: finite numbers, text, true, false, null, lists and dictionaries with text keys."""
    if value is None or isinstance(value, (bool, int, str)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue(f"{who}: {where} holds {value!r}; numbers must be finite", who)
        return
    if isinstance(value, list):
        for i, v in enumerate(value):
            check_json(v, who, f"{where}[{i}]")
        return
    if isinstance(value, dict):
        for k, v in value.items():
            if not isinstance(k, str):
                raise BadValue(f"{who}: {where} has the key {k!r}; keys must be text", who)
            check_json(v, who, f"{where}[{k!r}]")
        return
    raise BadValue(
        f"{who}: {where} holds a {type(value).__name__}; parameters are numbers, text, true, false, null, lists "
        "and dictionaries (pass other objects as arguments)",
        who,
    )


def check_common(spec: SetSpec) -> None:
    """The fields of a set that an edit may also replace."""
    who = f"task set {spec.name!r}"
    check_resources(spec.resources, who)
    check_estimate(spec.estimate, who)
    check_json(spec.parameters, who)
    if spec.timeout_s is not None and not (math.isfinite(spec.timeout_s) and spec.timeout_s > 0):
        raise BadValue(f"{who}: timeout {spec.timeout_s!r} makes no sense; give seconds above 0, or none", who)
    if spec.retries < 0:
        raise BadValue(f"{who}: retries={spec.retries} makes no sense; use 0 or more", who)
    if spec.stage is not None and spec.stage < 0:
        raise BadValue(f"{who}: stage={spec.stage} makes no sense; stages count from 0", who)
    if spec.on_failed_input not in ("skip", "hold"):
        raise BadValue(f"{who}: on_failed_input={spec.on_failed_input!r} is unknown; use 'skip' or 'hold'", who)


def check_spec(spec: SetSpec) -> None:
    """A whole set, as it is declared."""
    check_name(spec.name)
    who = f"task set {spec.name!r}"
    if spec.n < 0:
        raise BadValue(f"{who}: n={spec.n} makes no sense; use 0 or more tasks", who)
    if spec.members and len(spec.members) != spec.n:
        raise BadValue(f"{who} says n={spec.n} but has {len(spec.members)} members; make them agree", who)
    check_common(spec)
    for i, m in enumerate(spec.members):
        if m.parameters:
            check_json(m.parameters, f"{spec.name}[{i}]")
        check_estimate(m.estimate, f"{spec.name}[{i}]")
    r = spec.resources
    if isinstance(spec.work, Mpi):
        if spec.work.ranks < 1 or spec.work.cores_per_rank < 1:
            raise BadValue(f"{who}: an MPI task needs at least one rank and one core for each", who)
        if spec.work.ranks * spec.work.cores_per_rank > r.cores * r.nodes:
            raise BadValue(
                f"{who}: {spec.work.ranks} ranks x {spec.work.cores_per_rank} cores do not fit into its {r.nodes} "
                f"nodes x {r.cores} cores; ask for more of either",
                who,
            )
    elif r.nodes > 1 and not spec.work.__struct_config__.tag == "synthetic":
        raise BadValue(f"{who} spans {r.nodes} nodes, which only MPI and synthetic tasks can; use nodes=1", who)


def check_pool(pool: Pool) -> None:
    """A pool has at least one node with at least one core."""
    who = f"pool {pool.name!r}"
    check_name(pool.name)
    if pool.nodes < 1:
        raise BadValue(f"{who}: nodes={pool.nodes} makes no sense; use 1 or more", who)
    if pool.shape.cores < 1 or pool.shape.gpus < 0 or pool.shape.memory < 0:
        raise BadValue(
            f"{who}: cores={pool.shape.cores}, gpus={pool.shape.gpus}, memory={pool.shape.memory} make no sense; "
            "a node has at least one core",
            who,
        )
