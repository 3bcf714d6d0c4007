"""`workbench model` as a user calls it: names, files and directories, tables and JSON, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SUMMIT = ("--nodes", 16, "--cores", 168, "--gpus", 6)

DIRECT = """
from workbench import Campaign, Synthetic
campaign = Campaign("direct", pool="nodes=2,cores=4", dir="kept")
x = campaign.tasks(Synthetic(), name="x", n=4, cores=2, estimate=3)
y = campaign.tasks(Synthetic(), name="y", n=4, cores=2, estimate=5)
z = campaign.tasks(Synthetic(), name="z", n=1, cores=2, estimate=5, after=(x,))
"""
LARGE = """
def build(c):
    a = c.tasks(work, n=3, name="a", cores=100_000, estimate=4)
    c.task(work, name="b", after=a, cores=1)

def work():
    return 1
"""
RING = """
from workbench import Synthetic

def build(c):
    one = c.task(Synthetic(), name="one", estimate=1)
    two = c.task(Synthetic(), name="two", after=one)
    c.connect(two, one)
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper/example", {"t_seq": 7500, "t_async": 5500, "doa_dep": 1, "doa_res": 1, "wla": 1}),
        ("paper/ddmd?graph=staggered", {"t_seq": 1578, "t_async": 1320, "doa_res": 1, "wla": 1, "eq6": 1345}),
        ("paper/ddmd", {"t_seq": 1578, "t_async": 1320, "doa_dep": 2, "doa_res": 2, "eq6": 1345}),
        ("paper/c-dg1?variant=printed", {"t_async": 1860, "doa_dep": 2, "doa_res": 2, "doa_adaptive": 3, "wla": 2}),
        ("paper/c-dg2?variant=printed", {"t_seq": 2000, "t_async": 1300, "doa_res": 1, "lower_bound": 1340}),
        ("paper/c-dg2?stages=4", {"t_seq": 1769.1, "t_async": 1307.6, "doa_res": 2, "wla": 2}),
    ],
)  # fmt: skip
def test_the_papers_workflows(workbench: Run, name: str, expected: dict[str, float]) -> None:
    done = workbench("model", name, *SUMMIT, "--json")
    assert done.returncode == 0 and not done.stderr
    found = json.loads(done.stdout)
    assert {key: found[key] for key in expected} == expected
    assert found["improvement"] == pytest.approx(1 - found["t_async"] / found["t_seq"])
    assert found["printed"]["doa_dep"] == found["doa_dep"] and found["notes"]


def test_the_table_tells_what_is_printed_and_why_it_differs(workbench: Run) -> None:
    done = workbench("model", "paper/ddmd", *SUMMIT)
    assert done.returncode == 0 and not done.stderr
    for words in ("t_seq", "Eq. 3", "1320", "Train1  Sim2", "differs", "Infer2 twice", "As printed about DeepDriveMD"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout


def test_a_directory_and_a_file(workbench: Run, finished: Path, tmp_path: Path) -> None:
    found = json.loads(workbench("model", finished, "--nodes", 1, "--cores", 4, "--gpus", 2, "--json").stdout)
    assert (found["t_seq"], found["tasks"], found["doa_dep"], "printed" in found) == (15, 3, 0, False)
    (tmp_path / "cwd" / "direct.py").write_text(DIRECT)
    found = json.loads(workbench("model", "direct.py", "--nodes", 2, "--cores", 100, "--json").stdout)
    assert (found["t_seq"], found["t_async"], found["doa_res"]) == (10, 8, 1)
    assert [(m["hidden"], m["by"], m["seconds"]) for m in found["masks"]] == [("y", "x", 3), ("y", "z", 2)]
    assert not (tmp_path / "cwd" / "kept").exists()


def test_a_file_may_ask_for_more_than_this_machine_has(workbench: Run, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "large.py").write_text(LARGE)
    done = workbench("model", "large.py", "--nodes", 1, "--cores", 300_000)
    assert done.returncode == 0 and "No TX is known for b" in done.stdout
    done = workbench("model", "large.py", "--nodes", 2, "--cores", 168)
    assert done.returncode == 2 and "can ever hold" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("paper/ddmd", "--nodes", 0, "--cores", 168), "nodes=0"),
        (("paper/ddmd", "--nodes", 16, "--cores", 0), "cores=0"),
        (("paper/ddmd", "--nodes", 16, "--cores", 168), "can never hold"),
        (("paper/ddmd", "--nodes", 16), "--cores"),
        (("paper/ddmd", "--nodes", "many", "--cores", 4), "--nodes"),
        (("paper/ddmd", *SUMMIT, "--memory", "lots"), "lots"),
        (("paper/ddmd?iterations=0", *SUMMIT), "iterations=0"),
        (("paper/dmd", *SUMMIT), "paper/ddmd"),
        (("nowhere.json", *SUMMIT), "nowhere.json"),
        (("empty.py", *SUMMIT), "no task set"),
        (("ring.py", *SUMMIT), "cycle"),
    ],
)
def test_bad_input_is_one_sentence(workbench: Run, tmp_path: Path, words: tuple[object, ...], sentence: str) -> None:
    (tmp_path / "cwd" / "empty.py").write_text("def build(c):\n    pass\n")
    (tmp_path / "cwd" / "ring.py").write_text(RING)
    done = workbench("model", *words)
    assert done.returncode == 2 and not done.stdout
    assert sentence in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
