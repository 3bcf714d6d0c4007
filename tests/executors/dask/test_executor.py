"""The Dask executor beyond the common rules: where it can be started from, what it listens on, what survives whom."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from workbench.executors.agent.contact import read_contact
from workbench.executors.dask import spawn
from workbench.executors.dask.cluster import DaskCluster
from workbench.executors.dask.executor import DaskExecutor, ExecutorFailed, devices_of
from workbench.executors.pools import LocalPool, make_executor
from workbench.model.actions import Provide
from workbench.model.events import AttemptFinished, NodeJoined
from workbench.model.specs import Function, Result
from workbench.store import Layout, codec
from workbench.testing import bodies
from workbench.testing.bench import Attempt, Bench, Ref

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
from workbench.executors.pools import LocalPool, make_executor
from workbench.testing.bench import Bench

print("the script begins", flush=True)
FACTOR = 6

def times(x):
    return FACTOR * x

bench = Bench(Path(sys.argv[1]), lambda layout: make_executor([LocalPool(cores=1)], layout, preload=()))
bench.start()
(node,) = bench.nodes("local", 1)
print(bench.value(bench.call(times, node, 7)), flush=True)
"""


def executor(**options: Any) -> Callable[[Layout], Any]:
    """Two real nodes of one core."""
    settings: dict[str, Any] = {"preload": (), **options}
    return lambda layout: make_executor([LocalPool(nodes=2, cores=1)], layout, **settings)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "campaign", executor())
    bench.start()
    yield bench
    if not bench.closed:
        bench.close()
    bench.end_loop()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def run_script(text: str, directory: Path) -> subprocess.Popen[str]:
    script = directory / "script.py"
    script.write_text(text)
    return subprocess.Popen(
        [sys.executable, str(script), str(directory / "campaign")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    done = run_script(SCRIPT + "bench.close()\nbench.end_loop()\n", tmp_path)
    out, err = done.communicate(timeout=60)
    assert (out, err, done.returncode) == ("the script begins\n42\n", "", 0)


def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hold = f"bench.call(bodies.defy, node, {str(pids)!r})\nbench.poll(lambda: False, 'never', 60)\n"
    owner = run_script("from workbench.testing import bodies\n" + SCRIPT + hold, tmp_path)
    try:
        _wait(pids.exists)
        started = psutil.Process(owner.pid).children(recursive=True)
        started += [psutil.Process(int(p)) for p in pids.read_text().split()]
        assert len(started) >= 5
    finally:
        owner.kill()
        owner.communicate(timeout=30)
    _, left = psutil.wait_procs(started, timeout=20)
    assert not left


def test_it_runs_on_the_loop_of_another_thread(tmp_path: Path) -> None:
    """As in a notebook, whose main thread has a running loop of its own."""
    told: list[Any] = []

    def engine() -> None:
        bench = Bench(tmp_path / "campaign", executor())
        try:
            bench.start()
            told.append(bench.value(bench.call(bodies.add, bench.nodes("local", 2)[0], 1, 2)))
        except BaseException as e:
            told.append(e)
        finally:
            bench.close()
            bench.end_loop()

    async def kernel() -> None:
        thread = threading.Thread(target=engine, name="engine")
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)

    asyncio.run(kernel())
    assert told == [3]


def test_everything_listens_on_loopback_only(bench: Bench) -> None:
    bench.nodes("local", 2)
    listening = [
        connection
        for process in [psutil.Process(), *bench.processes()]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # scheduler, hub, two workers
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_the_owners_environment_is_left_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    bench = Bench(tmp_path / "campaign", executor())
    bench.start()
    bench.nodes("local", 2)
    during = dict(os.environ)
    bench.close()
    bench.end_loop()
    # The test runner notes there which phase of a test runs.
    assert {k: v for k, v in during.items() if k != "PYTEST_CURRENT_TEST"} == {
        k: v for k, v in before.items() if k != "PYTEST_CURRENT_TEST"
    }


def test_nodes_say_how_much_may_queue_on_them(bench: Bench) -> None:
    bench.nodes("local", 2)
    assert [n.prefetch for n in bench.joined("local")] == [4, 4]


def test_tls_covers_cluster_and_agents(tmp_path: Path) -> None:
    from distributed import Security

    security = Security.temporary()

    def make(layout: Layout) -> Any:
        return make_executor([LocalPool(cores=1, security=security)], layout, preload=())

    bench = Bench(tmp_path / "campaign", make)
    bench.start()
    assert isinstance(bench.executor, DaskExecutor)
    (node,) = bench.nodes("local", 1)
    assert bench.value(bench.call(bodies.add, node, 1, 2)) == 3
    assert read_contact(str(bench.layout.directory)).address.startswith("tls://127.0.0.1:")
    assert bench.executor.scheduler_address.startswith("tls://127.0.0.1:")
    bench.close()
    bench.end_loop()


def test_inputs_beyond_a_message_travel_through_the_store(bench: Bench) -> None:
    node = bench.nodes("local", 2)[0]
    size = 16_000
    result = Result("pickle", codec.encode_result(bytes(size))[1])
    inputs = {"sim": (result,) * 5000}  # 80 MB in all
    attempt = bench.call(_lengths, node, Ref("set", "sim"), inputs=inputs)
    assert bench.value(attempt) == [5000, size]


def _lengths(results: list[bytes]) -> list[int]:
    return [len(results), len(results[-1])]


def test_functions_that_use_dask_get_a_client_of_the_same_cluster(bench: Bench) -> None:
    node = bench.nodes("local", 2)[0]
    code = bench.store.payload(codec.encode_function(_with_dask))
    attempt = bench.launch(Function(code, "tests:_with_dask", dask=True), node)
    assert bench.value(attempt) == [285, 2]


def _with_dask() -> list[int]:
    from workbench import task

    client = task.dask_client()
    workers = len(client.scheduler_info()["workers"])
    return [client.submit(sum, client.map(lambda x: x * x, range(10))).result(), workers]


@pytest.mark.parametrize("lame", ["raise SystemExit('the interpreter is lame')", "import time; time.sleep(60)"])
def test_a_cluster_that_does_not_start_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lame: str
) -> None:
    from workbench.executors.dask import process

    monkeypatch.setattr(spawn, "BOOT", f"fd = {{fd}}\n{lame}")
    monkeypatch.setattr(process, "START_S", 2.0)
    bench = Bench(tmp_path / "campaign", executor())
    with pytest.raises(ExecutorFailed, match="the local cluster did not start: ") as failed:
        bench.start()
    assert ("lame" in str(failed.value)) == ("lame" in lame)
    assert not alive(bench.processes())
    bench.close()
    bench.end_loop()


def test_a_directory_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "campaign", executor())
    bench.layout.logs.rmdir()
    bench.layout.logs.write_text("in the way")
    with pytest.raises(ExecutorFailed, match=r"did not start: .*local\.e1-0\.log"):
        bench.start()
    assert not alive(bench.processes())
    bench.close()
    bench.end_loop()


