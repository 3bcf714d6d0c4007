"""`workbench model`: the paper's analytic model of a campaign on an allocation."""

from __future__ import annotations

import sys

from rich.console import Console

from workbench.api.explain import explained
from workbench.cli import source
from workbench.cli.text import put, put_json
from workbench.core.state import State
from workbench.executors.pools import parse_memory
from workbench.model.errors import NeverFits
from workbench.predict.fitting import Allocation


def model(target: str, nodes: int, cores: int, gpus: int, memory: str, as_json: bool) -> None:
    """Print what the model says of the campaign that `target` names.

    Parameters
    ----------
    target : str
        A gallery name, a file, or a campaign's directory.
    nodes, cores, gpus : int
        Nodes, and what each has.
    memory : str
        Of each node, as ``"64GiB"``; ``"0"`` for not limited.
    as_json : bool
        One object rather than tables.

    Raises
    ------
    WorkbenchError
        In one sentence.
    """
    where = Allocation.of(nodes, cores, gpus, parse_memory(memory))
    found = _declared(target, f"local,nodes={nodes},cores={cores},gpus={gpus},memory={parse_memory(memory)}")
    result = explained(found.name, found, where)
    if as_json:
        put_json(result.as_dict())
    elif sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(result.rich())
    else:
        put(result.text())


def _declared(target: str, pool: str) -> State:
    """The campaign as declared: where its own pools cannot hold it, on the pool that is asked about."""
    try:
        return source.declared(target)
    except NeverFits:
        try:
            return source.declared(target, source.Wishes(pool=pool))
        except source.Unwanted:  # a file that made its campaign itself, with pools of its own
            pass
        raise
