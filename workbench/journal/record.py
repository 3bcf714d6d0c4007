"""Framing of the journal: one record a line, ``crc32-as-8-hex-digits seq json\\n``; the checksum covers ``seq json``.

JSON has no way to write what is not a finite number, and UTF-8 none for half a surrogate pair; both reach the
journal through a user's task (a loss that became NaN, the bytes of a log). Here is what becomes of them:

* metrics: ``"nan"``, ``"inf"`` and ``"-inf"``, as strings, which is a type that metrics may have;
* lone surrogates: their escaped form, ``\\\\udc80``;
* any other float that is not finite: `BadValue`, and nothing is written.

`normalize` does the same to an event in memory, so that what is folded live is what a replay will fold.
"""

from __future__ import annotations

import math
from typing import Any, cast
from zlib import crc32

import msgspec

from workbench.model.errors import BadValue
from workbench.model.events import AttemptReported, Event, Record

_encoder = msgspec.json.Encoder()
_encode_json = _encoder.encode
_decode_json = msgspec.json.Decoder(cast("type[Event]", Event)).decode

HEAD = 9  # eight digits and a space


class BadFrame(ValueError):
    """A line that is not a whole, unharmed record."""


def encode(seq: int, event: Event) -> bytes:
    """Frame `event` as record number `seq`.

    Raises
    ------
    BadValue
        If the event holds a number that is not finite, outside the metrics of `AttemptReported`.
    """
    try:
        text = _encode_json(event)
    except UnicodeEncodeError:
        event = normalize(event)
        text = _encode_json(event)
    if b"null" in text and _has_nonfinite(event):
        text = _encode_json(normalize(event))
    body = b"%d %b" % (seq, text)
    return b"%08x %b\n" % (crc32(body), body)


def unframe(line: bytes) -> tuple[int, bytes]:
    """Check a line and split it into its sequence number and its JSON, which is not parsed yet.

    Raises
    ------
    BadFrame
        If the line is cut, its checksum does not fit or its number is none.
    """
    if line[-1:] != b"\n":
        raise BadFrame("the record is cut short")
    body = line[HEAD:-1]
    if b"%08x " % crc32(body) != line[:HEAD]:
        raise BadFrame("only zeros" if not line.strip(b"\0\n") else "the checksum does not fit")
    digits, space, text = body.partition(b" ")
    if not space or not digits.isdigit():
        raise BadFrame("there is no sequence number")
    return int(digits), text


def parse(text: bytes) -> Event:
    """Parse the JSON of a record.

    Raises
    ------
    msgspec.ValidationError, msgspec.DecodeError
        If it is no event of this version.
    """
    return _decode_json(text)


def decode(line: bytes) -> Record:
    """Inverse of `encode`.

    Raises
    ------
    BadFrame
        If the line is not a whole, unharmed record.
    msgspec.ValidationError
        If the record is whole, but no event of this version.
    """
    seq, text = unframe(line)
    return Record(seq, _decode_json(text))


def normalize(event: Event) -> Event:
    """Give `event` as it will be read back; the same object when nothing needs to change.

    Raises
    ------
    BadValue
        If it holds a number that is not finite, outside the metrics of `AttemptReported`.
    """
    changed: dict[str, Any] = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name == "metrics" and isinstance(event, AttemptReported):
            if any(_has_nonfinite(item) for item in value.values()):
                value = {key: str(item) if _has_nonfinite(item) else item for key, item in value.items()}
        clean = _clean(value, name, type(event).__name__)
        if clean is not getattr(event, name):
            changed[name] = clean
    return msgspec.structs.replace(event, **changed) if changed else event


def _clean(value: Any, where: str, event: str) -> Any:
    """Give `value` with lone surrogates escaped, and the very same object where there are none."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue(f"{event} cannot be journalled: {where} is {value}; give a finite number", where)
        return value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "backslashreplace").decode()
        return value
    if isinstance(value, dict):
        pairs = {_clean(k, where, event): _clean(v, f"{where}.{k}", event) for k, v in value.items()}
        same = all(a is b and value[a] is pairs[b] for a, b in zip(value, pairs, strict=True))
        return value if same else pairs
    if isinstance(value, (list, tuple)):
        items = [_clean(v, f"{where}[{i}]", event) for i, v in enumerate(value)]
        if all(a is b for a, b in zip(value, items, strict=True)):
            return value
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, msgspec.Struct):
        fields = {name: _clean(getattr(value, name), f"{where}.{name}", event) for name in value.__struct_fields__}
        fields = {name: item for name, item in fields.items() if item is not getattr(value, name)}
        return msgspec.structs.replace(value, **fields) if fields else value
    return value


def _has_nonfinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_nonfinite(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_nonfinite(item) for item in value)
    if isinstance(value, msgspec.Struct):
        return any(_has_nonfinite(getattr(value, name)) for name in value.__struct_fields__)
    return False
