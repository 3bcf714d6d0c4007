"""The graph between single tasks in numbers, read off the edges between sets without writing it out."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.core.state import Link, SetState, State

from .bounds import longest_chains


@dataclass
class _Pair:
    """The edges that join one set to another."""

    whole: bool = False
    rows: set[int] = field(default_factory=set)  # tasks of the first that every task of the second waits for
    columns: set[int] = field(default_factory=set)  # tasks of the second that wait for every task of the first
    single: set[tuple[int, int]] = field(default_factory=set)


def edges(state: State) -> int:
    """Number of pairs of tasks of which the second waits for the first by a declared edge, each pair counted once.

    An edge between sets of n and m tasks stands for n times m pairs, one of kind ``each`` for a pair of every index
    that both have.
    """
    pairs: dict[tuple[str, str], _Pair] = {}
    for s in state.sets.values():
        for link in s.into:
            pair = pairs.setdefault((link.src.name, s.name), _Pair())
            _add(pair, link)
    return sum(_count(p, state.sets[a], state.sets[b]) for (a, b), p in pairs.items())


def depth(state: State) -> int:
    """Number of tasks on the longest chain; 0 without tasks."""
    chains = longest_chains(state, dict.fromkeys(state.tasks(), 1.0), forward=True)
    return round(max(chains.values(), default=-1.0)) + 1


def _add(pair: _Pair, link: Link) -> None:
    src, dst = link.src, link.dst
    if link.each:
        both = zip(src.tasks, dst.tasks, strict=False)
        pair.single |= {(i, i) for i, (a, b) in enumerate(both) if a is not None and b is not None}
    elif link.si < 0 and link.di < 0:
        pair.whole = True
    elif link.di < 0:
        if src.tasks[link.si] is not None:
            pair.rows.add(link.si)
    elif link.si < 0:
        if dst.tasks[link.di] is not None:
            pair.columns.add(link.di)
    elif src.tasks[link.si] is not None and dst.tasks[link.di] is not None:
        pair.single.add((link.si, link.di))


def _count(pair: _Pair, src: SetState, dst: SetState) -> int:
    if pair.whole:
        return src.size * dst.size
    crossed = len(pair.rows) * dst.size + len(pair.columns) * src.size - len(pair.rows) * len(pair.columns)
    return crossed + sum(i not in pair.rows and j not in pair.columns for i, j in pair.single)
