from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.model.errors import StorageFailed, StorageFull, StoreDamaged
from workbench.model.specs import Payload, Result
from workbench.store import Store, digest_of
from workbench.store.store import PAYLOAD_INLINE, RESULT_INLINE

ROOT = Path(__file__).parents[2]
DATA = bytes(range(256)) * 40


def files(campaign: Path) -> list[Path]:
    return sorted(path for path in (campaign / "store").rglob("*") if path.is_file())


def test_put_and_get(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put(DATA)
    assert digest == hashlib.blake2b(DATA, digest_size=20).hexdigest() == digest_of(DATA)
    path = tmp_path / "store" / digest[:2] / digest
    assert store.path(digest) == path and path.read_bytes() == DATA
    assert store.has(digest) and not store.has(digest_of(b"other"))
    assert store.get(digest) == DATA == Store(tmp_path).get(digest)
    assert files(tmp_path) == [path]


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = Store(tmp_path).path(Store(tmp_path).put(DATA))
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "store", path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.binary(max_size=3000), st.sampled_from([bytes, bytearray, memoryview]))
def test_any_bytes(tmp_path: Path, data: bytes, kind: Any) -> None:
    store = Store(tmp_path, durable=False)
    assert store.get(store.put(kind(data))) == data


def test_the_same_data_is_kept_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put(DATA)
    before = store.path(digest).stat()
    assert Store(tmp_path).put(bytearray(DATA)) == digest
    after = store.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_many_writers_of_the_same_data(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(lambda i: Store(tmp_path, durable=False).put(DATA), range(200)))
    assert digests == {digest_of(DATA)}
    assert files(tmp_path) == [Store(tmp_path).path(digest_of(DATA))]


@pytest.mark.parametrize("content", [b"", DATA[:-1], b"\0" * len(DATA), DATA + b"x"])
def test_damage_is_named_and_healed_by_putting_the_data_again(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    digest = store.put(DATA)
    store.path(digest).write_bytes(content)
    with pytest.raises(StoreDamaged, match="invalidate the task") as caught:
        store.get(digest)
    assert str(store.path(digest)) in str(caught.value)
    assert store.put(DATA) == digest and store.get(digest) == DATA
    assert files(tmp_path) == [store.path(digest)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    digest = digest_of(b"never put")
    with pytest.raises(StoreDamaged, match=f"{digest} is missing.*invalidate the task"):
        Store(tmp_path).get(digest)


@pytest.mark.parametrize("digest", ["", "..", "../../etc/passwd", "A" * 40, "0" * 39, "0" * 41, "0" * 39 + "\n"])
def test_what_is_no_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    store = Store(tmp_path)
    for call in (store.path, store.has, store.get):
        with pytest.raises(ValueError, match="no digest"):
            call(digest)


def test_small_payloads_travel_inline(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for size in (0, 1, PAYLOAD_INLINE):
        payload = store.payload(b"x" * size)
        assert payload == Payload(inline=b"x" * size, size=size)
        assert store.load_payload(payload) == b"x" * size
    assert not (tmp_path / "store").exists()
    large = store.payload(b"x" * (PAYLOAD_INLINE + 1))
    assert large == Payload(digest=digest_of(b"x" * (PAYLOAD_INLINE + 1)), size=PAYLOAD_INLINE + 1)
    assert store.load_payload(large) == b"x" * (PAYLOAD_INLINE + 1)


def test_small_results_travel_inline(tmp_path: Path) -> None:
    store = Store(tmp_path)
    small = store.result("json", b"5")
    assert small == Result("json", b"5", size=1) and store.load_result_bytes(small) == b"5"
    data = b"y" * (RESULT_INLINE + 1)
    large = store.result("npy", data)
    assert large == Result("npy", digest=digest_of(data), size=len(data))
    assert store.load_result_bytes(large) == data


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
def test_every_call_may_fail_and_no_partial_file_remains(tmp_path: Path, faulty: Any, code: int, times: int) -> None:
    counting = faulty()
    (tmp_path / "good").mkdir()
    Store(tmp_path / "good", system=counting).put(DATA)
    assert counting.calls >= 10
    for first in range(1, counting.calls + 1):
        campaign = tmp_path / str(first)
        campaign.mkdir()
        system = faulty(code, first, times)
        store = Store(campaign, system=system)
        try:
            store.put(DATA)
        except (StorageFull, StorageFailed) as error:
            assert isinstance(error, StorageFull) == (code in (errno.ENOSPC, errno.EDQUOT))
            assert str(campaign) in str(error)
        else:
            assert set(system.failed) <= {"unlink"}, "the error of a call was swallowed"
        named = [path for path in files(campaign) if not path.name.endswith(".tmp")]
        assert all(path.read_bytes() == DATA for path in named)
        if "unlink" not in system.failed:
            assert named == files(campaign), "a temporary file was left behind"
        system.first = 1 << 60
        system.names.clear()
        digest = store.put(DATA)
        assert store.get(digest) == DATA
        # Whatever was achieved before, the name is made to last before the digest is given.
        assert system.names[-3:] == ["open", "fsync", "close"]


def test_a_file_system_without_hard_links(tmp_path: Path, faulty: Any) -> None:
    system = faulty(errno.EPERM, 1, 1 << 60)
    system.COUNTED = ("link",)
    store = Store(tmp_path, system=system)
    assert store.get(store.put(DATA)) == DATA
    assert system.failed == ["link"] and files(tmp_path) == [store.path(digest_of(DATA))]


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put(DATA)
    bucket = store.path(digest).parent
    old, new = bucket / f".{digest}.aa.tmp", bucket / f".{digest}.bb.tmp"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store.sweep() == 1
    assert files(tmp_path) == sorted([new, store.path(digest)])
    assert Store(tmp_path / "nothing").sweep() == 0


def test_the_store_is_cheap_to_import() -> None:
    code = (
        "import sys, workbench.store, workbench.store.codec; "
        "print(sorted(m for m in ('cloudpickle', 'numpy', 'dask', 'bokeh', 'asyncio', 'workbench.api', "
        "'workbench.journal') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
