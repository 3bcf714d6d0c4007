"""The task's side outside of a campaign: everything there, nothing happens."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench import task


def test_inert() -> None:
    assert (task.inside(), task.id(), task.index(), task.attempt()) == (False, "", 0, 0)
    assert task.parameters() == {}
    assert task.should_stop() is False
    task.report(loss=0.5, name="x", ok=True)
    task.progress(0.5)
    path = task.scratch()
    assert path.is_dir() and task.scratch() == path
    with pytest.raises(RuntimeError, match="dask=True"):
        task.dask_client()


def test_growth_is_checked_and_forgotten() -> None:
    from workbench.model.errors import EditRefused

    with task.grow() as g:
        g.tasks(print, n=2, name="more")
    with pytest.raises(EditRefused), task.grow() as g:
        g.tasks(print, n=-1, name="more")


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, object()])
def test_a_metric_that_is_none_is_refused_early(value: object) -> None:
    with pytest.raises(TypeError, match="loss="):
        task.report(loss=value)


def test_scalars_of_other_libraries_are_metrics() -> None:
    import numpy

    assert task._plain("x", numpy.float32(0.5)) == 0.5
    assert task._plain("x", numpy.int64(3)) == 3
    assert task._plain("x", numpy.array([2.0])) == 2.0
    with pytest.raises(TypeError):
        task._plain("x", numpy.zeros(3))
    assert len(str(task._plain("x", "y" * 5000))) == 1000


@pytest.mark.parametrize("value", ["x", float("nan"), None])
def test_progress_is_a_number(value: object) -> None:
    with pytest.raises(TypeError):
        task.progress(value)  # type: ignore[arg-type]


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys; import workbench.task, workbench.executors.agent.keeper; "
        "print(*{'dask', 'numpy', 'bokeh', 'distributed', 'torch', 'cloudpickle', 'asyncio', 'workbench.api'} "
        "& sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split() == []
