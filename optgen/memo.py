"""Results kept for a while: what one command, or one comparison, asks for several times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, NoReturn, TypeVar

Subject = TypeVar("Subject")
Result = TypeVar("Result")
Value = TypeVar("Value")


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


class _Noting(Mapping[str, Value]):
    """Settings that note which of them are looked at, and which are looked for in vain. They are read by name alone."""

    def __init__(self, settings: Mapping[str, Value]) -> None:
        self._settings = settings
        self.noted: dict[str, str] = {}

    def __getitem__(self, name: str) -> Value:
        self.noted[name] = _seen(self._settings, name)
        return self._settings[name]

    def __iter__(self) -> Iterator[str]:
        self._by_name()

    def __len__(self) -> int:
        self._by_name()

    def _by_name(self) -> NoReturn:
        raise TypeError("what is kept by the settings that were read reads them by name")


class RecentBySettings(Generic[Subject, Value, Result]):
    """The latest results about some objects under settings. Results must not be changed.

    A result serves all settings that have the same values of what was read to make it: what nothing depends on makes
    no difference.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: list[tuple[Subject, Hashable, Mapping[str, str], Result]] = []

    def get(
        self,
        subject: Subject,
        key: Hashable,
        settings: Mapping[str, Value],
        make: Callable[[Mapping[str, Value]], Result],
    ) -> Result:
        """The result about `subject` under `key` and the settings; if none serves, made now of what `make` is given."""
        found = next((entry for entry in reversed(self._entries) if _serves(entry, subject, key, settings)), None)
        if found is None:
            reading = _Noting(settings)
            found = subject, key, reading.noted, make(reading)
        else:
            self._entries = [entry for entry in self._entries if entry is not found]
        self._entries = [*self._entries[1 - self._most :], found]
        return found[-1]


def _serves(
    entry: tuple[object, Hashable, Mapping[str, str], object],
    subject: object,
    key: Hashable,
    settings: Mapping[str, object],
) -> bool:
    about, under, noted, _ = entry
    return about is subject and under == key and all(_seen(settings, name) == text for name, text in noted.items())


def _seen(settings: Mapping[str, object], name: str) -> str:
    """A value as text, which tells 1 from 1.0 and from True; "" where there is none."""
    return repr(settings[name]) if name in settings else ""
