"""The rules of WfFormat 1.5, said once more for tests: what a document must and may hold.

Written from the format's description; the schema itself has another licence and is not part of the project.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

REFERENCE = re.compile(r"[0-9a-zA-Z\-_.]*")  # `#` came later; without it every validator agrees
HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z.\-]*[0-9A-Za-z])?")


def broken(document: Any) -> list[str]:
    """Every rule that the document breaks, with the place; empty for a valid one."""
    found: list[str] = []

    def need(condition: bool, what: str) -> bool:
        if not condition:
            found.append(what)
        return condition

    def text(value: Any) -> bool:
        return isinstance(value, str) and len(value) > 0

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    def date(value: Any) -> bool:
        try:
            return datetime.datetime.fromisoformat(value).tzinfo is not None
        except (TypeError, ValueError):
            return False

    def each(value: Any, where: str, check: Callable[[Any, str], None], least: int = 0) -> None:
        if need(isinstance(value, list) and len(value) >= least, f"{where} is a list of at least {least}"):
            for i, one in enumerate(value):
                check(one, f"{where}[{i}]")

    def reference(value: Any, where: str) -> None:
        need(isinstance(value, str) and REFERENCE.fullmatch(value) is not None, f"{where} is a reference")

    def specified(t: Any, where: str) -> None:
        for key in ("name", "id"):
            need(text(t.get(key)), f"{where}.{key}")
        for key in ("parents", "children"):
            each(t.get(key), f"{where}.{key}", reference)

    def executed(t: Any, where: str) -> None:
        need(text(t.get("id")), f"{where}.id")
        need(number(t.get("runtimeInSeconds")), f"{where}.runtimeInSeconds")
        need("executedAt" not in t or date(t["executedAt"]), f"{where}.executedAt")
        need("coreCount" not in t or (number(t["coreCount"]) and t["coreCount"] >= 1), f"{where}.coreCount")
        need("priority" not in t or number(t["priority"]), f"{where}.priority")
        if "command" in t and need(isinstance(t["command"], dict), f"{where}.command"):
            need("program" not in t["command"] or text(t["command"]["program"]), f"{where}.command.program")
            each(t["command"].get("arguments", []), f"{where}.arguments", lambda a, w: need(text(a), w) and None)
        each(t.get("machines", []), f"{where}.machines", lambda m, w: need(text(m), w) and None)

    def machine(m: Any, where: str) -> None:
        name = m.get("nodeName")
        need(isinstance(name, str) and HOST.fullmatch(name) is not None, f"{where}.nodeName")
        for holder, key in ((m, "memoryInBytes"), (m.get("cpu", {}), "coreCount")):
            value = holder.get(key, 1)
            need(isinstance(value, int) and not isinstance(value, bool) and value >= 1, f"{where}.{key}")

    need(text(document.get("name")), "name")
    need(text(document.get("description", "x")), "description")
    need("createdAt" not in document or date(document["createdAt"]), "createdAt")
    need(document.get("schemaVersion") == "1.5", "schemaVersion")
    runtime = document.get("runtimeSystem", {"name": "x", "version": "x"})
    need(text(runtime.get("name")) and text(runtime.get("version")), "runtimeSystem")
    flow = document.get("workflow", {})
    each(flow.get("specification", {}).get("tasks"), "specification.tasks", specified, 1)
    if "execution" in flow:
        ran = flow["execution"]
        need(number(ran.get("makespanInSeconds")), "makespanInSeconds")
        need(date(ran.get("executedAt")), "execution.executedAt")
        each(ran.get("tasks"), "execution.tasks", executed, 1)
        if "machines" in ran:
            each(ran["machines"], "machines", machine, 1)
    return found
