"""Arrays that are known by their CUDA array interface alone, in numba's simulator of a GPU.

    python -m tests.backends_numba_cuda.simulated_arrays

prints a line of JSON with what does not hold; nothing where everything does.
"""

from __future__ import annotations

import json

from tests.backends_numba_cuda.simulated import simulate  # first: numba is told to simulate

# isort: split
import numpy as np
import torch

import optgen
from optgen.arrays import Stepper
from optgen.errors import UsageError

SHAPES = {"h.0.w": (5, 8), "h.1.w": (5, 8), "b": (3,), "none": (0,)}


class Device:
    """An array that only says where its memory is."""

    def __init__(self, x: np.ndarray, readonly: bool = False) -> None:
        self.kept = x
        self.__cuda_array_interface__ = {
            "shape": x.shape,
            "typestr": x.dtype.str,
            "data": (x.ctypes.data, readonly),
            "strides": None if x.flags.c_contiguous else x.strides,
            "version": 3,
        }


def check_steps(rule: str, wrong: list[str]) -> None:
    """Memory changes in place as the CPU's kernels change it; one array lies transposed, one misses a gradient."""
    rng = np.random.default_rng(4)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    arrays["h.0.w"] = np.asfortranarray(arrays["h.0.w"])
    params = {name: torch.nn.Parameter(torch.tensor(x.copy())) for name, x in arrays.items()}
    step = Stepper(rule, {name: Device(x) for name, x in arrays.items()}, lr=0.1)
    expected = optgen.compile(rule, backend="numba")(list(params.items()), lr=0.1, backend="numba")
    for number in range(2):
        gradients = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
        if number:
            del gradients["b"]
        for name, param in params.items():
            param.grad = torch.tensor(gradients[name]) if name in gradients else None
        step({name: Device(g) for name, g in gradients.items()})
        expected.step()
    for name, param in params.items():
        if not np.allclose(arrays[name], param.detach().numpy(), rtol=1e-5, atol=1e-6):
            wrong.append(f"{rule}: {name} differs")
    if step.state("b")["step"].item() != 1:
        wrong.append(f"{rule}: b has taken {step.state('b')['step'].item()} steps")


def check_words(wrong: list[str]) -> None:
    """Words of 16 bits are bfloat16."""
    words = torch.ones(6).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    Stepper("sgd", {"w": Device(words)}, lr=0.5)({"w": Device(words.copy())})
    found = torch.from_numpy(words.view(np.int16)).view(torch.bfloat16).float()
    if not torch.equal(found, torch.full((6,), 0.5)):
        wrong.append(f"bfloat16: {found.tolist()}")


def check_refusals(wrong: list[str]) -> None:
    """What is no array of floats on a GPU, and names that there are not."""
    one = np.zeros(3, np.float32)
    bad = {
        "without __cuda_array_interface__": lambda: Stepper("sgd", {"w": one}),
        "has the type <i8": lambda: Stepper("sgd", {"w": Device(np.zeros(3, np.int64))}),
        "read-only": lambda: Stepper("sgd", {"w": Device(one, readonly=True)}),
        'no parameter "x"': lambda: Stepper("sgd", {"w": Device(one)})({"x": Device(one)}),
    }
    for says, run in bad.items():
        try:
            run()
        except UsageError as error:
            if says in str(error):
                continue
        wrong.append(f"not refused: {says}")


if __name__ == "__main__":
    simulate()
    broken: list[str] = []
    for name in ("adamw", "neat"):
        check_steps(name, broken)
    check_words(broken)
    check_refusals(broken)
    print(json.dumps(broken))
