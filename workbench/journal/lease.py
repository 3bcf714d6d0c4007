"""Who may write a campaign: one process, named in ``lease.json``, with an epoch that grows at each take.

A lease ends when its holder releases it or dies. Only a process of the same machine can see whether the holder is
alive (its pid, and the time at which that pid started, since pids are used again); from another machine a lease that
was not released is held.

Taking epoch ``n`` goes like this:

1. Read ``lease.json``; go on only if it is missing, released, or its holder is dead. Its epoch is ``n - 1``.
2. Write a temporary file and `os.link` it to ``lease.json.n.claim``. Of all contenders one can, the others see who it
   is. (A claim whose owner died is passed over with the next number.)
3. Read ``lease.json`` again: if its epoch is not below ``n``, somebody else went through all of this in the meantime.
4. Rename the temporary file to ``lease.json`` and remove the claim, in this order.

Nobody renames over a lease without the claim of the next epoch, and a claim is only removed when the lease has that
epoch or more, so two winners are impossible. A plain "move the stale file aside and link a new one" is not enough: a
slow contender would move aside the lease of the one who was faster.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from pathlib import Path

import msgspec

from workbench.model.errors import CampaignHeld, NoCampaign, storage_error

from .disk import segments

_EPOCH = re.compile(rb'"ev":"EngineStarted".*?"epoch":(\d+)')
_MAX_TRIES = 1000


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds a lease.

    Attributes
    ----------
    host, pid : str, int
        Where it runs.
    started : str
        When that pid started, in terms of the machine's boot; distinguishes processes that had the same pid.
    epoch : int
        Grows by one at each take, from 1 on.
    at : float
        When the lease was taken, seconds since the epoch of the clock.
    space : str
        The pid's namespace; a pid of another one means nothing here.
    released : float
        When it was given back; 0 while it is held.
    """

    host: str
    pid: int
    started: str
    epoch: int
    at: float
    space: str = ""
    released: float = 0.0

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.at))
        return f"process {self.pid} on {self.host}, since {since}"


_decoder = msgspec.json.Decoder(Holder)


class Lease:
    """The right to write the campaign in `directory`; see `take`."""

    def __init__(self, directory: Path, holder: Holder) -> None:
        self.directory = directory
        self._holder = holder
        self._held = True

    @property
    def epoch(self) -> int:
        """Number of this lease; earlier engines have lower ones."""
        return self._holder.epoch

    @classmethod
    def take(cls, directory: str | os.PathLike[str], force: bool = False) -> Lease:
        """Become the one writer of the campaign in `directory`.

        Parameters
        ----------
        directory : path
            The campaign's directory.
        force : bool
            Take over even if the holder may be alive; for a machine that is known to be gone.

        Raises
        ------
        CampaignHeld
            If somebody else holds it; names the host, the pid, since when and what to do.
        NoCampaign
            If `directory` is no campaign.
        StorageFull, StorageFailed
            If it cannot be written.
        """
        root = Path(directory)
        if not (root / "campaign.json").is_file():
            raise NoCampaign(f"{root} holds no campaign (there is no campaign.json); check the path")
        lease = root / "lease.json"
        try:
            return cls(root, _take(root, lease, force))
        except OSError as error:
            raise storage_error(error, "take the lease of", root) from error

    @staticmethod
    def holder(directory: str | os.PathLike[str]) -> Holder | None:
        """Who holds the lease and is alive as far as can be seen from here; None if it is free.

        Raises
        ------
        CampaignHeld
            If ``lease.json`` cannot be understood.
        StorageFailed
            If it cannot be read.
        """
        lease = Path(directory) / "lease.json"
        try:
            found = _read(lease)
        except OSError as error:
            raise storage_error(error, "read", lease) from error
        return found if found is not None and _may_live(found) else None

    @property
    def valid(self) -> bool:
        """Whether ``lease.json`` still names this process; False once somebody took over by force."""
        if not self._held:
            return False
        with contextlib.suppress(OSError, CampaignHeld):
            return _read(self.directory / "lease.json") == self._holder
        return False

    def release(self) -> None:
        """Give the lease back. Does nothing in a forked child, twice, or when somebody took over by force."""
        if not self._held or os.getpid() != self._holder.pid:
            return
        self._held = False
        lease = self.directory / "lease.json"
        try:
            if _read(lease) != self._holder:
                return
            done = msgspec.structs.replace(self._holder, released=time.time())
            os.replace(_temporary(self.directory, done), lease)
        except OSError as error:
            raise storage_error(error, "release the lease of", self.directory) from error

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def _take(root: Path, lease: Path, force: bool) -> Holder:
    epoch = 0
    for _ in range(_MAX_TRIES):
        found = _read(lease)
        if found is not None and not force and _may_live(found):
            raise _held(root, found)
        epoch = max(epoch, (found.epoch if found else _journalled_epoch(root)) + 1)
        mine = _myself(epoch)
        temporary = _temporary(root, mine)
        claim = root / f"lease.json.{epoch}.claim"
        try:
            try:
                os.link(temporary, claim)
            except FileExistsError:
                rival = _read(claim)
                if rival is None:  # it has just become the lease, or given up
                    epoch = 0
                    continue
                if _may_live(rival):
                    raise _held(root, rival) from None
                epoch += 1  # died between its claim and its lease
                continue
            try:
                found = _read(lease)
                late = found is not None and found.epoch >= epoch
                if not late:
                    os.replace(temporary, lease)
            except BaseException:
                _drop(claim)
                raise
            if late:
                _drop(claim)
                epoch = 0
                continue
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        _sweep(root, epoch)
        return mine
    raise CampaignHeld(f"{root} is being taken by other engines again and again; stop them and try once more")


