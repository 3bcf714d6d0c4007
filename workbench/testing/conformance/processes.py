"""Rules for attempts in processes of their own: isolation, limits, steering, and ends by force."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from workbench.model.causes import Cause
from workbench.model.specs import Executable
from workbench.testing import bodies
from workbench.testing.bench import Bench
from workbench.testing.conformance.base import BY_FORCE, HOARD, REAL, Base, alive, peak


class ProcessRules(Base):
    """Attempts in processes of their own: isolation, limits, and ends by force."""

    def test_a_killed_child_costs_its_own_attempt_only(self, bench: Bench, tmp_path: Path) -> None:
        node = bench.nodes(REAL, 2)[0]
        gate = str(tmp_path / "gate")
        other = bench.call(bodies.hold, node, gate)
        ended = bench.ended(bench.call(bodies.kill_self, node))
        assert ended.cause is Cause.WorkerLost
        assert "9" in ended.detail or "KILL" in ended.detail
        Path(gate).touch()
        bench.finished(other)
        assert bench.value(bench.call(bodies.add, node, 1, 1)) == 2

    def test_timeout_ends_a_function(self, bench: Bench) -> None:
        ended = bench.ended(bench.call(bodies.nap, bench.nodes(REAL, 2)[0], 60.0, timeout_s=0.2))
        assert ended.cause is Cause.Timeout
        assert "0.2 s" in ended.detail

    def test_an_end_by_force_tells_its_limit_and_the_last_words(self, bench: Bench, tmp_path: Path) -> None:
        node = bench.nodes(REAL, 2)[0]
        for how, (limit, cause, says) in BY_FORCE.items():
            gate = tmp_path / how
            attempt = bench.call(bodies.mutter, node, str(gate), HOARD * (how == "memory"), **limit)
            if how in ("signal", "stop"):
                bench.poll(gate.exists, "the function has spoken")
            if how == "signal":
                os.kill(bench.running(attempt).pid, signal.SIGABRT)
            elif how == "stop":
                bench.stop(attempt, grace_s=0.1)
            ended = bench.ended(attempt)
            assert ended.cause is cause
            first, *words = ended.detail.splitlines()
            assert says in first
            assert "it does not converge" in words
            assert words[-1] == "step 99", "what it said last comes last"
            assert len(words) <= 24 and "step 79" not in words, "bounded"

    def test_stop_kills_a_function_that_defies_signals_with_all_it_started(self, bench: Bench, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        attempt = bench.call(bodies.defy, bench.nodes(REAL, 2)[0], str(pids))
        bench.poll(pids.exists, "the function starts its children")
        processes = [psutil.Process(int(p)) for p in pids.read_text().split()]
        assert len(processes) == 4
        bench.stop(attempt, grace_s=0.1)
        assert bench.ended(attempt).cause is Cause.Cancelled
        bench.poll(lambda: not any(alive(p) for p in processes), "everything it started is gone")

    def test_a_cooperative_function_keeps_what_it_has(self, bench: Bench, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        attempt = bench.call(bodies.follow, bench.nodes(REAL, 2)[0], str(gate), parameters={"lr": 1})
        bench.poll(gate.exists, "the function runs")
        bench.tell(attempt, lr=2, momentum=0.5)
        bench.tell(attempt, stop=True)
        assert bench.value(attempt) == {"lr": 2, "momentum": 0.5}

    def test_an_attempt_sees_its_own_gpus_cores_and_threads(self, bench: Bench) -> None:
        node = bench.nodes(REAL, 2)[1]
        one = bench.call(bodies.who, node, gpus=(1,), cores=1)
        none = bench.call(bodies.who, node, cores=1)
        seen, other = bench.value(one), bench.value(none)
        assert len(seen["gpus"].split(",")) == 1 and other["gpus"] == ""
        both = bench.value(bench.call(bodies.who, node, gpus=(0, 1), cores=2))
        assert seen["gpus"] == both["gpus"].split(",")[1]
        assert (seen["threads"], both["threads"]) == ("1", "2")
        assert seen["cores"] <= max(1, len(os.sched_getaffinity(0)))
        assert seen["attempt"] == f"{one.task}#1"

    def test_what_an_attempt_prints_is_kept(self, bench: Bench) -> None:
        attempt = bench.call(bodies.talk, bench.nodes(REAL, 2)[0])
        bench.finished(attempt)
        out = bench.layout.stdout(attempt.task, attempt.number).read_text()
        err = bench.layout.stderr(attempt.task, attempt.number).read_text()
        assert out.split("\n")[:2] == ["said aloud", "from below"] and err.strip() == "complained"

    def test_slots_hold_for_functions_too(self, bench: Bench) -> None:
        node = bench.nodes(REAL, 2)[0]
        cores = [1, 1, 1, 2, 1, 2, 1, 1, 1, 1]
        attempts = [bench.call(bodies.nap, node, 0.03, cores=c, queued=i > 1) for i, c in enumerate(cores)]
        spans = [(*bench.value(a), c) for a, c in zip(attempts, cores, strict=True)]
        assert peak(spans) <= 2

    def test_a_thread_runs_in_the_worker(self, bench: Bench) -> None:
        node = bench.nodes(REAL, 2)[0]
        first, second = (bench.value(bench.call(bodies.who, node, isolation="thread")) for _ in range(2))
        child = bench.value(bench.call(bodies.who, node))
        assert first["pid"] == second["pid"] != child["pid"]

    def test_what_a_dead_node_ran_is_killed(self, fresh: Bench, tmp_path: Path) -> None:
        first, second = fresh.nodes(REAL, 2)
        pids, gate = tmp_path / "pids", str(tmp_path / "gate")
        fresh.call(bodies.defy, first, str(pids))
        spared = fresh.call(bodies.hold, second, gate)
        fresh.poll(pids.exists, "the function starts its children")
        processes = [psutil.Process(int(p)) for p in pids.read_text().split()]
        self.break_node(fresh, first)
        left = fresh.until(lambda: fresh.left(first), "the node leaves")
        assert left is not None and left.detail
        fresh.poll(lambda: not any(alive(p) for p in processes), "everything it started is gone")
        Path(gate).touch()
        fresh.finished(spared)
        assert fresh.value(fresh.call(bodies.add, fresh.nodes(REAL, 2)[1], 1, 1)) == 2

    def test_close_leaves_nothing_alive(self, fresh: Bench, tmp_path: Path) -> None:
        node = fresh.nodes(REAL, 2)[0]
        pids = tmp_path / "pids"
        fresh.call(bodies.defy, node, str(pids))
        fresh.launch(Executable(("sleep", "120")), node)
        fresh.poll(pids.exists, "the function starts its children")
        started = fresh.processes()
        started += [psutil.Process(int(p)) for p in pids.read_text().split()]
        fresh.close()
        left = [p for p in started if alive(p)]
        assert not left, f"alive after close: {left}"
