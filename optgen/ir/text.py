"""Text form of the dialects: MLIR text with locations, which parses back to the same module."""

from __future__ import annotations

from io import StringIO

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, FileLineColLoc, IntAttr, LocationAttr, ModuleOp, NameLoc, StringAttr
from xdsl.dialects.math import Math
from xdsl.ir import Operation
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError, VerifyException

from optgen.errors import Location, OptgenError
from optgen.ir.kernel_dialect import Kernel
from optgen.ir.rule_dialect import Rule


class IRError(OptgenError):
    """An IR text or module that is not well formed."""


def context() -> Context:
    """A context with the dialects that optgen uses."""
    ctx = Context()
    for dialect in (Builtin, Arith, Math, Rule, Kernel):
        ctx.load_dialect(dialect)
    return ctx


def to_text(op: Operation, *, locations: bool = True) -> str:
    """MLIR text of an operation."""
    stream = StringIO()
    Printer(stream, print_debuginfo=locations).print_op(op)
    return stream.getvalue() + "\n"


def from_text(text: str, name: str = "<ir>") -> ModuleOp:
    """Parse and verify a module; an IRError says what is wrong."""
    try:
        module = Parser(context(), text, name).parse_module()
        module.verify()
    except (ParseError, VerifyException) as error:
        raise IRError(f"this is not a valid optgen module: {error}") from None
    return module


def location_attr(location: Location, text: str = "") -> LocationAttr:
    """An MLIR location for a place in a spec; `text` is the statement written there."""
    place = FileLineColLoc(
        StringAttr(location.path.replace("\\", "/").rsplit("/", 1)[-1]), IntAttr(location.line), IntAttr(location.col)
    )
    return NameLoc(StringAttr(text), place) if text else place


def statement_of(op: Operation) -> str:
    """The statement an operation was lowered from; empty when it was made by a pass."""
    return op.location.desc.data if isinstance(op.location, NameLoc) else ""


def place_of(op: Operation) -> str:
    """Where in a spec an operation comes from, as `file:line:col`."""
    location = op.location.location if isinstance(op.location, NameLoc) else op.location
    if not isinstance(location, FileLineColLoc):
        return "<built>"
    return f"{location.filename.data}:{location.line.data}:{location.column.data}"
