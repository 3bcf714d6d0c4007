"""Journals of older formats, read as if this version had written them.

`UPCASTERS[n]` turns the JSON object of one record of format ``n`` into that of format ``n + 1``. It is applied to
every record of a journal whose `CampaignCreated.format` is older than `FORMAT`. A newer engine may have gone on with
such a journal, so an upcaster must leave a record that has the newer form already as it is. One record becomes one
record: sequence numbers never change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from workbench.model.errors import NewerFormat
from workbench.model.events import FORMAT

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTERS: dict[int, Upcaster] = {}


class _Head(msgspec.Struct):
    ev: str = ""
    format: int = FORMAT


_head = msgspec.json.Decoder(_Head)


def format_of(first: bytes) -> int:
    """Format of the journal whose first record has the JSON `first`.

    Raises
    ------
    NewerFormat
        If it is newer than this version's.
    """
    try:
        head = _head.decode(first)
    except msgspec.DecodeError:
        return FORMAT  # parsing the record will say what is wrong with it
    found = head.format if head.ev == "CampaignCreated" else FORMAT
    if found > FORMAT:
        raise NewerFormat(
            f"the journal has format {found}, and this version of campaign-workbench reads up to {FORMAT}; "
            "upgrade campaign-workbench to open the campaign"
        )
    return found


def upcast(text: bytes, found: int) -> bytes:
    """Bring one record's JSON from format `found` to `FORMAT`.

    Raises
    ------
    NewerFormat
        If a step between the two is missing from the table.
    """
    record: dict[str, Any] = msgspec.json.decode(text)
    for step in range(found, FORMAT):
        if step not in UPCASTERS:
            raise NewerFormat(
                f"the journal has format {found}, which this version of campaign-workbench no longer reads; "
                "open it once with the version that wrote it"
            )
        record = UPCASTERS[step](record)
    return msgspec.json.encode(record)
