"""A10: hyper-parameters reach kernels in float32 whatever parameters are stored in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optgen.ir.kernel_arith import stored
from optgen.torch import AdamW


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_beta2_is_not_rounded_to_the_dtype_of_the_parameter(dtype: str) -> None:
    """0.999 is 1 in bfloat16: the second moments would never move. The run is that of float32 hypers, bit for bit."""
    lr, beta1, beta2, eps, decay = 0.01, 0.9, 0.999, 1e-8, 0.1
    p = Parameter(torch.linspace(-2, 2, 999).to(getattr(torch, dtype)))
    optimizer = AdamW([p], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay, master_weights=True)
    f4 = np.float32
    master = p.detach().float().numpy().copy()
    m, v = np.zeros_like(master), np.zeros_like(master)
    for t in range(1, 6):
        p.grad = torch.randn(999, generator=torch.Generator().manual_seed(t)).to(p.dtype)
        optimizer.step()
        g = p.grad.float().numpy()
        m = f4(beta1) * m + f4(1 - beta1) * g
        v = f4(beta2) * v + f4(1 - beta2) * (g * g)
        c1, c2 = f4(1 / -np.expm1(t * np.log(beta1))), f4(1 / -np.expm1(t * np.log(beta2)))
        master = master - f4(lr) * (m * c1 / (np.sqrt(v * c2) + f4(eps)) + f4(decay) * master)
        own = optimizer.state[p]
        assert np.array_equal(own["v"].numpy(), v)
        assert np.array_equal(own["m"].numpy(), m)
        assert np.array_equal(own["master"].numpy(), master)
        assert np.array_equal(p.detach().float().numpy(), stored(master, dtype).astype(np.float32))
    assert v.max() > 0
