"""``make bench``: run every case, interleaved, and write ``RESULTS.md`` and ``results.json`` of each table.

``python -m tests.benchmarks.run [--quick] [--rounds N] [--cases bag,dag] [--peers ray,dask] [--out DIR]``

Whole tables with all peers in full size come to lie under ``results/``, once the run is over; everything else, and what
a run that was interrupted had measured, under ``.bench/``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, table, venvs
from tests.benchmarks.cases import FIGURES, TABLES, Case, Entry, plan
from tests.benchmarks.ours import SCRATCH
from tests.benchmarks.peers.common import MARK, TAG

TIMEOUT_S = 600.0
ROUNDS = 5
RESULTS = venvs.HERE / "results"


class Failed(RuntimeError):
    """A script ended without a result; the text is what it wrote at last."""


def command(entry: Entry, python: Path | None) -> list[str]:
    """What to start for `entry`; `python` is that of its peer's environment."""
    given = dict(entry.given)
    if entry.case == "start":
        given["since"] = time.time()
    text = json.dumps(given)
    if python is None:
        return [sys.executable, "-m", f"tests.benchmarks.{entry.module}", entry.case, text]
    return [str(python), str(venvs.HERE / "peers" / f"{entry.module}.py"), entry.case, text]


def measure(entry: Entry, python: Path | None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Run `entry` once in a process of its own.

    Raises
    ------
    Failed
        If it ends without a result, or lasts too long. Nothing that it started is left behind in any case.
    """
    tag = uuid.uuid4().hex
    env = {**os.environ, TAG: tag} if python is None else venvs.environment(python, tag)
    process = subprocess.Popen(
        command(entry, python),
        cwd=venvs.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        said = f"it had no result after {timeout_s:g} s"
    finally:
        end_all(tag)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    found = [line for line in said.splitlines() if line.startswith(MARK)]
    if not found:
        raise Failed(said.strip()[-8000:] or f"exit status {process.returncode}, no output")
    result: dict[str, Any] = json.loads(found[-1][len(MARK) :])
    return result


def end_all(tag: str) -> None:
    """Kill what a measurement left behind: the processes that carry its own tag."""
    mark = f"{TAG}={tag}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                environ = Path(f"/proc/{name}/environ").read_bytes()
                if mark in environ.split(b"\0"):
                    os.kill(int(name), signal.SIGKILL)


def rounds_of(cases: Sequence[Case], rounds: int, pythons: dict[str, Path], record: Any) -> None:
    """Round after round, case after case, one entry after the other; each run is given to `record`."""
    for number in range(rounds):
        for case in cases:
            if number >= case.rounds:
                continue
            for entry in case.entries:
                run: dict[str, Any] = {"case": case.name, "label": entry.label, "round": number, "load": machine.load()}
                run["step_ns"] = machine.step_ns()
                try:
                    run["result"] = measure(entry, pythons.get(entry.peer))
                    told = f"{table.number(run['result'][case.measure])} {case.unit}"
                except Failed as failed:
                    run["error"] = str(failed)
                    told = f"FAILED: {failed}"
                print(f"[{number + 1}/{rounds}] {case.name}: {entry.label}: {told}", flush=True)
                record(run)


def select(cases: Sequence[Case], names: str, peers: str) -> list[Case]:
    """Those of `names` (cases or tables; all, if empty), with ours and those of `peers`.

    Raises
    ------
    SystemExit
        For a name that is none.
    """
    wanted = [c for name in names.split(",") if name for c in TABLES.get(name, (name,))]
    known = [case.name for case in cases]
    if unknown := [c for c in wanted if c not in known]:
        raise SystemExit(f"there is no case {unknown[0]!r}; there are {', '.join(known)}, or {', '.join(TABLES)}")
    beside = venvs.PEERS if peers == "all" else tuple(p for p in peers.split(",") if p)
    if unknown := [p for p in beside if p not in venvs.PEERS]:
        raise SystemExit(f"there is no peer {unknown[0]!r}; there are {', '.join(venvs.PEERS)}, or all")
    found = []
    for case in cases:
        if not wanted or case.name in wanted:
            entries = tuple(e for e in case.entries if not e.peer or e.peer in beside)
            found.append(Case(**{**vars(case), "entries": entries}))
    return found


def published(cases: Sequence[Case], quick: bool, peers: str) -> dict[str, list[Case]]:
    """The tables that a run of `cases` measures wholly, and with it the pages under ``results/`` that it writes."""
    if quick or peers != "all":
        return {}
    by_name = {case.name: case for case in cases}
    return {
        name: [by_name[c] for c in members] for name, members in TABLES.items() if all(c in by_name for c in members)
    }


def write(
    folder: Path, cases: Sequence[Case], runs: Sequence[dict[str, Any]], about: dict[str, Any], quick: bool
) -> None:
    """One page: what `runs` say about `cases`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {case.name for case in cases}
    used = {entry.peer for case in cases for entry in case.entries}
    own = [run for run in runs if run["case"] in names]
    about = {**about, "peers": {peer: said for peer, said in about["peers"].items() if peer in used}}
    (folder / "results.json").write_text(json.dumps({"about": about, "runs": own}, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(table.document(cases, FIGURES, own, about, quick))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and one round, written to .bench/quick")
    parser.add_argument("--rounds", type=int, default=0, help=f"default {ROUNDS}, quick 1")
    parser.add_argument("--cases", default="", help="some of: " + ", ".join([*TABLES, *(c.name for c in plan(True))]))
    parser.add_argument("--peers", default="all", help="some of: " + ", ".join(venvs.PEERS))
    parser.add_argument("--out", type=Path, help="folder of RESULTS.md and results.json, in place of results/")
    given = parser.parse_args(argv)
    rounds = given.rounds or (1 if given.quick else ROUNDS)
    cases = select(plan(given.quick), given.cases, given.peers)
    pages = {} if given.out else published(cases, given.quick, given.peers)
    out: Path = given.out or venvs.ROOT / ".bench" / ("quick" if given.quick else "last")

    used = {entry.peer for case in cases for entry in case.entries}
    pythons = {peer: venvs.ensure(peer) for peer in venvs.PEERS if peer in used}
    began = time.time()
    about: dict[str, Any] = {
        "machine": machine.describe(SCRATCH),
        "began": time.strftime("%Y-%m-%d %H:%M", time.localtime(began)),
        "version": machine.commit(venvs.ROOT),
        "rounds": rounds,
        "peers": {peer: venvs.versions(python, peer) for peer, python in pythons.items()},
    }
    runs: list[dict[str, Any]] = []

    def record(run: dict[str, Any]) -> None:
        # Written after every run: an hour of measuring must not be lost to an interrupt.
        runs.append(run)
        about["took_min"] = (time.time() - began) / 60
        write(out, cases, runs, about, given.quick)

    rounds_of(cases, rounds, pythons, record)
    print(f"written to {out / 'RESULTS.md'}")
    for name, members in pages.items():
        write(RESULTS / name, members, runs, about, given.quick)
        print(f"written to {RESULTS / name / 'RESULTS.md'}")
    return 1 if any("error" in run for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
