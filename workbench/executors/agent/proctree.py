"""Which processes belong together, and how much memory they hold; read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable

PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> tuple[int, int] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[1]), int(fields[3])) if fields[0] not in (b"Z", b"X") else None


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return mark in b"\0" + f.read()
    except OSError:
        return False


def tree(root: int, attempt: str = "") -> set[int]:
    """`root` and what it started: descendants, members of its session, and orphans that carry the attempt's mark.

    Orphans (daemons that forked twice) are looked for among the children of this process, which must be their
    subreaper. Zombies are left out.
    """
    mark = b"\0WORKBENCH_ATTEMPT=" + attempt.encode() + b"\0" if attempt else b""
    me = os.getpid()
    parents: dict[int, int] = {}
    found = {root}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == me:
            continue
        pid = int(name)
        seen = _stat(pid)
        if seen is None:
            continue
        parents[pid] = seen[0]
        if (seen[1] == root and root != me) or (mark and seen[0] == me and _carries(pid, mark)):
            found.add(pid)
    return close_over(found, parents) & parents.keys()


def close_over(found: set[int], parents: dict[int, int]) -> set[int]:
    """`found` with all their descendants, given each process's parent."""
    grew = True
    while grew:
        more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        found |= more
        grew = bool(more)
    return found


def children(pid: int) -> list[int]:
    """Direct children of all threads of `pid`."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as f:
                found.extend(map(int, f.read().split()))
    except OSError:
        pass
    return found


def descendants(pid: int) -> list[int]:
    """`pid` and all below it, parents first."""
    found = [pid]
    for p in found:
        found.extend(c for c in children(p) if c not in found)
    return found


def members(root: int, attempt: str, adopters: Iterable[int], others: set[int]) -> list[int]:
    """`root` and all below it, and orphans with the attempt's mark below `adopters`; `others` are known not to be."""
    found = descendants(root)
    mark = b"\0WORKBENCH_ATTEMPT=" + attempt.encode() + b"\0"
    for adopter in adopters:
        for pid in children(adopter):
            if pid not in others and pid not in found and _carries(pid, mark):
                found.extend(descendants(pid))
    return found


def rss(pid: int) -> int:
    """Resident bytes of one process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as f:
            return int(f.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def pss(pid: int) -> int:
    """Resident bytes with shared pages divided among their users; `rss` where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as f:
            for line in f:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return rss(pid)


def memory_of(pids: Iterable[int], limit: int) -> int:
    """Bytes that `pids` hold together: the quick sum of RSS, or the true one of PSS where the quick exceeds `limit`."""
    known = list(pids)
    quick = sum(map(rss, known))
    return quick if quick <= limit else sum(map(pss, known))


def bind(pid: int, cpus: Iterable[int]) -> None:
    """Bind every thread of `pid`; the process id alone would move its main thread only."""
    wanted = set(cpus)
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), wanted)
    except OSError:
        pass
