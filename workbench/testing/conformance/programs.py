"""Rules for executables and MPI programs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil

from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptEnded,
    NodeLeft,
    Share,
)
from workbench.model.specs import Executable, Mpi
from workbench.testing.bench import Bench
from workbench.testing.conformance.base import BY_FORCE, HOARD, REAL, VIRTUAL, Base, alive

LAUNCHER = """
import os, subprocess, sys
ranks, nodes, per_node, hosts = sys.argv[1:5]
for rank in range(int(ranks)):
    env = {**os.environ, "RANK": str(rank), "RANKS": ranks, "NODES": nodes, "PER_NODE": per_node, "HOSTS": hosts}
    subprocess.run(sys.argv[5:], env=env, check=True)
"""


class ExecutableRules(Base):
    """Programs, without a shell."""

    def test_argv_environment_and_output(self, bench: Bench) -> None:
        script = "import os, sys; print(sys.argv[1:], os.environ['FLAVOUR'], os.environ['WORKBENCH_ATTEMPT'])"
        work = Executable((sys.executable, "-c", script, "{temperature} K", "$HOME; {index}"), {"FLAVOUR": "sour"})
        attempt = bench.launch(work, bench.nodes(REAL, 2)[0], parameters={"temperature": 300}, name="run", index=4, n=9)
        value = bench.value(attempt)
        assert value["stdout"] == "['300 K', '$HOME; 4'] sour run[4]#1\n"
        assert value["returncode"] == 0

    def test_files_come_in_and_go_out(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "given.txt").write_text("seven")
        script = (
            "import os; os.makedirs('deep', exist_ok=True); open('deep/made.txt', 'w').write(open('in.txt').read() * 2)"
        )
        work = Executable(
            (sys.executable, "-c", script), inputs={"in.txt": str(tmp_path / "given.txt")}, outputs=("deep/made.txt",)
        )
        made = bench.value(bench.launch(work, bench.nodes(REAL, 2)[0]))["files"]["deep/made.txt"]
        assert bench.store.get(made["digest"]) == b"sevenseven"
        assert made["size"] == 10

    def test_a_missing_output_is_an_error_of_the_task(self, bench: Bench) -> None:
        ended = bench.ended(bench.launch(Executable(("true",), outputs=("out.dat",)), bench.nodes(REAL, 2)[0]))
        assert ended.cause is Cause.UserError and "out.dat" in ended.detail

    def test_exit_status_and_last_words(self, bench: Bench) -> None:
        work = Executable((sys.executable, "-c", "import sys; print('about to fail', file=sys.stderr); sys.exit(3)"))
        ended = bench.ended(bench.launch(work, bench.nodes(REAL, 2)[0]))
        assert (ended.cause, ended.exit_code) == (Cause.UserError, 3)
        assert "about to fail" in ended.detail

    def test_an_end_by_force_tells_its_limit_and_the_last_words(self, bench: Bench, tmp_path: Path) -> None:
        for how, (limit, cause, says) in BY_FORCE.items():
            gate = tmp_path / how
            hoard = HOARD * (how == "memory")
            code = f"from workbench.testing.bodies import mutter; mutter({str(gate)!r}, {hoard})"
            env = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            attempt = bench.launch(Executable((sys.executable, "-c", code), env), bench.nodes(REAL, 2)[0], **limit)
            if how in ("signal", "stop"):
                bench.poll(gate.exists, "the program has spoken")
            if how == "signal":
                os.kill(bench.running(attempt).pid, signal.SIGABRT)
            elif how == "stop":
                bench.stop(attempt, grace_s=0.1)
            ended = bench.ended(attempt)
            assert ended.cause is cause
            first, *words = ended.detail.splitlines()
            assert says in first
            assert words[0] == "it does not converge" and words[-1] == "step 99"
            assert len(words) <= 21 and "step 79" not in words, "bounded"

    def test_a_program_that_is_not_there_is_refused(self, bench: Bench) -> None:
        ended = bench.ended(bench.launch(Executable(("no-such-program-here",)), bench.nodes(REAL, 2)[0]))
        assert ended.cause is Cause.LaunchRefused and "no-such-program-here" in ended.detail

    def test_stop_kills_a_program_with_its_children(self, bench: Bench, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        script = f"sleep 120 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; wait"
        attempt = bench.launch(Executable(("sh", "-c", script)), bench.nodes(REAL, 2)[0])
        bench.poll(pids.exists, "the program starts its child")
        processes = [psutil.Process(int(p)) for p in pids.read_text().split()]
        bench.stop(attempt, grace_s=0.05)
        assert bench.ended(attempt).cause is Cause.Cancelled
        bench.poll(lambda: not any(alive(p) for p in processes), "both are gone")

    def test_a_virtual_node_runs_no_programs(self, bench: Bench) -> None:
        ended = bench.ended(bench.launch(Executable(("true",)), bench.nodes(VIRTUAL, 3)[0]))
        assert ended.cause is Cause.LaunchRefused


class MpiRules(Base):
    """MPI programs over several nodes."""

    def test_the_launcher_gets_ranks_nodes_and_hosts(self, bench: Bench, tmp_path: Path) -> None:
        launcher = tmp_path / "launch.py"
        launcher.write_text(LAUNCHER)
        program = "import os; print(*(os.environ[v] for v in ('RANK', 'RANKS', 'NODES', 'PER_NODE')))"
        work = Mpi(
            (sys.executable, "-c", program),
            ranks=4,
            launcher=(sys.executable, str(launcher), "{ranks}", "{nodes}", "{ranks_per_node}", "{hosts}"),
        )
        first, second = bench.nodes(REAL, 2)
        attempt = bench.launch(work, first, cores=2, others=(Share(second),))
        assert bench.value(attempt)["stdout"].splitlines() == [f"{rank} 4 2 2" for rank in range(4)]

    def test_a_rank_that_fails_fails_the_attempt(self, bench: Bench, tmp_path: Path) -> None:
        launcher = tmp_path / "launch.py"
        launcher.write_text(LAUNCHER)
        work = Mpi(("false",), ranks=2, launcher=(sys.executable, str(launcher), "{ranks}", "{nodes}", "1", "{hosts}"))
        first, second = bench.nodes(REAL, 2)
        ended = bench.ended(bench.launch(work, first, others=(Share(second),)))
        assert ended.cause is Cause.UserError
        assert "CalledProcessError" in ended.detail, "the launcher's last words"

    def test_an_attempt_over_several_nodes_ends_with_any_of_them(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        attempt = fresh.launch(Mpi(("sleep", "120"), ranks=2, launcher=("env",)), first, others=(Share(second),))
        fresh.running(attempt)
        self.break_node(fresh, second)
        assert fresh.ended(attempt).cause is Cause.NodeLost
        order = [e for e in fresh.events if isinstance(e, NodeLeft) or e in fresh.ends(attempt)]
        assert [type(e) for e in order] == [NodeLeft, AttemptEnded]
