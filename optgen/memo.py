"""Results kept for a while: what one command, or one comparison, asks for several times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
Result = TypeVar("Result")


class Recent(Generic[Subject, Result]):
    """The latest results about some objects, told apart by identity and a key. Results must not be changed.

    An entry keeps its object alive, so that no other can take its identity.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[int, Hashable], tuple[Subject, Result]] = OrderedDict()

    def get(self, subject: Subject, key: Hashable, make: Callable[[], Result]) -> Result:
        """The result about `subject` under `key`, made now if it is not kept."""
        place = (id(subject), key)
        if (entry := self._entries.pop(place, None)) is None:
            entry = subject, make()
        self._entries[place] = entry
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return entry[1]
