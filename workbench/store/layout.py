"""The directory of a campaign: where everything lies, how it begins, and what makes it recognisable."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

import msgspec

from workbench.model.errors import DirectoryTaken, NewerFormat, NoCampaign, storage_error
from workbench.model.events import FORMAT
from workbench.model.ids import SET_NAME, attempt_id, split_task

_ROOMS = ("journal", "store", "logs", "scratch")


class CampaignInfo(msgspec.Struct, frozen=True):
    """Content of ``campaign.json``."""

    id: str
    name: str
    format: int = FORMAT


_decoder = msgspec.json.Decoder(CampaignInfo)


class Layout:
    """Paths in the campaign's `directory`. Making one touches nothing; see `create` and `open`."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    @property
    def campaign_json(self) -> Path:
        """Id, name and format."""
        return self.directory / "campaign.json"

    @property
    def lease_json(self) -> Path:
        """Who writes."""
        return self.directory / "lease.json"

    @property
    def journal(self) -> Path:
        """Directory of the journal's segments."""
        return self.directory / "journal"

    @property
    def store(self) -> Path:
        """Directory of payloads and results."""
        return self.directory / "store"

    @property
    def logs(self) -> Path:
        """Directory of the attempts' output."""
        return self.directory / "logs"

    @property
    def scratches(self) -> Path:
        """Directory of the attempts' working directories."""
        return self.directory / "scratch"

    def stdout(self, task: str, number: int) -> Path:
        """Where the standard output of an attempt lies, if it printed something."""
        return self.logs / f"{_safe(task, number)}.out"

    def stderr(self, task: str, number: int) -> Path:
        """Where the standard error of an attempt lies, if it printed something."""
        return self.logs / f"{_safe(task, number)}.err"

    def scratch(self, task: str, number: int) -> Path:
        """Working directory of an attempt."""
        return self.scratches / _safe(task, number)

    @classmethod
    def create(cls, directory: str | os.PathLike[str], id: str, name: str) -> Layout:
        """Begin a campaign in `directory`, which is made, or is empty.

        ``campaign.json`` comes last: a directory whose making was interrupted is no campaign, and can be used again.

        Raises
        ------
        DirectoryTaken
            If there is a campaign already, or anything else.
        StorageFull, StorageFailed
            If it cannot be written.
        """
        layout = cls(directory)
        root = layout.directory
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            root.mkdir(mode=0o700, exist_ok=True)
            layout._refuse_taken()
            root.chmod(0o700)
            for room in _ROOMS:
                (root / room).mkdir(mode=0o700, exist_ok=True)
            layout._publish(CampaignInfo(id, name))
        except (FileExistsError, NotADirectoryError):
            raise DirectoryTaken(f"{root} is a file, or lies below one; choose another place") from None
        except OSError as error:
            raise storage_error(error, "create a campaign in", root) from error
        return layout

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Layout:
        """The layout of an existing campaign.

        Raises
        ------
        NoCampaign
            If `directory` does not exist, is no campaign, or its ``campaign.json`` is damaged.
        NewerFormat
            If a newer version made it.
        StorageFailed
            If it cannot be read.
        """
        layout = cls(directory)
        layout.info()
        return layout

    def info(self) -> CampaignInfo:
        """Read ``campaign.json``; raises as `open`."""
        root = self.directory
        try:
            if not root.exists():
                raise NoCampaign(f"{root} does not exist; check the path, or `workbench list` for known campaigns")
            if not root.is_dir():
                raise NoCampaign(f"{root} is a file; give the directory of a campaign")
            text = self.campaign_json.read_bytes()
        except FileNotFoundError:
            raise NoCampaign(f"{root} holds no campaign (there is no campaign.json); check the path") from None
        except OSError as error:
            raise storage_error(error, "read", self.campaign_json) from error
        try:
            info = _decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise NoCampaign(
                f"{self.campaign_json} is damaged ({error}); write it anew: "
                '{"id": ..., "name": ...} as in the first line of the journal'
            ) from None
        if info.format > FORMAT:
            raise NewerFormat(
                f"{root} has format {info.format}, and this version of campaign-workbench reads up to {FORMAT}; "
                "upgrade campaign-workbench to open the campaign"
            )
        return info

    def _refuse_taken(self) -> None:
        root = self.directory
        entries = sorted(os.listdir(root))
        if "campaign.json" in entries:
            name = ""
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                name = f" {_decoder.decode(self.campaign_json.read_bytes()).name!r}"
            raise DirectoryTaken(
                f"{root} holds the campaign{name} already; resume it (`workbench resume {root}`), or choose another "
                "directory"
            )
        for entry in entries:
            path = root / entry
            begun = entry in _ROOMS and path.is_dir() and not os.listdir(path)
            if not begun and not (entry.startswith(".campaign.") and entry.endswith(".tmp")):
                raise DirectoryTaken(f"{root} is not empty (it holds {entry!r}); choose an empty or a new directory")

    def _publish(self, info: CampaignInfo) -> None:
        temporary = self.directory / f".campaign.{secrets.token_hex(8)}.tmp"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(info) + b"\n")
                file.flush()
                os.fsync(fd)
            try:
                os.link(temporary, self.campaign_json)
            except FileExistsError:
                raise DirectoryTaken(
                    f"{self.directory} has just become another campaign; choose another directory"
                ) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        for directory in (self.directory, self.directory.parent):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _safe(task: str, number: int) -> str:
    """File name of an attempt. Set names are harmless as file names; whatever is not one is refused."""
    name, _ = split_task(task)
    if not SET_NAME.fullmatch(name) or number < 0:
        raise ValueError(f"{attempt_id(task, number)!r} is no attempt")
    return attempt_id(task, number)
