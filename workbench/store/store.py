"""Content-addressed files: what is too large for the journal, under the name of its own digest.

A file appears whole or not at all (temporary file, ``fsync``, `os.link`), is never changed afterwards, and is checked
when it is read. Children that run tasks publish here themselves, so this module is cheap to import.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from workbench.model.errors import StoreDamaged, storage_error
from workbench.model.specs import Payload, Result

PAYLOAD_INLINE = 4 << 10
RESULT_INLINE = 16 << 10

_DIGEST = re.compile(r"[0-9a-f]{40}")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

Bytes = bytes | bytearray | memoryview


def digest_of(data: Bytes) -> str:
    """Name of `data`: its blake2b hash of 160 bits, in hex."""
    return blake2b(data, digest_size=20).hexdigest()


class Store:
    """The store of the campaign in `directory`; its files lie in ``directory/store``.

    Parameters
    ----------
    directory : path
        The campaign's directory.
    durable : bool
        Whether `put` waits until the file survives a power cut.
    system : module
        Stands in for `os`; tests make it fail.
    """

    def __init__(self, directory: str | os.PathLike[str], durable: bool = True, system: Any = os) -> None:
        self._root = Path(directory) / "store"
        self._durable = durable
        self._os = system
        self._owed: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Where the file of `digest` lies, or would lie.

        Raises
        ------
        ValueError
            If `digest` is none.
        """
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest: 40 hexadecimal digits")
        return self._root / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether there is a file of `digest`; its content is not checked."""
        return self.path(digest).is_file()

    def put(self, data: Bytes) -> str:
        """Keep `data` and give its digest. The same data is kept once; a damaged copy of it is replaced.

        Raises
        ------
        StorageFull, StorageFailed
            If the disk refuses; nothing is left behind then.
        """
        digest = digest_of(data)
        path = self.path(digest)
        try:
            if not self._is_intact(path, digest):
                self._write(path, data)
            self._settle(path.parent)
        except OSError as error:
            raise storage_error(error, "store", path) from error
        return digest

    def get(self, digest: str) -> bytes:
        """Read the data of `digest` and check it.

        Raises
        ------
        StoreDamaged
            If the file is missing or its content is not that of `digest`.
        StorageFailed
            If it cannot be read.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StoreDamaged(
                f"{path} is missing; bring it back from a copy, or invalidate the task whose result it is"
            ) from None
        except OSError as error:
            raise storage_error(error, "read", path) from error
        if digest_of(data) != digest:
            raise StoreDamaged(
                f"{path} is damaged: its {len(data)} bytes do not have that digest; bring it back from a copy, or "
                "invalidate the task whose result it is"
            )
        return data

    def payload(self, data: bytes) -> Payload:
        """Wrap `data` for the journal: inline up to 4 KiB, else by digest.

        Raises
        ------
        StorageFull, StorageFailed
            As `put`.
        """
        if len(data) <= PAYLOAD_INLINE:
            return Payload(inline=data, size=len(data))
        return Payload(digest=self.put(data), size=len(data))

    def result(self, codec: str, data: bytes) -> Result:
        """Wrap a result's `data` (see `codec.encode_result`) for the journal: inline up to 16 KiB, else by digest.

        Raises
        ------
        StorageFull, StorageFailed
            As `put`.
        """
        if len(data) <= RESULT_INLINE:
            return Result(codec=codec, inline=data, size=len(data))
        return Result(codec=codec, digest=self.put(data), size=len(data))

    def load_payload(self, payload: Payload) -> bytes:
        """Bytes of `payload`; raises as `get`."""
        return self.get(payload.digest) if payload.digest else payload.inline

    def load_result_bytes(self, result: Result) -> bytes:
        """Bytes of `result`, for `codec.decode_result`; raises as `get`."""
        return self.get(result.digest) if result.digest else result.inline

    def sweep(self, older_than_s: float = 3600.0) -> int:
        """Remove temporary files that writers left when they were killed; give how many.

        Raises
        ------
        StorageFailed
            If the store cannot be read or changed.
        """
        limit = time.time() - older_than_s
        count = 0
        try:
            for path in self._root.glob("??/.*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()
                        count += 1
        except OSError as error:
            raise storage_error(error, "clean", self._root) from error
        return count

    def _is_intact(self, path: Path, digest: str) -> bool:
        try:
            with open(path, "rb") as file:
                known = blake2b(digest_size=20)
                while block := file.read(1 << 20):
                    known.update(block)
        except FileNotFoundError:
            return False
        return known.hexdigest() == digest

    def _write(self, path: Path, data: Bytes) -> None:
        self._make(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        fd = self._os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[self._os.write(fd, view) :]
                if self._durable:
                    self._os.fsync(fd)
            finally:
                self._os.close(fd)
            self._publish(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                self._os.unlink(temporary)

    def _publish(self, temporary: Path, path: Path) -> None:
        """Give the file its name. Whoever was faster wrote the same bytes; a damaged file is replaced."""
        try:
            self._os.link(temporary, path)
        except FileExistsError:
            if not self._is_intact(path, path.name):
                self._os.rename(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._os.rename(temporary, path)

    def _make(self, bucket: Path) -> None:
        for directory in (self._root, bucket):
            try:
                self._os.mkdir(directory, 0o700)
            except FileExistsError:
                continue
            self._owed.add(directory.parent)

    def _settle(self, bucket: Path) -> None:
        """Make new names last, those too that an earlier, failed attempt made, or another process just now."""
        if self._durable:
            for directory in (bucket, *self._owed):
                self._sync(directory)
            self._owed.clear()

    def _sync(self, directory: Path) -> None:
        fd = self._os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._os.fsync(fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            self._os.close(fd)
