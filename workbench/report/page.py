"""A small writer of HTML that cannot be injected: pages are trees of elements, and text is only ever text.

Nothing that a user, a task or a file said is concatenated into markup. Control characters become spaces, because
HTML has no way to write them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

Child = ET.Element | str


def clean(text: str, *, lines: bool = False) -> str:
    """`text` without what HTML cannot carry; line breaks and tabs stay where `lines` says so."""
    keep = "\u2009\u202f\u00a0" + ("\n\t" if lines else "")
    return "".join(c if c.isprintable() or c in keep else " " for c in text)


def el(tag: str, *children: Child, class_: str = "", lines: bool = False, **attributes: str) -> ET.Element:
    """An element; text keeps its line breaks where `lines` says so."""
    names = {"class": class_} if class_ else {}
    element = ET.Element(tag, names | {k: clean(v) for k, v in attributes.items()})
    put(element, children, lines=lines)
    return element


def put(element: ET.Element, children: Iterable[Child], *, lines: bool = False) -> None:
    """Append elements and text."""
    for child in children:
        if isinstance(child, ET.Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + clean(child, lines=lines)
        else:
            element.text = (element.text or "") + clean(child, lines=lines)


def table(heads: Sequence[str], rows: Iterable[Sequence[ET.Element]], numeric: frozenset[int]) -> ET.Element:
    """A table; columns in `numeric` have their heads at the right."""
    row = el("tr", *(el("th", h, class_="num" if i in numeric else "", scope="col") for i, h in enumerate(heads)))
    body = el("tbody", *(el("tr", *cells) for cells in rows))
    return el("div", el("table", el("thead", row), body), class_="scroll")


def cell(*children: Child, kind: str = "") -> ET.Element:
    """A cell of a table."""
    return el("td", *children, class_=kind)


def script(code: str) -> ET.Element:
    """Code of ours; its hash goes into the page's policy."""
    element = ET.Element("script")
    element.text = code
    return element


def data(identifier: str, value: object) -> ET.Element:
    """Data for a script, written so that nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    element = ET.Element("script", {"type": "application/json", "id": identifier})
    element.text = text
    return element


def document(title: str, style: str, body: Sequence[ET.Element], scripts: Sequence[str]) -> str:
    """A page that loads nothing and runs nothing but `scripts`."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    css = ET.Element("style")
    css.text = style
    head = el(
        "head",
        el("meta", charset="utf-8"),
        ET.Element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        css,
    )
    root = el("html", head, el("body", *body, *(script(s) for s in scripts)), lang="en")
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"
