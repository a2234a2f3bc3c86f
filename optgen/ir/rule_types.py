"""Attributes and the value type of the `rule` dialect."""

from __future__ import annotations

from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.str_enum import StrEnum

from optgen.ir.extents import Extent, join_all
from optgen.ir.functions import Function, Kind, result_kind


class Reduction(StrEnum):
    """How entries are combined; mean, norm, dot and max_abs are written with these and element functions."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Counter(StrEnum):
    """`t` counts a parameter's updates, `step` the optimizer's steps; both start at 1."""

    T = "t"
    STEP = "step"


class Metadata(StrEnum):
    """What is known of a tensor before any step; rows and cols are those of one matrix of the rule's view."""

    NUMEL = "numel"
    NDIM = "ndim"
    ROWS = "rows"
    COLS = "cols"
    MATRICES = "matrices"
    DEPTH = "depth"


class EdgeSum(StrEnum):
    """Sums over a layer's edges, with coefficients a (own) and b (neighbour).

    `laplacian`: sum of a*x - b*x_j over all edges; `neighbors`: sum of b*x_j over all edges; over unmatched edges only,
    for x the norm of a gradient: `pull`: sum of a - b*x_j/x, `push`: sum of b*x_j/x (x guarded from below by 1e-16).
    """

    LAPLACIAN = "laplacian"
    NEIGHBORS = "neighbors"
    PULL = "pull"
    PUSH = "push"


class Stencil(StrEnum):
    """Sums over matched neighbours of an element value: `laplacian` a*x - b*x_j, `neighbors` b*x_j."""

    LAPLACIAN = "laplacian"
    NEIGHBORS = "neighbors"


@irdl_attr_definition
class ExtentAttr(EnumAttribute[Extent]):
    """An extent as an attribute."""

    name = "rule.extent"


@irdl_attr_definition
class KindAttr(EnumAttribute[Kind]):
    """A kind as an attribute."""

    name = "rule.kind"


@irdl_attr_definition
class FunctionAttr(EnumAttribute[Function]):
    """An element function."""

    name = "rule.function"


@irdl_attr_definition
class ReductionAttr(EnumAttribute[Reduction]):
    """A reduction function."""

    name = "rule.reduction"


@irdl_attr_definition
class CounterAttr(EnumAttribute[Counter]):
    """A counter."""

    name = "rule.counter_name"


@irdl_attr_definition
class MetadataAttr(EnumAttribute[Metadata]):
    """A piece of tensor metadata."""

    name = "rule.metadata_name"


@irdl_attr_definition
class EdgeSumAttr(EnumAttribute[EdgeSum]):
    """A sum over the edges of a layer."""

    name = "rule.edge_sum"


@irdl_attr_definition
class StencilAttr(EnumAttribute[Stencil]):
    """A sum over matched neighbours of an element value."""

    name = "rule.stencil_kind"


@irdl_attr_definition
class ValueType(ParametrizedAttribute, TypeAttribute):
    """`!rule.value<elem, float>`: extent and kind of a value."""

    name = "rule.value"
    extent_attr: ExtentAttr
    kind_attr: KindAttr

    @classmethod
    def of(cls, extent: Extent, kind: Kind = Kind.FLOAT) -> ValueType:
        """The type with this extent and kind."""
        return cls(ExtentAttr(extent), KindAttr(kind))

    @property
    def extent(self) -> Extent:
        """How fine the value varies."""
        return self.extent_attr.data

    @property
    def kind(self) -> Kind:
        """Whether it is a float, an int or a bool."""
        return self.kind_attr.data

    def print_parameters(self, printer: Printer) -> None:
        """`<elem, float>`."""
        printer.print_string(f"<{self.extent}, {self.kind}>")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        """Inverse of `print_parameters`."""
        with parser.in_angle_brackets():
            extent = parser.parse_str_enum(Extent)
            parser.parse_punctuation(",")
            return [ExtentAttr(extent), KindAttr(parser.parse_str_enum(Kind))]


def type_of(value: SSAValue) -> ValueType:
    """The `rule` type of a value."""
    assert isinstance(value.type, ValueType)
    return value.type


def apply_type(function: Function, args: list[SSAValue]) -> ValueType:
    """Type of an element function's result."""
    types = [type_of(a) for a in args]
    return ValueType.of(join_all(t.extent for t in types), result_kind(function, [t.kind for t in types]))


def reduce_type(reduction: Reduction, over: Extent, x: SSAValue) -> ValueType:
    """Type of a reduction's result; a sum of truth values counts them."""
    kind = type_of(x).kind
    return ValueType.of(over, Kind.INT if kind is Kind.BOOL and reduction is Reduction.SUM else kind)
