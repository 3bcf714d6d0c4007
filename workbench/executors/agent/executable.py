"""What a declared program means for one attempt: its command line, its files, its result. Starts no process."""

from __future__ import annotations

import mmap
import os
import re
import shutil
from collections.abc import Iterable
from typing import Any

import msgspec

from workbench.executors.agent.output import tail
from workbench.model.causes import Cause
from workbench.model.errors import StorageFailed, StorageFull
from workbench.model.specs import Executable, Mpi, Result
from workbench.store.store import Store

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Refused(Exception):
    """The attempt cannot start, or its result cannot be taken; carries the cause."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.cause, self.detail = cause, detail


def expand(text: str, values: dict[str, Any]) -> str:
    """Replace ``{name}`` for the names in `values`; other braces stay, since programs have uses of their own."""
    return _PLACE.sub(lambda m: _plain(values[m[1]]) if m[1] in values else m[0], text)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def command(work: Executable | Mpi, values: dict[str, Any]) -> tuple[str, ...]:
    """The program's own command line.

    Raises
    ------
    Refused
        If it is empty, or a parameter holds a zero byte.
    """
    argv = tuple(expand(a, values) for a in work.argv)
    if not argv or not argv[0]:
        raise Refused(Cause.LaunchRefused, "the command line is empty")
    for a in argv:
        if "\0" in a:
            raise Refused(Cause.LaunchRefused, f"an argument holds a zero byte: {a!r}")
    return argv


def find_program(name: str, search: str | None, cwd: str) -> str:
    """Absolute path of the program `name`; one with a slash is looked for from `cwd`.

    Raises
    ------
    Refused
        If there is none, or it may not be run.
    """
    if "/" in name:
        path = os.path.join(cwd, name)
        if not os.path.exists(path):
            raise Refused(Cause.LaunchRefused, f"there is no program {name!r} on this worker")
        if not os.access(path, os.X_OK):
            raise Refused(Cause.LaunchRefused, f"{name!r} may not be executed; set its execute permission")
        return path
    found = shutil.which(name, path=search)
    if found is None:
        raise Refused(Cause.LaunchRefused, f"there is no program {name!r} on this worker's PATH; give its full path")
    return found


def check_name(name: str, what: str) -> str:
    """A file name relative to the scratch directory, without a way out of it.

    Raises
    ------
    Refused
        If it is none.
    """
    parts = name.split("/")
    if not name or "\0" in name or os.path.isabs(name) or any(p in ("", ".", "..") for p in parts):
        raise Refused(
            Cause.LaunchRefused,
            f"{what} {name!r} is not a plain path below the scratch directory; use one without '..'",
        )
    return name


def prepare(work: Executable | Mpi, scratch: str, values: dict[str, Any]) -> None:
    """Make the scratch directory and link the inputs into it.

    Raises
    ------
    Refused
        If a name leads out of it, or an input does not exist.
    """
    for name in work.outputs:
        check_name(name, "output")
    try:
        os.makedirs(scratch, mode=0o700, exist_ok=True)
        for name, target in work.inputs.items():
            check_name(name, "input")
            path = expand(target, values)
            if not os.path.isabs(path):
                raise Refused(Cause.LaunchRefused, f"input {name!r} comes from {path!r}, which is not an absolute path")
            if not os.path.exists(path):
                raise Refused(Cause.LaunchRefused, f"input {name!r} comes from {path}, which does not exist here")
            link = os.path.join(scratch, name)
            os.makedirs(os.path.dirname(link), mode=0o700, exist_ok=True)
            os.symlink(path, link)
        for name in work.outputs:
            os.makedirs(os.path.dirname(os.path.join(scratch, name)), mode=0o700, exist_ok=True)
    except OSError as e:
        raise Refused(Cause.LaunchRefused, f"cannot prepare {e.filename or scratch}: {e.strerror}") from None


def drop_if_empty(paths: Iterable[str]) -> None:
    """Remove output files that nothing was written to."""
    for path in paths:
        try:
            if os.path.getsize(path) == 0:
                os.unlink(path)
        except OSError:
            pass


def collect(work: Executable | Mpi, scratch: str, out: str, err: str, store: Store) -> Result:
    """Publish the outputs of a program that succeeded.

    Returns
    -------
    Result
        JSON: ``{"returncode": 0, "stdout": last 4 KiB, "stderr": last 4 KiB,
        "files": {name: {"digest", "size", "path"}}}``; `path` is the file's place in the store.

    Raises
    ------
    Refused
        If an output is missing, leads out of the scratch directory, or there is no room for it.
    """
    root = os.path.realpath(scratch)
    files = {}
    missing = [name for name in work.outputs if not os.path.isfile(os.path.join(scratch, name))]
    if missing:
        listed = ", ".join(map(repr, missing))
        raise Refused(Cause.UserError, f"the program ended well but did not write its output {listed} in {scratch}")
    try:
        for name in work.outputs:
            path = os.path.realpath(os.path.join(scratch, name))
            if os.path.commonpath((root, path)) != root:
                raise Refused(Cause.UserError, f"output {name!r} is a link to {path}, outside of the scratch directory")
            digest, size = _publish(path, store)
            files[name] = {"digest": digest, "size": size, "path": os.fspath(store.path(digest))}
        value = {"returncode": 0, "stdout": tail(out), "stderr": tail(err), "files": files}
        return store.result("json", msgspec.json.encode(value))
    except StorageFull as e:
        raise Refused(Cause.DiskFull, str(e)) from None
    except StorageFailed as e:
        raise Refused(Cause.WorkerLost, str(e)) from None
    except OSError as e:
        raise Refused(Cause.WorkerLost, f"cannot read output {e.filename}: {e.strerror}") from None


def _publish(path: str, store: Store) -> tuple[str, int]:
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        if size == 0:
            return store.put(b""), 0
        with mmap.mmap(f.fileno(), size, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            return store.put(view), size
