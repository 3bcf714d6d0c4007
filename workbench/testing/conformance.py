"""The executor conformance suite: the rules of `executors.port`, as tests that run against any implementation.

```python
class TestMyExecutor(conformance(without={"mpi": "it has one node"})):
    def make(self, layout):
        return MyExecutor(POOLS, layout)
```

The rules are grouped by what an executor must be able to do (`SUITES`). What it cannot do is declared with a reason;
the tests of that group are then not part of the class at all, so nothing is skipped in silence. The executor under
test provides `POOLS`: two real nodes of 2 cores and 2 GPUs (their indices need not exist), and three virtual ones of
4 cores. Only `make` must be given; an executor with processes also says how to `break_node`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.executors.port import Executor
from workbench.model.actions import Provide, Stop, Tell
from workbench.model.causes import Cause
from workbench.model.events import (
    AttemptEnded,
    AttemptFinished,
    AttemptReported,
    AttemptStarted,
    NodeJoined,
    NodeLeft,
    Share,
)
from workbench.model.resources import NodeShape, Pool
from workbench.model.specs import Executable, Member, Mpi, Result
from workbench.store import Layout, codec
from workbench.testing import bodies
from workbench.testing.bench import Bench, Ref

REAL, VIRTUAL = "real", "virtual"
POOLS = (
    Pool(REAL, 2, NodeShape(2, 2), "local"),
    Pool(VIRTUAL, 3, NodeShape(4, 1), "virtual"),
)
LAUNCHER = """
import os, subprocess, sys
ranks, nodes, per_node, hosts = sys.argv[1:5]
for rank in range(int(ranks)):
    env = {**os.environ, "RANK": str(rank), "RANKS": ranks, "NODES": nodes, "PER_NODE": per_node, "HOSTS": hosts}
    subprocess.run(sys.argv[5:], env=env, check=True)
