"""`workbench stop`: ask the process that runs a campaign to stop in good order."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from pathlib import Path

import psutil

from workbench.cli import directory as directories
from workbench.journal import Holder
from workbench.model.errors import WorkbenchError


class CannotStop(WorkbenchError):
    """The process that runs the campaign cannot be asked from here."""


class StillRunning(WorkbenchError):
    """The process was asked and has not stopped yet."""

    exit_code = 1


def stop(directory: Path, timeout_s: float) -> Holder | None:
    """Send SIGTERM to the process that holds the campaign, and wait until it has let go.

    Returns
    -------
    Holder or None
        Who ran the campaign; None if nobody did.

    Raises
    ------
    CannotStop
        If it runs on another machine, in another container, under another user, or is a notebook's kernel.
    StillRunning
        If it has not let go after `timeout_s`.
    """
    holder = directories.holder(directory)
    if holder is None:
        return None
    _check_reach(directory, holder)
    try:
        handle = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return holder
    except OSError as error:
        raise CannotStop(f"{directory} is run by {holder}, which cannot be reached: {error.strerror}") from error
    try:
        # The handle names one process for good, so asking again whether it is the holder leaves no gap in which the
        # pid could come to mean another.
        if directories.holder(directory) != holder:
            return holder
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        except PermissionError:
            raise CannotStop(f"{directory} is run by {holder}, under another user; ask its owner to stop it") from None
        except ProcessLookupError:
            return holder
        deadline = time.monotonic() + timeout_s
        while directories.holder(directory) == holder:
            left = deadline - time.monotonic()
            if left <= 0:
                raise StillRunning(
                    f"{directory} is still run by {holder} {timeout_s:g} s after it was asked to stop; wait with a "
                    f"larger --timeout, or end it with `kill -9 {holder.pid}`: the campaign can be resumed either way"
                )
            select.select([handle], [], [], min(left, 0.1))
    finally:
        os.close(handle)
    return holder


def _check_reach(directory: Path, holder: Holder) -> None:
    if holder.host != socket.gethostname():
        raise CannotStop(f"{directory} is run by {holder}; run `workbench stop` on that machine")
    if holder.space and holder.space != _space():
        raise CannotStop(f"{directory} is run by {holder}, in another container; run `workbench stop` inside it")
    try:
        words = psutil.Process(holder.pid).cmdline()
    except psutil.Error:
        return
    if any("ipykernel" in word for word in words):
        raise CannotStop(
            f"{directory} is run by a notebook's kernel ({holder}); call .stop() on the campaign in that notebook, so "
            "that its kernel lives on"
        )


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
