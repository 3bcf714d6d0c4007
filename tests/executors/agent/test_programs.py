"""Executables and MPI: command lines, files, output, ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.executors.agent.small_hub import SmallHub, rig
from tests.executors.agent.waiting import gone, opened
from workbench.executors.agent import mpi, wire
from workbench.executors.agent.executable import Refused, check_name, expand
from workbench.executors.agent.wire import Halt, Node, Tell
from workbench.model.causes import Cause
from workbench.model.events import Share
from workbench.model.specs import Executable, Mpi
from workbench.store import Store

PYTHON = sys.executable


def python(code: str, *args: str, **more: Any) -> Executable:
    return Executable((PYTHON, "-c", code, *args), **more)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("--lr={lr}", "--lr=0.5"),
        ("{index}/{name}", "3/x y; rm -rf *"),
        ("{flags}", "[1,true,null]"),
        ("awk '{print $1}' {unknown} {} {{lr}}", "awk '{print $1}' {unknown} {} {0.5}"),
        ("{name!r} {lr:3}", "{name!r} {lr:3}"),
    ],
)
def test_placeholders(text: str, expanded: str) -> None:
    assert expand(text, {"lr": 0.5, "index": 3, "name": "x y; rm -rf *", "flags": [1, True, None]}) == expanded


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "a\0b", ".."])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="plain path"):
        check_name(name, "output")


def test_plain_names_are_fine() -> None:
    assert [check_name(n, "output") for n in ("a", "a/b.txt", "..a", "a b")] == ["a", "a/b.txt", "..a", "a b"]


def test_the_launchers_command_line() -> None:
    part = ("srun", "-n", "{ranks}", "--per={ranks_per_node}", "-c{cores_per_rank}", "-N{nodes}", "-w", "{hosts}")
    work = Mpi(("prog",), 7, 2, part)
    assert mpi.launcher(work, 2, ("a", "b")) == ("srun", "-n", "7", "--per=4", "-c2", "-N2", "-w", "a,b")
    with pytest.raises(Refused, match="cannot be spread"):
        mpi.launcher(work, 8, ("a",) * 8)
    with pytest.raises(Refused, match="hosts"):
        mpi.launcher(work, 2, ())


async def outcome(hub: SmallHub, work: Executable | Mpi, task: str = "t[0]", **more: Any) -> Any:
    hub.run(hub.define(work, parameters=more.pop("parameters", None)), task, **more)
    return await hub.end(task)


async def test_files_in_and_out_output_and_environment(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("given")
    code = (
        "import os, sys; os.makedirs('d', exist_ok=True); "
        "open('d/out.bin', 'w').write(open('sub/in.txt').read() * 2); open('empty', 'w'); "
        "print(sys.argv[1:], os.getcwd()); "
        "print(os.environ['MINE'], os.environ['WORKBENCH_ATTEMPT'], file=sys.stderr); "
        "print({k: os.environ[k] for k in ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'WORKBENCH_SCRATCH')})"
    )
    work = python(
        code, "--lr={lr}", "{index}", "$HOME; `id`",
        env={"MINE": "yes"}, inputs={"sub/in.txt": "{where}/in.txt"}, outputs=("d/out.bin", "empty"),
    )  # fmt: skip
    async with rig(home, Node("n0", "p", 4, 1)) as (hub, _):
        key = hub.define(work, parameters={"lr": 1, "where": str(tmp_path)})
        hub.run(key, "t[3]", 2, cores=3, gpus=(0,))
        value = await hub.value("t[3]", 2)
        scratch = home / "scratch" / "t[3]#2"
        assert value["returncode"] == 0
        first, second = value["stdout"].splitlines()
        assert first == f"['--lr=1', '3', '$HOME; `id`'] {scratch}"
        assert f"'OMP_NUM_THREADS': '3', 'CUDA_VISIBLE_DEVICES': '0', 'WORKBENCH_SCRATCH': '{scratch}'" in second
        assert value["stderr"] == "yes t[3]#2\n"
        out = value["files"]["d/out.bin"]
        assert (out["size"], Path(out["path"]).read_text()) == (10, "givengiven")
        assert Store(home).get(out["digest"]) == b"givengiven"
        assert value["files"]["empty"]["size"] == 0
        assert (home / "logs" / "t[3]#2.out").read_text() == value["stdout"]
        assert scratch.exists()
        end = await hub.end("t[3]", 2)
        assert isinstance(end, wire.Finished)
        assert end.cpu_s > 0 and end.max_rss > 0


async def test_one_without_output_leaves_nothing(home: Path) -> None:
    async with rig(home) as (hub, _):
        end = await outcome(hub, python("pass"))
        assert json.loads(end.result.inline) == {"returncode": 0, "stdout": "", "stderr": "", "files": {}}
        assert not [p for p in os.listdir(home / "logs") if p.startswith("t")]
        assert os.listdir(home / "scratch") == []


@pytest.mark.parametrize(
    ("work", "cause", "code", "says"),
    [
        (python("import sys; print('why', file=sys.stderr); sys.exit(3)"), Cause.UserError, 3, "status 3\nwhy"),
        (python("print('x' * 9000 + 'end'); raise SystemExit(1)"), Cause.UserError, 1, "end"),
        (python("import os; os.kill(os.getpid(), 11)"), Cause.WorkerLost, -11, "SIGSEGV"),
        (python("pass", outputs=("a", "b")), Cause.UserError, 0, "'a', 'b'"),
        (python("import os; os.symlink('/etc/hostname', 'a')", outputs=("a",)), Cause.UserError, 0, "outside"),
        (python("pass", outputs=("../a",)), Cause.LaunchRefused, None, "'../a'"),
        (python("pass", inputs={"../a": "/etc/hostname"}), Cause.LaunchRefused, None, "'../a'"),
        (python("pass", inputs={"a": "/no/such/file"}), Cause.LaunchRefused, None, "/no/such/file"),
        (python("pass", inputs={"a": "relative"}), Cause.LaunchRefused, None, "absolute"),
        (Executable(("no-such-program",)), Cause.LaunchRefused, None, "'no-such-program'"),
        (Executable(("/etc/passwd",)), Cause.LaunchRefused, None, "execute permission"),
        (Executable(()), Cause.LaunchRefused, None, "empty"),
        (python("pass", "a\0b"), Cause.LaunchRefused, None, "zero byte"),
        (python("pass", "x" * 200_000), Cause.LaunchRefused, None, "bytes"),
        (Mpi(("a",), 2, launcher=("no-such-mpiexec",)), Cause.LaunchRefused, None, "no-such-mpiexec"),
    ],
)
async def test_each_end_has_its_cause(
    home: Path, work: Executable | Mpi, cause: Cause, code: int | None, says: str
) -> None:
    async with rig(home) as (hub, _):
        end = await outcome(hub, work)
        assert isinstance(end, wire.Ended), end
        assert (end.cause, end.exit_code) == (cause, code)
        assert says in end.detail
        assert len(end.detail) < 5000
        again = await outcome(hub, python("pass"), "t[1]")  # the slot is free again
        assert isinstance(again, wire.Finished)


async def test_a_file_that_is_no_program(home: Path, tmp_path: Path) -> None:
    (tmp_path / "prog").write_bytes(b"\0\1\2")
    (tmp_path / "prog").chmod(0o700)
    async with rig(home) as (hub, _):
        end = await outcome(hub, Executable((str(tmp_path / "prog"),)))
        assert end.cause is Cause.LaunchRefused
        assert "Exec format error" in end.detail


async def test_mpi_runs_its_launcher(home: Path, tmp_path: Path) -> None:
    launcher = tmp_path / "mpirun"
    launcher.write_text('#!/bin/sh\nprintf "%s " "$@"; echo $OMP_NUM_THREADS\n')
    launcher.chmod(0o700)
    work = Mpi(("prog", "--x={x}"), 4, 2, (str(launcher), "-n", "{ranks}", "-H", "{hosts}"))
    async with rig(home, Node("n0", "p", 8)) as (hub, _):
        end = await outcome(hub, work, parameters={"x": 5}, cores=4, others=(Share("n1"),), hosts=("alpha", "beta"))
        assert json.loads(end.result.inline)["stdout"] == "-n 4 -H alpha,beta prog --x=5 2\n"


STUBBORN = (
    "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "c = [subprocess.Popen(['sleep', '300'], start_new_session=s) for s in (False, True)]; "
    "open(sys.argv[1] + '.pids', 'w').write(' '.join(str(p.pid) for p in c)); "
    "open(sys.argv[1] + '.reached', 'w'); time.sleep(300)"
)


@pytest.mark.parametrize("grace", [0.0, 0.1])
async def test_cancel_kills_the_whole_group_and_its_sessions(home: Path, grace: float) -> None:
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(python(STUBBORN, str(gate))))
        await opened(gate)
        hub.send(Halt("t[0]", 1, grace))
        end = await hub.failure("t[0]")
        assert (end.cause, end.exit_code) == (Cause.Cancelled, -9)
        await gone(*map(int, Path(f"{gate}.pids").read_text().split()))


async def test_what_a_program_leaves_running_does_not_outlive_it(home: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid)"
    async with rig(home) as (hub, _):
        end = await outcome(hub, python(code))
        await gone(int(json.loads(end.result.inline)["stdout"]))


async def test_timeout_and_memory(home: Path) -> None:
    async with rig(home, Node("n0", "p", 2)) as (hub, _):
        hub.run(hub.define(python("print('so far', flush=True); import time; time.sleep(60)"), timeout_s=0.5), "t[0]")
        code = "x = bytearray(200 << 20); import time; time.sleep(60)"
        hub.run(hub.define(python(code)), "t[1]", memory=100 << 20)
        late, large = await hub.failure("t[0]"), await hub.failure("t[1]")
        assert (late.cause, large.cause) == (Cause.Timeout, Cause.OutOfMemory)
        assert "0.5 s" in late.detail and late.detail.endswith("so far\n".strip())
        assert "100 MiB" in large.detail


async def test_a_request_to_stop_is_a_polite_signal(home: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *a: (open('kept', 'w').write('half'), sys.exit(0))); "
        "open(sys.argv[1] + '.reached', 'w'); signal.pause()"
    )
    async with rig(home) as (hub, _):
        gate = home / "g"
        hub.run(hub.define(python(code, str(gate), outputs=("kept",))))
        await opened(gate)
        hub.send(Tell("t[0]", 1, {}, True))
        assert (await hub.value("t[0]"))["files"]["kept"]["size"] == 4


async def test_starts_are_told(home: Path) -> None:
    async with rig(home) as (hub, _):
        await outcome(hub, python("pass"))
        assert (await hub.started("t[0]")).pid > 1