"""


class Base:
    """What every suite stands on: a bench for all tests of a class, and one of a test's own."""

    without: Mapping[str, str] = {}
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def make(self, layout: Layout) -> Executor:
        """The executor under test, which provides `POOLS`."""
        raise NotImplementedError

    def break_node(self, bench: Bench, node: str) -> None:
        """Let `node` die without a word."""
        raise NotImplementedError

    def bench_in(self, directory: Path) -> Bench:
        """A started bench with an executor under test."""
        factory = type(self).__dict__.get("loop_factory")
        bench = Bench(directory / "campaign", self.make, factory)
        bench.start()
        return bench

    @pytest.fixture(scope="class")
    @classmethod
    def shared(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
        """One bench for all tests of the class that leave it as they found it."""
        bench = cls().bench_in(tmp_path_factory.mktemp("shared"))
        yield bench
        bench.close()
        bench.end_loop()

    @pytest.fixture
    def bench(self, shared: Bench) -> Bench:
        """The shared bench, whose earlier attempts have all ended."""
        shared.nodes(REAL, 2), shared.nodes(VIRTUAL, 3)
        return shared

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Iterator[Bench]:
        """A bench for a test that breaks something."""
        bench = self.bench_in(tmp_path)
        yield bench
        if not bench.closed:
            bench.close()
        bench.end_loop()


class SyntheticRules(Base):
    """The port's rules, shown with work that only takes time."""

    def test_nodes_join_with_their_shape_before_anything_is_said_about_them(self, bench: Bench) -> None:
        real, virtual = bench.joined(REAL), bench.joined(VIRTUAL)
        assert [(n.cores, n.gpus) for n in real] == [(2, 2)] * 2
        assert [(n.cores, n.gpus) for n in virtual] == [(4, 1)] * 3
        assert len({n.node for n in real + virtual}) == 5

    def test_synthetic_work_takes_its_time_and_is_told_to_start(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.2)
        finished = bench.finished(attempt)
        assert 0.2 <= finished.ended - finished.started
        told = [e for e in bench.events if getattr(e, "task", None) == attempt.task]
        assert [type(e) for e in told] == [AttemptStarted, AttemptFinished]

    def test_a_launch_told_twice_runs_once(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.1)
        bench.act(attempt.launch, attempt.launch)
        bench.end(attempt)
        bench.act(attempt.launch)
        bench.end(bench.sleep(bench.nodes(VIRTUAL, 3)[0], 0.2))
        assert len(bench.ends(attempt)) == 1

    def test_stop_and_tell_for_the_unknown_are_ignored(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[0]
        before = len(bench.events)
        bench.act(Stop("nobody[0]", 1, node), Tell("nobody[0]", 1, node, {"a": 1}), Stop("nobody[0]", 1, "nowhere"))
        probe = bench.sleep(node, 0.0)
        bench.end(probe)
        assert all(getattr(e, "task", "") == probe.task for e in bench.events[before:])

    def test_stop_ends_an_attempt_as_cancelled_once(self, bench: Bench) -> None:
        attempt = bench.sleep(bench.nodes(VIRTUAL, 3)[1], 500.0)
        bench.running(attempt)
        bench.stop(attempt, grace_s=0.05)
        bench.stop(attempt, grace_s=0.05)
        assert bench.ended(attempt).cause is Cause.Cancelled
        bench.end(bench.sleep(bench.nodes(VIRTUAL, 3)[1], 0.2))
        assert len(bench.ends(attempt)) == 1

    def test_a_queued_attempt_can_be_stopped_before_it_starts(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[1]
        holder = bench.sleep(node, 0.3, cores=4)
        waiting = bench.sleep(node, 500.0, queued=True)
        bench.stop(waiting, grace_s=0.0)
        assert bench.ended(waiting).cause is Cause.Cancelled
        assert bench.started(waiting) is None
        bench.finished(holder)

    def test_timeout_ends_an_attempt(self, bench: Bench) -> None:
        ended = bench.ended(bench.sleep(bench.nodes(VIRTUAL, 3)[0], 500.0, timeout_s=0.1))
        assert ended.cause is Cause.Timeout
        assert ended.detail

    def test_queued_attempts_start_in_order_and_slots_are_never_exceeded(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[2]
        cores = [4, 1, 2, 4, 1, 1, 3, 2]
        attempts = [bench.sleep(node, 0.06, cores=c, queued=i > 0) for i, c in enumerate(cores)]
        spans = [bench.finished(a) for a in attempts]
        starts = [s.started for s in spans]
        assert starts == sorted(starts), "queued attempts start in the order in which they came"
        assert _peak([(s.started, s.ended, c) for s, c in zip(spans, cores, strict=True)]) <= 4

    def test_a_queued_attempt_waits_for_its_gpu(self, bench: Bench) -> None:
        node = bench.nodes(VIRTUAL, 3)[2]
        first = bench.sleep(node, 0.1, gpus=(0,))
        second = bench.sleep(node, 0.0, gpus=(0,), queued=True)
        assert bench.finished(first).ended <= bench.finished(second).started

    def test_a_launch_on_a_node_that_never_was_is_refused(self, bench: Bench) -> None:
        ended = bench.ended(bench.sleep("moon-0.e1", 1.0))
        assert ended.cause is Cause.LaunchRefused
        assert "moon-0.e1" in ended.detail

    def test_many_attempts_at_once_end_once_each(self, bench: Bench) -> None:
        nodes = bench.nodes(VIRTUAL, 3)
        attempts = [bench.sleep(nodes[i % 3], 0.0, queued=i >= 12, name="many", index=i, n=300) for i in range(300)]
        bench.until(lambda: all(bench.ends(a) for a in attempts), "all 300 end")
        assert all(len(bench.ends(a)) == 1 for a in attempts)

    def test_a_pool_grows_and_shrinks_and_names_are_never_used_again(self, fresh: Bench) -> None:
        before = fresh.nodes(VIRTUAL, 3)
        busy = fresh.sleep(before[0], 500.0)
        fresh.running(busy)
        fresh.act(Provide(VIRTUAL, 5))
        grown = fresh.nodes(VIRTUAL, 5)
        assert grown[:3] == before
        assert fresh.finished(fresh.sleep(grown[4], 0.0))
        fresh.act(Provide(VIRTUAL, 1))
        fresh.until(lambda: len(fresh.joined(VIRTUAL)) == 1, "four nodes leave")
        assert fresh.nodes(VIRTUAL, 1) == [before[0]], "idle nodes go first"
        fresh.act(Provide(VIRTUAL, 3))
        fresh.nodes(VIRTUAL, 3)
        names = [e.node for e in fresh.events if isinstance(e, NodeJoined)]
        assert len(names) == len(set(names))
        fresh.act(Provide(VIRTUAL, 0))
        left = fresh.until(lambda: fresh.left(before[0]), "the busy node leaves too")
        assert left is not None and left.cause is Cause.Preempted
        assert fresh.ends(busy) == []

    def test_nothing_is_delivered_after_close(self, fresh: Bench) -> None:
        node = fresh.nodes(VIRTUAL, 3)[0]
        attempts = [fresh.sleep(node, 0.02, queued=i > 3) for i in range(40)]
        fresh.end(attempts[0])
        fresh.close()
        fresh.turn(0.3)  # `Bench` fails when something is delivered now
        fresh.act(attempts[1].launch, Stop(attempts[2].task, 1, node))


class FunctionRules(Base):
    """Python functions and their results."""

    def test_a_result_comes_back(self, bench: Bench) -> None:
        attempt = bench.call(bodies.add, bench.nodes(REAL, 2)[0], 2, 3)
        assert bench.value(attempt) == 5
        assert bench.finished(attempt).result.codec == "json"

    def test_a_closure_travels_by_value(self, bench: Bench) -> None:
        factor = 7

        def times(x: int) -> int:
            return factor * x

        assert bench.value(bench.call(times, bench.nodes(REAL, 2)[1], 6)) == 42

    @pytest.mark.parametrize(("fn", "kind"), [(bodies.zeros, "npy"), (bodies.both, "pickle")])
    def test_results_take_the_form_that_keeps_them(self, bench: Bench, fn: Callable[..., Any], kind: str) -> None:
        attempt = bench.call(fn, bench.nodes(REAL, 2)[0], 4)
        assert repr(bench.value(attempt)) == repr(fn(4))
        assert bench.finished(attempt).result.codec == kind

    def test_a_large_result_lies_in_the_store(self, bench: Bench) -> None:
        attempt = bench.call(bodies.blob, bench.nodes(REAL, 2)[0], 1_000_000)
        result = bench.finished(attempt).result
        assert result.digest and not result.inline and result.size >= 1_000_000
        assert bench.store.has(result.digest)
        assert bench.value(attempt) == bytes(1_000_000)

    def test_a_large_argument_comes_from_the_store(self, bench: Bench) -> None:
        assert bench.value(bench.call(bodies.add, bench.nodes(REAL, 2)[0], "x" * 100_000, "y"))[-2:] == "xy"

    def test_results_of_others_take_the_place_of_references(self, bench: Bench) -> None:
        large = Result("pickle", digest=bench.store.put(codec.encode_result({1, 2})[1]))
        inputs = {
            "sim[3]": (Result("json", b"3"),),
            "sim": (Result("json", b"1"), Result("json", b"2")),
            "agg/each": (large,),
        }
        references = {"one": Ref("task", "sim[3]"), "deep": [Ref("set", "sim"), (Ref("each", "agg"),)]}
        attempt = bench.call(bodies.echo, bench.nodes(REAL, 2)[0], references, inputs=inputs)
        assert bench.value(attempt)["args"] == [{"one": 3, "deep": [[1, 2], ({1, 2},)]}]

    def test_a_member_brings_its_item_and_parameters(self, bench: Bench) -> None:
        item, _ = codec.encode_call(({"angle": 30},), {})
        member = Member(bench.store.payload(item), {"lr": 0.2})
        attempt = bench.call(
            bodies.echo, bench.nodes(REAL, 2)[0], Ref("item"), 1, member=member, parameters={"lr": 0.1, "batch": 8}
        )
        assert bench.value(attempt) == {"args": [{"angle": 30}, 1], "parameters": {"lr": 0.2, "batch": 8}}

    def test_an_exception_ends_the_attempt_with_its_traceback(self, bench: Bench) -> None:
        ended = bench.ended(bench.call(bodies.fail, bench.nodes(REAL, 2)[0], "luck"))
        assert ended.cause is Cause.UserError
        assert "ValueError: no such luck" in ended.detail and "bodies.py" in ended.detail

    def test_sys_exit_is_an_error_of_the_task(self, bench: Bench) -> None:
        for code in (0, 3):
            ended = bench.ended(bench.call(bodies.leave, bench.nodes(REAL, 2)[0], code))
            assert ended.cause is Cause.UserError
            assert "exit" in ended.detail

    def test_a_result_that_cannot_travel_is_an_error_of_the_task(self, bench: Bench) -> None:
        def opened() -> Any:
            import threading

            return threading.Lock()

        ended = bench.ended(bench.call(opened, bench.nodes(REAL, 2)[0]))
        assert ended.cause is Cause.UserError
        assert "lock" in ended.detail

    def test_the_task_knows_who_it_is(self, bench: Bench) -> None:
        attempt = bench.call(bodies.who, bench.nodes(REAL, 2)[0], name="known", index=2, number=3, n=5)
        seen = bench.value(attempt)
        assert (seen["task"], seen["number"], seen["index"], seen["inside"]) == ("known[2]", 3, 2, True)
        assert Path(seen["scratch"]) == bench.layout.scratch("known[2]", 3)

    def test_metrics_and_progress_arrive_before_the_end(self, bench: Bench) -> None:
        attempt = bench.call(bodies.measure, bench.nodes(REAL, 2)[0])
        assert bench.value(attempt) == "measured"
        metrics: dict[str, Any] = {}
        for report in bench.reports(attempt):
            metrics.update(report.metrics)
        assert metrics == {"loss": 0.5, "step": 3, "phase": "warm", "good": True}
        assert bench.reports(attempt)[-1].progress == 0.25
        kinds = [type(e) for e in bench.events if getattr(e, "task", "") == attempt.task]
        assert kinds.index(AttemptReported) < kinds.index(AttemptFinished)

    def test_growth_comes_with_the_result(self, bench: Bench) -> None:
        finished = bench.finished(bench.call(bodies.grow_by, bench.nodes(REAL, 2)[0], 4))
        (edit,) = finished.growth
        assert (edit.spec.name, edit.spec.n) == ("grown", 4)  # type: ignore[union-attr]


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

    def test_stop_kills_a_function_that_defies_signals_with_all_it_started(self, bench: Bench, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        attempt = bench.call(bodies.defy, bench.nodes(REAL, 2)[0], str(pids))
        bench.poll(pids.exists, "the function starts its children")
        processes = [psutil.Process(int(p)) for p in pids.read_text().split()]
        assert len(processes) == 4
        bench.stop(attempt, grace_s=0.1)
        assert bench.ended(attempt).cause is Cause.Cancelled
        bench.poll(lambda: not any(_alive(p) for p in processes), "everything it started is gone")

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
        assert _peak(spans) <= 2

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
        fresh.poll(lambda: not any(_alive(p) for p in processes), "everything it started is gone")
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
        left = [p for p in started if _alive(p)]
        assert not left, f"alive after close: {left}"


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
        bench.poll(lambda: not any(_alive(p) for p in processes), "both are gone")

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
        assert bench.ended(bench.launch(work, first, others=(Share(second),))).cause is Cause.UserError

    def test_an_attempt_over_several_nodes_ends_with_any_of_them(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        attempt = fresh.launch(Mpi(("sleep", "120"), ranks=2, launcher=("env",)), first, others=(Share(second),))
        fresh.running(attempt)
        self.break_node(fresh, second)
        assert fresh.ended(attempt).cause is Cause.NodeLost
        order = [e for e in fresh.events if isinstance(e, NodeLeft) or e in fresh.ends(attempt)]
        assert [type(e) for e in order] == [NodeLeft, AttemptEnded]


class NodeRules(Base):
    """Nodes that die, and nodes that come later."""

    def test_a_dead_node_takes_its_attempts_only_and_another_comes(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        doomed = [fresh.sleep(first, 500.0), fresh.sleep(first, 500.0)]
        queued = fresh.sleep(first, 500.0, queued=True)
        spared = fresh.sleep(second, 500.0)
        for attempt in (*doomed, spared):
            fresh.running(attempt)
        self.break_node(fresh, first)
        left = fresh.until(lambda: fresh.left(first), "the node leaves")
        assert left is not None and left.cause is Cause.NodeLost
        again = fresh.nodes(REAL, 2)
        assert again[0] == second and again[1] not in (first, second)
        fresh.finished(fresh.sleep(again[1], 0.0))
        assert not any(fresh.ends(a) for a in (*doomed, queued, spared)), "the node's leaving is their end"
        fresh.stop(spared, grace_s=0.0)
        assert fresh.ended(spared).cause is Cause.Cancelled

    def test_a_launch_on_a_node_that_left_is_silent(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        self.break_node(fresh, first)
        fresh.until(lambda: fresh.left(first), "the node leaves")
        late = fresh.sleep(first, 0.0)
        fresh.finished(fresh.sleep(second, 0.2))
        assert fresh.ends(late) == [], "its node's leaving has been told, and that is its end"

    def test_a_node_that_joins_later_is_used(self, fresh: Bench) -> None:
        before = fresh.nodes(REAL, 2)
        fresh.act(Provide(REAL, 3))
        after = fresh.nodes(REAL, 3)
        assert after[:2] == before
        fresh.finished(fresh.sleep(after[2], 0.0))

    def test_a_pool_declared_later_is_provided(self, fresh: Bench) -> None:
        fresh.nodes(REAL, 2)
        late = Pool("late", 2, NodeShape(64, 8), "virtual")
        fresh.act(Provide("late", 2, late))
        nodes = fresh.nodes("late", 2)
        assert {(n.cores, n.gpus) for n in fresh.joined("late")} == {(64, 8)}
        fresh.finished(fresh.sleep(nodes[1], 0.0, cores=64))

    def test_an_idle_node_is_given_back_first(self, fresh: Bench) -> None:
        first, second = fresh.nodes(REAL, 2)
        busy = fresh.sleep(first, 0.5)
        fresh.running(busy)
        fresh.act(Provide(REAL, 1))
        left = fresh.until(lambda: fresh.left(second), "the idle node leaves")
        assert left is not None and left.cause is Cause.Preempted
        fresh.finished(busy)


SUITES: dict[str, type[Base]] = {
    "synthetic": SyntheticRules,
    "functions": FunctionRules,
    "processes": ProcessRules,
    "executables": ExecutableRules,
    "mpi": MpiRules,
    "nodes": NodeRules,
}


def conformance(without: Mapping[str, str] | None = None) -> Any:
    """A base class for the tests of one executor.

    Parameters
    ----------
    without : mapping
        Group of rules that the executor does not claim -> why.

    Raises
    ------
    ValueError
        If there is no such group, or no reason.
    """
    missing = dict(without or {})
    for group, reason in missing.items():
        if group not in SUITES or not reason:
            raise ValueError(f"{group!r}: give one of {', '.join(SUITES)} and the reason why it is missing")
    bases = tuple(suite for group, suite in SUITES.items() if group not in missing)
    return type("Conformance", bases, {"without": missing})


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _peak(spans: list[tuple[float, float, int]]) -> int:
    """The most that was in use at once; an end and a start at the same instant do not overlap."""
    changes = sorted([(end, -use) for _, end, use in spans] + [(start, use) for start, _, use in spans])
    peak = now = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak
