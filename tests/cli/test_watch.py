"""`status` and `tail` read the journal alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import START, environment, history, program, write
from workbench.cli import main
from workbench.journal import JournalWriter, Lease
from workbench.model import events as ev


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(list(words)) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return told


def test_status_of_a_finished_campaign(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = _json(capsys, "status", str(finished), "--json")
    assert told["dir"] == str(finished)
    assert (told["tasks"], told["done"], told["failed"], told["cancelled"]) == (3, 3, 0, 0)
    assert told["makespan"] == pytest.approx(16)
    # Predicted from the estimates, 10 and 5 s; bounded by what it really took, 10 and 6 s.
    assert (told["predicted_makespan"], told["lower_bound"]) == (15, 16)
    # 2 x 2 cores for 10 s and 4 for 6 s of 4 cores for 16 s; 2 GPUs for 10 of 16 s.
    assert told["utilization"] == {"cores": pytest.approx(1.0), "gpus": pytest.approx(10 / 16)}
    assert told["ended"] is True
    assert told["running_engine"] is None
    assert told["sets"] == [
        {"name": "sim", "tasks": 2, "done": 2, "mean": pytest.approx(10), "attempts": 2},
        {"name": "train", "tasks": 1, "done": 1, "mean": pytest.approx(6), "attempts": 1},
    ]


def test_times_are_unscaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    created, *rest = history()
    assert isinstance(created, ev.CampaignCreated)
    scaled = ev.CampaignCreated(created.at, created.id, created.name, created.seed, time_scale=0.01)
    told = _json(capsys, "status", str(write(tmp_path / "scaled", [scaled, *rest])), "--json")
    assert told["makespan"] == pytest.approx(1600)
    assert told["time_scale"] == 0.01


def test_status_of_a_failed_campaign_names_the_command_that_tells_why(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(failed)]) == 0
    out = capsys.readouterr().out
    assert "3 tasks: 1 done, 1 failed, 1 skipped" in out
    assert "sim[1] failed: UserError after 1 attempt" in out
    assert f"workbench story {failed} 'sim[1]'" in out


def test_status_names_the_process_that_runs_the_campaign(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Lease.take(finished):
        told = _json(capsys, "status", str(finished), "--json")
    engine = told["running_engine"]
    assert isinstance(engine, dict)
    assert engine["pid"] == os.getpid()


def test_status_of_an_interrupted_campaign_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = write(tmp_path / "cut", history()[:8])
    assert main(["status", str(cut)]) == 0
    out = capsys.readouterr().out
    assert "its engine ended without a word" in out
    assert f"workbench resume {cut}" in out


def test_tail_tells_each_record_in_a_line(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", str(finished), "-n", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(history())
    said = "\n".join(lines)
    for words in (
        "campaign by hand created",
        "node local-0 joined pool local with 4 cores, 2 GPUs",
        "user: add pool local (1 node of 4 cores, 2 GPUs); add set sim (2 tasks)",
        "predicted makespan 15.0 s",
        "sim[1]#1 assigned to local-0: 2 cores, 1 GPU",
        "train[0]#1 finished after 6.0 s",
        "engine stopped: the campaign has ended",
    ):
        assert words in said


def test_tail_begins_with_the_last_records_or_where_it_is_told(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n = len(history())
    assert main(["tail", str(finished), "-n", "2", "--json"]) == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [n - 2, n - 1]
    assert main(["tail", str(finished), "--since", "3", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["seq"] for r in records] == list(range(3, n))
    assert records[0]["ev"] == "NodeJoined"
    assert records[0]["at"] == START


def test_tail_follows_until_nobody_runs_the_campaign(tmp_path: Path) -> None:
    events = history()
    directory = write(tmp_path / "live", events[:5])
    lease = Lease.take(directory)
    with subprocess.Popen(
        program("tail", directory, "--json"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as tail:
        assert tail.stdout is not None
        seen = [json.loads(tail.stdout.readline())["seq"] for _ in range(5)]
        with JournalWriter(directory, next_seq=5, fsync="never") as journal:
            for event in events[5:]:
                journal.append(event)
        seen += [json.loads(tail.stdout.readline())["seq"] for _ in events[5:]]
        lease.release()
        rest = tail.stdout.read()
        assert tail.wait(30) == 0
    assert seen == list(range(len(events)))
    assert rest == ""


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    created = ev.CampaignCreated(START, "c-1", "\x1b[2Jevil\x07 [red]name[/red]\n2nd", 7)
    directory = write(tmp_path / "evil", [created, *history()[1:]])
    assert main(["status", str(directory)]) == 0
    assert main(["tail", str(directory), "-n", "100"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert r"\x1b[2Jevil\x07 [red]name[/red] 2nd" in out


def test_a_reader_that_leaves_early_is_no_error(finished: Path) -> None:
    command = " ".join(program("tail", finished, "--json", "--since", "0"))
    with subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {command} | head -1 >/dev/null"], env=environment(), stderr=subprocess.PIPE
    ) as pipe:
        _, said = pipe.communicate(timeout=60)
    assert pipe.returncode == 0
    assert said == b""
