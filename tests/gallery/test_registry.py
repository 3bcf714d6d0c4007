"""Names and parameters of the gallery: what is understood, and what is said about what is not."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from workbench.executors.pools import parse_pool
from workbench.gallery import list_gallery, registry, resolve
from workbench.gallery.registry import BadParameter, Entry, MissingExtra, UnknownCampaign
from workbench.model.errors import WorkbenchError


def test_the_gallery_lists_what_the_readers_are_promised() -> None:
    names = [e.name for e in list_gallery()]
    assert names == ["deepdrivemd", "paper/example", "paper/ddmd", "paper/c-dg1", "paper/c-dg2"]
    for e in list_gallery():
        assert e.summary and "\n" not in e.summary
        assert all(p.summary and "\n" not in p.summary for p in e.parameters)


@pytest.mark.parametrize("entry", list_gallery(), ids=lambda e: e.name)
def test_listed_parameters_are_the_builders_own(entry: Entry) -> None:
    """Same names as the function's; the defaults agree wherever the function states one."""
    signature = inspect.signature(entry.load())
    own = {name: p for name, p in signature.parameters.items() if name != "c"}
    assert sorted(own) == sorted(p.name for p in entry.parameters)
    for p in entry.parameters:
        default = own[p.name].default
        if default is None or default == ():
            continue
        assert p.parse(p.default, entry.name) == (p.parse(default, entry.name) if p.kind == "words" else default)


@pytest.mark.parametrize("entry", list_gallery(), ids=lambda e: e.name)
def test_pools_are_what_the_command_line_takes(entry: Entry) -> None:
    pool = parse_pool(entry.pool)
    assert pool.virtual is entry.name.startswith("paper/")


def test_a_name_with_parameters() -> None:
    choice = resolve("paper/ddmd?iterations=5&graph=staggered&inference_cores=7")
    assert choice.name == "paper/ddmd"
    assert choice.parameters == {"iterations": 5, "graph": "staggered", "inference_cores": 7}
    assert resolve("paper/ddmd").parameters == {}
    assert resolve("paper/c-dg1?stages=4", stages=5).parameters == {"stages": 5}


def test_values_of_each_kind() -> None:
    choice = resolve("deepdrivemd?mode=plain,both&seeds=1,2,3&quick=true&temperature=300&order=none&steps=400")
    assert choice.parameters == {
        "mode": ("plain", "both"),
        "seeds": (1, 2, 3),
        "quick": True,
        "temperature": 300.0,
        "order": ("none",),
        "steps": 400,
    }
    assert resolve("deepdrivemd", seeds=[4, 5], quick=False, mode="lof").parameters == {
        "seeds": (4, 5),
        "quick": False,
        "mode": ("lof",),
    }


def test_build_declares_with_the_parameters() -> None:
    class Recorder:
        names: list[str] = []

        def tasks(self, work: Any, **options: Any) -> None:
            self.names.append(options["name"])

    c = Recorder()
    resolve("paper/ddmd?iterations=2").build(c)  # type: ignore[arg-type]
    assert c.names == ["Sim0", "Aggr0", "Train0", "Infer0", "Sim1", "Aggr1", "Train1", "Infer1"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("deepdrivmd", "did you mean deepdrivemd"),
        ("ddmd", "did you mean paper/ddmd"),
        ("paper/cdg1", "did you mean paper/c-dg1"),
        ("xyzzy", "there are: deepdrivemd, paper/example"),
        ("", "there are: deepdrivemd"),
    ],
)
def test_unknown_names_suggest_close_ones(text: str, hint: str) -> None:
    with pytest.raises(UnknownCampaign, match=hint) as caught:
        resolve(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "paper/ddmd?iteration=5",
            "has no parameter 'iteration'; did you mean 'iterations'\\? it has: iterations, graph",
        ),
        ("paper/ddmd?iterations=many", "iterations must be a whole number, not 'many'"),
        ("paper/ddmd?iterations=2.5", "iterations must be a whole number"),
        ("paper/ddmd?iterations=", "iterations must be a whole number, not ''"),
        ("paper/ddmd?graph=ring", "graph must be one of chains, staggered, not 'ring'"),
        ("paper/ddmd?iterations=2&iterations=3", "iterations is given twice"),
        ("paper/ddmd?iterations", "is malformed"),
        ("paper/c-dg1?stages=6", "stages must be one of 5, 4, not '6'"),
        ("deepdrivemd?quick=perhaps", "quick must be true or false, not 'perhaps'"),
        ("deepdrivemd?temperature=nan", "temperature must be a number, not 'nan'"),
        ("deepdrivemd?seeds=1,x", "seeds must be whole numbers separated by commas, not '1,x'"),
        ("deepdrivemd?ensembles=3", "ensembles must be one of 1, 2, not '3'"),
    ],
)
def test_bad_parameters_name_the_thing_and_the_way_out(text: str, message: str) -> None:
    with pytest.raises(BadParameter, match=message) as caught:
        resolve(text)
    assert isinstance(caught.value, WorkbenchError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("quick", 1), ("seed", True), ("seed", 1.5), ("mode", 3.0), ("temperature", True), ("rank", None)],
)
def test_python_values_of_the_wrong_type(name: str, value: Any) -> None:
    with pytest.raises(BadParameter, match=name):
        resolve("deepdrivemd", **{name: value})


def test_missing_libraries_are_named_with_the_extras_that_bring_them(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(e for e in list_gallery() if e.name == "deepdrivemd")
    found = registry.importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda m: None if m == "openmm" else found(m))
    assert entry.missing() == ("openmm",)
    with pytest.raises(MissingExtra, match=r"needs openmm: pip install 'campaign-workbench\[md,ml\]'"):
        entry.load()
