"""Functions in child processes: results, failures, what binds them, what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.executors.agent import bodies
from tests.executors.agent.small_hub import rig
from tests.executors.agent.waiting import alive, opened
from workbench.executors.agent import wire
from workbench.executors.agent.wire import Node, decode_growth
from workbench.model.causes import Cause
from workbench.model.edits import AddSet
from workbench.model.specs import Function, Member, Payload, Result
from workbench.store import Store, codec


async def test_results_arguments_and_parameters(home: Path) -> None:
    async with rig(home) as (hub, _):
        key = hub.define(bodies.add, (3,), parameters={"b": 1})
        hub.run(key, "t[0]")
        hub.run(key, "t[1]", member=Member(parameters={"b": 10}))
        assert await hub.value("t[0]") == 4
        assert await hub.value("t[1]") == 13
        end = await hub.end("t[0]")
        assert isinstance(end, wire.Finished)
        assert 0 < end.started <= end.ended


async def test_references_are_resolved(home: Path) -> None:
    class Ref:
        def __init__(self, *ref: str) -> None:
            self.ref = ref

        def __workbench_ref__(self) -> tuple[str, ...]:
            return self.ref

    def given(*args: object) -> list[object]:
        return list(args)

    stored = Store(home).put(b"[1,2]")
    async with rig(home) as (hub, _):
        refs = (Ref("item"), Ref("set", "sim"), [Ref("task", "sim[3]")], {"k": Ref("each", "sim")})
        key = hub.define(given, refs)
        inputs = {
            "sim": (Result(inline=b"1"), Result(inline=b'"x"')),
            "sim[3]": (Result(digest=stored, size=5),),
            "sim/each": (Result(inline=b"7"),),
        }
        hub.run(key, member=hub.item("me"), inputs=inputs)
        assert await hub.value("t[0]") == ["me", [1, "x"], [[1, 2]], {"k": 7}]


async def test_large_inputs_and_results_go_beside_the_pipe(home: Path) -> None:
    def size(item: bytes) -> tuple[int, bytes]:
        return len(item), item

    async with rig(home) as (hub, _):
        payload = codec.encode_call((os.urandom(50_000),), {})[0]
        key = hub.define(size, (type("R", (), {"__workbench_ref__": lambda self: ("item",)})(),))
        hub.run(key, member=Member(Payload(inline=payload)))
        n, data = await hub.value("t[0]")
        assert n == len(data) == 50_000
        end = await hub.end("t[0]")
        assert isinstance(end, wire.Finished)
        assert end.result.digest and Store(home).has(end.result.digest)


async def test_what_an_attempt_sees_of_itself_and_of_its_node(home: Path) -> None:
    node = Node("n0", "p", 2, 2, devices=("GPU-a", "GPU-b"))
    async with rig(home, node) as (hub, _):
        key = hub.define(bodies.who)
        hub.run(key, "t[5]", 3, cores=2, gpus=(1,))
        seen = await hub.value("t[5]", 3)
        assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-b"
        assert {seen[f"{x}_NUM_THREADS"] for x in ("OMP", "MKL", "OPENBLAS")} == {"2"}
        assert (seen["WORKBENCH_TASK"], seen["WORKBENCH_ATTEMPT"], seen["WORKBENCH_INDEX"]) == ("t[5]", "t[5]#3", "5")
        assert (seen["inside"], seen["id"], seen["index"], seen["attempt"]) == (True, "t[5]", 5, 3)
        assert seen["heavy"] == []  # a child that preloads nothing stays light
        hub.run(key, "t[6]")
        other = await hub.value("t[6]")
        assert other["CUDA_VISIBLE_DEVICES"] == ""
        assert other["OMP_NUM_THREADS"] == "1"
        assert other["pid"] != seen["pid"]  # never reused with another environment
        hub.run(key, "t[7]")
        assert (await hub.value("t[7]"))["pid"] == other["pid"]


async def test_attempts_are_bound_to_cpus_of_their_own(home: Path) -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0)))[:2]
    async with rig(home, Node("n0", "p", len(cpus), cpus=cpus), Node("free", "p", 64)) as (hub, _):
        gates = [home / f"g{i}" for i in cpus]

        def held(gate: str) -> list[int]:
            bodies.reached(gate)
            return sorted(os.sched_getaffinity(0))

        for i, gate in enumerate(gates):
            hub.run(hub.define(held, (str(gate),)), f"t[{i}]")
        for gate in gates:
            await opened(gate)
            gate.touch()
        bound = [await hub.value(f"t[{i}]") for i in range(len(cpus))]
        assert sorted(bound) == [[c] for c in cpus]
        hub.run(hub.define(bodies.who), "t[9]", node="free")
        assert (await hub.value("t[9]"))["cpus"] == sorted(os.sched_getaffinity(0))


async def test_an_exception_ends_with_its_traceback_and_output(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.boom, ("it broke",)))
        end = await hub.failure("t[0]")
        assert end.cause is Cause.UserError
        assert end.detail.startswith("Traceback")
        assert end.detail.rstrip().endswith("ValueError: it broke")
        assert "bodies.py" in end.detail
        assert "calls.py" not in end.detail
        assert (home / "logs" / "t[0]#1.out").read_text() == "about to fail\n"
        assert not (home / "logs" / "t[0]#1.err").exists()
        hub.run(hub.define(bodies.boom, ("y" * 100_000,)), "t[1]")
        assert len((await hub.failure("t[1]")).detail) < 9000


@pytest.mark.parametrize(
    ("body", "args", "cause", "code", "says"),
    [
        (bodies.exits, (3,), Cause.UserError, None, "sys.exit(3)"),
        (bodies.vanishes, (5,), Cause.WorkerLost, 5, "exited with status 5"),
        (bodies.dies_by, (int(signal.SIGSEGV),), Cause.WorkerLost, -11, "killed by signal 11 (SIGSEGV)"),
        (bodies.dies_by, (int(signal.SIGKILL),), Cause.WorkerLost, -9, "last words"),
        (bodies.unpicklable, None, Cause.UserError, None, "cannot be sent back"),
        (bodies.exhausts, None, Cause.OutOfMemory, None, "MemoryError: no more"),
    ],
)
async def test_each_end_has_its_cause(
    home: Path, body: object, args: tuple[object, ...] | None, cause: Cause, code: int | None, says: str
) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(body, args))  # type: ignore[arg-type]
        end = await hub.failure("t[0]")
        assert (end.cause, end.exit_code) == (cause, code)
        assert says in end.detail
        hub.run(hub.define(bodies.add, (1,)), "t[1]")
        assert await hub.value("t[1]") == 1


async def test_a_function_that_cannot_be_loaded_is_refused(home: Path) -> None:
    async with rig(home) as (hub, _):
        code = b"cno_such_module\nf\n."
        hub.run(hub.define(Function(Payload(code), "no_such_module:f")))
        end = await hub.failure("t[0]")
        assert end.cause is Cause.LaunchRefused
        assert "no_such_module:f cannot be loaded" in end.detail


async def test_a_damaged_input_is_told_from_the_tasks_own_fault(home: Path) -> None:
    store = Store(home)
    digest = store.put(b"[" + b"1," * 9000 + b"1]")
    store.path(digest).chmod(0o600)
    store.path(digest).write_bytes(b"[2]")
    async with rig(home) as (hub, _):
        ref = type("R", (), {"__workbench_ref__": lambda self: ("task", "a[0]")})()
        hub.run(hub.define(bodies.add, (ref,)), inputs={"a[0]": (Result(digest=digest, size=9),)})
        end = await hub.failure("t[0]")
        assert end.cause is Cause.DigestMismatch


async def test_no_room_for_the_result(home: Path) -> None:
    def too_large() -> bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        return os.urandom(1 << 20)

    async with rig(home) as (hub, _):
        hub.run(hub.define(too_large))
        end = await hub.failure("t[0]")
        assert end.cause is Cause.DiskFull
        assert not [p for p in (home / "store").rglob("*") if p.is_file() and p.stat().st_size > 1 << 15]


async def test_output_is_seen_while_it_runs_and_kept_with_that_of_programs(home: Path) -> None:
    async with rig(home) as (hub, _):
        gate = home / "gate"
        hub.run(hub.define(bodies.chatty, (str(gate),)))
        await hub.started("t[0]")
        out = home / "logs" / "t[0]#1.out"
        while not out.exists():
            await asyncio.sleep(0.01)
        assert out.read_text() == "from print\nfrom a program\n"
        gate.touch()
        assert await hub.value("t[0]") == 1
        assert out.read_text() == "from print\nfrom a program\nat the end\n"
        assert (home / "logs" / "t[0]#1.err").read_text() == "to stderr\n"
        hub.run(hub.define(bodies.noop), "t[1]")
        await hub.end("t[1]")
        assert not list((home / "logs").glob("t[[]1]*"))
    assert not [p for p in os.listdir(home / "logs") if p.startswith(".")]


async def test_scratch_is_removed_after_success_and_kept_after_failure(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.uses_scratch, (False,)), "t[0]")
        assert await hub.value("t[0]") == str(home / "scratch" / "t[0]#1")
        assert not (home / "scratch" / "t[0]#1").exists()
        hub.run(hub.define(bodies.uses_scratch, (True,)), "t[1]")
        await hub.failure("t[1]")
        assert (home / "scratch" / "t[1]#1" / "file").read_text() == "x"


async def test_growth_travels_with_the_result(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.grows, (4,)))
        end = await hub.end("t[0]")
        assert isinstance(end, wire.Finished), end
        (edit,) = decode_growth(end.growth)
        assert isinstance(edit, AddSet)
        assert (edit.spec.name, edit.spec.n) == ("more", 4)
        hub.run(hub.define(bodies.grows_badly), "t[1]")
        end = await hub.end("t[1]")
        assert isinstance(end, wire.Finished), end
        assert end.growth == b""


async def test_a_hundred_crashes_leave_nothing_behind(home: Path) -> None:
    async with rig(home) as (hub, agent):
        key = hub.define(bodies.dies_by, (int(signal.SIGSEGV),))
        fine = hub.define(bodies.add, (1,))
        hub.run(fine, "w[0]")
        await hub.end("w[0]")
        await hub.until(lambda: True)
        before = len(os.listdir("/proc/self/fd"))
        for i in range(100):
            hub.run(key, f"t[{i}]")
            assert (await hub.failure(f"t[{i}]")).exit_code == -11
        hub.run(fine, "w[1]")
        await hub.end("w[1]")
        assert len(os.listdir("/proc/self/fd")) <= before
        below = psutil.Process().children(recursive=True)
        assert not [p for p in below if p.status() == psutil.STATUS_ZOMBIE]
        assert len([p for p in below if p.ppid() in agent.runner.nursery.pids]) <= 1
        assert len(os.listdir(home / "logs")) == 100 + 2  # what the crashes said, and the spool of the child at hand


async def test_what_a_function_leaves_running_does_not_outlive_it(home: Path) -> None:
    async with rig(home) as (hub, _):
        key = hub.define(bodies.leaves_behind, (str(home / "pid"),))
        hub.run(key, "t[0]")
        pid = await hub.value("t[0]")
        hub.run(hub.define(bodies.who), "t[1]")
        assert (await hub.value("t[1]"))["pid"] != pid
        while alive(pid) or [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == pid]:
            await asyncio.sleep(0.005)


async def test_idle_children_of_many_kinds_are_let_go(home: Path) -> None:
    async with rig(home, Node("n0", "p", 40)) as (hub, agent):
        key = hub.define(bodies.who)
        for i in range(20):
            hub.run(key, f"t[{i}]", cores=i + 1)
            assert (await hub.value(f"t[{i}]"))["OMP_NUM_THREADS"] == str(i + 1)
        most = max(4, len(os.sched_getaffinity(0)))
        while len(agent.runner.functions._children) > most or len(os.listdir(home / "logs")) > 2 * most:
            await asyncio.sleep(0.005)
        keepers = agent.runner.nursery.pids
        assert len([p for p in psutil.Process().children(recursive=True) if p.ppid() in keepers]) <= most


async def test_a_forked_copy_does_not_speak_for_the_task(home: Path) -> None:
    async with rig(home) as (hub, _):
        hub.run(hub.define(bodies.forks_and_reports))
        assert await hub.value("t[0]") == 0
        assert [r.metrics for r in hub.reports("t[0]")] == [{"real": 1}]


async def test_preloaded_libraries_keep_their_children_apart(home: Path) -> None:
    """Random numbers differ, and thread counts are the attempt's although the library was loaded before."""
    async with rig(home, Node("n0", "p", 2), preload=("numpy", "no_such_module")) as (hub, _):
        gates = [home / "g0", home / "g1"]

        def held(gate: str) -> tuple[float, float, int]:
            import sys

            assert "numpy" in sys.modules
            bodies.reached(gate)
            return *bodies.draws(), os.getpid()

        for i, gate in enumerate(gates):
            hub.run(hub.define(held, (str(gate),), preload=("numpy.random",)), f"t[{i}]")
        for gate in gates:
            await opened(gate)
            gate.touch()
        first, second = [await hub.value(f"t[{i}]") for i in range(2)]
        assert len({*first, *second}) == 6
        hub.run(hub.define(bodies.many_threads), "t[2]", cores=2)
        assert (await hub.value("t[2]"))["threads"] <= 2


async def test_processor_time_and_memory_are_told(home: Path) -> None:
    def burns() -> int:
        import time

        data = bytearray(60 << 20)
        until = time.process_time() + 0.1
        while time.process_time() < until:
            sum(range(1000))
        return len(data)

    async with rig(home) as (hub, _):
        hub.run(hub.define(burns))
        end = await hub.end("t[0]")
        assert isinstance(end, wire.Finished)
        assert end.cpu_s >= 0.1
        assert end.max_rss >= 60 << 20
        assert msgspec.structs.asdict(end)["task"] == "t[0]"
