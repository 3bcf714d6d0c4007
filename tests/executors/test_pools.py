"""Pools: what users write, what the command line accepts, what this machine is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.executors import pools
from workbench.executors.pools import (
    BadPool,
    LocalPool,
    detect_cores,
    detect_gpus,
    detect_memory,
    parse_memory,
    parse_pool,
)
from workbench.model.errors import WorkbenchError
from workbench.model.resources import NodeShape, Pool


def test_the_papers_machine_is_virtual_from_the_command_line() -> None:
    assert parse_pool("nodes=16,cores=168,gpus=6").pool == Pool("local", 16, NodeShape(168, 6, 0), "virtual")


def test_keys_come_in_any_order_with_spaces() -> None:
    parsed = parse_pool(" gpus = 6 , name=summit, memory = 64 GiB, nodes=2, cores=44")
    assert parsed.pool == Pool("summit", 2, NodeShape(44, 6, 64 * 1024**3), "virtual")


def test_local_is_this_machine() -> None:
    pool = parse_pool("local").pool
    assert pool.kind == "local" and pool.nodes == 1
    assert pool.shape == NodeShape(detect_cores(), detect_gpus(), detect_memory())


@pytest.mark.parametrize("text", ["local,nodes=2,cores=1", "nodes=2,cores=1,real=true"])
def test_real_nodes_with_stated_cores(text: str) -> None:
    pool = parse_pool(text).pool
    assert (pool.kind, pool.nodes, pool.shape.cores) == ("local", 2, 1)


def test_machine_is_divided_among_real_nodes() -> None:
    assert LocalPool(nodes=2).pool.shape.memory == detect_memory() // 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("nodes=-1,cores=4", "nodes=-1 is negative"),
        ("nodes=0,cores=4", "nodes=0 is zero"),
        ("nodes=2,cores=0", "cores=0 is zero"),
        ("nodes=2,cores=4,gpus=-6", "gpus=-6 is negative"),
        ("nodes=two,cores=4", "nodes=two is not a whole number"),
        ("nodes=1.5,cores=4", "nodes=1.5 is not a whole number"),
        ("nodes=1e3,cores=4", "nodes=1e3 is not a whole number"),
        ("nodes=nan,cores=4", "nodes=nan is not a whole number"),
        ("nodes=99999999999,cores=4", "a digit too many"),
        ("nodes=2,cores=4,colour=red", "unknown key 'colour'"),
        ("nodes=2,cores=4,nodes=3", "nodes is given twice"),
        ("nodes=2,cores=4,memory=64parsecs", "unknown unit 'parsecs'"),
        ("nodes=2,cores=4,memory=lots", "'lots' is not an amount of memory"),
        ("nodes=2,cores=4,memory=-3GiB", "'-3GiB' is not an amount of memory"),
        ("nodes=2,,cores=4", "'' is not of the form key=value"),
        ("nodes=2;cores=4", "nodes=2;cores=4 is not a whole number"),
        ("nodes", "'nodes' is not of the form key=value"),
        ("cluster", "'cluster' is not of the form key=value"),
        ("nodes=16", "need cores="),
        ("nodes=2,cores=4,real=maybe", "real=maybe is neither true nor false"),
        ("nodes=2,cores=4,name=<b>x</b>", "is no name for a pool"),
        ("nodes=²,cores=4", "nodes=² is not a whole number"),
    ],
)
def test_a_malformed_pool_ends_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(BadPool) as caught:
        parse_pool(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, WorkbenchError)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, "nodes=0 is zero"),
        ({"nodes": True}, "not a whole number"),
        ({"nodes": 2.0}, "not a whole number"),
        ({"cores": -1}, "cores=-1 is negative"),
        ({"virtual": True}, "must state its cores"),
        ({"memory": -5}, "memory=-5 is negative"),
        ({"name": "../etc"}, "no name for a pool"),
        ({"name": ""}, "no name for a pool"),
    ],
)
def test_a_pool_that_means_nothing_is_refused_when_declared(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadPool, match=said):
        LocalPool(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64GiB", 64 * 2**30),
        ("512 MB", 512_000_000),
        ("2g", 2**31),
        ("1.5 KiB", 1536),
        ("7", 7),
        ("7B", 7),
        (12, 12),
        ("0", 0),
    ],
)
def test_memory_is_written_in_many_ways(text: str | int, size: int) -> None:
    assert parse_memory(text) == size


def test_executor_is_refused_for_pools_it_cannot_provide(tmp_path: Path) -> None:
    with pytest.raises(BadPool, match="needs a pool"):
        pools.make_executor([], tmp_path)
    with pytest.raises(BadPool, match="two pools are called 'local'"):
        pools.make_executor([LocalPool(cores=1), LocalPool(cores=2)], tmp_path)
    with pytest.raises(BadPool, match="kind 'slurm'"):
        pools.make_executor([Pool("a", 1, NodeShape(1), "slurm")], tmp_path)


# --- what this machine has ------------------------------------------------------------------------------------------


def _machine(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_cores_follow_the_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 7}, raising=False)
    assert detect_cores(tmp_path) == 3


@pytest.mark.parametrize(
    ("cgroup", "files", "cores"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 8),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "250000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "50000 100000\n"}, 1),
        ("0::/host/only\n", {"cpu.max": "300000 100000\n"}, 3),
        ("4:cpu,cpuacct:/job\n", {"cpu/job/cpu.cfs_quota_us": "200000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 2),
        ("4:cpu,cpuacct:/job\n", {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 8),
        ("0::/a\n", {"a/cpu.max": "nonsense\n"}, 8),
    ],
)
def test_cores_follow_the_quota_of_the_control_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cgroup: str, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert detect_cores(_machine(tmp_path, cgroup, files)) == cores


def test_memory_follows_the_limit_of_the_control_group(tmp_path: Path) -> None:
    root = _machine(tmp_path, "0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1048576\n"})
    assert detect_memory(root) == 1048576


def test_memory_without_limits_is_the_machines(tmp_path: Path) -> None:
    assert detect_memory(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("visible", "present", "usable"),
    [
        (None, 4, 4),
        ("", 4, 0),
        ("-1", 4, 0),
        ("2,3", 4, 2),
        ("0,1,2,3,4,5", 4, 4),
        ("0,-1,1", 4, 1),
        ("GPU-aa,GPU-bb", 4, 2),
    ],
)
def test_gpus_follow_the_visible_devices(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, present: int, usable: int
) -> None:
    monkeypatch.setattr(pools.os.path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    monkeypatch.setattr(pools, "_nvidia_smi", lambda: present)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert detect_gpus() == usable


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools.os.path, "exists", lambda path: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert detect_gpus() == 0
