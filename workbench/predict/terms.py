"""The terms of the analytic model (`predict.analytic`): a task set as it sees it, and what it says of a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.model.resources import Resources

from .fitting import Allocation, Demand
from .masking import Mask


@dataclass(frozen=True)
class SetRow:
    """A task set as the model sees it.

    Attributes
    ----------
    name : str
        Unique.
    demand : tuple of (int, Resources)
        How many tasks of which resources.
    tx_s : float or None
        Seconds from the start of the first to the end of the last task when all run at once; None: not known.
    stage : int or None
        Stage of sequential mode; None means the set's rank.
    after : tuple of str
        Sets that it waits for.
    """

    name: str
    demand: Demand
    tx_s: float | None
    stage: int | None = None
    after: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        tx_s: float | None,
        after: Iterable[str] = (),
        *,
        n: int = 1,
        cores: int = 1,
        gpus: int = 0,
        stage: int | None = None,
    ) -> SetRow:
        """`n` equal tasks."""
        return cls(name, ((n, Resources(cores, gpus)),), tx_s, stage, tuple(after))

    @property
    def n(self) -> int:
        """Number of tasks."""
        return sum(n for n, _ in self.demand)

    def needs(self, resource: str) -> int:
        """What the full set asks for of ``"cores"``, ``"gpus"`` or ``"memory"``."""
        return sum(n * r.nodes * int(getattr(r, resource)) for n, r in self.demand)


@dataclass(frozen=True)
class Stage:
    """A stage of Eq. 2: its sets, the longest of them, and its TX in seconds."""

    sets: tuple[str, ...]
    longest: str
    tx_s: float


@dataclass(frozen=True)
class Branch:
    """A branch of Eq. 3 and 4: the longest way to one sink.

    Attributes
    ----------
    shared : tuple of str
        Sets on it that lead to other sinks, too.
    own : tuple of str
        The rest.
    tx_s : float
        Of its own sets together (Eq. 4), seconds.
    total_s : float
        With the shared ones.
    """

    shared: tuple[str, ...]
    own: tuple[str, ...]
    tx_s: float
    total_s: float


@dataclass(frozen=True)
class Iterations:
    """n equal iterations of one chain of sets, as in DeepDriveMD.

    Attributes
    ----------
    chains : tuple of tuple of str
        The sets of each iteration.
    iteration_s : float
        Sequential time of one.
    subtracted : tuple of (str, int)
        Eq. 6: sets of the first iteration that are masked, and how many times.
    t_async_s : float
        Eq. 6.
    eq7_s : float
        Eq. 7 taken at its word, which is not Eq. 6.
    """

    chains: tuple[tuple[str, ...], ...]
    iteration_s: float
    subtracted: tuple[tuple[str, int], ...]
    t_async_s: float
    eq7_s: float


@dataclass(frozen=True)
class Times:
    """What Eq. 2 to 6 say of a campaign whose TX are all known; seconds.

    Attributes
    ----------
    stages : tuple of Stage
        Of sequential execution.
    t_seq_s : float
        Eq. 2.
    branches : tuple of Branch
        One for each sink.
    branch : Branch
        The one that counts in Eq. 3.
    sequential : tuple of str
        Sets outside of it that need all of a resource, and so add to Eq. 3.
    repeated : tuple of str
        Sets of `branch`, behind its head, that need all of a resource. The paper counts them in both terms.
    t_async_s : float
        Eq. 3, each set counted once.
    t_async_repeated_s : float
        Eq. 3 with `repeated` counted twice, as the paper does for DeepDriveMD.
    iterations : Iterations or None
        What Eq. 6 is about, where the campaign is of that kind.
    windows : dict
        When each set runs as Eq. 3 has it: (start, end).
    masks : tuple of Mask
        Which sets hide which.
    lower_bound_s : float
        No schedule in this allocation is shorter: head and tail of each resource, and the critical path.
    """

    stages: tuple[Stage, ...]
    t_seq_s: float
    branches: tuple[Branch, ...]
    branch: Branch
    sequential: tuple[str, ...]
    repeated: tuple[str, ...]
    t_async_s: float
    t_async_repeated_s: float
    iterations: Iterations | None
    windows: dict[str, tuple[float, float]]
    masks: tuple[Mask, ...]
    lower_bound_s: float

    @property
    def improvement(self) -> float:
        """Eq. 5: `improvement` of `t_async_s`."""
        return improvement(self.t_async_s, self.t_seq_s)


@dataclass(frozen=True)
class Model:
    """What the model says of a campaign on an allocation.

    Attributes
    ----------
    rows : tuple of SetRow
        The campaign.
    allocation : Allocation
        Where.
    doa_dep, doa_adaptive, doa_res : int
        Degrees of asynchronicity.
    sinks : tuple of str
        Ends of the branches.
    widest : tuple of str
        Sets that can all overlap, as far as dependencies go: one more than `doa_adaptive`.
    side_by_side : tuple of tuple of str
        Branches that fit side by side in the rank that decides `doa_res`.
    rank : int
        That rank.
    times : Times or None
        None if a TX is not known.
    unknown : tuple of str
        Sets without TX.
    """

    rows: tuple[SetRow, ...]
    allocation: Allocation
    doa_dep: int
    doa_adaptive: int
    doa_res: int
    sinks: tuple[str, ...]
    widest: tuple[str, ...]
    side_by_side: tuple[tuple[str, ...], ...]
    rank: int
    times: Times | None
    unknown: tuple[str, ...]

    @property
    def wla(self) -> int:
        """Eq. 1."""
        return min(self.doa_dep, self.doa_res)


def improvement(t_async_s: float, t_seq_s: float) -> float:
    """Eq. 5: ``1 - t_async / t_seq``; 0 where nothing takes time."""
    return 1.0 - t_async_s / t_seq_s if t_seq_s else 0.0
