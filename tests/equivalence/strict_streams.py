"""Strict optimizers on one stream of gradients, in bits: what `test_strict_backends` compares, and a program.

    TRITON_INTERPRET=1 python -m tests.equivalence.strict_streams BACKEND FILE RULE...

runs rules on a backend that interprets, in a process of its own, and writes their bits to an npz FILE.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Parameter

import optgen.torch
from optgen.frontends.evaluate import check_requirements
from optgen.runtime.storage import DtypeSet
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load
from optgen.spec.model import Setting, Spec
from optgen.verify.settings import off_neutral
from optgen.verify.side import Side
from optgen.verify.torch_side import TorchSide, arguments

Array = NDArray[np.float64]
Bits = dict[str, Array]
STEPS = 2
#: Two layers of equal roles and a third.
SHAPES: Mapping[str, tuple[int, ...]] = {"a.w": (5, 9), "a.b": (5,), "b.w": (5, 9), "b.b": (5,), "c.w": ()}
#: As many of these as matter to a rule, by what the step of one element depends on.
ENOUGH: Mapping[str, tuple[str, ...]] = {"elem": ("a.w",), "tensor": ("a.w", "a.b")}


def names_of(spec: Spec) -> tuple[str, ...]:
    return ENOUGH.get(torch_class(spec).RULE.reach, tuple(SHAPES))


def torch_class(spec: Spec) -> type[Optimizer]:
    return getattr(optgen.torch, spec.class_name)


def values_of(spec: Spec) -> dict[str, Setting]:
    """Numbers away from their defaults, as far as those select no other kernels: what others compile serves here."""
    info = torch_class(spec).RULE
    values: dict[str, Setting] = dict(info.defaults())
    settled = info.settled(values, False, "transport")
    for name, value in off_neutral(spec).items():
        moved = {**values, name: value}
        try:
            check_requirements(spec, moved)  # type: ignore[arg-type]
        except optgen.HyperError:
            continue
        if info.settled(moved, False, "transport") == settled:
            values = moved
    return {**values, "lr": 0.01}


def arranged(spec: Spec) -> dict[str, Any]:
    """Edges whose coefficients are no powers of two, own and other ones unequal."""
    if not torch_class(spec).RULE.graph:
        return {}
    return {"edges": [("a", "b", 0.7), ("b", "c", 0.3)], "laplacian": "symmetric"}


def stream(spec: Spec) -> list[dict[str, Array]]:
    """The parameters, then the gradients of every step, of ordinary size: float32 numbers.

    Where a rule sums, one element of each tensor is not zero: sums of one number have no order.
    """
    rng = np.random.default_rng(3)
    names = names_of(spec)
    found = [{name: np.asarray(rng.normal(size=SHAPES[name])) for name in names} for _ in range(STEPS + 1)]
    if torch_class(spec).RULE.reach != "elem":
        for arrays in found:
            for x in arrays.values():
                x *= np.arange(x.size).reshape(x.shape) == x.size // 2
    return [{name: x.astype(np.float32).astype(np.float64) for name, x in arrays.items()} for arrays in found]


def on_torch(spec: Spec, backend: str) -> Side:
    """A strict torch optimizer."""
    cls = torch_class(spec)
    params = {name: Parameter(torch.from_numpy(x.astype(np.float32))) for name, x in stream(spec)[0].items()}
    given: dict[str, Any] = {**arguments(cls, values_of(spec)), **arranged(spec)}
    optimizer = cls(list(params.items()), **given, strict=True, backend=backend)
    return TorchSide(optimizer, list(params.values()), [DtypeSet("float32")] * len(params))


def run(spec: Spec, side: Side) -> Bits:
    """Parameters and state after every step. State coarser than elements, which torch has in float64 and JAX in
    float32, goes on as float32."""
    found: Bits = {}
    for step, gradients in enumerate(stream(spec)[1:]):
        side.step(
            [x[None] if spec.gradients else x for x in gradients.values()], dict.fromkeys(spec.inputs, 0.5 + step)
        )
        for param in side.tensors if isinstance(side, TorchSide) else ():
            for x in side.optimizer.state[param].values():
                x.copy_(x.float())
        for tensor, name in enumerate(gradients):
            found |= {f"{spec.name} {step} {name} {slot}": x for slot, x in side.values(tensor).items()}
    return found


def main() -> None:
    """The bits of some rules in a file."""
    backend, file, *rules = sys.argv[1:]
    if backend == "triton":
        from optgen_triton.interpreted import prepare

        prepare()
    np.seterr(all="ignore")
    specs = [load(rule) for rule in rules]
    np.savez(file, **{key: x for spec in specs for key, x in run(spec, on_torch(spec, backend)).items()})


if __name__ == "__main__":
    main()
