"""MPI programs under a real launcher: ranks that talk to each other, several nodes, and ends that leave no rank behind.

They need MPICH (Debian: apt-get install mpich); where ``WORKBENCH_REQUIRE_MPI=1``, as in CI, its lack is a failure.
The programs call the library through ctypes, so that no compiler and no binding is needed.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench import Campaign, LocalPool, Mpi
from workbench.journal import read
from workbench.model.causes import Cause
from workbench.model.events import AttemptAssigned, AttemptEnded

LAUNCHER = shutil.which("mpiexec.hydra")
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(LAUNCHER is None, reason="there is no MPICH here (Debian: apt-get install mpich)"),
]
POOL = LocalPool(nodes=2, cores=8, gpus=0, memory=0)
BEGIN = """
import ctypes, os, sys
mpi = ctypes.CDLL("libmpich.so.12", mode=ctypes.RTLD_GLOBAL)
WORLD, INT, SUM = 0x44000000, 0x4C000405, 0x58000003
mpi.MPI_Init(None, None)
rank, size, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(WORLD, ctypes.byref(rank))
mpi.MPI_Comm_size(WORLD, ctypes.byref(size))
"""
REDUCE = (
    BEGIN
    + """
mine = ctypes.c_int(10 ** rank.value)
mpi.MPI_Allreduce(ctypes.byref(mine), ctypes.byref(total), 1, INT, SUM, WORLD)
line = f"{rank.value} {size.value} {total.value} {os.environ['OMP_NUM_THREADS']}\\n"
os.write(1, line.encode())  # at once: the launcher mixes what the ranks write in pieces
mpi.MPI_Finalize()
"""
)
ABORT = (
    BEGIN
    + """
if rank.value == 1:
    print("rank 1 gives up", file=sys.stderr, flush=True)
    mpi.MPI_Abort(WORLD, 7)
mpi.MPI_Barrier(WORLD)
"""
)
WAIT = (
    BEGIN
    + """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
mpi.MPI_Barrier(WORLD)
mark = f"{sys.argv[1]}.{rank.value}"
with open(mark + ".new", "w") as f:
    f.write(str(os.getpid()))
os.rename(mark + ".new", mark)
signal.pause()
"""
)


def mpi(code: str, *args: str, ranks: int, launcher: tuple[str, ...] = ("-n", "{ranks}"), **more: Any) -> Mpi:
    command = [sys.executable, "-c", code, *args]
    return Mpi(command, ranks=ranks, launcher=[str(LAUNCHER), *launcher], **more)


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with Campaign("mpi", POOL, dir=tmp_path / "campaign") as campaign:
        yield campaign


def events(campaign: Campaign, kind: type[Any]) -> list[Any]:
    return [r.event for r in read(campaign.directory) if isinstance(r.event, kind)]


def test_ranks_and_cores_are_those_declared_and_the_ranks_are_one_world(campaign: Campaign) -> None:
    three = campaign.task(mpi(REDUCE, ranks=3, cores_per_rank=2), name="three")
    many = campaign.tasks(mpi(REDUCE, ranks=2), n=3, name="many")
    assert campaign.run().phase == "ended"
    told = three.result()
    assert sorted(told["stdout"].splitlines()) == [f"{rank} 3 111 2" for rank in range(3)]
    assert (campaign.directory / "logs" / "three[0]#1.out").read_text() == told["stdout"]
    for result in many.results():
        assert sorted(result["stdout"].splitlines()) == ["0 2 11 1", "1 2 11 1"]
    cores = {e.task: e.cores for e in events(campaign, AttemptAssigned)}
    assert cores == {"three[0]": 6, "many[0]": 2, "many[1]": 2, "many[2]": 2}


def test_ranks_are_spread_over_the_nodes_of_an_attempt(campaign: Campaign) -> None:
    spread = ("-ppn", "{ranks_per_node}", "-n", "{ranks}", "-hosts", "{hosts}")
    task = campaign.task(mpi(REDUCE, ranks=4, launcher=spread, cores_per_rank=4), name="wide", nodes=2)
    assert campaign.run().phase == "ended"
    assert sorted(task.result()["stdout"].splitlines()) == [f"{rank} 4 1111 4" for rank in range(4)]
    (assigned,) = events(campaign, AttemptAssigned)
    assert (assigned.cores, len(assigned.others)) == (8, 1)


def test_a_rank_that_aborts_fails_the_task_with_its_last_words(campaign: Campaign) -> None:
    task = campaign.task(mpi(ABORT, ranks=3), name="abort", retries=0)
    assert campaign.run().counts == {"failed": 1}
    (ended,) = events(campaign, AttemptEnded)
    assert (ended.cause, ended.exit_code) == (Cause.UserError, 7)
    assert "rank 1 gives up" in task.story()


def ranks_of(mark: Path, n: int) -> list[psutil.Process]:
    """The processes of `n` ranks, once each has said who it is."""
    files = [Path(f"{mark}.{rank}") for rank in range(n)]
    pause = threading.Event()
    while not all(file.exists() for file in files):
        pause.wait(0.005)
    return [psutil.Process(int(file.read_text())) for file in files]


def test_a_cancelled_attempt_leaves_no_rank_behind(campaign: Campaign, tmp_path: Path) -> None:
    """The ranks ignore SIGTERM, and the launcher gives each a session of its own."""
    task = campaign.task(mpi(WAIT, str(tmp_path / "pid"), ranks=3), name="wait")
    campaign.start()
    ranks = ranks_of(tmp_path / "pid", 3)
    campaign.cancel(task, grace_s=0.2)
    assert campaign.wait().counts == {"cancelled": 1}
    assert [e.cause for e in events(campaign, AttemptEnded)] == [Cause.Cancelled]
    _, left = psutil.wait_procs(ranks, timeout=20)
    assert not left, "ranks were left behind"


def test_an_attempt_that_overruns_leaves_no_rank_behind(campaign: Campaign, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    say = """trap '' TERM; echo $$ > "$0.$PMI_RANK.new"; mv "$0.$PMI_RANK.new" "$0.$PMI_RANK"; sleep 300"""
    work = Mpi(["sh", "-c", say, str(mark)], ranks=3, launcher=[str(LAUNCHER), "-n", "{ranks}"])
    campaign.task(work, name="wait", timeout_s=3.0, retries=0)
    campaign.start()
    ranks = ranks_of(mark, 3)
    assert campaign.wait().counts == {"failed": 1}
    assert [e.cause for e in events(campaign, AttemptEnded)] == [Cause.Timeout]
    _, left = psutil.wait_procs(ranks, timeout=20)
    assert not left, "ranks were left behind"
