"""Which of the things that it was told somebody still holds: those used last, within bounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Recent(Generic[K]):
    """Keys in the order of their last use, with the sizes of what they stand for.

    Parameters
    ----------
    most : int
        How many are kept.
    most_bytes : int
        How many bytes they may have together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self._sizes: OrderedDict[K, int] = OrderedDict()
        self._bytes = 0

    def use(self, key: K, size: int) -> bool:
        """Note that `key` is used now. Returns whether it was not held, so that it must be told first."""
        sizes = self._sizes
        if key in sizes:
            sizes.move_to_end(key)
            return False
        sizes[key] = size
        self._bytes += size
        return True

    def surplus(self, spare: Container[K] = ()) -> list[K]:
        """Drop what exceeds the bounds, longest unused first, but nothing in `spare` nor the one used last."""
        if len(self._sizes) <= self.most and self._bytes <= self.most_bytes:
            return []
        dropped = []
        for key in list(self._sizes)[:-1]:
            if len(self._sizes) <= self.most and self._bytes <= self.most_bytes:
                break
            if key not in spare:
                self._bytes -= self._sizes.pop(key)
                dropped.append(key)
        return dropped

    def clear(self) -> None:
        """Nothing is held any more."""
        self._sizes.clear()
        self._bytes = 0

    def __contains__(self, key: K) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)
