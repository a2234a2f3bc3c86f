"""The functions of the rule language: the one table that says what may be called and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from optgen.spec.syntax import Call, Expr, walk

Family = Literal["elementwise", "reduction", "graph", "vector", "meta", "start", "random", "library"]


@dataclass(frozen=True)
class Function:
    """How a function is called. `built` is False for those the language knows but the compiler cannot lower yet."""

    name: str
    family: Family
    low: int
    high: int
    doc: str
    keywords: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    built: bool = True

    @property
    def arguments(self) -> str:
        """The number of positional arguments, in words."""
        if self.low == self.high:
            return f"{self.low} argument" + ("" if self.low == 1 else "s")
        return f"{self.low} to {self.high} arguments"


def _elementwise() -> list[Function]:
    unary = {
        "abs": "absolute value",
        "sign": "-1, 0 or 1; sign(0) = 0",
        "sqrt": "square root",
        "exp": "e to the x",
        "log": "natural logarithm",
        "floor": "largest integer not above x",
        "ceil": "smallest integer not below x",
        "cos": "cosine, x in radians",
        "sin": "sine",
        "tanh": "hyperbolic tangent",
        "expm1": "exp(x) - 1 without cancellation",
        "log1p": "log(1 + x) without cancellation",
        "round": "nearest integer, halves to even",
    }
    return [
        *(Function(name, "elementwise", 1, 1, doc) for name, doc in unary.items()),
        Function("where", "elementwise", 3, 3, "where(c, a, b): a where c holds, else b; the other side is lost"),
        Function("clip", "elementwise", 3, 3, "clip(x, low, high); keeps NaN"),
        Function("minimum", "elementwise", 2, 2, "the smaller of two; keeps NaN"),
        Function("maximum", "elementwise", 2, 2, "the larger of two; keeps NaN"),
    ]


def _reductions() -> list[Function]:
    # `sum`, `mean`, `min` and `max` of a short vector have no extent to name.
    optional = {"sum": "sum", "mean": "mean", "min": "smallest entry", "max": "largest entry"}
    required = {
        "norm": "Euclidean norm",
        "max_abs": "largest absolute value",
        "any": "whether any entry holds",
        "all": "whether all entries hold",
    }
    return [
        *(Function(name, "reduction", 1, 1, doc + ", over an extent", ("over",)) for name, doc in optional.items()),
        *(
            Function(n, "reduction", 1, 1, doc + ", over an extent", ("over",), ("over",))
            for n, doc in required.items()
        ),
        Function("dot", "reduction", 2, 2, "sum of x*y over an extent", ("over",), ("over",)),
    ]


def _others() -> list[Function]:
    meta = {
        "ndim": "number of axes",
        "numel": "number of elements",
        "rows": "rows of the matrix this text sees",
        "cols": "columns of the matrix this text sees",
        "depth": "relative depth of the layer, 0 at the input, 1 at the output",
        "role": 'what the tensor is for, such as "embedding" or "head"',
    }
    draw = ("over", "shape", "at")
    return [
        Function("laplacian", "graph", 1, 1, "the graph Laplacian of x over the players"),
        Function("neighbors", "graph", 1, 1, "the weighted sum of x over each player's neighbours"),
        Function("repeat", "vector", 2, 2, "a short vector of n times x"),
        Function(
            "averages", "vector", 3, 3, "a = decay*a + (1 - decay)*v[i] after each entry, from a start: (v, a, decay)"
        ),
        Function("softmax", "vector", 1, 1, "exp(v)/sum(exp(v)) of a short vector"),
        *(Function(name, "meta", 1, 1, doc) for name, doc in meta.items()),
        Function("zeros_like", "start", 1, 1, "zeros of the extent of x"),
        Function("full", "start", 1, 1, "one value over an extent or of a shape", ("over", "shape")),
        Function("normal", "random", 0, 0, "standard normal numbers", draw, built=False),
        Function("uniform", "random", 0, 0, "uniform numbers in [0, 1)", draw, built=False),
        Function("rademacher", "random", 0, 0, "-1 or 1 with equal chance", draw, built=False),
        Function("exponential", "random", 0, 0, "exponential numbers of rate 1", draw, built=False),
    ]


def _library() -> list[Function]:
    def known(name: str, low: int, high: int, doc: str, keywords: tuple[str, ...] = ()) -> Function:
        return Function(name, "library", low, high, doc, keywords, built=False)

    iterated = "x/max(|x|, eps), then `steps` times a*x + (b*y + c*y*y)*x with y = x*transpose(x): nearly orthogonal"
    return [
        Function("newton_schulz", "library", 1, 1, iterated, ("steps", "coefficients", "eps")),
        Function("low_rank", "library", 2, 2, "the nearest matrix of rank r, capped at the matrix's own"),
        known("eye", 1, 2, "identity matrix"),
        known("matmul", 2, 2, "matrix product"),
        known("transpose", 1, 1, "matrix transpose"),
        known("svd", 1, 2, "singular value decomposition, leading r triplets"),
        known("eigh", 1, 1, "eigenvalues and eigenvectors of a symmetric matrix"),
        known("solve", 2, 2, "solution of a linear system"),
        known("top", 2, 2, "which k entries are largest, over an extent", ("over",)),
        known("sort", 1, 1, "entries in ascending order", ("over",)),
        known("dct", 1, 1, "discrete cosine transform of each block"),
        known("idct", 1, 1, "inverse of dct"),
    ]


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {function.name: function for function in (*_elementwise(), *_reductions(), *_others(), *_library())}
)
"""Every function by name."""

METADATA = tuple(name for name, function in FUNCTIONS.items() if function.family == "meta")
"""Functions of a tensor's metadata: known before any value is."""

CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": 3.141592653589793})
"""Names that stand for a number."""

NOT_BUILT_KEYWORDS = frozenset({"across"})
"""Keywords the language keeps room for."""


def reads_metadata(expr: Expr) -> bool:
    """Whether an expression reads the metadata of a tensor."""
    return any(isinstance(node, Call) and node.function in METADATA for node in walk(expr))
