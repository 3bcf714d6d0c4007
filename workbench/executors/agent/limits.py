"""What a freshly forked child sets right in libraries that its keeper had loaded."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads64_",
            "openblas_set_num_threads", "MKL_Set_Num_Threads", "omp_set_num_threads")  # fmt: skip


def limit_threads(n: int) -> None:
    """Let libraries that are loaded already use `n` threads; the environment counts only before they load."""
    torch = sys.modules.get("torch")
    if torch is not None:
        with suppress(Exception):
            torch.set_num_threads(n)
    if "numpy" not in sys.modules:
        return
    for path in _loaded("openblas", "mkl_rt", "libgomp", "libiomp"):
        with suppress(OSError):
            library = ctypes.CDLL(path)
            for name in _SETTERS:
                setter = getattr(library, name, None)
                if setter is not None:
                    setter(ctypes.c_int(n))
                    break


def reseed() -> None:
    """Children of one keeper must not draw the same numbers; `random` takes care of itself."""
    for name in ("numpy.random", "torch"):
        module = sys.modules.get(name)
        if module is not None:
            with suppress(Exception):
                module.seed()


def _loaded(*parts: str) -> set[str]:
    found = set()
    with suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            path = line.rsplit(maxsplit=1)[-1]
            if path.startswith("/") and any(p in path.rpartition("/")[2] for p in parts):
                found.add(path)
    return found
