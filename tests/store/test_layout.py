from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from workbench.model.errors import DirectoryTaken, NewerFormat, NoCampaign, StorageFailed, StorageFull
from workbench.model.events import FORMAT
from workbench.store import CampaignInfo, Layout


def test_create_and_open(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "campaign"
    made = Layout.create(root, "id1", "ddmd")
    found = Layout.open(str(root))
    assert found.directory == made.directory == root
    assert found.info() == CampaignInfo("id1", "ddmd", FORMAT)
    assert json.loads(found.campaign_json.read_text()) == {"id": "id1", "name": "ddmd", "format": FORMAT}
    for directory in (root, found.journal, found.store, found.logs, found.scratches):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(found.campaign_json.stat().st_mode) == 0o600
    assert sorted(path.name for path in root.iterdir()) == ["campaign.json", "journal", "logs", "scratch", "store"]


def test_paths_are_those_of_the_contract(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.stdout("sim[3]", 1) == tmp_path / "logs" / "sim[3]#1.out"
    assert layout.stderr("sim[3]", 2) == tmp_path / "logs" / "sim[3]#2.err"
    assert layout.scratch("a.b-c_d[0]", 1) == tmp_path / "scratch" / "a.b-c_d[0]#1"
    assert (layout.lease_json, layout.journal) == (tmp_path / "lease.json", tmp_path / "journal")
    assert (layout.store, layout.campaign_json) == (tmp_path / "store", tmp_path / "campaign.json")


@pytest.mark.parametrize(
    "task",
    ["../x[0]", "a/b[0]", "[0]", "..[0]", "a\0[0]", "a b[0]", "a", "a[-1]", "a[0]/../..", "x" * 81 + "[0]", "a\n[0]"],
)
def test_names_that_could_lead_elsewhere_are_refused(tmp_path: Path, task: str) -> None:
    layout = Layout(tmp_path)
    for path in (layout.stdout, layout.stderr, layout.scratch):
        with pytest.raises(ValueError, match="is no"):
            path(task, 1)


def test_an_empty_directory_may_become_a_campaign(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Layout.create(tmp_path, "i", "n")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_making_that_was_interrupted_may_be_repeated(tmp_path: Path) -> None:
    Layout.create(tmp_path, "i", "n")
    (tmp_path / "campaign.json").rename(tmp_path / ".campaign.0123.tmp")
    assert Layout.create(tmp_path, "j", "m").info() == CampaignInfo("j", "m")


def test_a_campaign_is_not_overwritten(tmp_path: Path) -> None:
    Layout.create(tmp_path, "i", "first")
    with pytest.raises(DirectoryTaken, match=r"holds the campaign 'first' already; resume it"):
        Layout.create(tmp_path, "j", "second")
    assert Layout(tmp_path).info().name == "first"
    (tmp_path / "campaign.json").write_text("rubbish")
    with pytest.raises(DirectoryTaken, match="already"):
        Layout.create(tmp_path, "j", "second")


@pytest.mark.parametrize("entry", ["notes.txt", "journal/00000001.jsonl", "data/", ".hidden"])
def test_a_directory_with_something_else_is_let_be(tmp_path: Path, entry: str) -> None:
    path = tmp_path / entry
    if entry.endswith("/"):
        path.mkdir()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with pytest.raises(DirectoryTaken, match="not empty") as caught:
        Layout.create(tmp_path, "i", "n")
    assert repr(entry.split("/")[0]) in str(caught.value)
    assert not (tmp_path / "campaign.json").exists()


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "below"):
        with pytest.raises(DirectoryTaken, match="is a file"):
            Layout.create(place, "i", "n")
    with pytest.raises(NoCampaign, match="is a file"):
        Layout.open(file)


def test_no_campaign_here(tmp_path: Path) -> None:
    with pytest.raises(NoCampaign, match="does not exist"):
        Layout.open(tmp_path / "missing")
    with pytest.raises(NoCampaign, match=r"no campaign\.json"):
        Layout.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"{}", b"[]", b'{"id": 1, "name": "n"}', b"\xff"])
def test_a_damaged_campaign_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "campaign.json").write_bytes(content)
    with pytest.raises(NoCampaign, match=r"campaign\.json is damaged"):
        Layout.open(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "campaign.json").write_text(f'{{"id":"i","name":"n","format":{FORMAT + 1}}}')
    with pytest.raises(NewerFormat, match="upgrade"):
        Layout.open(tmp_path)


def test_a_campaign_json_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "campaign.json").mkdir()
    with pytest.raises(StorageFailed, match="read"):
        Layout.open(tmp_path)


@pytest.mark.parametrize(
    ("code", "error"), [(28, StorageFull), (122, StorageFull), (30, StorageFailed), (5, StorageFailed)]
)
@pytest.mark.parametrize("call", ["os.open", "os.fsync", "os.link", "os.mkdir"])
def test_a_disk_that_refuses_leaves_no_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception]
) -> None:
    root = tmp_path / "c"

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(code, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        with pytest.raises(error, match="refused") as caught:
            Layout.create(root, "i", "n")
    assert str(root) in str(caught.value)
    assert not (root / "campaign.json").exists() and not list(tmp_path.rglob("*.tmp"))
    assert Layout.create(root, "i", "n").info().name == "n"
