"""From the runs to the tables: medians, smallest and largest, ratios, and which figures were reached."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.cases import OURS, Case, Figure

Run = Mapping[str, Any]
"""``{"case", "label", "round", "load", "step_ns", "result" or "error"}``."""

NAMES = {
    "cpu_s": "CPU s",
    "declare_s": "declared in s",
    "done_rate": "done/s (all journalled)",
    "evolve_rate": "evolve alone/s",
    "evolve_wall_rate": "the same, wall",
    "own_hop_ms": "ms by the tasks' clocks",
    "peak_cores": "peak cores of a node",
    "peak_gpus": "peak GPUs",
    "peak_per_node": "peak per slot",
    "processes": "processes",
    "pss_mib": "MiB PSS",
    "rate": "tasks/s",
    "rounds": "rounds of the engine",
    "syncs": "syncs of the journal",
    "read_s": "read alone s",
    "seen_s": "seen by the caller",
    "uss_mib": "MiB USS",
    "write_s": "written in s",
}


HEAD = """\
# Benchmarks

Written by `make bench`; do not edit. Rounds are interleaved: every round runs every entry of a case once, one after the
other, each in a fresh process. Peers run in environments of their own, on the same functions and graphs. Rates count
from the first submission until all results are in hand. Concurrency is 2 everywhere unless a table says otherwise.
"""
QUICK = "**A quick run with small sizes: it shows that everything works and says nothing about speed.**\n"
NOTES = f"""\
Ours: the public API on the Dask executor; functions in child processes, slots counted, a journal that is written before
anything is acted upon, and synced to disk before a command is acknowledged or a result can be read (one sync may cover
several rounds). "{OURS}, no fsync" leaves the sync to the kernel. Peers keep no journal.

DeepDriveMD: the makespan of ours runs from the first assignment to the end of the last task, that of the peers from the
first submission to it; their tasks are sleeps in threads, so that two cores carry 192 of them. A peak is the most that
one node held at one time, by the clocks of the tasks.
"""


def values(runs: Iterable[Run], case: str, label: str, key: str) -> list[float]:
    """What the runs of one entry say about `key`."""
    return [
        float(run["result"][key])
        for run in runs
        if run["case"] == case and run["label"] == label and key in run.get("result", {})
    ]


def number(value: float) -> str:
    """Four digits are more than a measurement is worth."""
    if value >= 10_000:
        return f"{value:,.0f}".replace(",", " ")
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.1f}"


def spread(found: Sequence[float]) -> str:
    """Median, and from smallest to largest."""
    if len(found) == 1:
        return number(found[0])
    return f"{number(median(found))} ({number(min(found))} .. {number(max(found))})"


def of_case(case: Case, runs: Sequence[Run]) -> list[str]:
    """One table in Markdown."""
    labels = [entry.label for entry in case.entries]
    reference = next((label for label in labels if values(runs, case.name, label, case.measure)), "")
    base = values(runs, case.name, reference, case.measure)
    details = [key for key in case.details if any(values(runs, case.name, label, key) for label in labels)]
    head = ["", f"{case.unit}: median (least .. most)", "of ours" if len(labels) > 1 else "", "runs"]
    head += [NAMES.get(key, key) for key in details]
    lines = [f"### {case.title}", "", _row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for label in labels:
        found = values(runs, case.name, label, case.measure)
        if not found:
            failed = [r for r in runs if r["case"] == case.name and r["label"] == label and "error" in r]
            if failed:
                lines.append(_row([label, f"failed: {_one_line(failed[0]['error'])}", "", "0", *([""] * len(details))]))
            continue
        ratio = f"{median(found) / median(base):.2f}" if base and len(labels) > 1 else ""
        shown = [values(runs, case.name, label, key) for key in details]
        cells = [number(median(v)) if v else "" for v in shown]
        lines.append(_row([label, spread(found), ratio, str(len(found)), *cells]))
    return [*lines, ""] if len(lines) > 4 else []


def reached(figure: Figure, cases: Sequence[Case], runs: Sequence[Run]) -> tuple[str, str, str] | None:
    """A figure, what was measured, and yes or no; None if it was not measured."""
    case = next((c for c in cases if c.name == figure.case), None)
    if case is None:
        return None
    key = figure.key or case.measure
    medians = [
        median(found)
        for entry in case.entries
        if fnmatch.fnmatchcase(entry.label, figure.label) and (found := values(runs, case.name, entry.label, key))
    ]
    if not medians:
        return None
    own = min(medians) if figure.at_most else max(medians)
    if not figure.peer:
        limit, told = figure.limit, number(own)
    else:
        theirs = values(runs, case.name, figure.peer, key)
        if not theirs:
            return None
        limit = median(theirs) * figure.times
        told = f"{number(own)}, {own / median(theirs):.2f} x {figure.peer}"
    wanted = f"{'<=' if figure.at_most else '>='} {number(limit)}"
    return f"{figure.text}: {wanted}", told, "yes" if (own <= limit if figure.at_most else own >= limit) else "**no**"


def document(
    cases: Sequence[Case], figures: Sequence[Figure], runs: Sequence[Run], about: Mapping[str, Any], quick: bool
) -> str:
    """The whole page."""
    m = about["machine"]
    loads = [run["load"] for run in runs] or [0.0]
    steps = [run.get("step_ns", 0.0) for run in runs] or [0.0]
    lines = [
        HEAD,
        *([QUICK] * quick),
        f"- {m['cpu']}, {m['cores']} cores, {m['memory_gib']:.0f} GiB; {m['system']}; Python {m['python']}",
        f"- campaigns on {m['filesystem']}, one append with fdatasync {m['sync_ms']:.3g} ms",
        f"- load average before each run: median {median(loads):.1f}, {min(loads):.1f} .. {max(loads):.1f}",
        f"- ns a step of a Python loop before each run: {median(steps):.0f}, {min(steps):.0f} .. {max(steps):.0f}",
        f"- {about['began']}, {about['took_min']:.0f} minutes, {about['rounds']} rounds, version {about['version']}",
        *(f"- {peer}: {said}" for peer, said in about["peers"].items()),
        "",
    ]
    judged = [row for figure in figures if (row := reached(figure, cases, runs))]
    if judged and not quick:
        lines += ["## Figures", "", "| figure | measured | reached |", "|---|---|---|", *map(_row, judged), ""]
    lines += ["## Tables", ""]
    for case in cases:
        lines += of_case(case, runs)
    lines.append(NOTES)
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _one_line(text: str) -> str:
    last = text.strip().splitlines()[-1] if text.strip() else "no output"
    return last.replace("|", "/")[:120]