def _drop(claim: Path) -> None:
    """Take a claim back that leads to no lease: it would stand in everybody's way for as long as this process lives."""
    with contextlib.suppress(OSError):
        os.unlink(claim)


def _sweep(root: Path, epoch: int) -> None:
    """Remove claims up to `epoch`; the lease has it now, so that none of them can win any more."""
    for path in root.glob("lease.json.*.claim"):
        number = path.name.split(".")[2]
        if number.isdigit() and int(number) <= epoch:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _held(root: Path, found: Holder) -> CampaignHeld:
    if (found.host, found.pid) == (socket.gethostname(), os.getpid()):
        return CampaignHeld(f"{root} is run by this very process already; use that campaign, or stop it first")
    if found.host == socket.gethostname():
        return CampaignHeld(
            f"{root} is held by {found}; stop it (`workbench stop {root}`), or watch it (`workbench tail {root}`)"
        )
    return CampaignHeld(
        f"{root} is held by {found}; stop it there, or, if that machine is gone for good, remove {root / 'lease.json'}"
    )


def _temporary(root: Path, holder: Holder) -> Path:
    path = root / f".lease.{holder.pid}.{secrets.token_hex(8)}.tmp"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, msgspec.json.encode(holder) + b"\n")
        os.fsync(fd)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)
    return path


def _read(path: Path) -> Holder | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        raise CampaignHeld(
            f"{path} cannot be understood, so nobody knows who holds the campaign; remove it if no engine runs"
        ) from None


def _journalled_epoch(root: Path) -> int:
    """The last epoch in the journal, for a campaign whose lease was removed by hand."""
    last = 0
    for path in reversed(segments(root)):
        with open(path, "rb") as file:
            for line in file:
                if (match := _EPOCH.search(line)) is not None:
                    last = max(last, int(match[1]))
        if last:
            break
    return last


def _myself(epoch: int) -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), pid, _started(pid) or "", epoch, time.time(), _space())


def _may_live(holder: Holder) -> bool:
    """Whether `holder` may still write: it is alive, or that cannot be seen from here."""
    if holder.released:
        return False
    if holder.host != socket.gethostname():
        return True
    started = _started(os.getpid()) or ""
    if started and holder.started and started.partition("/")[0] != holder.started.partition("/")[0]:
        return False  # the machine was booted since
    if holder.space != _space():
        return True
    found = _started(holder.pid)
    return found is not None and (not holder.started or not found or found == holder.started)


def _space() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(pid: int) -> str | None:
    """``boot/ticks`` for a process that is alive, an empty string if only its life is known, None if it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        pass  # no such process, no /proc here, or it hides what belongs to others
    else:
        state, *rest = stat.rpartition(")")[2].split()
        if state in "ZX":  # killed, and not yet collected by its parent
            return None
        boot = ""
        with contextlib.suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{rest[18]}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
