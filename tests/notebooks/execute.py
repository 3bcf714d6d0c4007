"""Runs a notebook in place, with a kernel of this very Python: ``execute.py NOTEBOOK KERNELS``.

A program of its own, because the client of kernels leaves sockets to the garbage collector, which our tests take for
errors. The kernel works in the notebook's folder; `KERNELS` is an empty folder for what the kernel needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def main(path: Path, kernels: Path) -> None:
    """Run all cells, up to the first error, and write the outputs into the file."""
    # Whatever kernels the user has installed, under whatever names.
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "this Python", "language": "python"}
    (kernels / "this").mkdir(parents=True)
    (kernels / "this" / "kernel.json").write_text(json.dumps(spec))
    manager = AsyncKernelManager(
        kernel_name="this",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(kernels)]),
        connection_file=str(kernels / "connection.json"),
    )
    notebook = nbformat.read(path, as_version=4)
    # No time limits for cells: on a machine of any speed a cell waits for what it started; the test has a limit.
    client = NotebookClient(
        notebook, km=manager, timeout=None, startup_timeout=120, resources={"metadata": {"path": str(path.parent)}}
    )
    try:
        client.execute()
    finally:
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
