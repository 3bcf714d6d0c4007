"""How a campaign gets its session: a directory, pools, an engine in a thread, and the end of the process."""

from __future__ import annotations

import datetime
import getpass
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.core.values import check_pool
from workbench.executors.pools import BadPool, LocalPool, parse_pool
from workbench.model.edits import AddPool, Edit, ScalePool
from workbench.model.errors import BadValue, DirectoryTaken
from workbench.model.resources import Pool

from .lifetime import close_at_exit
from .options import name_from

if TYPE_CHECKING:
    from workbench.engine.local import LocalSession

AnyPool = LocalPool | Pool | str


def create(wanted: str | None, *, name: str, **settings: Any) -> LocalSession:
    """An engine on a new campaign, in the directory `wanted`, or in the first free one that `name` and the time give.

    Raises
    ------
    DirectoryTaken, StorageFull, StorageFailed
        If it cannot be there.
    """
    from workbench.engine.local import LocalSession
    from workbench.predict.forecast import forecast
    from workbench.predict.portfolio import auto

    settings["forecaster"], settings["chooser"] = forecast, auto
    if wanted is not None:
        session = LocalSession.create(os.path.abspath(os.path.expanduser(wanted)), name=name, **settings)
        close_at_exit(session)
        return session
    for directory in _free(name):
        try:
            session = LocalSession.create(directory, name=name, **settings)
        except DirectoryTaken:
            continue
        close_at_exit(session)
        return session
    raise AssertionError("there is always a further directory")


def resume(directory: str | os.PathLike[str]) -> LocalSession:
    """An engine on an existing campaign; raises as `LocalSession.resume`."""
    from workbench.engine.local import LocalSession
    from workbench.predict.forecast import forecast
    from workbench.predict.portfolio import auto

    session = LocalSession.resume(os.path.abspath(os.path.expanduser(directory)), forecaster=forecast, chooser=auto)
    close_at_exit(session)
    return session


def _free(name: str) -> Iterator[str]:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    base = os.path.abspath(os.path.join("campaigns", f"{name_from(name)}-{stamp}"))
    yield base
    number = 1
    while True:
        number += 1
        yield f"{base}-{number}"


def parse_pools(given: Any) -> list[LocalPool | Pool]:
    """Pools from one or several, written in any of the ways."""
    many = [given] if isinstance(given, LocalPool | Pool | str) or not isinstance(given, Iterable) else list(given)
    found: list[LocalPool | Pool] = []
    for one in many:
        if isinstance(one, str):
            one = parse_pool(one)
        if not isinstance(one, LocalPool | Pool):
            raise BadValue(
                f"{one!r} is no pool: write LocalPool(), or text such as 'nodes=16,cores=168,gpus=6'", "pool"
            )
        if isinstance(one, Pool):
            check_pool(one)
        found.append(one)
    if not found:
        raise BadValue("a campaign needs a pool to run on: give it LocalPool()", "pool")
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise BadPool(
                f"two pools are called {name!r}: give one of them another name, as in LocalPool(name='second')"
            )
    return found


def _nodes(pool: Pool) -> str:
    return f"{pool.kind}, {pool.shape.cores} cores, {pool.shape.gpus} GPUs, {pool.shape.memory} bytes"


def user_name() -> str:
    """Who uses this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in a container
        return str(os.getuid())


def pool_edits(pools: Sequence[LocalPool | Pool], declared: Mapping[str, Pool]) -> tuple[Edit, ...]:
    """What tells a campaign that knows `declared` about `pools`: new ones, and other numbers of nodes.

    Raises
    ------
    BadValue
        If a pool is known under the same name with other nodes.
    """
    edits: list[Edit] = []
    for pool in (p.pool if isinstance(p, LocalPool) else p for p in pools):
        known = declared.get(pool.name)
        if known is None:
            edits.append(AddPool(pool))
        elif (known.shape, known.kind) != (pool.shape, pool.kind):
            raise BadValue(
                f"pool {pool.name!r} of the campaign has other nodes ({_nodes(known)}) than this ({_nodes(pool)}): "
                "give the new pool another name, as in LocalPool(name='second')",
                pool.name,
            )
        elif known.nodes != pool.nodes:
            edits.append(ScalePool(pool.name, pool.nodes))
    return tuple(edits)
