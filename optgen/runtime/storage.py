"""Storage dtypes: what parameters, gradients and element-wise state are kept in, apart from what computes with them.

A *dtype set* is what one kernel module is made for. Its text is part of file names and caches, and is what the command
line takes: `bfloat16` for parameters and gradients in bfloat16 and state in float32, or, spelled out,
`bfloat16,g=float32,*=bfloat16,m=float16,master,stochastic`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from optgen.errors import BackendError, UsageError, suggest

#: Bytes of an element of each storage dtype.
BYTES: Mapping[str, int] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int64": 8}
FLOATS = ("float32", "bfloat16", "float16", "float64")
#: Dtypes that hold fewer digits than kernels compute with.
NARROW = ("bfloat16", "float16")
#: The dtype that stochastic rounding rounds to.
STOCHASTIC = "bfloat16"
#: The slot that holds the unrounded parameter under master weights.
MASTER = "master"
#: The model's input that gradients are divided by, where they come scaled.
GRAD_SCALE = "grad_scale"

_GRADIENT, _ALL = "g", "*"
_FLAGS = (MASTER, "stochastic", "scaled")


@dataclass(frozen=True)
class DtypeSet:
    """Dtypes of a parameter, its gradient and its element-wise state, and how stores to them round.

    `state` is for states that declare no dtype of their own, "" for the dtype that computes; `states` is by name and
    wins over what a state declares. `master`: the parameter is the rounded copy of the slot `master`. `stochastic`:
    what is stored in bfloat16 is rounded at random, but for a parameter that has a master. `scaled`: gradients are
    GRAD_SCALE times what they stand for.
    """

    param: str = "float32"
    gradient: str = ""
    state: str = ""
    states: tuple[tuple[str, str], ...] = ()
    master: bool = False
    stochastic: bool = False
    scaled: bool = False

    @property
    def grad(self) -> str:
        """Dtype of the gradient."""
        return self.gradient or self.param

    @property
    def compute(self) -> str:
        """Dtype of the arithmetic on elements."""
        return "float64" if self.param == "float64" else "float32"

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Every dtype that is named or follows."""
        named = (self.param, self.grad, self.state or self.compute, *(dtype for _, dtype in self.states))
        return tuple(dict.fromkeys(named))

    def __str__(self) -> str:
        parts = [self.param]
        if self.grad != self.param:
            parts.append(f"{_GRADIENT}={self.gradient}")
        if self.state not in ("", self.compute):
            parts.append(f"{_ALL}={self.state}")
        parts += [f"{name}={dtype}" for name, dtype in sorted(self.states)]
        parts += [flag for flag in _FLAGS if getattr(self, flag)]
        return ",".join(parts)

    @property
    def file_stem(self) -> str:
        """The set as part of a file name: the parameter's dtype, and a digest of what else it says."""
        text = str(self)
        return text if text == self.param else f"{self.param}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @classmethod
    def parse(cls, text: str) -> DtypeSet:
        """The set that a text names. UsageError says what is wrong with it."""
        first, *rest = (part.strip() for part in text.split(","))
        given: dict[str, str] = {}
        flags: dict[str, bool] = {}
        for part in rest:
            name, equals, dtype = part.partition("=")
            if not equals and name in _FLAGS:
                flags[name] = True
            elif equals and name and name not in given:
                given[name] = _known(dtype, text)
            else:
                raise UsageError(
                    f'"{part}" in the dtypes "{text}" is none of g=DTYPE (the gradient), *=DTYPE (all state), '
                    f"NAME=DTYPE (one state), {', '.join(_FLAGS)}, or comes twice"
                )
        gradient, state = given.pop(_GRADIENT, ""), given.pop(_ALL, "")
        found = cls(_known(first, text), gradient, state, tuple(sorted(given.items())), **flags)
        found.check()
        return found

    def check(self) -> None:
        """Refuses dtypes that kernels do not compute with, and rounding that would round nothing."""
        wide = self.compute
        pairs = [("gradients", self.grad), ("state", self.state or wide), *self.states]
        for what, dtype in pairs:
            if BYTES[dtype] > BYTES[wide]:
                raise UsageError(f"{what} in {dtype}: parameters in {self.param} are computed with in {wide}; use that")
            if wide == "float64" and dtype in NARROW:
                raise UsageError(f"{what} in {dtype} with parameters in float64: use float32 or float64")
        if self.master and self.param not in NARROW:
            raise UsageError(f"master weights are for parameters in {' or '.join(NARROW)}; these are {self.param}")
        if self.stochastic and not self.rounded_at_random:
            raise UsageError(
                f"stochastic rounding rounds to {STOCHASTIC}, and nothing of {self} is stored in it: leave it out"
            )

    @property
    def rounded_at_random(self) -> bool:
        """Whether anything is stored in the dtype that stochastic rounding rounds to."""
        stored = [self.state, *(dtype for _, dtype in self.states)]
        return STOCHASTIC in (stored if self.master else [self.param, *stored])


def _known(dtype: str, text: str) -> str:
    if dtype not in FLOATS:
        hint = f"{suggest(dtype, FLOATS)} There are {', '.join(FLOATS)}".strip()
        inside = "" if dtype == text else f' in the dtypes "{text}"'
        raise UsageError(f'"{dtype}"{inside} is no dtype that is stored. {hint}')
    return dtype


def plain_set(param: str, gradient: str) -> DtypeSet:
    """The set of a parameter whose state has its default dtypes. BackendError, or UsageError for the gradient's dtype,
    where no kernels have it."""
    if param not in BYTES:
        raise BackendError(f"kernels store no {param}")
    found = DtypeSet(param, "" if gradient == param else gradient)
    found.check()
    return found