def test_a_pool_that_shrinks_to_nothing_comes_back(bench: Bench) -> None:
    bench.nodes("local", 2)
    bench.act(Provide("local", 0))
    bench.until(lambda: not bench.joined("local"), "both nodes leave")
    bench.poll(lambda: not alive(bench.processes()), "their processes end")
    bench.act(Provide("local", 1))
    (node,) = bench.nodes("local", 1)
    assert bench.value(bench.call(bodies.add, node, 1, 1)) == 2


def test_close_in_the_middle_of_a_change_leaves_nothing(bench: Bench) -> None:
    bench.nodes("local", 2)
    bench.act(Provide("local", 4))
    bench.poll(lambda: len(bench.processes()) > 8, "further workers begin to start")
    started = bench.processes()
    bench.close()
    assert not alive(started) and not alive(bench.processes())


def test_a_worker_killed_while_it_starts_is_started_again(bench: Bench) -> None:
    first = bench.nodes("local", 2)[0]
    assert isinstance(bench.executor, DaskExecutor)
    worker = next(name for name, pid in bench.executor.worker_pids.items() if pid == bench.executor.pid_of(first))
    pids = {0}
    for _ in range(3):
        bench.poll(lambda: _pid(bench, worker) not in pids, "a process for the worker")
        pid = _pid(bench, worker)
        pids.add(pid)
        os.kill(pid, signal.SIGKILL)
    bench.until(lambda: bench.left(first), "the node leaves")
    nodes = bench.nodes("local", 2)
    assert bench.value(bench.call(bodies.add, nodes[1], 1, 1)) == 2


