"""Pools as a user declares them, how the command line writes them, and what this machine has.

A pool is a number of equal nodes. A *real* local pool carries each node in one Dask worker of this machine; a
*virtual* one only counts slots, for synthetic tasks: all its nodes, however many, live in one worker.

The light half of the executors: no Dask here, so that declaring a campaign stays quick.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.model.errors import WorkbenchError
from workbench.model.resources import NodeShape, Pool

if TYPE_CHECKING:
    from workbench.executors.port import Executor

POOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,39}")
LIMIT = 1_000_000  # more nodes, cores or GPUs than this in one number is a slip of the finger

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _UNITS[_letter] = _UNITS[_letter + "ib"] = 1024**_power
    _UNITS[_letter + "b"] = 1000**_power
_MEMORY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


class BadPool(WorkbenchError):
    """A pool that means nothing; the sentence says which part and what would."""


def parse_memory(text: str | int, what: str = "memory") -> int:
    """Bytes from ``"64 GiB"``, ``"512MB"``, ``"2g"`` or a plain number of bytes.

    Raises
    ------
    BadPool
        If the number or the unit means nothing.
    """
    if isinstance(text, bool) or not isinstance(text, (int, str)):
        raise BadPool(f"{what} must be a number of bytes or text like '64 GiB', not {text!r}")
    if isinstance(text, int):
        if text < 0:
            raise BadPool(f"{what}={text} is negative; give bytes, or text like '64 GiB'")
        return text
    found = _MEMORY.fullmatch(text)
    if found is None:
        raise BadPool(f"{what}={text.strip()!r} is not an amount of memory; write it like 64GiB, 512MB or 1073741824")
    number, unit = found.groups()
    factor = _UNITS.get(unit.lower())
    if factor is None:
        raise BadPool(
            f"{what}={text.strip()!r} has the unknown unit {unit!r}; use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"
        )
    return round(float(number) * factor)


def _whole(value: Any, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadPool(f"{what}={value!r} is not a whole number")
    if value < least:
        kind = "negative" if value < 0 else "zero"
        raise BadPool(f"{what}={value} is {kind}; it must be at least {least}")
    if value > LIMIT:
        raise BadPool(f"{what}={value} is more than {LIMIT}; is a digit too many in it?")
    return value


@dataclass(frozen=True)
class LocalPool:
    """Nodes on this machine.

    Parameters
    ----------
    nodes : int
        Number of nodes. A real node is one Dask worker with the processes that it starts.
    cores, gpus : int, optional
        Of each node. Left out: what this process may use of this machine, divided by `nodes`
        (a virtual pool must state its cores).
    memory : int or str, optional
        Of each node, in bytes or like ``"64 GiB"``; 0 means not limited. Left out: as for cores, and not limited in a
        virtual pool.
    virtual : bool
        Only count slots. Synthetic tasks then run as timers, so 16 nodes of 168 cores fit on a laptop.
    name : str
        Unique in the campaign.
    security : distributed.Security, optional
        TLS for the traffic of the cluster and of the agents; never written anywhere.

    Raises
    ------
    BadPool
        If a number is negative, zero or absurd, or the name is not one.
    """

    nodes: int = 1
    cores: int | None = None
    gpus: int | None = None
    memory: int | str | None = None
    virtual: bool = False
    name: str = "local"
    security: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        _whole(self.nodes, "nodes", 1)
        if self.cores is not None:
            _whole(self.cores, "cores", 1)
        if self.gpus is not None:
            _whole(self.gpus, "gpus", 0)
        if self.memory is not None:
            parse_memory(self.memory)
        if self.virtual and self.cores is None:
            raise BadPool(
                "a virtual pool has no machine to ask, so it must state its cores: "
                "LocalPool(nodes=16, cores=168, virtual=True)"
            )
        if not isinstance(self.name, str) or POOL_NAME.fullmatch(self.name) is None:
            raise BadPool(
                f"{self.name!r} is no name for a pool; use letters, digits, - and _, starting with a letter, at most 40"
            )

    @property
    def pool(self) -> Pool:
        """The declaration as a value of the campaign, with what was left out asked from this machine."""
        if self.virtual:
            assert self.cores is not None
            shape = NodeShape(self.cores, self.gpus or 0, parse_memory(self.memory or 0))
            return Pool(self.name, self.nodes, shape, "virtual")
        cores = self.cores if self.cores is not None else max(1, detect_cores() // self.nodes)
        gpus = self.gpus if self.gpus is not None else detect_gpus() // self.nodes
        memory = parse_memory(self.memory) if self.memory is not None else detect_memory() // self.nodes
        return Pool(self.name, self.nodes, NodeShape(cores, gpus, memory), "local")


def parse_pool(text: str) -> LocalPool:
    """A pool from the command line: ``local``, ``local,nodes=2,cores=1`` or ``nodes=16,cores=168,gpus=6,memory=64GiB``.

    Without ``local`` (or ``real=true``) the nodes are virtual. Keys: nodes, cores, gpus, memory, name, real.

    Raises
    ------
    BadPool
        With one sentence that names the faulty part.
    """
    parts = [part.strip() for part in text.split(",")]
    real = bool(parts) and parts[0].lower() == "local"
    if real:
        parts = parts[1:]
    elif parts == [""]:
        raise BadPool("the pool is empty; write --pool local, or --pool nodes=16,cores=168,gpus=6")
    given: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise BadPool(
                f"pool {text!r}: {part!r} is not of the form key=value; write it like nodes=16,cores=168,gpus=6"
            )
        if key in given:
            raise BadPool(f"pool {text!r}: {key} is given twice")
        if key in ("nodes", "cores", "gpus"):
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", value, re.ASCII):
                raise BadPool(f"pool {text!r}: {key}={value} is not a whole number")
            given[key] = int(value)
        elif key in ("memory", "name"):
            given[key] = value
        elif key == "real":
            if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
                raise BadPool(f"pool {text!r}: real={value} is neither true nor false")
            given[key] = value.lower() in ("true", "1", "yes")
        else:
            raise BadPool(f"pool {text!r}: unknown key {key!r}; the keys are nodes, cores, gpus, memory, name, real")
    real = given.pop("real", real)
    if not real and "cores" not in given:
        raise BadPool(f"pool {text!r}: virtual nodes need cores=..., or add real=true for this machine's own")
    try:
        return LocalPool(virtual=not real, **given)
    except BadPool as bad:
        raise BadPool(f"pool {text!r}: {bad}") from None


def make_executor(pools: Sequence[LocalPool | Pool], layout: Any, **options: Any) -> Executor:
    """The executor that provides `pools`.

    Parameters
    ----------
    pools : sequence of LocalPool or Pool
        Declarations, or the values that a journal kept of them. Kinds ``"local"`` and ``"virtual"`` mix freely.
    layout : store.layout.Layout
        Where the campaign keeps its payloads, results, logs and scratch directories.
    **options
        Passed on to the executor (`executors.dask.executor.DaskExecutor`, or `executors.fake.FakeCluster` where
        every pool is of kind ``"fake"``).

    Raises
    ------
    BadPool
        If there is no pool, two share a name, or nothing here provides a pool's kind.
    """
    if not pools:
        raise BadPool("a campaign needs a pool to run on; give it LocalPool()")
    security = next((p.security for p in pools if isinstance(p, LocalPool) and p.security is not None), None)
    values = [p.pool if isinstance(p, LocalPool) else p for p in pools]
    names = [p.name for p in values]
    for name in names:
        if names.count(name) > 1:
            raise BadPool(f"two pools are called {name!r}; give one of them another name=")
    kinds = {p.kind for p in values}
    if kinds == {"fake"}:
        from workbench.executors.fake import FakeCluster

        return FakeCluster(pools=values, layout=layout, **options)
    unknown = kinds - {"local", "virtual"}
    if unknown:
        raise BadPool(f"nothing here provides a pool of kind {sorted(unknown)[0]!r}; the kinds are local and virtual")
    from workbench.executors.dask.executor import DaskExecutor

    return DaskExecutor(values, layout, security=security, **options)


# --- what this machine has ------------------------------------------------------------------------------------------


def detect_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, cut to the CPU quota of its control group; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_cgroup_values(root, "cpu", "cpu.max", "cpu.cfs_quota_us"), default=math.inf)
    return max(1, min(cores, math.floor(quota) if quota < math.inf else cores))


def detect_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, cut to the limit of its control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min([total, *_cgroup_values(root, "memory", "memory.max", "memory.limit_in_bytes")]))


def detect_gpus() -> int:
    """NVIDIA GPUs that this process may use: 0 without a driver, and never more than ``CUDA_VISIBLE_DEVICES`` names."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    named: int | None = None
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        # CUDA stops at the first entry that is no device, so "0,-1,1" shows one.
        valid = next((i for i, name in enumerate(names) if not name or name.startswith("-")), len(names))
        named = valid
        if named == 0:
            return 0
    # Asking the driver takes up to a second, so ask only where there is one.
    if not any(os.path.exists(device) for device in ("/dev/nvidiactl", "/dev/dxg")):
        return 0
    present = _nvidia_smi()
    return present if named is None else min(named, present)


def _nvidia_smi() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0


def _cgroup_values(root: Path, controller: str, v2: str, v1: str) -> list[float]:
    """Limits of this process's control group and all above it: cores for ``cpu``, bytes for ``memory``."""
    found: list[float] = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, name = root / "sys/fs/cgroup", v2
        elif controller in controllers.split(","):
            base, name = root / "sys/fs/cgroup" / controller, v1
        else:
            continue
        inside = [part for part in path.split("/") if part not in ("", "..")]
        # In a container the path may be the host's while the mount shows only our part: the mount's root counts too.
        for depth in range(len(inside), -1, -1):
            value = _limit(base.joinpath(*inside[:depth]) / name)
            if value is not None:
                found.append(value)
    return found


def _limit(file: Path) -> float | None:
    try:
        words = file.read_text().split()
        if file.name == "cpu.cfs_quota_us":
            words.append((file.parent / "cpu.cfs_period_us").read_text().strip())
        if words[0] in ("max", "-1"):
            return None
        value = float(words[0])
        if file.name.startswith("cpu."):
            return value / float(words[1])
        return value
    except (OSError, ValueError, IndexError, ZeroDivisionError):
        return None
