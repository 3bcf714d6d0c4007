"""What every test stands on: hypothesis profiles, nothing skipped that CI needs, nothing left running behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

# The machine may be shared and slow, so no example has a deadline; the per-test timeout catches what hangs.
# A failing example prints the blob that reproduces it.
settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

_REQUIRED = [name for name in ("browser", "mpi") if os.environ.get(f"WORKBENCH_REQUIRE_{name.upper()}") == "1"]
"""Markers of what must be there, so that nothing that is promised is skipped in silence."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped browser or MPI test is a failure: they are part of the promise."""
    report = yield
    for name in _REQUIRED:
        if report.skipped and item.get_closest_marker(name):
            report.outcome = "failed"
            report.longrepr = f"skipped, and WORKBENCH_REQUIRE_{name.upper()}=1 forbids it: {report.longrepr}"
    return report


_OF_PYTHON = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers that Python keeps for as long as the process that first asked for them."""
_OF_DASK = "Dask-Offload"
"""A pool of one thread that Dask makes on first use and keeps, as other clusters of the process may use it."""


def _children() -> set[psutil.Process]:
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if command and not any(helper in command for helper in _OF_PYTHON):
            found.add(process)
    return found


def _threads() -> set[threading.Thread]:
    threads = {t for t in threading.enumerate() if not t.daemon and not t.name.startswith(_OF_DASK)}
    return threads - {threading.main_thread()}


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a module that leaves a child process or a thread that is not a daemon.

    Shared fixtures of a wider scope stay out of the account: what was there before the module may stay.
    """
    before_children, before_threads = _children(), _threads()
    yield
    _, left = psutil.wait_procs(list(_children() - before_children), timeout=5)
    told = [f"process {p.pid} {' '.join(p.cmdline())[:200]}" for p in left if p.is_running()]
    for thread in _threads() - before_threads:
        thread.join(timeout=5)
        if thread.is_alive():
            told.append(f"thread {thread.name}")
    if told:
        pytest.fail(f"{request.node.name} left behind: " + "; ".join(told))