def test_a_worker_that_the_cluster_forgot_is_brought_back(bench: Bench) -> None:
    """Dask's own table of workers loses entries silently when one does not come back for a while."""
    first, second = bench.nodes("local", 2)
    assert isinstance(bench.executor, DaskExecutor)
    workers = bench.executor._cluster._cluster.workers
    name = next(name for name, pid in bench.executor.worker_pids.items() if pid == bench.executor.pid_of(first))
    bench.run(workers.pop(name).close())
    bench.until(lambda: bench.left(first), "its node leaves")
    nodes = bench.nodes("local", 2)
    assert nodes[0] == second and nodes[1] != first
    assert bench.value(bench.call(bodies.add, nodes[1], 1, 1)) == 2


def _pid(bench: Bench, worker: str) -> int:
    assert isinstance(bench.executor, DaskExecutor)
    return bench.executor.worker_pids[worker]


@pytest.mark.chaos
def test_workers_killed_at_random_lose_their_own_attempts_only(bench: Bench) -> None:
    seed = int(os.environ.get("WORKBENCH_SEED", random.randrange(10**6)))
    kills = int(os.environ.get("WORKBENCH_KILLS", "6"))
    print(f"WORKBENCH_SEED={seed} repeats this")
    rng = random.Random(seed)
    assert isinstance(bench.executor, DaskExecutor)
    left = kills
    todo = [(index, 1) for index in range(60)]
    under_way: dict[str, tuple[Attempt, int, int]] = {}
    done: dict[int, AttemptFinished] = {}
    relaunched = 0
    while todo or under_way:
        for node in [e.node for e in bench.joined("local")]:
            if node not in under_way and todo:
                index, number = todo.pop()
                attempt = bench.call(bodies.nap, node, 0.02, name="work", index=index, number=number, n=60)
                under_way[node] = (attempt, index, number)
        if left and rng.random() < 0.3 and under_way:
            victim = bench.executor.pid_of(rng.choice(sorted(under_way)))
            if victim:
                os.kill(victim, signal.SIGKILL)
                left -= 1
        before = len(bench.events)
        bench.until(lambda before=before: len(bench.events) > before, "something happens")  # type: ignore[misc]
        for node, (attempt, index, number) in list(under_way.items()):
            ends = bench.ends(attempt)
            assert len(ends) <= 1
            if ends:
                assert isinstance(ends[0], AttemptFinished), ends
                assert index not in done
                done[index] = ends[0]
                del under_way[node]
            elif bench.left(node):
                todo.append((index, number + 1))
                relaunched += 1
                del under_way[node]
    assert sorted(done) == list(range(60))
    assert relaunched <= kills - left
    names = [e.node for e in bench.events if isinstance(e, NodeJoined)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("visible", "index", "gpus", "devices"),
    [
        (None, 0, 0, ()),
        (None, 1, 2, ("2", "3")),
        ("", 0, 2, ("0", "1")),
        ("4,7,9", 0, 2, ("4", "7")),
        ("4,7,9", 1, 1, ("7",)),
        ("GPU-aa, GPU-bb", 1, 1, ("GPU-bb",)),
    ],
)
def test_nodes_share_the_visible_devices(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, index: int, gpus: int, devices: tuple[str, ...]
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(index, gpus) == devices


def _wait(check: Callable[[], bool], patience_s: float = 60.0) -> None:
    async def wait() -> None:
        async with asyncio.timeout(patience_s):
            while not check():
                await asyncio.sleep(0.01)

    asyncio.run(wait())


@pytest.mark.timeout(60)
def test_a_cluster_that_closes_leaves_the_others_quiet(tmp_path: Path) -> None:
    """Two campaigns of one process: the end of the first must not let the second's scheduler talk to the terminal."""

    handler = logging.StreamHandler()

    async def main() -> None:
        first, second = DaskCluster(str(tmp_path)), DaskCluster(str(tmp_path))
        await first.start()
        await second.start()
        await first.close()
        assert handler.level == logging.ERROR
        await second.close()
        assert handler.level == logging.NOTSET

    logging.getLogger("distributed").addHandler(handler)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("distributed").removeHandler(handler)
