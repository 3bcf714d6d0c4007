"""What the tasks of a DeepDriveMD campaign compute: simulate, aggregate, train, infer. The agent is in `campaign`.

Each is a function of its inputs alone, so that a task that runs again after a crash gives the same result (a
simulation that was stopped early excepted: how far it came depends on when it was asked).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from workbench import task
from workbench.gallery.deepdrivemd import contacts, outliers, protein, select
from workbench.gallery.deepdrivemd import order as order_parameters
from workbench.gallery.deepdrivemd.ledger import Inferred, Ledger
from workbench.gallery.deepdrivemd.setup import Run, Setup
from workbench.gallery.deepdrivemd.simulate import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.gallery.deepdrivemd.vae import State


class Chunk(TypedDict):
    """Frames of one round."""

    round: int
    frames: NDArray[np.float32]  # (n, 35, 3) nm
    packed: NDArray[np.uint8]  # (n, 75) contact maps, see `contacts`
    values: dict[str, NDArray[np.float64]]  # order parameters, (n,) each


class Round(TypedDict):
    """What one round of one run brought."""

    round: int
    steps: list[int]  # of each simulation
    stopped: int  # simulations that ended early on request
    frames: int
    folded: int  # frames with Q above `protein.FOLDED_Q`
    best_q: float | None  # None in a round without frames
    least_rmsd: float | None
    first_folded: int | None  # steps of the run until its first folded frame, if it is in this round
    md_cpu_s: float


class Gathered(TypedDict):
    """Result of `aggregate`: the newest frames of a run, and the history of all."""

    chunks: list[Chunk]  # the last `window` rounds
    tips: NDArray[np.float32]  # (m, 35, 3): where the simulations of this round ended
    history: list[Round]
    used: int  # steps of the run so far
    cpu_s: float  # spent on aggregation so far


def simulate(
    job: dict[str, Any],
    *,
    temperature: float,
    every: int,
    heat_steps: int,
    order: Sequence[str],
    give_way: Sequence[int] = (),
) -> dict[str, Any]:
    """One simulation: ``job`` holds ``start`` (35, 3) or None, ``steps`` and ``seed``. See `simulate.segment`.

    `give_way` holds the indices of simulations that the agent wants to end; `segment` reads it again and again.
    """
    return segment(
        job["start"], job["steps"], seed=job["seed"], temperature=temperature, every=every, heat_steps=heat_steps,
        order=order,
    )  # fmt: skip


def aggregate(job: dict[str, Any], *, round: int, every: int, window: int, order: Sequence[str]) -> Gathered:
    """Join the frames of one run: ``job`` holds ``previous`` (Gathered or None) and ``segments`` of this round.

    Only the new frames are measured and mapped; the older ones come from ``previous``.
    """
    began = time.process_time()
    previous: Gathered | None = job["previous"]
    segments: list[dict[str, Any]] = job["segments"]
    frames = np.concatenate([s["frames"] for s in segments])
    values = order_parameters.measure(frames, order)
    chunk = Chunk(round=round, frames=frames, packed=contacts.pack(frames), values=values)
    before = previous["used"] if previous else 0
    record = _record(round, segments, before, every)
    tips = np.stack([s["frames"][-1] if len(s["frames"]) else s["start"] for s in segments])
    if record["best_q"] is not None:
        task.report(frames=len(frames), folded=record["folded"], best_q=float(np.round(record["best_q"], 4)))
    return Gathered(
        chunks=[*(previous["chunks"] if previous else []), chunk][-window:],
        tips=tips,
        history=[*(previous["history"] if previous else []), record],
        used=before + sum(record["steps"]),
        cpu_s=(previous["cpu_s"] if previous else 0.0) + time.process_time() - began,
    )


def _record(round_: int, segments: list[dict[str, Any]], before: int, every: int) -> Round:
    """Judge a round by Q and RMSD, whatever the run itself was allowed to know."""
    steps = [int(s["steps"]) for s in segments]
    folded = 0
    first: int | None = None
    best_q: list[float] = []
    least: list[float] = []
    for s in segments:
        if not len(s["frames"]):
            continue
        q = protein.q(s["frames"])
        best_q.append(float(q.max()))
        least.append(float(protein.rmsd(s["frames"]).min()))
        hits = np.flatnonzero(q > protein.FOLDED_Q)
        folded += len(hits)
        if len(hits):
            at = (int(hits[0]) + 1) * every
            first = at if first is None else min(first, at)
    # The simulations of a round count as running side by side: when the first of them folds at its step t, each has
    # spent t steps (or all of its own).
    spent = None if first is None else before + sum(min(first, n) for n in steps)
    return Round(
        round=round_,
        steps=steps,
        stopped=sum(bool(s["stopped"]) for s in segments),
        frames=sum(len(s["frames"]) for s in segments),
        folded=folded,
        best_q=max(best_q, default=None),
        least_rmsd=min(least, default=None),
        first_folded=spent,
        md_cpu_s=float(sum(s["cpu_s"] for s in segments)),
    )


def train(job: dict[str, Any], *, epochs: int) -> State:
    """Train the autoencoder on a run's window: ``job`` holds ``gathered``, ``model`` (State or None) and ``seed``."""
    from workbench.gallery.deepdrivemd import vae

    packed = np.concatenate([c["packed"] for c in job["gathered"]["chunks"]])
    return vae.train(contacts.images(packed), job["model"], epochs=epochs, seed=job["seed"])


