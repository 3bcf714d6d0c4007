"""What to do with a journal that is damaged in the middle.

Everything before the damage stays and is the campaign from then on. Everything readable behind it is exported to
``journal/salvaged-POSITION.jsonl``, in the journal's own framing, for people and tools: it cannot be part of the
campaign, since what it followed from is lost. The damaged bytes themselves are kept as well.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from workbench.model.errors import storage_error

from .disk import segment_number, segments, sync_directory
from .lease import Lease
from .reader import cut
from .scan import Damage, Scan, whole_records
from .upcasters import format_of


class Repair(msgspec.Struct, frozen=True):
    """What `repair` found and did.

    Attributes
    ----------
    kept : int
        Records that remain; the next one gets this number.
    reason : str
        What was wrong, empty if nothing was.
    segment, position : Path, int
        Where.
    salvaged : int
        Records that were exported.
    export : Path or None
        Where to.
    set_aside : tuple of Path
        Files that hold the bytes which are no part of the journal any more.
    """

    kept: int
    reason: str = ""
    segment: Path | None = None
    position: int = 0
    salvaged: int = 0
    export: Path | None = None
    set_aside: tuple[Path, ...] = ()

    def __str__(self) -> str:
        if not self.reason:
            return f"nothing to repair: {self.kept} records, all readable"
        lines = [
            f"{self.segment} was damaged at byte {self.position}: {self.reason}",
            f"kept the {self.kept} records before it; the campaign can be resumed from there",
        ]
        if self.export is not None:
            lines.append(f"exported {self.salvaged} readable records from behind it to {self.export}")
        lines += [f"set aside {path}" for path in self.set_aside]
        return "\n".join(lines)


def repair(directory: str | os.PathLike[str]) -> Repair:
    """Make the journal of the campaign in `directory` readable again.

    Repeatable: if it is interrupted, the next call goes on.

    Raises
    ------
    CampaignHeld
        If an engine runs the campaign.
    NewerFormat
        If a newer version wrote it; it is not damaged then.
    NoCampaign, StorageFull, StorageFailed
        As for `lease.Lease.take`, and if the disk refuses.
    """
    with Lease.take(directory):
        scan = Scan(directory)
        format_of(scan.first())
        try:
            for _ in scan.frames():
                pass
        except Damage as damage:
            return _repair(Path(directory), damage)
        if scan.tail is not None:
            tail = scan.tail
            aside = cut(tail.segment, tail.position)
            return Repair(scan.next_seq, tail.reason, tail.segment, tail.position, set_aside=(aside,))
        return Repair(scan.next_seq)


def _repair(directory: Path, damage: Damage) -> Repair:
    later = [path for path in segments(directory) if path.name > damage.segment.name]
    journal = damage.segment.parent
    export = _free(journal / f"salvaged-{segment_number(damage.segment):08d}-{damage.position}.jsonl")
    try:
        salvaged = _export(damage, later, export)
        set_aside = []
        # Last first: if this is interrupted, what remains is still damaged at the same place.
        for path in reversed(later):
            aside = _free(path.with_name(path.name + ".damaged"))
            path.rename(aside)
            set_aside.append(aside)
        sync_directory(journal)
    except OSError as error:
        raise storage_error(error, "repair", journal) from error
    set_aside.append(cut(damage.segment, damage.position))
    set_aside.reverse()
    if not salvaged:
        export.unlink()
    return Repair(
        damage.seq,
        damage.reason,
        damage.segment,
        damage.position,
        salvaged,
        export if salvaged else None,
        tuple(set_aside),
    )


def _export(damage: Damage, later: list[Path], export: Path) -> int:
    count = 0
    fd = os.open(export, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as out:
        for path in (damage.segment, *later):
            with open(path, "rb") as file:
                file.seek(damage.position if path == damage.segment else 0)
                for line in file:
                    for record in whole_records(line):
                        out.write(record)
                        count += 1
        out.flush()
        os.fsync(fd)
    return count


def _free(path: Path) -> Path:
    """`path`, or the first of its numbered siblings that does not exist."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
