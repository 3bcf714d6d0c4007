"""The agent's book: what each run has left of its budget, what runs now, which results are the newest. Pure.

Every mode spends the same number of simulation steps. Steps that a stopped simulation did not use go back into the
budget of its run and are spent on later simulations.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from workbench.model.ids import task_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.gallery.deepdrivemd.setup import Setup


class Inferred(TypedDict):
    """Result of `work.infer`: where a run may start next and which of its running simulations should give way."""

    run: int  # place in `Setup.runs`
    starts: NDArray[np.float32]  # (n, 35, 3), best first
    unproductive: list[int]  # positions in the round that runs now, worst first
    used: int  # steps of the run so far
    spent: int  # of them in the round that was judged
    cpu_s: float  # spent on inference by the run so far


class Book(TypedDict):
    """One run."""

    left: int  # steps of the budget not yet given to a simulation
    given: dict[int, int]  # round -> steps given to it, for rounds that were not judged yet
    starts: dict[int, NDArray[np.float32]]  # round -> start frames, for rounds not judged yet whose starts are known
    places: dict[int, list[int]]  # round -> indices of its simulations in ``sim-k``
    gathered: str  # task that holds the newest aggregate
    model: str  # task that holds the newest model, or ""
    stopped: int  # simulations asked to give way
    infer_cpu_s: float


class Ledger(TypedDict):
    """All runs; the result of each agent task."""

    last: int  # the newest round
    runs: list[Book]


class Segment(TypedDict):
    """A simulation to declare: where it starts (None: make an unfolded structure), and how long it may run."""

    start: NDArray[np.float32] | None
    steps: int


@dataclasses.dataclass(frozen=True)
class Older:
    """Tasks that held a run's newest results before a round: its aggregate and its model, ``""`` for none."""

    gathered: str
    model: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """A round, ready to be declared."""

    round: int
    segments: dict[int, list[Segment]]  # run -> its simulations, in the order of the round's sets
    places: dict[int, list[int]]  # run -> indices of its simulations in ``sim-k``
    older: dict[int, Older]  # run -> what the round builds on
    learners: list[int]  # runs that train in this round, in the order of ``train-k``
    book: Ledger  # with the round in it


def split(left: int, most: int, steps: int, every: int) -> list[int]:
    """Lengths of the next segments: at most `most` of `steps` each, and a shorter last one where `left` runs out."""
    lengths = [steps] * min(most, left // steps)
    rest = (left - steps * len(lengths)) // every * every
    if len(lengths) < most and 0 < rest < steps:
        lengths.append(rest)
    return lengths


def opened(setup: Setup) -> Ledger:
    """The book before anything was declared."""
    return Ledger(
        last=-1,
        runs=[
            Book(left=setup.budget, given={}, starts={}, places={}, gathered="", model="", stopped=0, infer_cpu_s=0.0)
            for _ in setup.runs
        ],
    )


def first_segments(setup: Setup, ledger: Ledger) -> dict[int, list[Segment]]:
    """Simulations of the next round where nothing is known yet: unfolded structures for every run."""
    n = setup.size(ledger["last"] + 1)
    lengths = [split(book["left"], n, setup.steps, setup.every) for book in ledger["runs"]]
    return {r: [Segment(start=None, steps=s) for s in some] for r, some in enumerate(lengths) if some}


def settle(
    setup: Setup, ledger: Ledger, round_: int, inferred: Sequence[Inferred]
) -> tuple[Ledger, dict[int, list[Segment]], list[int]]:
    """Account for round `round_` and decide what comes next.

    Returns
    -------
    ledger : Ledger
        Steps that stopped simulations did not use are back in their runs' budgets.
    segments : dict
        Run -> simulations of the next round, as many as are set free: the next round's share and one for each
        simulation that gives way, as far as the budget goes. Runs with nothing left are absent.
    give_way : list of int
        Indices of simulations of round `round_` + 1 that should end.
    """
    books = [_copy(book) for book in ledger["runs"]]
    segments: dict[int, list[Segment]] = {}
    give_way: list[int] = []
    n = setup.size(ledger["last"] + 1)
    for one in inferred:
        book = books[one["run"]]
        given = book["given"].pop(round_)
        # A round in which nothing ran gives nothing back: else a campaign whose simulations are all stopped never ends.
        book["left"] += given - one["spent"] if one["spent"] else 0
        book["starts"].pop(round_, None)
        book["places"].pop(round_, None)
        book["infer_cpu_s"] = one["cpu_s"]
        stops = [book["places"][round_ + 1][i] for i in one["unproductive"]]
        book["stopped"] += len(stops)
        give_way += stops
        lengths = split(book["left"], n + len(stops), setup.steps, setup.every)[: len(one["starts"])]
        if lengths:
            starts = one["starts"][: len(lengths)]
            segments[one["run"]] = [Segment(start=s, steps=k) for s, k in zip(starts, lengths, strict=True)]
    return Ledger(last=ledger["last"], runs=books), segments, give_way


def plan(setup: Setup, ledger: Ledger, segments: dict[int, list[Segment]]) -> Plan:
    """Name the tasks of the next round and book them."""
    k = ledger["last"] + 1
    books = [_copy(book) for book in ledger["runs"]]
    places: dict[int, list[int]] = {}
    older: dict[int, Older] = {}
    learners: list[int] = []
    taken = 0
    for place, (r, jobs) in enumerate(segments.items()):
        book = books[r]
        places[r] = list(range(taken, taken + len(jobs)))
        taken += len(jobs)
        older[r] = Older(book["gathered"], book["model"])
        steps = sum(job["steps"] for job in jobs)
        book["left"] -= steps
        book["given"][k] = steps
        book["places"][k] = places[r]
        known = [job["start"] for job in jobs if job["start"] is not None]
        if len(known) == len(jobs):
            book["starts"][k] = np.stack(known)
        book["gathered"] = task_id(f"agg-{k}", place)
        # Nothing is left to decide with a newer model when the budget is given out.
        if setup.runs[r].learns and (book["left"] >= setup.every or not book["model"]):
            book["model"] = task_id(f"train-{k}", len(learners))
            learners.append(r)
    return Plan(k, segments, places, older, learners, Ledger(last=k, runs=books))


def _copy(book: Book) -> Book:
    copy = Book(**book)
    copy["given"], copy["starts"], copy["places"] = dict(book["given"]), dict(book["starts"]), dict(book["places"])
    return copy
