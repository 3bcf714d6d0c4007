"""`workbench export`, and workflows of other tools as what `run` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.exchange.documents import ROWS, v14, v15
from tests.exchange.rules import broken
from workbench.api import Campaign
from workbench.cli import main
from workbench.cli.source import Wishes, declared
from workbench.exchange import read
from workbench.model.errors import NeverFits


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "blast.json"
    path.write_text(json.dumps(v15()))
    return path


def test_a_trace_runs_and_comes_out_as_it_went_in(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "c"
    assert main(["run", str(trace), "--dir", str(directory), "--time-scale", "0.01", "--json"]) == 0
    capsys.readouterr()
    assert main(["export", str(directory), "--format", "wfformat", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tasks"], told["edges"], told["version"]) == (4, 4, "1.5")
    path = Path(told["export"])
    assert path == directory.resolve() / "wfformat.json" and broken(json.loads(path.read_text())) == []
    before, after = read(trace), read(path)
    assert [(t.id, t.kind, t.cores) for t in after.tasks] == [(t.id, t.kind, t.cores) for t in before.tasks]
    assert after.edges() == before.edges()
    assert all(ours.runtime_s >= asked.runtime_s for ours, asked in zip(after.tasks, before.tasks, strict=True))
    known = {m.name for m in after.machines}
    assert known and all(set(t.machines) <= known and t.machines for t in after.tasks)


def test_export_writes_where_it_is_told(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.json"
    assert main(["export", str(finished), "--format", "wfformat", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    flow = read(output)
    assert [(t.id, t.runtime_s, t.cores, t.gpus, t.machines) for t in flow.tasks] == [
        ("sim_0", 10, 2, 1, ("local-0",)), ("sim_1", 10, 2, 1, ("local-0",)), ("train_0", 6, 4, 0, ("local-0",)),
    ]  # fmt: skip
    assert flow.edges() == {("sim_0", "train_0"), ("sim_1", "train_0")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "cwl"], "there is no format 'cwl'; there is: wfformat"),
        ([], "--format"),
        (["--format", "wfformat", "-o", "/nowhere/at/all.json"], "cannot write the export /nowhere/at/all.json"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    words: list[str], told: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(finished), *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err and err.count("\n") == 1


def test_a_campaign_that_has_not_ended_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c"
    with Campaign.from_workflow(v14(), dir=path) as c:
        assert c.name == "blast" and [s.name for s in c.sets] == ["split", "blast", "cat"]
    assert main(["export", str(path), "--format", "wfformat"]) == 2
    assert "4 of 4 tasks have not ended" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--format", "wfformat"]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.json", b""),
        ("cut.json", json.dumps(v15()).encode()[:-40]),
        ("binary.json", bytes(range(256))),
        ("other.json", b'{"schemaVersion": "0.9", "workflow": {}}'),
        ("deep.json", b'{"a":' * 30_000),
        ("nosuffix", b"{"),
    ],
)
def test_run_refuses_files_that_are_no_workflow_in_one_sentence(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert main(["run", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and name in err and err.count("\n") == 1 and "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert main(["run", "missing.json"]) == 2
    assert "missing.json cannot be read: no such file" in capsys.readouterr().err


def test_what_a_name_stands_for_leaves_nothing_behind(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    state = declared(str(trace), Wishes(pool="nodes=2,cores=8", mode="sequential", policy="fifo"))
    assert (state.size, state.mode, state.policy, state.nodes) == (len(ROWS), "sequential", "fifo", {})
    assert [p.nodes for p in state.pools.values()] == [2]
    assert declared(str(trace)).pools["machines"].shape.cores == 24
    assert declared("paper/ddmd?iterations=1").size == 209
    assert declared(str(finished)).ended
    with pytest.raises(NeverFits):
        declared(str(trace), Wishes(pool="nodes=2,cores=2"))
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_scripts_are_looked_at_without_leaving_a_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    declare = "from workbench import Campaign, Synthetic\n"
    (tmp_path / "builds.py").write_text(
        declare + "def build(c):\n    c.tasks(Synthetic(), n=3, name='a', estimate=1)\n"
    )
    (tmp_path / "has.py").write_text(
        declare
        + "campaign = Campaign('x', pool='nodes=1,cores=2')\ncampaign.tasks(Synthetic(), n=4, name='a', estimate=1)\n"
    )
    assert declared("builds.py", Wishes(pool="nodes=1,cores=1")).size == 3
    assert declared("has.py").size == 4
    kept = {p.name for p in tmp_path.iterdir()} - {"__pycache__"}
    assert kept <= {"builds.py", "has.py", "campaigns"} and not list((tmp_path / "campaigns").glob("*"))
