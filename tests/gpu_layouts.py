"""How tensors may lie in memory, and that kernels follow them: for programs that simulate a graphics processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

import optgen

Layout = Callable[[torch.Tensor], torch.Tensor]

#: Ways to lie in memory that keep shape and values.
LAYOUTS: dict[str, Layout] = {
    "in order": lambda x: x.clone(),
    "transposed": lambda x: x.t().contiguous().t(),
    "at an odd address": lambda x: torch.cat([torch.zeros(1), x.flatten()])[1:].view(x.shape),
    "with gaps": lambda x: torch.stack([x, torch.zeros_like(x)], -1)[..., 0],
}
SHAPES = ((9, 32), (9, 32), (30, 40))
#: By rule, names of layouts: of parameters and of gradients.
Cases = Mapping[str, Sequence[tuple[str, str]]]


def stepped(backend: str, rule: str, layout: Layout, gradient: Layout) -> list[torch.Tensor]:
    """Parameters after two steps, the last without a gradient for the second."""
    rng = torch.Generator().manual_seed(3)
    params = [torch.nn.Parameter(layout(torch.randn(shape, generator=rng))) for shape in SHAPES]
    made = optgen.compile(rule, backend=backend)(
        [(f"h.{i}.w", param) for i, param in enumerate(params)], lr=0.1, backend=backend
    )
    for step in range(2):
        for i, param in enumerate(params):
            param.grad = None if step and i == 1 else gradient(torch.randn(param.shape, generator=rng))
        made.step()
    return [param.detach().clone() for param in params]


def check_layouts(backend: str, cases: Cases, wrong: list[str]) -> None:
    """How a tensor lies changes nothing but the order of sums."""
    for rule, layouts in cases.items():
        expected = stepped(backend, rule, LAYOUTS["in order"], LAYOUTS["in order"])
        same = torch.equal if rule == "adamw" else lambda x, y: torch.allclose(x, y, rtol=1e-5, atol=1e-6)
        for param, gradient in layouts:
            found = stepped(backend, rule, LAYOUTS[param], LAYOUTS[gradient])
            if not all(map(same, found, expected)):
                wrong.append(f"{rule}: parameters {param}, gradients {gradient}")
