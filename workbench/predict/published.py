"""What a publication prints about a workflow, beside what the model says of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A printed number and ours.

    Attributes
    ----------
    what : str
        In words.
    key : str
        For programs.
    printed : float
        As printed, with `digits` behind the point.
    ours : float or None
        By the same equation; None where the paper measured it.
    unit : str
        ``"s"`` or nothing.
    """

    what: str
    key: str
    printed: float
    ours: float | None
    digits: int = 0
    unit: str = "s"

    @property
    def same(self) -> bool | None:
        """Whether ours, rounded as printed, is what is printed; None for a measurement."""
        return None if self.ours is None else round(self.ours, self.digits) == self.printed


@dataclass(frozen=True)
class Published:
    """Printed figures of one workflow.

    Attributes
    ----------
    workflow : str
        As the publication calls it.
    source : str
        The publication.
    repeats : bool
        Whether it counts sets that need all of a resource in both terms of Eq. 3.
    figures : tuple of Figure
        In reading order.
    notes : tuple of str
        A sentence for each inconsistency of the publication, and for each figure that differs.
    covers : frozenset of str
        Kinds of remark (``"infeasible"``, ``"crowded"``, ``"eq7"``) that `notes` already make with more detail.
    """

    workflow: str
    source: str
    repeats: bool
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]
    covers: frozenset[str] = frozenset()
