"""`stop` asks the right process, and only that one; `repair` mends a journal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import environment, history
from workbench.cli import control, main
from workbench.journal import Holder, Lease
from workbench.journal.disk import segments

_HOLDER = """
import signal, sys
from workbench.journal import Lease
lease = Lease.take(sys.argv[1])
def leave(*_):
    if "stubborn" not in sys.argv:
        lease.release()
        sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print("held", flush=True)
while True:
    signal.pause()
"""


def _hold(directory: Path, *words: str) -> subprocess.Popen[str]:
    """A process that holds the campaign and knows what SIGTERM means."""
    held = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory), *words], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    return held


def test_stop_asks_the_holder_and_waits_until_it_has_let_go(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _hold(finished) as held:
        assert main(["stop", str(finished), "--json"]) == 0
        assert Lease.holder(finished) is None
        assert held.wait(30) == 0
    assert json.loads(capsys.readouterr().out) == {"dir": str(finished), "stopped": True, "pid": held.pid}


def test_stop_of_a_campaign_that_nobody_runs_is_no_error(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", str(finished)]) == 0
    assert f"nobody runs {finished}" in capsys.readouterr().out


def test_stop_says_so_when_the_process_does_not_stop(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _hold(finished, "stubborn") as held:
        try:
            assert main(["stop", str(finished), "--timeout", "0.2"]) == 1
            said = capsys.readouterr().err
            assert f"kill -9 {held.pid}" in said and said.count("\n") == 1
        finally:
            held.kill()


def _write_lease(directory: Path, holder: Holder) -> None:
    (directory / "lease.json").write_bytes(msgspec.json.encode(holder))


def test_a_process_that_only_has_the_pid_of_the_holder_is_left_alone(finished: Path) -> None:
    """The holder died and its pid now belongs to somebody else: this very process, which must survive."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with Lease.take(finished):
            mine = Lease.holder(finished)
        assert mine is not None
        boot = mine.started.partition("/")[0]
        _write_lease(finished, msgspec.structs.replace(mine, started=f"{boot}/1", pid=os.getpid()))
        assert control.stop(finished, 1) is None
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == []


def test_a_campaign_of_another_machine_is_stopped_there(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_lease(finished, Holder(f"not-{socket.gethostname()}", 1, "", 1, 1.0))
    assert main(["stop", str(finished)]) == 2
    assert "on that machine" in capsys.readouterr().err


def test_a_notebook_kernel_is_not_ended(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _hold(finished, "ipykernel_launcher") as held:
        try:
            assert main(["stop", str(finished)]) == 2
            assert held.poll() is None
        finally:
            held.terminate()
    assert "call .stop() on the campaign in that notebook" in capsys.readouterr().err


def test_repair_keeps_what_precedes_the_damage(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = segments(finished)[0]
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[5] = b"X" * len(lines[5][:-1]) + b"\n"
    segment.write_bytes(b"".join(lines))
    assert main(["status", str(finished)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "workbench repair" in said and segment.name in said
    assert main(["repair", str(finished), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["kept"] == 5
    assert done["salvaged"] == len(history()) - 6
    assert Path(done["export"]).is_file()
    assert main(["status", str(finished)]) == 0


def test_nothing_to_repair(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", str(finished)]) == 0
    assert f"nothing to repair: {len(history())} records" in capsys.readouterr().out
