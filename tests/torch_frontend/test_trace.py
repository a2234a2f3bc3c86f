"""What a run of a model says of its layers: order, edges with skips, depths; and optimizers that take them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from optgen.errors import UsageError
from optgen.torch import NEAT, Nested, trace_layers


class Skipping(nn.Module):
    """Declared in another order than it runs in; `b` is skipped, `c` reads a weight of its own through functions."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.c = nn.ParameterDict({"kernel": nn.Parameter(torch.ones(3, 3))})
        self.b = nn.Sequential(nn.LayerNorm(3), nn.ReLU())
        self.a = nn.Linear(4, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        y = x + 2 * self.b(x)
        y.mul_(0.5)
        y = linear(y, self.c["kernel"].t())
        return self.head(torch.cat([y, x]).view(2, -1, 3).sum(0))


def test_order_edges_and_depths() -> None:
    traced = trace_layers(Skipping(), torch.zeros(5, 4))
    assert traced.players == ("a", "b.0", "c", "head", "unused")
    fed = {("a", "b.0"), ("a", "c"), ("b.0", "c"), ("a", "head"), ("c", "head")}
    assert set(traced.edges) == {*fed, ("unused", "a", 0.0)}
    assert traced.depths == {
        "a.weight": 0,
        "a.bias": 0,
        "b.0.weight": 1,
        "b.0.bias": 1,
        "c.kernel": 2,
        "head.weight": 3,
        "head.bias": 3,
        "unused.weight": 4,
        "unused.bias": 4,
    }
    assert [name for name, _ in traced.parameters][:2] == ["a.weight", "a.bias"]


def test_optimizers_take_what_a_trace_gives() -> None:
    model = Skipping()
    traced = trace_layers(model, torch.zeros(5, 4))
    rows = NEAT(traced.parameters, edges=traced.edges, backend="reference").describe()
    beside = {row.layer: set(row.neighbours) for row in rows}
    assert (beside["c"], beside["unused"]) == ({"a", "b.0", "head"}, set())
    optimizer = Nested(model.named_parameters(), depths=traced.depths, backend="reference")
    kept = dict(zip(optimizer.param_groups[0]["param_names"], optimizer.param_groups[0]["depths"], strict=True))
    assert kept["a.weight"] == 0.0
    assert kept["c.kernel"] == 0.5
    optimizer.compute_depths_from_model(model, torch.zeros(5, 4))
    assert optimizer.param_groups[0]["depths"] == list(kept.values())


def test_blocks_of_a_transformer_are_fed_by_all_before_them() -> None:
    """Through the residual stream; a block's own layers are one player."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Linear(3, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3))
    traced = trace_layers(model, torch.zeros(1, 5, 3))
    assert traced.players == ("0", "1", "2")  # the rule takes the name up to the first number
    assert set(traced.edges) == {("0", "1"), ("1", "2")}
    named = nn.ModuleDict({"embed": model[0], "blocks": model[1].layers, "out": model[2]})

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = named

        def forward(self, x: Tensor) -> Tensor:
            x = self.parts["embed"](x)
            for block in self.parts["blocks"]:  # type: ignore[union-attr]
                x = block(x)
            return self.parts["out"](x)

    traced = trace_layers(Net(), torch.zeros(1, 5, 3))
    assert traced.players == ("parts.embed", "parts.blocks.0", "parts.blocks.1", "parts.out")
    assert ("parts.embed", "parts.blocks.0") in traced.edges
    assert ("parts.blocks.0", "parts.blocks.1") in traced.edges


def test_a_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace_layers(model, torch.ones(4, 2))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(param.grad is None for param in model.parameters())
    with pytest.raises(UsageError, match="no parameters"):
        trace_layers(nn.ReLU(), torch.ones(1))
