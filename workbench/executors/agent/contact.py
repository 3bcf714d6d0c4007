"""The file in which an engine says where it listens, and the secret that both sides must know."""

from __future__ import annotations

import os
import secrets

import msgspec

from workbench.executors.agent.link import LinkError

CONTACT = "contact.json"


class Contact(msgspec.Struct, frozen=True):
    """Where this campaign's engine listens, and the secret that both sides must know."""

    address: str
    token: str
    epoch: int
    host: str = ""
    pid: int = 0


def new_token() -> str:
    """256 random bits, hex."""
    return secrets.token_hex(32)


def write_contact(directory: str, contact: Contact) -> None:
    """Replace ``DIR/contact.json`` atomically; only the owner can read it."""
    path = os.path.join(directory, CONTACT)
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, msgspec.json.encode(contact))
    finally:
        os.close(fd)
    os.replace(temporary, path)


def read_contact(directory: str) -> Contact:
    """What the present engine wrote.

    Raises
    ------
    OSError
        If there is none yet, or it is not readable, not ours, or malformed (`LinkError`).
    """
    path = os.path.join(directory, CONTACT)
    with open(path, "rb") as f:
        seen = os.fstat(f.fileno())
        if seen.st_uid != os.getuid():
            raise LinkError(f"{path} belongs to another user; refusing to follow it")
        raw = f.read(1 << 16)
    try:
        return msgspec.json.decode(raw, type=Contact)
    except msgspec.DecodeError as e:
        raise LinkError(f"{path} is damaged: {e}") from None
