"""The journal: framing, the one writer, tolerant reading, following, repair, and the lease that names the writer."""

from .lease import Holder, Lease
from .reader import Follower, Reader, follow, read, recover
from .record import normalize
from .repair import Repair, repair
from .scan import Tail
from .writer import JournalWriter

__all__ = [
    "Follower",
    "Holder",
    "JournalWriter",
    "Lease",
    "Reader",
    "Repair",
    "Tail",
    "follow",
    "normalize",
    "read",
    "recover",
    "repair",
]