def infer(job: dict[str, Any], setup: Setup, before: Ledger, *, round: int) -> Inferred:
    """Choose restart points of a run, and judge the simulations of the round that runs now.

    ``job`` holds ``run`` (its place in `setup.runs`), ``gathered``, ``model`` (the newest one; None for a run that
    does not learn) and ``most``, how many restart points are wanted. `before` is the agent's ledger when it decided
    about the round that runs now.
    """
    began = time.process_time()
    run: Run = setup.runs[job["run"]]
    book = before["runs"][job["run"]]
    gathered: Gathered = job["gathered"]
    most: int = job["most"]
    give_way: list[int] = []
    starts: NDArray[Any] = np.zeros((0, protein.RESIDUES, 3))
    if most and (run.mode == "plain" or not any(len(c["frames"]) for c in gathered["chunks"])):
        starts = np.resize(gathered["tips"], (most, protein.RESIDUES, 3))
    elif most:
        frames = np.concatenate([c["frames"] for c in gathered["chunks"]])
        old = len(frames)
        running = book["starts"].get(round + 1)
        if running is not None:
            frames = np.concatenate([frames, running])
        score, bad = _judge(run, setup, job["model"], frames)
        chosen = select.choose(
            run.mode, most, score=None if score is None else score[:old], bad=None if bad is None else bad[:old]
        )
        starts = frames[chosen]
        if setup.early_stop:
            give_way = select.unproductive(
                run.mode, running=np.arange(old, len(frames)), chosen=chosen, score=score, bad=bad
            )
        task.report(frames=old, unproductive=len(give_way))
    return Inferred(
        run=job["run"], starts=np.asarray(starts, dtype=np.float32), unproductive=give_way, used=gathered["used"],
        spent=sum(gathered["history"][-1]["steps"]), cpu_s=book["infer_cpu_s"] + time.process_time() - began,
    )  # fmt: skip


def _judge(
    run: Run, setup: Setup, model: State | None, frames: NDArray[np.float32]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Outlier scores and ranks of `frames`, each only if the run's mode uses it."""
    score = bad = None
    if model is not None:
        from workbench.gallery.deepdrivemd import vae

        score = outliers.scores(vae.embed(contacts.images(contacts.pack(frames)), model))
    if run.mode in select.RANKS:
        bad = order_parameters.badness(order_parameters.measure(frames, [setup.rank]), setup.rank)
    return score, bad
