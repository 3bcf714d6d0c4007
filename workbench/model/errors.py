"""What can go wrong, in sentences that name the thing and the way out.

Every error that a user can cause derives from `WorkbenchError`; the command line prints its text without a
traceback. Refusals of an edit derive from `EditRefused` and carry `rule`, the name of the rule that the edit
breaks, so that a view can react to the rule and a person can read the sentence.
"""

from __future__ import annotations

import errno
import os


class WorkbenchError(Exception):
    """An error with a sentence for its user. `exit_code` is what the command line returns."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, without the frames of ours that led to it."""
        return [f"{type(self).__name__}: {self}"]


class EditRefused(WorkbenchError):
    """A command that would break a rule; nothing was changed.

    Parameters
    ----------
    message : str
        One sentence: what is refused, why, and what to do.
    subject : str, optional
        Id of the task, set, edge or pool that the sentence is about.
    """

    def __init__(self, message: str, subject: str = "") -> None:
        super().__init__(message)
        self.subject = subject

    @property
    def rule(self) -> str:
        """Name of the rule, e.g. ``"WouldCycle"``."""
        return type(self).__name__


class WouldCycle(EditRefused):
    """The edge would close a cycle."""


class UnknownName(EditRefused):
    """No task, set, pool or command of that name."""


class DuplicateName(EditRefused):
    """The name is taken."""


class AlreadyRunning(EditRefused):
    """The task has an attempt under way, so this edit comes too late."""


class AlreadyEnded(EditRefused):
    """The task has ended; retry or invalidate it instead."""


class NeverFits(EditRefused):
    """No declared pool can ever hold the task."""


class StaleBase(EditRefused):
    """What the edit touches changed after the sequence number that it was made against."""


class StillNeeded(EditRefused):
    """The arguments of another task use the result."""


class BadValue(EditRefused):
    """A value that means nothing: negative, NaN, empty, of the wrong kind."""


class NothingToUndo(EditRefused):
    """There is no command left to undo or redo."""


class NotUndoable(EditRefused):
    """The command destroyed work (cancel), so it has no inverse."""


class CampaignHeld(WorkbenchError):
    """Another engine holds the campaign's directory."""


class NoCampaign(WorkbenchError):
    """The directory holds no campaign."""


class JournalDamaged(WorkbenchError):
    """Damage in the middle of the journal; carries segment and byte position in its text."""


class StorageFull(WorkbenchError):
    """The disk is full or the quota used up; nothing that was accepted is lost."""


class StorageFailed(WorkbenchError):
    """The file system refused for another reason: an input/output error, a stale handle, no permission."""


class StoreDamaged(WorkbenchError):
    """A file of the store is missing or is not what its digest says."""


class NewerFormat(WorkbenchError):
    """The directory was written by a newer version, whose records this one does not understand."""


class DirectoryTaken(WorkbenchError):
    """A campaign cannot be created here: the directory holds something else, or a campaign already."""


class NotSerializable(WorkbenchError):
    """A function, argument or result cannot be sent to a worker."""


class NotStarted(WorkbenchError):
    """A result was asked for before execution began."""


class NoProgress(WorkbenchError):
    """A result was waited for that cannot come about by itself: its task is held, or the campaign stopped."""


class TaskFailed(WorkbenchError):
    """Raised by a handle's `result()` when its task ended without one. Carries the task, cause and story."""

    exit_code = 1

    def __init__(self, message: str, task: str = "", cause: str = "", story: str = "") -> None:
        super().__init__(message)
        self.task, self.cause, self.story = task, cause, story


def storage_error(error: OSError, doing: str, path: str | os.PathLike[str]) -> WorkbenchError:
    """Turn `error`, met while `doing` something to `path`, into the sentence that a user reads.

    Returns
    -------
    WorkbenchError
        `StorageFull` for a full disk, a used-up quota or a file size limit, else `StorageFailed`.
    """
    why = error.strerror or str(error)
    where = os.fspath(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"cannot {doing} {where}: {why.lower()}; free some space there, nothing accepted is lost")
    if error.errno == errno.EFBIG:
        return StorageFull(f"cannot {doing} {where}: the file size limit of this process is reached; see `ulimit -f`")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageFailed(f"cannot {doing} {where}: {why.lower()}; use a directory that you may write to")
    return StorageFailed(f"cannot {doing} {where}: {why.lower()}; check the file system, then resume the campaign")
