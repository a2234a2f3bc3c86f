"""Namespaces such as `optgen.torch`: names of generated code that is imported when one of them is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from optgen.errors import suggest
from optgen.runtime.home import GENERATED


@dataclass(frozen=True)
class Namespace:
    """What a framework's namespace offers: `kind` is what its names are, `needs` the packages that bring it.

    `extra` has names that are not generated, and where they are.
    """

    module: str
    kind: str
    title: str
    needs: tuple[str, ...]
    extra: Mapping[str, Callable[[], object]] = field(default_factory=dict[str, Callable[[], object]])

    @property
    def framework(self) -> str:
        """Last part of the namespace's name, which is the generated module's too."""
        return self.module.rpartition(".")[2]

    def generated(self) -> ModuleType:
        """The generated module. ImportError says what is missing and how it is had."""
        name = f"{GENERATED}.{self.framework}"
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in self.needs:
                extra = f"pip install optgen[{self.framework}]"
                raise ImportError(f"{self.module} needs {self.title}: {extra}") from error
            if error.name not in (name, GENERATED):
                raise
            raise ImportError(
                f"the generated optimizers ({name}) are missing: in a checkout write them with `make generated`, "
                "else install optgen again"
            ) from error

    def get(self, name: str) -> object:
        """What a name stands for; AttributeError with the nearest name where there is none."""
        if name == "__all__":
            return self.names()
        if name.startswith("__"):
            raise AttributeError(f"module {self.module!r} has no attribute {name!r}")
        if name in self.extra:
            return self.extra[name]()
        found = self.generated()
        names: list[str] = found.__all__
        if name not in names:
            raise AttributeError(f"{self.module} has no {self.kind} {name!r}. {suggest(name, names)}".rstrip())
        return getattr(found, name)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted([*self.generated().__all__, *self.extra])


def attributes(module: str, *names: str) -> dict[str, Callable[[], object]]:
    """Names of another module, which is imported when one is asked for."""
    return {name: lambda name=name: getattr(importlib.import_module(module), name) for name in names}
