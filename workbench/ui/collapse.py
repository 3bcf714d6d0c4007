"""A graph small enough to look at: where a campaign has more sets than a screen can show, cards stand for groups.

Only sets of the same rank are grouped (or of neighbouring ranks, where there are very many), so that what runs before
what stays visible and no group depends on itself. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from workbench.report.rows import EdgeRow, SetRow

from .palette import kind_of

MOST_CARDS = 300


class Group(msgspec.Struct, frozen=True):
    """What one card stands for: the sets `members`, under the name `name`."""

    id: str
    name: str
    members: tuple[str, ...]


class Collapsed(msgspec.Struct, frozen=True):
    """Groups in order of their first set, edges between them, and a sentence that says what is hidden, or ``""``."""

    groups: tuple[Group, ...]
    edges: tuple[EdgeRow, ...]
    note: str


def collapse(sets: Sequence[SetRow], edges: Sequence[EdgeRow], most: int = MOST_CARDS) -> Collapsed:
    """One group for each set, or at most `most` groups.

    Parameters
    ----------
    sets, edges : sequence of SetRow, sequence of EdgeRow
        The graph; sets in order of declaration.
    most : int
        Cards that a view can show.

    Returns
    -------
    Collapsed
        First sets that differ only in a number are grouped, then all sets of a rank, then several ranks.
    """
    if len(sets) <= most:
        alone = tuple(Group(s.name, s.name, (s.name,)) for s in sets)
        return Collapsed(alone, tuple(edges), "")
    keys = [(f"{s.rank}:{kind_of(s.name)}", kind_of(s.name)) for s in sets]
    if len({key for key, _ in keys}) > most:
        keys = [(f"{s.rank}", f"rank {s.rank}") for s in sets]
    if len({key for key, _ in keys}) > most:
        width = -(-(1 + max(s.rank for s in sets)) // most)
        starts = [s.rank // width * width for s in sets]
        keys = [(f"{start}+{width}", f"ranks {start} to {start + width - 1}") for start in starts]
    found: dict[str, tuple[str, list[str]]] = {}
    home: dict[str, str] = {}
    for row, (key, name) in zip(sets, keys, strict=True):
        found.setdefault(key, (name, []))[1].append(row.name)
        home[row.name] = key
    groups = tuple(
        Group(members[0], name, tuple(members)) if len(members) > 1 else Group(members[0], members[0], tuple(members))
        for name, members in found.values()
    )
    first = {key: members[0] for key, (_, members) in found.items()}
    joined: dict[tuple[str, str], EdgeRow] = {}
    for edge in edges:
        pair = (first[home[edge.src]], first[home[edge.dst]])
        if pair[0] != pair[1]:
            single = len(found[home[edge.src]][1]) == len(found[home[edge.dst]][1]) == 1
            joined[pair] = EdgeRow(*pair, edge.kind, edge.part) if single else EdgeRow(*pair)
    return Collapsed(groups, tuple(joined.values()), f"{len(sets)} task sets, shown as {len(groups)} groups")
