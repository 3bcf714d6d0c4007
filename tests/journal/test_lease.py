from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.journal import JournalWriter, Lease, lease
from workbench.journal.lease import Holder, _myself, _read, _started
from workbench.model.errors import CampaignHeld, NoCampaign, StorageFailed, StorageFull
from workbench.model.events import EngineStarted

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TAKE = """
import sys
from workbench.journal import Lease
lease = Lease.take(sys.argv[1])
print(lease.epoch, flush=True)
sys.stdin.read()
"""


class Other:
    """Another process that takes the lease and lives until it is told to end or killed."""

    def __init__(self, campaign: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(campaign)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.epoch = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def other(campaign: Path) -> Iterator[Other]:
    process = Other(campaign)
    yield process
    process.close()


def put(campaign: Path, **changes: Any) -> Holder:
    holder = msgspec.structs.replace(_myself(5), **changes)
    (campaign / "lease.json").write_bytes(msgspec.json.encode(holder))
    return holder


def leftovers(campaign: Path) -> list[str]:
    return sorted(path.name for path in campaign.iterdir() if path.name not in ("campaign.json", "journal"))


def test_take_release_take(campaign: Path) -> None:
    assert Lease.holder(campaign) is None
    with Lease.take(campaign) as first:
        assert first.epoch == 1 and first.valid
        holder = Lease.holder(campaign)
        assert holder is not None and (holder.pid, holder.epoch) == (os.getpid(), 1)
        assert stat.S_IMODE((campaign / "lease.json").stat().st_mode) == 0o600
        with pytest.raises(CampaignHeld, match="this very process"):
            Lease.take(campaign)
    assert Lease.holder(campaign) is None and not first.valid
    first.release()
    second = Lease.take(campaign)
    assert second.epoch == 2
    first.release()
    assert second.valid
    second.release()
    assert leftovers(campaign) == ["lease.json"]


def test_a_living_holder_is_named_with_the_way_out(campaign: Path, other: Other) -> None:
    holder = Lease.holder(campaign)
    assert holder is not None and holder.pid == other.process.pid
    with pytest.raises(CampaignHeld) as caught:
        Lease.take(campaign)
    text = str(caught.value)
    assert all(
        word in text for word in (str(campaign), str(other.process.pid), holder.host, "since 20", "workbench stop")
    )
    assert leftovers(campaign) == ["lease.json"]


def test_a_killed_holder_is_succeeded_even_before_its_parent_collects_it(campaign: Path, other: Other) -> None:
    other.process.kill()
    os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)  # dead for certain, and still a zombie
    assert Path(f"/proc/{other.process.pid}").exists()
    assert Lease.holder(campaign) is None
    with Lease.take(campaign) as mine:
        assert mine.epoch == other.epoch + 1
    assert leftovers(campaign) == ["lease.json"]


def test_a_pid_that_is_used_again_is_not_the_holder(campaign: Path) -> None:
    boot, _, ticks = (_started(os.getpid()) or "").partition("/")
    put(campaign, started=f"{boot}/{int(ticks) - 1}")
    assert Lease.holder(campaign) is None
    with Lease.take(campaign) as mine:
        assert mine.epoch == 6


def test_a_reboot_ends_every_lease_of_the_machine(campaign: Path) -> None:
    put(campaign, started=f"another-boot/{(_started(os.getpid()) or '').partition('/')[2]}")
    with Lease.take(campaign) as mine:
        assert mine.epoch == 6


def test_a_holder_on_another_machine_is_not_judged_from_here(campaign: Path) -> None:
    put(campaign, host="login7", pid=1 << 30)
    with pytest.raises(CampaignHeld, match=r"process 1073741824 on login7.*remove .*lease\.json"):
        Lease.take(campaign)
    forced = Lease.take(campaign, force=True)
    assert forced.epoch == 6 and forced.valid
    forced.release()


def test_a_holder_in_another_container_is_not_judged_from_here(campaign: Path) -> None:
    put(campaign, space="pid:[1]", pid=1 << 30)
    with pytest.raises(CampaignHeld):
        Lease.take(campaign)


def test_who_was_pushed_out_by_force_notices_and_lets_the_new_lease_be(campaign: Path) -> None:
    old = Lease.take(campaign)
    new = Lease.take(campaign, force=True)
    assert (old.valid, new.valid, new.epoch) == (False, True, 2)
    old.release()
    assert new.valid
    new.release()


def test_a_child_process_does_not_give_the_lease_back(campaign: Path) -> None:
    with Lease.take(campaign) as mine:
        pid = os.fork()
        if pid == 0:
            mine.release()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert mine.valid


def test_the_epoch_grows_on_when_somebody_removed_the_lease(campaign: Path) -> None:
    with JournalWriter(campaign, 0) as writer:
        for epoch in (1, 2, 17):
            writer.append(EngineStarted(1.0, epoch, "host", 1))
    with Lease.take(campaign) as mine:
        assert mine.epoch == 18


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b'{"host":'])
def test_a_damaged_lease_stops_with_the_way_out(campaign: Path, content: bytes) -> None:
    (campaign / "lease.json").write_bytes(content)
    with pytest.raises(CampaignHeld, match=r"lease\.json cannot be understood.*remove it"):
        Lease.take(campaign)
    with pytest.raises(CampaignHeld, match="cannot be understood"):
        Lease.holder(campaign)


def test_a_directory_that_is_no_campaign(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NoCampaign, match=r"no campaign\.json"):
            Lease.take(path)


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (30, StorageFailed, "read-only"),
        (13, StorageFailed, "permission"),
        (28, StorageFull, "no space"),
        (5, StorageFailed, "input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "replace"])
def test_a_directory_that_cannot_be_written(
    campaign: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[Exception], words: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(f"workbench.journal.lease.os.{call}", fail)
        with pytest.raises(error, match=words) as caught:
            Lease.take(campaign)
    assert str(campaign) in str(caught.value)
    assert "lease.json" not in leftovers(campaign)
    assert not [name for name in leftovers(campaign) if name.endswith(".tmp")]
    Lease.take(campaign, force=True).release()


@pytest.mark.parametrize("held", [True, False])
def test_a_slow_contender_does_not_take_from_a_faster_one(
    campaign: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Between reading a stale lease and claiming its succession, another process goes through the whole of it."""
    put(campaign, started="another-boot/1")
    real = lease._temporary
    others: list[Other] = []

    def slow(root: Path, holder: Holder) -> Path:
        path = real(root, holder)
        if not others:
            others.append(Other(campaign))
            if not held:
                others[0].kill()
        return path

    monkeypatch.setattr(lease, "_temporary", slow)
    try:
        if held:
            with pytest.raises(CampaignHeld, match="process"):
                Lease.take(campaign)
            now = _read(campaign / "lease.json")
            assert now is not None and now.pid == others[0].process.pid
        else:
            with Lease.take(campaign) as mine:
                assert mine.epoch == others[0].epoch + 1 == 7
    finally:
        others[0].close()
    assert leftovers(campaign) == ["lease.json"]


def test_of_many_contenders_exactly_one_wins(campaign: Path) -> None:
    seed = random.randrange(1 << 30)
    command = [sys.executable, str(HERE / "contenders.py"), str(campaign), "60", "8", str(seed)]
    print("repeat with:", " ".join(command))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, ""), f"seed {seed}"
    rounds = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(rounds) == 60
    for winners, epoch, before, dead in rounds:
        assert (winners, epoch) == (1, before + 1 + dead), f"seed {seed}"
    assert [name for name in leftovers(campaign) if name.endswith(".claim")] == []
