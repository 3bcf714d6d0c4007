"""The scientific result, told honestly: first passage with never-folded runs counted, at one budget for all modes.

"Folded" is Q > 0.9. First passage is the number of simulation steps that a run had spent, over all its simulations,
when its first folded frame appeared; a run that never folds has none, and counts as later than every run that does.
The judge always uses Q, also for runs whose own decisions knew nothing of the native state.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.gallery.deepdrivemd.ledger import Ledger
    from workbench.gallery.deepdrivemd.setup import Setup
    from workbench.gallery.deepdrivemd.vae import State
    from workbench.gallery.deepdrivemd.work import Gathered

SEEDS_FOR_EVIDENCE = 5


class RunOutcome(TypedDict):
    """One run."""

    mode: str
    seed: int
    first_folded_steps: int | None
    folded_frames: int
    frames: int
    best_q: float | None  # None when there are no frames
    least_rmsd_nm: float | None
    steps: int
    budget: int
    simulations: int
    stopped: int
    losses: list[float]
    cpu_s: dict[str, float]  # md, aggregate, train, infer: compute only, without starting processes and imports


class ModeOutcome(TypedDict):
    """All runs of one mode."""

    mode: str
    runs: int
    never_folded: int
    median_first_folded_steps: float | None  # over all runs; None when half or more never folded
    first_folded_steps: list[int | None]  # of each run
    folded_frames: list[int]
    steps: list[int]
    cpu_s: float  # mean of a run
    ml_cpu_s: float  # of it, for training and inference


class Outcome(TypedDict):
    """Result of the campaign."""

    runs: list[RunOutcome]
    modes: list[ModeOutcome]
    table: str
    caveats: list[str]
    order: list[str]
    temperature: float


def outcome(gathered: Sequence[Gathered], models: Sequence[State | None], ledger: Ledger, setup: Setup) -> Outcome:
    """Join the last aggregate and model of each run, in the order of `setup.runs`, into the result."""
    runs = [
        _one(setup, r, g, m, ledger["runs"][r]["infer_cpu_s"])
        for r, (g, m) in enumerate(zip(gathered, models, strict=True))
    ]
    return judged(runs, order=setup.order, temperature=setup.temperature, early_stop=setup.early_stop)


def judged(
    runs: Sequence[RunOutcome], *, order: Sequence[str] = (), temperature: float = math.nan, early_stop: bool = False
) -> Outcome:
    """Compare `runs` by mode."""
    modes = [_mode(m, [r for r in runs if r["mode"] == m]) for m in dict.fromkeys(r["mode"] for r in runs)]
    return Outcome(
        runs=list(runs), modes=modes, table=table(modes), caveats=caveats(runs, modes, early_stop),
        order=list(order), temperature=temperature,
    )  # fmt: skip


def _one(setup: Setup, r: int, gathered: Gathered, model: State | None, infer_cpu_s: float) -> RunOutcome:
    history = gathered["history"]
    passages = [h["first_folded"] for h in history if h["first_folded"] is not None]
    return RunOutcome(
        mode=setup.runs[r].mode,
        seed=setup.runs[r].seed,
        first_folded_steps=min(passages) if passages else None,
        folded_frames=sum(h["folded"] for h in history),
        frames=sum(h["frames"] for h in history),
        best_q=max((h["best_q"] for h in history if h["best_q"] is not None), default=None),
        least_rmsd_nm=min((h["least_rmsd"] for h in history if h["least_rmsd"] is not None), default=None),
        steps=gathered["used"],
        budget=setup.budget,
        simulations=sum(len(h["steps"]) for h in history),
        stopped=sum(h["stopped"] for h in history),
        losses=list(model["losses"]) if model else [],
        cpu_s={
            "md": sum(h["md_cpu_s"] for h in history),
            "aggregate": gathered["cpu_s"],
            "train": model["cpu_s"] if model else 0.0,
            "infer": infer_cpu_s,
        },
    )


def median_passage(passages: Sequence[int | None]) -> float | None:
    """Median of first passages where never (None) is later than any number; None when the median run never folded."""
    ordered = sorted(math.inf if p is None else float(p) for p in passages)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return None if math.isinf(middle) else middle


def _mode(mode: str, runs: Sequence[RunOutcome]) -> ModeOutcome:
    passages = [r["first_folded_steps"] for r in runs]
    return ModeOutcome(
        mode=mode,
        runs=len(runs),
        never_folded=passages.count(None),
        median_first_folded_steps=median_passage(passages),
        first_folded_steps=passages,
        folded_frames=[r["folded_frames"] for r in runs],
        steps=[r["steps"] for r in runs],
        cpu_s=sum(sum(r["cpu_s"].values()) for r in runs) / len(runs),
        ml_cpu_s=sum(r["cpu_s"]["train"] + r["cpu_s"]["infer"] for r in runs) / len(runs),
    )


def table(modes: Sequence[ModeOutcome]) -> str:
    """The modes side by side, as text."""
    head = ("mode", "runs", "never folded", "median first passage", "first passage / folded frames of each run",
            "CPU s per run", "of it ML")  # fmt: skip
    rows = [head]
    for m in modes:
        each = ", ".join(
            f"{_thousands(p)}/{f}" for p, f in zip(m["first_folded_steps"], m["folded_frames"], strict=True)
        )
        rows.append(
            (m["mode"], str(m["runs"]), str(m["never_folded"]), _thousands(m["median_first_folded_steps"]), each,
             f"{m['cpu_s']:.1f}", f"{m['ml_cpu_s']:.1f}")
        )  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _thousands(steps: float | None) -> str:
    return "never" if steps is None else f"{steps / 1000:.4g}k"


def caveats(runs: Sequence[RunOutcome], modes: Sequence[ModeOutcome], early_stop: bool) -> list[str]:
    """What these numbers do not show."""
    out = []
    short = sum(r["steps"] < r["budget"] for r in runs)
    if short:
        out.append(f"{short} of {len(runs)} runs spent less than their budget: do not compare them with the others")
    fewest = min(m["runs"] for m in modes)
    if fewest < SEEDS_FOR_EVIDENCE:
        out.append(
            f"{fewest} seed{'s' if fewest > 1 else ''} for each mode: an anecdote; compare modes over at least "
            f"{SEEDS_FOR_EVIDENCE} seeds (mode=compare, seeds=1,2,3,4,5)"
        )
    names = {m["mode"] for m in modes}
    if names & {"lof", "rmsd", "both"} and "plain" not in names:
        out.append("plain molecular dynamics at the same budget was not run: no gain can be claimed (mode=compare)")
    if "both" in names and "rmsd" not in names:
        out.append("both uses the known native state; without the ablation rmsd a gain cannot be credited to learning")
    if early_stop and names & {"lof", "rmsd", "both"}:
        out.append("simulations were stopped early when the agent's decision reached them, so a rerun may differ")
    out.append("one small protein in a coarse model at one temperature; says nothing about other systems")
    return out
