"""Rules that work on layers and on the graph between them: who the layers are is said, saved and compared."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from optgen.errors import HyperError, StateError, UsageError
from optgen.frontends.torch_class import torch_class
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load as load_spec
from tests.torch_frontend.support import load

OptimizerType = type[Optimizer]

GRAPH = """
optgen: 1
name: mingler
title: Gradient descent on gradients mixed between layers
hyper:
  lr: {default: 0.1, domain: ">= 0"}
  mu: {default: 0.1, domain: ">= 0", over: model}
  cap: {default: false}
warn: {when: mu*max_degree > 1, say: too much is mixed}
state: {m: zeros_like(param), peak: 'full(0.0, over="layer")'}
gradient: g = g - mu*laplacian(g)
direction: |
  peak = maximum(peak, norm(g, over="layer"))
  if cap:
      m = g/(1 + peak)
  else:
      m = 0.5*m + g
  d = m*(1 + peak)
example:
  lr: 0.1
  param: {a.w: [1.0], b.w: [1.0]}
  g: {a.w: [1.0], b.w: [1.0]}
  expect: {param: {a.w: [0.8], b.w: [0.8]}}
"""

#: Edges that leave a layer alone on purpose.
FEW = [("embed", "h.1"), ("embed", "h.0", 0.0)]
NAMES = ("embed.weight", "h.0.weight", "h.0.bias", "h.1.weight", "h.1.bias")


@pytest.fixture(scope="module")
def mingler(tmp_path_factory: pytest.TempPathFactory) -> OptimizerType:
    folder = tmp_path_factory.mktemp("mingler")
    path = folder / "mingler.yaml"
    path.write_text(GRAPH, encoding="utf-8")
    spec = load_spec(str(path))
    return getattr(load(folder, torch_class(spec, str(path))), spec.class_name)


def named(names: Sequence[str] = NAMES) -> list[tuple[str, Parameter]]:
    return [(name, Parameter(torch.ones(2))) for name in names]


def test_layers_and_neighbours_are_described(mingler: OptimizerType) -> None:
    rows = mingler(named()).describe()
    assert [row.layer for row in rows] == ["embed", "h.0", "h.0", "h.1", "h.1"]
    assert [row.neighbours for row in rows] == [("h.0",), *[("embed", "h.1")] * 2, *[("h.0",)] * 2]
    rows = mingler(named(), edges=[("embed", "h.1", 0.5), ("h.0", "h.1", 0)]).describe()
    assert [row.neighbours for row in rows] == [("h.1",), (), (), ("embed",), ("embed",)]


def test_layers_span_the_groups(mingler: OptimizerType) -> None:
    pairs = named()
    decay = {"params": [pairs[i] for i in (0, 1, 3)]}
    plain = {"params": [pairs[i] for i in (2, 4)], "lr": 0.2}
    rows = mingler([decay, plain]).describe()
    assert [row.layer for row in rows] == ["embed", "h.0", "h.1", "h.0", "h.1"]


def test_parameters_without_names_are_named_in_a_warning(mingler: OptimizerType) -> None:
    params = [Parameter(torch.ones(1)) for _ in range(2)]
    with pytest.warns(UserWarning, match="parameter 0 of group 0, parameter 1 of group 0"):
        mingler(params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [row.layer for row in mingler(params, players="tensor").describe()] == [
            "parameter 0 of group 0",
            "parameter 1 of group 0",
        ]
        assert [row.layer for row in mingler(params, players=["a", "a"]).describe()] == ["a", "a"]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"edges": [("embed", "h.9")]}, UsageError, "did you mean"),
        ({"players": ["a"]}, UsageError, "players has 1 entries for 5 parameters"),
        ({"players": {"x.*": "a"}}, UsageError, 'players names "x.\\*", which no parameter matches'),
        ({"laplacian": "normal"}, UsageError, 'laplacian "normal" is not known'),
        ({"edges": "ring"}, UsageError, 'edges "ring" is not known; use one of path, complete'),
        ({"edges": [("embed", "embed")]}, UsageError, "not one to itself"),
        ({"edges": [("embed", "h.0", -1.0)]}, UsageError, "weight of at least 0"),
        ({"edges": [("embed", "h.0", float("nan"))]}, UsageError, "weight of at least 0"),
        ({"edges": [("embed", "h.1")]}, UsageError, r'leave out h\.0, .* as \("h\.0", "embed", 0\), says that this is'),
        ({"edges": []}, UsageError, r"edges leave out embed, h\.0, h\.1, which would step alone"),
        ({"coupling": "flat"}, UsageError, "needs neighbours of equally many elements"),
        ({"coupling": "equal"}, UsageError, "needs neighbours of equal shapes"),
    ],
)
def test_arguments_that_do_not_fit(
    mingler: OptimizerType, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        mingler(named(), **arguments)


def test_layers_added_later_step_alone_with_a_warning(mingler: OptimizerType) -> None:
    """Edges name players that there are, so those to come cannot be in one."""
    optimizer = mingler(named(), edges=FEW)
    with pytest.warns(UserWarning, match=r"edges leave out h\.2, which therefore step alone"):
        optimizer.add_param_group({"params": [("h.2.weight", Parameter(torch.ones(2)))]})
    assert optimizer.describe()[-1].neighbours == ()


def test_a_model_wide_hyper_is_one_number(mingler: OptimizerType) -> None:
    pairs = named()
    groups = [{"params": pairs[:2]}, {"params": pairs[2:], "mu": 0.3}]
    with pytest.raises(HyperError, match=r"mu is one number for the whole optimizer, but is 0\.1 in .* and 0\.3 in"):
        mingler(groups)


def test_settled_choices_are_the_same_in_all_groups(mingler: OptimizerType) -> None:
    pairs = named()
    groups = [{"params": pairs[:2]}, {"params": pairs[2:], "cap": True}]
    with pytest.raises(HyperError, match="couples its parameters, so these must be the same in all groups: cap"):
        mingler(groups)


def test_players_and_edges_are_saved_and_compared(mingler: OptimizerType) -> None:
    saved = mingler(named(), edges=FEW, laplacian="symmetric").state_dict()
    mingler(named(), edges=FEW, laplacian="symmetric").load_state_dict(copy.deepcopy(saved))
    with pytest.raises(StateError, match="was saved with edges="):
        mingler(named(), laplacian="symmetric").load_state_dict(copy.deepcopy(saved))
    with pytest.raises(StateError, match="was saved with laplacian='symmetric'"):
        mingler(named(), edges=FEW).load_state_dict(copy.deepcopy(saved))
    saved = mingler(named()).state_dict()
    with pytest.raises(StateError, match="was saved with the players"):
        mingler(named(), players="tensor").load_state_dict(saved)


def test_state_of_a_layer_is_the_same_with_each_of_its_tensors(mingler: OptimizerType) -> None:
    optimizer = mingler(named())
    saved = optimizer.state_dict()
    saved["state"][1]["peak"] = torch.full_like(saved["state"][1]["peak"], 3.0)
    with pytest.raises(StateError, match=r"peak is one value per layer, but .* h\.0\.weight and h\.0\.bias"):
        optimizer.load_state_dict(saved)
    saved["state"][2]["peak"] = saved["state"][1]["peak"].clone()
    optimizer.load_state_dict(saved)
    optimizer.add_param_group({"params": [("h.0.scale", Parameter(torch.ones(1)))]})
    state = list(optimizer.state.values())
    assert [float(slots["peak"]) for slots in state] == [0, 3, 3, 0, 0, 3]


def test_a_rule_warns_of_values_and_graphs_that_do_not_go_together(mingler: OptimizerType) -> None:
    """The condition is the rule's own; the graph's part in it is its largest weighted degree."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mingler(named(), mu=0.5)
        mingler(named(), mu=0.9, laplacian="random_walk")
        mingler(named(), mu=0.9, edges=FEW)
    with pytest.warns(
        UserWarning, match=r"Mingler: too much is mixed \(mu\*max_degree > 1, mu = 0\.6, max_degree = 2\)"
    ):
        mingler(named(), mu=0.6)
    with pytest.warns(UserWarning, match="max_degree = 1.5"):
        mingler(named(), mu=0.7, edges=[("embed", "h.1", 1.5), ("embed", "h.0", 0.0)])


def test_graphs_have_names(mingler: OptimizerType) -> None:
    rows = mingler(named(), edges="complete").describe()
    assert [row.neighbours for row in rows if row.layer == "embed"] == [("h.0", "h.1")]
    saved = mingler(named(), edges="complete").state_dict()
    mingler(named(), edges="complete").load_state_dict(copy.deepcopy(saved))
    with pytest.raises(StateError, match="was saved with edges='complete'"):
        mingler(named(), edges="path").load_state_dict(saved)


def test_copies_keep_the_graph(mingler: OptimizerType) -> None:
    optimizer = mingler(named(), edges=FEW)
    assert [r.neighbours for r in copy.deepcopy(optimizer).describe()] == [r.neighbours for r in optimizer.describe()]
    assert replace(optimizer.describe()[0], module="") == replace(copy.deepcopy(optimizer).describe()[0], module="")
