"""Campaigns run, stopped and resumed by the command, as a program."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Run, environment, program
from workbench.cli import main
from workbench.journal import Lease, follow, read
from workbench.model import events as ev

FAILING = """
import os, signal, sys, time
from workbench import Executable
from helper_of_mine import treble

def build(c):
    good = c.map(treble, range(4), name="good")
    c.task(sum, good, name="sum")
    raises = c.task(lambda: {}["missing"], name="raises")
    c.task(len, raises, name="skipped")
    c.task(Executable(["sh", "-c", "echo told before the end >&2; exit 7"]), name="exits")
    c.task(killed)
    c.task(overruns, timeout_s=3)
    c.task(Executable(["sh", "-c", "echo step 7 of 9; sleep 600"]), name="too-slow", timeout_s=3)
    c.task(hoards, memory="128 MiB")

def killed():
    print("last words of the killed", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)

def overruns():
    print("step 3 of 9")
    time.sleep(600)

def hoards():
    print("takes more than it asked for")
    held = bytearray(b"x") * (256 << 20)
    time.sleep(600)
"""


def test_a_file_whose_tasks_fail_in_every_way(workbench: Run, tmp_path: Path) -> None:
    """Each failure has its typed cause one command away, what depends on it is skipped, and the rest goes on."""
    (tmp_path / "helper_of_mine.py").write_text("def treble(x):\n    return 3 * x\n")
    path, directory = tmp_path / "mine.py", tmp_path / "campaign"
    path.write_text(FAILING)
    told = workbench("run", path, "--pool", "local,cores=2", "--dir", directory, "--json")
    assert told.returncode == 1, told.stderr
    out = json.loads(told.stdout)
    assert {k: out[k] for k in ("tasks", "done", "failed", "cancelled", "skipped", "dir")} == {
        "tasks": 12,
        "done": 5,
        "failed": 6,
        "cancelled": 0,
        "skipped": 1,
        "dir": str(directory),
    }
    expected = {
        "raises[0]": ("UserError", "Traceback", "KeyError: 'missing'"),
        "exits[0]": ("UserError", "exited with status 7", "told before the end"),
        "killed[0]": ("WorkerLost", "SIGKILL", "last words of the killed"),
        "overruns[0]": ("Timeout", "timeout of 3 s", "step 3 of 9"),
        "too-slow[0]": ("Timeout", "timeout of 3 s", "step 7 of 9"),
        "hoards[0]": ("OutOfMemory", "where the task asked for 128 MiB", "takes more than it asked for"),
    }
    for task, (cause, why, last) in expected.items():
        story = json.loads(workbench("story", directory, task, "--json").stdout)
        assert (story["state"], story["cause"]) == ("failed", cause), story
        assert why in story["detail"] and last in story["detail"].splitlines()[-1]
        shown = "\n".join(story["story"])
        assert cause in shown and why in shown and f"| {last}" in shown
    skipped = workbench("story", directory, "skipped[0]").stdout
    assert "was skipped because raises[0] failed (UserError" in skipped


def test_the_gallery_with_json(workbench: Run, tmp_path: Path) -> None:
    told = workbench("run", "paper/ddmd?iterations=1", "--time-scale", "0.004", "--dir", tmp_path / "c", "--json")
    assert told.returncode == 0, told.stderr
    out = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    assert (out["tasks"], out["done"], out["failed"], out["cancelled"]) == (209, 209, 0, 0)
    # 340 + 85 + 63 + 38 seconds, one after the other; a sleep is never shorter than it should be.
    assert 525 <= out["lower_bound"] <= out["makespan"]
    assert out["predicted_makespan"] >= 525
    assert 0 < out["utilization"]["cores"] < 1 and 0 < out["utilization"]["gpus"] < 1
    assert "set Sim" in told.stderr and "has ended" in told.stderr


def test_mode_and_policy_reach_the_campaign_and_the_report_is_written(workbench: Run, tmp_path: Path) -> None:
    words = ("--mode", "sequential", "--policy", "fifo", "--report", tmp_path / "r.html", "--json")
    told = workbench("run", "paper/example?tasks=2", "--time-scale", "0.0002", "--dir", tmp_path / "c", *words)
    assert told.returncode == 0, told.stderr
    out = json.loads(told.stdout)
    assert (out["mode"], out["policy"]) == ("sequential", "fifo")
    assert out["makespan"] >= 7500 * 0.99
    assert out["report"] == str(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!") and "paper/example" in page


def test_a_file_that_makes_its_campaign_itself(workbench: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from workbench import Campaign, LocalPool, Synthetic\n"
        "campaign = Campaign('self-made', LocalPool(cores=2, virtual=True), time_scale=0.01)\n"
        "campaign.tasks(Synthetic(), n=3, name='one', estimate=1)\n"
        "if __name__ == '__main__':\n    raise SystemExit('not like this')\n"
    )
    told = workbench("run", path)
    assert told.returncode == 0, told.stderr
    assert "self-made  3 tasks: 3 done" in told.stdout
    (line,) = (text for text in told.stdout.splitlines() if text.startswith("kept in "))
    assert Path(line.removeprefix("kept in ")).parent.name == "campaigns"


OUTCOME = """
def build(c):
    c.task(lambda: {"table": "mode  median\\nboth  400k", "caveats": ["one seed only"]}, name="outcome")
"""


def test_what_a_campaign_found_is_told_at_the_end(workbench: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OUTCOME)
    told = workbench("run", path, "--pool", "local,cores=1", "--dir", tmp_path / "c")
    assert told.returncode == 0, told.stderr
    assert "\nmode  median\nboth  400k\n- one seed only\n" in told.stdout
    again = json.loads(workbench("resume", tmp_path / "c", "--json").stdout)
    assert again["outcome"] == {"table": "mode  median\nboth  400k", "caveats": ["one seed only"]}


LONG = """
from workbench import Constant, Executable, Synthetic

