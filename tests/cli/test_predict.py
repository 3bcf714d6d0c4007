"""`workbench predict`: the right numbers, from every kind of source, and a sentence for what makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import START, history, write
from tests.data import DATA, needs_data
from workbench.cli import main
from workbench.model import edits
from workbench.model import events as ev

SUMMIT = ("--nodes", "16", "--cores", "168", "--gpus", "6")
KEYS = {"tasks", "edges", "depth", "lower_bound", "makespan", "p10", "p50", "p90", "mode", "policy"}


@pytest.fixture
def predicted(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> dict[str, Any]:
        code = main(["predict", *map(str, words), "--json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        found = json.loads(told.out)
        assert isinstance(found, dict) and set(found) >= KEYS
        assert found["p10"] <= found["p50"] <= found["p90"]
        assert found["lower_bound"] <= found["makespan"] * (1 + 1e-12)
        return found

    return run


def test_deepdrivemd_of_the_paper(predicted: Any) -> None:
    found = predicted("paper/ddmd", *SUMMIT)
    assert found["makespan"] <= 1.01 * 1235 and found["mode"] == "adaptive" and found["auto"]
    assert found["policy"] not in ("", "auto") and found["reason"]
    assert found["modes"]["sequential"] == pytest.approx(1578)
    assert found["modes"]["adaptive"] == found["makespan"] == found["p10"] == found["p90"]
    assert (found["tasks"], found["depth"]) == (627, 4)
    slow = predicted("paper/ddmd", *SUMMIT, "--mode", "sequential", "--policy", "fifo")
    assert (slow["makespan"], slow["mode"], slow["policy"]) == (pytest.approx(1578), "sequential", "fifo")
    assert list(Path().iterdir()) == [], "something was left in the directory"


def test_where_nothing_can_be_gained_the_bound_is_reached(predicted: Any) -> None:
    found = predicted("paper/c-dg2", *SUMMIT)
    assert found["makespan"] == pytest.approx(found["lower_bound"]) == pytest.approx(1307.6)


@needs_data
@pytest.mark.parametrize(
    ("file", "graph", "large", "small"),
    [
        ("1000genome-chameleon-8ch-250k-001", (328, 424, 3), (372.87, 407.06, 372.87), (678.76, 823.67, 697.44)),
        ("blast-chameleon-medium-001", (303, 900, 3), (250.59, 324.26, 316.90), (989.08, 1059.66, 1049.69)),
        ("epigenomics-chameleon-hep-1seq-100k-001", (41, 48, 9), (104.82,) * 3, (104.82,) * 3),
        ("montage-chameleon-2mass-01d-001", (103, 231, 8), (21.12,) * 3, (21.12,) * 3),
        ("rnaseq-dirt02-001", (197, 451, 10), (759.45,) * 3, (759.45,) * 3),
    ],
)
def test_traces_of_workflows(predicted: Any, file: str, graph: tuple[int, int, int], large: Any, small: Any) -> None:
    found = sorted((DATA / "wfinstances").glob(f"{file}*.json"))
    assert found, file
    for path in found:
        for nodes, (bound, fifo, ranked) in ((16, large), (4, small)):
            for policy, wanted in (("fifo", fifo), ("upward-rank", ranked)):
                p = predicted(path, "--nodes", nodes, "--cores", 8, "--policy", policy, "--mode", "adaptive")
                assert (p["tasks"], p["edges"], p["depth"]) == graph
                assert p["lower_bound"] >= bound - 0.01
                assert p["makespan"] == pytest.approx(wanted, rel=0.02)


def test_an_ended_campaign_is_predicted_from_its_start(predicted: Any, finished: Path) -> None:
    found = predicted(finished)
    assert (found["tasks"], found["edges"], found["depth"], found["open"]) == (3, 2, 2, 3)
    assert found["makespan"] == pytest.approx(15.0) and found["name"] == "by hand"
    assert predicted(finished, "--nodes", 1, "--cores", 4, "--gpus", 1)["makespan"] == pytest.approx(25.0)


def test_an_unended_campaign_is_predicted_from_where_it_is(predicted: Any, tmp_path: Path) -> None:
    events = [e for e in history() if not isinstance(e, ev.EngineStopped)]
    running = next(i for i, e in enumerate(events) if isinstance(e, ev.AttemptAssigned) and e.task == "train[0]")
    there = write(tmp_path / "half", events[: running + 1])
    found = predicted(there)
    assert (found["open"], found["makespan"]) == (1, pytest.approx(15.0))
    # On other nodes it has to begin again; at a later instant that costs what had passed.
    late = [*events[: running + 1], ev.CommandAccepted(START + 13, "2", (edits.SetPriority("train", 1),))]
    moved = write(tmp_path / "moved", late)
    assert predicted(moved)["makespan"] == pytest.approx(15.0)
    assert predicted(moved, "--nodes", 2, "--cores", 8, "--gpus", 2)["makespan"] == pytest.approx(18.0)


def test_overheads_of_a_campaign_lengthen_the_prediction(predicted: Any, finished: Path, tmp_path: Path) -> None:
    t = START  # half a second around each task, and three from the simulations to the training
    measured = [
        *history()[:9],
        ev.AttemptFinished(t + 10.5, "sim[0]", 1, t, t + 10.5),
        ev.AttemptFinished(t + 10.5, "sim[1]", 1, t, t + 10.5),
        ev.AttemptAssigned(t + 10.5, "train[0]", 1, "local-0", 4),
        ev.AttemptFinished(t + 19, "train[0]", 1, t + 13.5, t + 19),
    ]
    slow = write(tmp_path / "slow", measured)
    assert predicted(finished)["makespan"] == pytest.approx(15.0)
    found = predicted(finished, "--calibrate", slow)
    assert found["overheads"] == {"launch": pytest.approx(0.5), "transition": pytest.approx(3.0), "rate": None}
    assert found["makespan"] == pytest.approx(10.5 + 3.0 + 5.5)
    assert found["lower_bound"] == pytest.approx(15.0)


def test_samples_make_a_band(predicted: Any, tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(
        "from workbench import Normal, Synthetic\n\n\n"
        "def build(c):\n    c.tasks(Synthetic(), n=20, name='sim', estimate=Normal(60.0, 12.0))\n"
    )
    found = predicted(script, "--nodes", 1, "--cores", 20, "--samples", 30)
    assert found["samples"] == 30 and found["p10"] < found["p50"] < found["p90"]
    assert found["makespan"] == found["p50"] > 70, "a barrier waits for the slowest of twenty"
    assert predicted(script, "--nodes", 1, "--cores", 20, "--samples", 30) == found


def test_a_person_reads_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "paper/ddmd", *SUMMIT]) == 0
    told = capsys.readouterr().out
    for word in ("makespan", "lower bound", "sequential", "asynchronous", "adaptive", "1578 s", "policy", "auto"):
        assert word in told
    assert max(map(len, told.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("paper/ddmd", "--nodes", "0", "--cores", "168"), "nodes=0 cannot run anything"),
        (("paper/ddmd", "--nodes", "-3", "--cores", "168"), "nodes=-3 cannot run anything"),
        (("paper/ddmd", "--nodes", "3", "--cores", "-1"), "cores=-1 cannot run anything"),
        (("paper/ddmd", "--nodes", "3", "--cores", "8", "--gpus", "-1"), "gpus=-1 cannot run anything"),
        (("paper/ddmd", "--nodes", "3", "--cores", "8", "--memory", "-1"), "is not an amount of memory"),
        (("paper/ddmd", "--nodes", "3"), "give --cores, too"),
        (("paper/ddmd", "--gpus", "3"), "give --nodes and --cores, too"),
        (("paper/ddmd", "--nodes", "2", "--cores", "2"), "no declared pool can ever hold"),
        (("paper/ddmd", *SUMMIT, "--policy", "fif"), "did you mean 'fifo'?"),
        (("paper/ddmd", *SUMMIT, "--mode", "fast"), "mode 'fast' is unknown"),
        (("paper/ddmd", *SUMMIT, "--samples", "0"), "--samples 0 makes no sense"),
        (("paper/ddmd", *SUMMIT, "--samples", "-5"), "--samples -5 makes no sense"),
        (("paper/ddmd", *SUMMIT, "--calibrate", "nowhere"), "there is no such directory"),
        (("paper/ddmd", *SUMMIT, "--calibrate", "."), "holds no campaign"),
        (("paper/dmd", *SUMMIT), "did you mean paper/ddmd"),
        (("nothing.json", *SUMMIT), "nothing.json"),
        ((".", *SUMMIT), "holds no campaign"),
    ],
)
def test_bad_input_is_one_sentence(
    words: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", *words, "--json"]) != 0
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1 and sentence in told.err
    assert "Traceback" not in told.err


def test_a_campaign_that_tells_too_little_cannot_calibrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = write(tmp_path / "young", history()[:5])
    assert main(["predict", "paper/ddmd", *SUMMIT, "--calibrate", str(there)]) == 2
    assert "no task of this campaign has finished" in capsys.readouterr().err


def test_held_tasks_and_unknown_durations_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = ev.CommandAccepted(START, "h", (edits.Hold(("train",)),))
    there = write(tmp_path / "held", [*history()[:4], held])
    assert main(["predict", str(there)]) == 2
    assert "1 of its tasks is held" in capsys.readouterr().err
    script = tmp_path / "unknown.py"
    script.write_text("def build(c):\n    c.tasks(max, 1, 2, n=3, name='f')\n")
    assert main(["predict", str(script), "--nodes", "1", "--cores", "2"]) == 2
    assert "no duration of any task of unknown is known" in capsys.readouterr().err
