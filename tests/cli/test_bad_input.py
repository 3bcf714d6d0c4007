"""Whatever a user gets wrong ends in one sentence on stderr that names the thing and the way out.

Each case runs the command as a program and checks the same things: an exit code of 2, nothing on stdout, one line on
stderr without a traceback, and no campaign left behind that had begun to run.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Run, environment, history, program, write
from workbench.journal import Lease
from workbench.journal.disk import segments
from workbench.model import events as ev

SYNTHETIC = """
from workbench import Constant, Executable, LocalPool, Synthetic

def build(c):
    one = c.task(Synthetic(), name="one", estimate=1)
"""

DECLARATIONS = {
    "cycle": (
        '    two = c.task(Synthetic(), name="two", estimate=1, after=one)\n    c.connect(two, one)\n',
        ["one", "two", "cycle"],
    ),
    "cycle of itself": ("    c.connect(one, one)\n", ["one", "cycle"]),
    "unknown handle by name": ('    c.connect("nobody", one)\n', ["nobody"]),
    "unknown handle after": ('    c.task(Synthetic(), name="two", after="nobody")\n', ["nobody"]),
    "unknown target of an edit": ('    c.hold("nobody")\n', ["nobody"]),
    "handle of another campaign": (
        "    import tempfile\n    from workbench import Campaign\n"
        "    other = Campaign('other', dir=tempfile.mkdtemp())\n"
        '    c.task(len, other.task(Synthetic(), name="far", estimate=1), name="two")\n',
        ["far", "another campaign"],
    ),
    "more cores than any pool has": (
        '    c.task(Synthetic(), name="big", cores=500, estimate=1)\n',
        ["big", "500", "4"],
    ),
    "more GPUs than any pool has": ('    c.task(Synthetic(), name="big", gpus=3, estimate=1)\n', ["big", "3"]),
    "more nodes than any pool has": ('    c.task(Synthetic(), name="big", nodes=9, estimate=1)\n', ["big", "9"]),
    "negative estimate": ('    c.task(Synthetic(), name="two", estimate=-1)\n', ["estimate", "-1"]),
    "NaN estimate": ('    c.task(Synthetic(), name="two", estimate=float("nan"))\n', ["estimate", "nan"]),
    "infinite estimate": (
        '    c.task(Synthetic(), name="two", estimate=Constant(float("inf")))\n',
        ["estimate", "inf"],
    ),
    "negative cores": ('    c.task(Synthetic(), name="two", cores=-4, estimate=1)\n', ["cores", "-4"]),
    "malformed memory": ('    c.task(Synthetic(), name="two", memory="2 GiBs", estimate=1)\n', ["memory", "2 GiBs"]),
    "duplicate name": ('    c.task(Synthetic(), name="one", estimate=1)\n', ["one"]),
    "name that is none": ('    c.task(Synthetic(), name="a b", estimate=1)\n', ["a b"]),
    "function that cannot be serialized": (
        "    import threading\n    lock = threading.Lock()\n    def locked():\n        return lock\n"
        '    c.task(locked, name="two")\n',
        ["locked", "_thread.lock", "create it inside"],
    ),
    "argument that cannot be serialized": (
        '    import threading\n    c.task(len, threading.Lock(), name="two")\n',
        ["two", "lock"],
    ),
}


def _refused(told: subprocess.CompletedProcess[str], *names: str, code: int = 2) -> str:
    assert told.returncode == code, told.stdout + told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr
    (sentence,) = told.stderr.splitlines()
    assert sentence.startswith("workbench: ")
    for name in names:
        assert name.lower() in sentence.lower(), f"{name!r} is not in: {sentence}"
    return sentence


@pytest.mark.parametrize("case", DECLARATIONS)
def test_declarations(workbench: Run, tmp_path: Path, case: str) -> None:
    lines, names = DECLARATIONS[case]
    path = tmp_path / "mine.py"
    path.write_text(SYNTHETIC + lines)
    told = workbench("run", path, "--pool", "nodes=2,cores=4,gpus=1", "--dir", tmp_path / "campaign")
    sentence = _refused(told, "mine.py, line ", *names)
    # The way out: what to do stands behind what is wrong.
    assert re.search(r"[;:,] (?!line)", sentence.partition("mine.py, line ")[2])
    assert not any(isinstance(r, ev.AttemptAssigned) for r in _events(tmp_path / "campaign"))


def _events(directory: Path) -> list[ev.Event]:
    from workbench.journal import read

    return [record.event for record in read(directory)] if directory.is_dir() else []


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["run", "paper/dmdd"], ["paper/dmdd", "paper/ddmd", "workbench list"]),
        (["run", "nothing-like-it"], ["nothing-like-it", "workbench list"]),
        (["run", "./nothing/like-it"], ["./nothing/like-it", "no file or directory"]),
        (["run", "nothing.py"], ["nothing.py", "no such file"]),
        (["run", "paper/ddmd?iteration=3"], ["paper/ddmd", "'iteration'", "'iterations'"]),
        (["run", "paper/ddmd?iterations=many"], ["iterations", "whole number", "many"]),
        (["run", "paper/ddmd?iterations=-1"], ["iterations", "-1"]),
        (["run", "paper/ddmd?graph=circle"], ["graph", "chains", "staggered", "circle"]),
        (["run", "paper/c-dg1?stages=6"], ["stages", "6"]),
        (["run", "paper/ddmd?iterations"], ["malformed", "key=value"]),
        (["run", "paper/ddmd", "--pool", "nodes=x,cores=4"], ["nodes=x", "whole number"]),
        (["run", "paper/ddmd", "--pool", "nodes=-1,cores=4"], ["nodes=-1", "negative"]),
        (["run", "paper/ddmd", "--pool", "16x168x6"], ["16x168x6", "key=value"]),
        (["run", "paper/ddmd", "--pool", "nodes=16,cors=168"], ["cors", "cores"]),
        (["run", "paper/ddmd", "--pool", ""], ["pool", "empty"]),
        (["run", "paper/ddmd", "--pool", "nodes=1,cores=4,memory=lots"], ["memory", "lots"]),
        (["run", "paper/ddmd", "--pool", "nodes=16,cores=20,gpus=6"], ["32", "20"]),
        (["run", "paper/ddmd", "--mode", "fast"], ["mode", "fast", "adaptive"]),
        (["run", "paper/ddmd", "--policy", "best"], ["policy", "best", "fifo"]),
        (["run", "paper/ddmd", "--time-scale", "0"], ["time_scale", "0"]),
        (["run", "paper/ddmd", "--time-scale", "nan"], ["time_scale", "nan"]),
        (["run", "paper/ddmd", "--time-scale", "soon"], ["--time-scale", "soon"]),
        (["run"], ["NAME|FILE|DIR", "--help"]),
        (["go"], ["go", "--help"]),
        (["resume", "nowhere"], ["nowhere", "does not exist"]),
        (["status", "."], [".", "no campaign", "campaign.json"]),
        (["run", "."], [".", "no campaign"]),
        (["story", "nowhere", "sim[0]"], ["nowhere"]),
        (["run", "paper/ddmd", "--dir", "/sys/campaign"], ["/sys/campaign", "may write"]),
        (["lab", "nothing.ipynb"], ["nothing.ipynb", "does not exist"]),
    ],
    ids=lambda value: " ".join(value[:2] + value[3:4]) if isinstance(value, list) and value else None,
)
def test_arguments(workbench: Run, words: list[str], names: list[str]) -> None:
    _refused(workbench(*words), *names)


NO_CAMPAIGN = {
    "empty": ("", "declares no campaign"),
    "something else": ("campaign = 5\n", "declares no campaign"),
    "does not compile": ("def build(c:\n", "line 1"),
    "raises": ("def build(c):\n    raise KeyError('x')\n", "line 2: KeyError"),
}


@pytest.mark.parametrize("case", NO_CAMPAIGN)
def test_files(workbench: Run, tmp_path: Path, case: str) -> None:
    text, said = NO_CAMPAIGN[case]
    path = tmp_path / "mine.py"
    path.write_text(text)
    _refused(workbench("run", path), "mine.py", said)


def test_options_that_come_too_late_for_a_campaign_made_by_its_file(workbench: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from workbench import Campaign\ncampaign = Campaign('mine', dir={str(tmp_path / 'made')!r})\n")
    _refused(workbench("run", path, "--time-scale", "0.1"), "--time-scale", "build(c)")


@pytest.mark.parametrize("command", ["run", "resume", "repair"])
def test_a_campaign_that_another_engine_holds(workbench: Run, finished: Path, command: str) -> None:
    with Lease.take(finished) as lease:
        _refused(workbench(command, finished), str(finished), "process", f"workbench stop {finished}")
        assert lease.valid


def _without_root_powers() -> None:
    """Permission bits bind the child even where the tests run as root: drop the capabilities that overrule them."""
    libc = ctypes.CDLL(None, use_errno=True)
    pr_capbset_drop, dac_override, dac_read_search = 24, 1, 2
    for capability in (dac_override, dac_read_search):
        libc.prctl(pr_capbset_drop, capability, 0, 0, 0)


def test_a_campaign_in_a_read_only_directory(tmp_path: Path) -> None:
    directory = write(tmp_path / "readonly", history()[:9])
    rooms = [directory, *(p for p in directory.rglob("*") if p.is_dir())]
    for room in rooms:
        room.chmod(0o500)
    try:
        told = subprocess.run(
            program("resume", directory),
            env=environment(),
            preexec_fn=_without_root_powers,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        for room in rooms:
            room.chmod(0o700)
    _refused(told, str(directory), "may write")


def test_a_directory_that_is_taken(workbench: Run, finished: Path, tmp_path: Path) -> None:
    _refused(workbench("run", "paper/ddmd", "--dir", finished), str(finished), f"workbench resume {finished}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    _refused(workbench("run", "paper/ddmd", "--dir", tmp_path / "mine"), "thesis.tex", "empty")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("command", ["run", "resume", "status", "report"])
def test_a_damaged_journal(workbench: Run, finished: Path, command: str) -> None:
    segment = segments(finished)[0]
    lines = segment.read_bytes().splitlines(keepends=True)
    place = sum(map(len, lines[:4]))
    before = b"".join([*lines[:4], b"\0" * (len(lines[4]) - 1) + b"\n", *lines[5:]])
    segment.write_bytes(before)
    _refused(workbench(command, finished), segment.name, str(place), f"workbench repair {finished}")
    assert segment.read_bytes() == before


def test_a_damaged_campaign_json(workbench: Run, finished: Path) -> None:
    (finished / "campaign.json").write_text("{")
    _refused(workbench("resume", finished), "campaign.json", "damaged")


def test_a_campaign_of_a_newer_version(workbench: Run, finished: Path) -> None:
    text = msgspec.json.decode((finished / "campaign.json").read_bytes())
    (finished / "campaign.json").write_bytes(msgspec.json.encode({**text, "format": ev.FORMAT + 1}))
    _refused(workbench("resume", finished), "format", "upgrade")


FULL = """
import errno, os
def full(fd):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fdatasync = full
"""


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_full_disk(workbench: Run, finished: Path, tmp_path: Path, command: str) -> None:
    """Every flush of the journal fails as on a full disk, from the first one on."""
    (tmp_path / "sitecustomize.py").write_text(FULL)
    env = {"PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"}
    before = segments(finished)[0].read_bytes()
    words = ("resume", finished) if command == "resume" else ("run", "paper/ddmd", "--dir", tmp_path / "new")
    _refused(workbench(*words, env=env), "space")
    assert segments(finished)[0].read_bytes() == before
    assert Lease.holder(finished) is None


def test_the_report_cannot_be_written(workbench: Run, finished: Path) -> None:
    _refused(workbench("report", finished, "-o", "/sys/report.html"), "/sys/report.html")


def test_these_tests_run_the_command_of_this_checkout(workbench: Run) -> None:
    told = workbench("version")
    assert told.returncode == 0
    assert told.stdout.startswith("campaign-workbench ")
    assert sys.executable