def build(c):
    first = c.tasks(Synthetic(), n=2, name="first", estimate=0.05)
    c.task(Executable(["sleep", "{s}"]), name="second", after=first, s=600)
    third = c.task(Synthetic(), name="third", after=first, estimate=0.05)
"""


@contextlib.contextmanager
def _running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`LONG` on its way, in a process group of its own as a shell's job is, once its second set runs."""
    path, directory = tmp_path / "long.py", tmp_path / "long"
    path.write_text(LONG)
    with subprocess.Popen(
        program("run", path, "--pool", "local,cores=2", "--dir", directory, "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as run:
        try:
            _until(directory, run, {"second[0]", "third[0]"})
            yield run, directory
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def _until(directory: Path, run: subprocess.Popen[str], wanted: set[str]) -> None:
    """Follow the journal until "second[0]" runs and "third[0]" has ended."""
    while not (directory / "campaign.json").exists():
        assert run.poll() is None, run.communicate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(0.05)
    for record in follow(directory, stop=lambda: run.poll() is not None):
        event = record.event
        if isinstance(event, ev.AttemptStarted):
            wanted.discard(event.task)
        if isinstance(event, ev.AttemptFinished):
            wanted.discard(event.task)
        if not wanted:
            return
    raise AssertionError(f"it ended before {wanted}: {run.communicate()}")


def _left_of(group: int) -> list[str]:
    """Processes of the group, or that descend from it by session, which still live."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                left.append(" ".join(process.cmdline()))
    return left


def _sleepers(directory: Path) -> list[int]:
    """Processes that work in the campaign's scratch."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(directory):
                found.append(process.pid)
    return found


def _finish(workbench: Run, directory: Path) -> dict[str, object]:
    """Make the long task short, which a person may do before resuming, and resume."""
    from workbench import Campaign

    with Campaign.resume(directory) as c:
        c.replace("second", parameters={"s": 0})
    told = workbench("resume", directory, "--json")
    assert told.returncode == 0, told.stderr
    out = json.loads(told.stdout)
    assert isinstance(out, dict)
    return out


def _attempts(directory: Path) -> dict[str, int]:
    """How often each task was given to a node."""
    attempts: dict[str, int] = {}
    for record in read(directory):
        if isinstance(record.event, ev.AttemptAssigned):
            attempts[record.event.task] = attempts.get(record.event.task, 0) + 1
    return attempts


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "workbench stop"])
def test_a_signal_stops_in_good_order_and_resume_goes_on(workbench: Run, tmp_path: Path, how: str) -> None:
    with _running(tmp_path) as (run, directory):
        assert len(_sleepers(directory)) >= 1
        if how == "Ctrl-C":
            os.killpg(run.pid, signal.SIGINT)  # what a terminal does: to the workers as well
        elif how == "SIGTERM":
            run.terminate()
        else:
            assert workbench("stop", directory).returncode == 0
        out, err = run.communicate(timeout=60)
        assert run.returncode == (130 if how == "Ctrl-C" else 143), err
        assert f"workbench resume {directory}" in err
        assert "Traceback" not in err
        assert json.loads(out)["done"] == 3
        assert _left_of(run.pid) == []
    assert _sleepers(directory) == []
    assert Lease.holder(directory) is None
    *_, last = read(directory)
    assert isinstance(last.event, ev.EngineStopped)
    assert (_finish(workbench, directory)["done"], _attempts(directory)["first[0]"]) == (4, 1)


def test_a_kill_at_any_moment_and_resume_goes_on(workbench: Run, tmp_path: Path) -> None:
    with _running(tmp_path) as (run, directory):
        run.kill()
        run.wait(30)
    assert _finish(workbench, directory)["done"] == 4
    attempts = _attempts(directory)
    assert (attempts["first[0]"], attempts["first[1]"], attempts["third[0]"]) == (1, 1, 1)
    assert attempts["second[0]"] >= 2


def test_resuming_a_campaign_that_has_ended_runs_nothing(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _attempts(finished)
    assert main(["resume", str(finished), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["tasks"], out["done"], out["makespan"]) == (3, 3, pytest.approx(16))
    assert _attempts(finished) == before


TWICE = """
import os, signal, subprocess, sys
from workbench.cli.interrupt import StopRequest
with StopRequest() as stop:
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.signum == signal.SIGINT
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""


def test_a_second_ctrl_c_ends_everything_at_once() -> None:
    told = subprocess.run(
        [sys.executable, "-c", TWICE], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 130, told.stderr
    pid, *rest = told.stdout.split()
    assert rest == []
    with contextlib.suppress(psutil.NoSuchProcess):
        # It is dead, though nobody may have collected it yet.
        child = psutil.Process(int(pid))
        psutil.wait_procs([child], timeout=5)
        assert child.status() == psutil.STATUS_ZOMBIE


def test_a_terminal_sees_the_sets_renewed_in_place(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    words = program("run", "paper/example?tasks=2", "--time-scale", "0.0001", "--dir", tmp_path / "c")
    with subprocess.Popen(words, env=environment({"TERM": "xterm"}), stdin=slave, stdout=slave, stderr=slave) as run:
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal is hung up when the program has ended
            while part := os.read(master, 65536):
                seen += part
        os.close(master)
        assert run.wait(60) == 0
    text = seen.decode()
    assert "\x1b[1A" in text, "lines are drawn over"
    assert "T0" in text and "2/2" in text
    assert "12 tasks: 12 done" in text
