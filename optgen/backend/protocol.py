"""What a backend is to the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from optgen.ir.array_view import Program
from optgen.ir.view import Module


@dataclass(frozen=True)
class Emitted:
    """What a backend makes of a kernel module: the manifest the launcher reads, and the text of the file."""

    manifest: Mapping[str, object]
    source: str


class _Target(Protocol):
    """A target of the compiler, found by entry point in the group `optgen.backends`."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def devices(self) -> tuple[str, ...]:
        """Device types it serves."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Parameter dtypes it serves."""
        ...

    @property
    def requires(self) -> Mapping[str, str]:
        """Packages that generated code needs, with the versions it works with (a PEP 440 specifier)."""
        ...


class KernelBackend(_Target, Protocol):
    """A target whose launches are scheduled here: it takes kernel modules, one per dtype set."""

    @property
    def level(self) -> Literal["kernel"]:
        """The dialect it takes."""
        ...

    def emit(self, module: Module) -> Emitted:
        """Lower a kernel module to text. Pure: the same module gives the same text."""
        ...


class ArrayBackend(_Target, Protocol):
    """A target that schedules for itself: it takes the value form, whole arrays of any dtype."""

    @property
    def level(self) -> Literal["rule"]:
        """The dialect it takes."""
        ...

    @property
    def frameworks(self) -> tuple[str, ...]:
        """Front ends that it serves."""
        ...

    def emit(self, module: Program, framework: str) -> Emitted:
        """Lower a program to text in a framework's words. Pure: the same program gives the same text."""
        ...


Backend: TypeAlias = KernelBackend | ArrayBackend


@runtime_checkable
class Assembler(Protocol):
    """A backend whose kernels another compiler lowers further, on this machine."""

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of that compiler, by the names of `optgen build --emit`."""
        ...

    def assemble(self, source: str, stage: str) -> Mapping[str, str]:
        """The texts of a module's kernels at a stage, by kernel. BackendError if the compiler is missing."""
        ...


@runtime_checkable
class Interpreted(Protocol):
    """A backend whose kernels an interpreter or simulator runs where their device is missing."""

    def interpret(self) -> None:
        """Readies this process, which was started for that, before the first kernel."""
        ...
