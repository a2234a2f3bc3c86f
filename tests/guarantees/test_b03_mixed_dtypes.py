"""B3: parameters, gradients and state in any of three dtypes, several of them in one optimizer."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import pytest
import torch
from torch.nn import Parameter

from optgen import compiler
from optgen.errors import GradientError
from optgen.runtime.kernel_module import Module
from optgen.runtime.programs import programs
from optgen.spec.loader import load, shipped
from optgen.torch import SGD, AdamW
from optgen.verify import Report, compare

DTYPES = ("float32", "bfloat16", "float16")
SHAPES = {"a.w": (7, 9), "a.b": (7,), "b.w": (7, 9), "b.b": (7,), "c.w": (), "d.w": (0,), "e.w": (2500,)}
RULES = [name for name in shipped() if load(name).kind == "rule"]


def agrees(report: Report) -> None:
    assert report.ok, f"\n{report}"
    assert all(line.unbounded <= line.elements // 100 for line in report.lines), f"\n{report}"


@pytest.mark.parametrize(("param", "gradient"), [*product(DTYPES, DTYPES)])
def test_every_combination_of_two(param: str, gradient: str) -> None:
    """Each is converted by itself where it is loaded or stored; the state's dtypes meet all of both others."""
    state = DTYPES[(DTYPES.index(param) + DTYPES.index(gradient)) % len(DTYPES)]
    agrees(compare("lion", dtype=f"{param},g={gradient},*={state}", shapes=SHAPES, steps=4))


@pytest.mark.parametrize("name", ["neat", "lamb"])
def test_one_optimizer_of_many_dtypes(name: str) -> None:
    """Reductions over layers, neighbours in a graph, and a parameter with a master beside one without."""
    agrees(compare(name, dtype=("bfloat16,master", "float32,g=bfloat16", "float16,g=float32,master"), shapes=SHAPES))


@pytest.mark.parametrize("name", RULES)
def test_modules_of_every_dtype_set_share_their_tables(name: str) -> None:
    """So that what is summed over a layer or the model is summed over tensors of all dtypes."""
    spec = load(name)
    sets = ("float32", "bfloat16,master", "float16,g=float32,*=float16")
    made = [compiler.kernel_module(spec, {}, text, "numba") for text in sets]
    programs([Module(manifest, defaultdict(int), "", source, None) for manifest, source in made])


def test_gradients_may_change_their_dtype_between_steps() -> None:
    p = Parameter(torch.zeros(5, dtype=torch.bfloat16))
    p.grad_dtype = None
    optimizer = AdamW([p], lr=0.5, weight_decay=0.0, master_weights=True)
    for dtype in (torch.bfloat16, torch.float32, torch.float16, torch.float32):
        p.grad = torch.full((5,), 1.0, dtype=dtype)
        optimizer.step()
    assert torch.allclose(p.detach().float(), torch.full((5,), -2.0), atol=0.01)
    assert optimizer.state[p]["step"] == 4
    p.grad = torch.full((5,), 1.0, dtype=torch.float64)
    with pytest.raises(GradientError, match="float64"):
        optimizer.step()
    assert optimizer.state[p]["step"] == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_strided_narrow_tensors(dtype: torch.dtype) -> None:
    """Views, transposed gradients and memory beside them: the same bits as in order, and nothing else is touched."""
    x, g = (torch.randn(6, 8, generator=torch.Generator().manual_seed(i)).to(dtype) for i in range(2))
    plain = Parameter(x.clone())
    whole = torch.full((8, 12), 7.0, dtype=dtype)
    whole[::1, ::2][:, :6] = x.T
    view = Parameter(whole[:, ::2].T)
    expected, got = (SGD([p], lr=0.1, momentum=0.9, master_weights=True) for p in (plain, view))
    for _ in range(3):
        plain.grad, view.grad = g.clone(), g.T.contiguous().T
        expected.step()
        got.step()
    assert torch.equal(plain, view)
    assert (whole[:, 1::2] == 7.0).all()
