"""Where the published code of the rule with memories differs from what it says: our value, and the published one.

Numbers are worked out by hand or measured on the published code; those that need a model are of torch modules.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optgen.errors import UsageError
from optgen.spec.loader import load
from optgen.torch import Nested
from optgen.verify import Reference

SPEC = load("nested")
BOTH = ("ours", "reference")
ONE = {"lr": 0.1, "eps": 1e-12, "interval": 1}


def run(
    hypers: dict[str, Any], steps: int, g: float = 1.0, names: tuple[str, ...] = ("w",), size: int = 1
) -> list[list[float]]:
    """The first element of every parameter after each step with a constant gradient."""
    reference = Reference(SPEC, {name: np.zeros(size) for name in names}, hypers)
    found: list[list[float]] = []
    for _ in range(steps):
        reference.step([np.full(size, g) for _ in names])
        found.append([float(x[0]) for x in reference.params.values()])
    return found


def due_steps(hypers: dict[str, Any], steps: int, names: tuple[str, ...] = ("w",)) -> list[list[int]]:
    """The steps at which each parameter moves."""
    rows = [[0.0] * len(names), *run(hypers, steps, names=names)]
    return [[t for t in range(1, steps + 1) if rows[t][k] != rows[t - 1][k]] for k in range(len(names))]


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2)).double()


def torch_steps(optimizer: Nested, count: int) -> None:
    for _ in range(count):
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.grad = torch.ones_like(param)
        optimizer.step()


@pytest.mark.parametrize(("compat", "slowest"), [("ours", 6), ("reference", 7)])
def test_01_the_slowest_interval(compat: str, slowest: int) -> None:
    assert due_steps({"compat": compat, "lr": 0.1}, 14, ("0.w", "1.w"))[1] == list(range(slowest, 15, slowest))


@pytest.mark.parametrize(("compat", "first", "at_12"), [("ours", 1.0, 1.0), ("reference", math.sqrt(2), 2.5)])
def test_02_the_exponent_of_the_bias_correction(compat: str, first: float, at_12: float) -> None:
    """Counting the writes of v makes a constant direction a step of lr; counting steps makes it too long."""
    hypers = {**ONE, "memory_blend_mode": "fixed", "compat": compat, "beta2": 0.999}
    still = {f"{kind}_term_weight": 0.0 for kind in ("short", "medium", "long")}
    moved = -run({**hypers, **still}, 1)[0][0]
    assert moved == pytest.approx(0.1 * first, rel=1e-3)
    slow = [row[0] for row in run({**hypers, **still, "interval": 6}, 12)]
    assert (slow[10] - slow[11]) / 0.1 == pytest.approx(at_12, rel=0.03)


@pytest.mark.parametrize(("compat", "warm"), [("ours", [1, 2, 3]), ("reference", [1, 2])])
def test_03_steps_of_warm_up(compat: str, warm: list[int]) -> None:
    assert due_steps({"lr": 0.1, "interval": 5, "warmup_steps": 3, "compat": compat}, 6)[0] == [*warm, 5]


@pytest.mark.parametrize("compat", BOTH)
@pytest.mark.parametrize(("reverse", "every"), [(True, 0), (False, 1)])
def test_05_deeper_layers_are_slower(compat: str, reverse: bool, every: int) -> None:
    """As the table and the code have it, with the argument's name read as "deeper layers update slower"."""
    found = due_steps({"lr": 0.1, "reverse_depth_order": reverse, "compat": compat}, 7, ("0.w", "1.w"))
    assert found[every] == list(range(1, 8))
    assert len(found[1 - every]) == 1


@pytest.mark.parametrize("compat", BOTH)
def test_06_the_first_momentum_is_not_read(compat: str) -> None:
    assert run({**ONE, "beta1": 0.0, "compat": compat}, 3) == run({**ONE, "beta1": 0.99, "compat": compat}, 3)


@pytest.mark.parametrize(("compat", "weights"), [("ours", (0.1, 0.3, 0.6)), ("reference", (0.258, 0.316, 0.426))])
def test_07_learned_weights_begin_where_they_are_said_to(compat: str, weights: tuple[float, float, float]) -> None:
    reference = Reference(SPEC, {"w": np.zeros(1)}, {**ONE, "memory_blend_mode": "adaptive", "compat": compat})
    logits = np.exp(reference.state("logits")["w"])
    assert (logits / logits.sum()).tolist() == pytest.approx(weights, abs=1e-3)


@pytest.mark.parametrize("compat", BOTH)
def test_08_and_10_the_query_is_the_mean_of_what_was_accumulated(compat: str) -> None:
    """Without memories a due step is half the mean gradient's: 1, 2 and 6 have the mean 3."""
    still = {f"{kind}_term_weight": 0.0 for kind in ("short", "medium", "long")}
    hypers = {"interval": 3, "memory_blend_mode": "fixed", "beta2": 0.0, "compat": compat, **still}
    for accumulate, mean in ((True, 3.0), (False, 6.0)):
        reference = Reference(SPEC, {"w": np.zeros(1)}, {**hypers, "accumulate_gradients": accumulate})
        for g in (1.0, 2.0, 6.0):
            reference.step([np.array([g])])
        assert reference.state("v")["w"][0] == pytest.approx((0.5 * mean) ** 2)


def attention(size: int, g: float, score: str, compat: str) -> list[float]:
    """Weights of the memories in the first step: they blend memories that are g times 0.06, 0.006 and 0.0001."""
    hypers = {**ONE, "attention_score": score, "compat": compat, "beta2": 0.0}
    reference = Reference(SPEC, {"w": np.zeros(size)}, hypers)
    reference.step([np.full(size, g)])
    memories = np.array([reference.state(name)["w"][0] for name in ("s", "m", "l")])
    assert memories.tolist() == pytest.approx([0.06 * g, 0.006 * g, 0.0001 * g])
    scores = memories * g * size / np.sqrt(size) if score == "dot" else np.ones(3)
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    blended = 2 * math.sqrt(reference.state("v")["w"][0]) - g
    assert blended == pytest.approx(float(weights @ memories), rel=1e-6)
    return [float(w) for w in weights]


@pytest.mark.parametrize("compat", BOTH)
def test_09_scores_depend_on_the_scale_of_gradients(compat: str) -> None:
    """In both; cosine scores, an extension, do not."""
    assert attention(100, 1.0, "dot", compat) == pytest.approx([0.46, 0.28, 0.26], abs=0.02)
    assert attention(10_000, 1.0, "dot", compat) == pytest.approx([0.99, 0.005, 0.003], abs=0.01)
    assert attention(100, 1e-3, "dot", compat) == pytest.approx([1 / 3] * 3, abs=1e-4)
    assert attention(100, 1e-3, "cosine", compat) == pytest.approx([1 / 3] * 3)


def test_11_intervals_by_name_are_of_the_whole_name() -> None:
    """With the schedule off; `intervals=` holds either way. A pattern that matches nothing is refused."""
    named = list(model().named_parameters())
    given: dict[str, Any] = {"auto_schedule": False, "default_interval": 2, "backend": "reference"}
    optimizer = Nested(named, lr=0.1, layer_update_intervals={"1.*": 3}, **given)
    before = {name: param.detach().clone() for name, param in named}
    torch_steps(optimizer, 2)
    assert [name for name, param in named if not torch.equal(param, before[name])] == [
        *("0.weight", "0.bias", "2.weight", "2.bias")
    ]
    with pytest.raises(UsageError, match='layer_update_intervals names "dense", which no parameter matches'):
        Nested(named, layer_update_intervals={"dense": 3}, **given)


@pytest.mark.parametrize(("compat", "shrunk"), [("ours", 0.1 * 0.5), ("reference", 0.0)])
def test_12_weight_decay(compat: str, shrunk: float) -> None:
    hypers = {"lr": 0.1, "interval": 2, "weight_decay": 0.5, "compat": compat}
    moved: dict[float, float] = {}
    for start in (0.0, 1.0):
        reference = Reference(SPEC, {"w": np.full(1, start)}, hypers)
        for _ in range(2):
            reference.step([np.ones(1)])
        moved[start] = float(reference.params["w"][0]) - start
    assert moved[0.0] - moved[1.0] == pytest.approx(shrunk, abs=1e-12)


def test_13_the_rate_is_the_live_one() -> None:
    """Rise from 0.01 of lr over two steps of eight, two at lr, a fall over four; what is set counts at once."""
    optimizer = Nested(model().named_parameters(), lr=0.4, backend="reference")
    assert optimizer.current_learning_rate == 0.4
    optimizer.set_steps_per_epoch(8)
    rates = []
    for _ in range(9):
        torch_steps(optimizer, 1)
        rates.append(optimizer.current_learning_rate)
    rise = [0.01, 0.505, 1.0, 1.0, 1.0, 0.7525, 0.505, 0.2575, 0.01]
    assert rates == pytest.approx([0.4 * x for x in rise])
    optimizer.param_groups[0]["lr"] = 0.2
    assert optimizer.current_learning_rate == pytest.approx(0.2 * 0.01)


@pytest.mark.filterwarnings("ignore:.*without a float32 copy")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_14_every_dtype_has_wide_memories(dtype: torch.dtype) -> None:
    param = nn.Parameter(torch.zeros(4, dtype=dtype))
    optimizer = Nested([("0.weight", param)], lr=0.1, intervals={"*": 1}, backend="reference")
    torch_steps(optimizer, 2)
    assert {optimizer.state[param][name].dtype for name in ("s", "m", "l")} == {torch.float32}
    assert float(optimizer.state[param]["l"][0]) == pytest.approx(2e-4, rel=1e-3)


def test_15_depths_are_kept_with_the_state() -> None:
    """Registered depths decide intervals; a checkpoint carries them to an optimizer that was not told."""
    optimizer = Nested(model().named_parameters(), lr=0.1, backend="reference")
    optimizer.register_layer_depth("0", 2)
    optimizer.register_variable_depth("2.bias", 0.0)
    assert [d for group in optimizer.param_groups for d in group["depths"]] == [1.0, 1.0, 0.5, 0.5, 1.0, 0.0]
    other = Nested(model().named_parameters(), lr=0.1, backend="reference")
    other.load_state_dict(optimizer.state_dict())
    assert [d for group in other.param_groups for d in group["depths"]] == [1.0, 1.0, 0.5, 0.5, 1.0, 0.0]


def test_04_and_16_depth_counts_layers_that_own_weights() -> None:
    """The published code gives all weights to the root, or without a model counts variables: kernel and bias differ."""
    net = model()
    optimizer = Nested(net.named_parameters(), backend="reference")
    assert [d for group in optimizer.param_groups for d in group["depths"]] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    optimizer.compute_depths_from_model(nn.ModuleDict({"last": net[2], "rest": net}))
    assert [d for group in optimizer.param_groups for d in group["depths"]] == [0.5, 0.5, 1.0, 1.0, 0.0, 0.0]
    optimizer.compute_depths_from_model(net, torch.zeros(1, 3, dtype=torch.float64))
    assert [d for group in optimizer.param_groups for d in group["depths"]] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    with pytest.raises(UsageError, match="has none of this optimizer's parameters"):
        optimizer.compute_depths_from_model(nn.Linear(2, 2))


def test_04_and_16_as_published() -> None:
    """Quirks of depth in torch; those of Keras are among its checks."""
    net, given = model(), {"compat": "reference", "backend": "reference"}
    named = list(net.named_parameters())
    optimizer = Nested(named, **given)
    assert [d for group in optimizer.param_groups for d in group["depths"]] == pytest.approx([k / 5 for k in range(6)])
    optimizer.register_variable_depth("0.bias", 5)
    assert optimizer.param_groups[0]["depths"][:3] == pytest.approx([0.0, 1.0, 0.4])
    some = Nested(named, depths={"0.bias": 1, "1.*": 4}, **given)
    assert some.param_groups[0]["depths"] == pytest.approx([1.0, 0.25, 1.0, 1.0, 1.0, 1.0])
    optimizer.compute_depths_from_model(net)
    assert optimizer.param_groups[0]["depths"] == [0.0] * 6


def test_18_a_whole_number_that_rounds_down_stays_whole() -> None:
    """Linear, 1 - (1 - r) at r = 0.8 of 5: the published code may truncate 4.999... to 4."""
    names = tuple(f"{k}.w" for k in range(11))
    hypers = {"lr": 0.1, "schedule_curve": "linear", "max_interval": 10}
    ours = [found[0] for found in due_steps({**hypers, "compat": "ours"}, 11, names)]
    published = [found[0] for found in due_steps({**hypers, "compat": "reference"}, 11, names)]
    assert ours == [*range(1, 11), 10]
    plain = [max(1, int(10 * (1 - (1 - k / 10)) + 1)) for k in range(11)]
    assert published == plain != list(range(1, 12))


def test_19_steps_are_counted_before_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = Nested(model().named_parameters(), backend="reference")
    assert optimizer.iterations == 0
    torch_steps(optimizer, 2)
    assert optimizer.iterations == 2
    optimizer.print_memory_stats()
    assert "6 parameters, 46 elements, 368 bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda o: o.register_layer_depth("3", 0), 'no parameter is of the layer "3"'),
        (lambda o: o.register_layer_depth("0", 3), "depth 3 is beyond the last of 3 layers"),
        (lambda o: o.register_layer_depth("0", -1), "at least 0"),
        (lambda o: o.register_layer_depth("0", 1.5), "between 0.0 and 1.0"),
        (lambda o: o.register_variable_depth("0.wight", 0), 'did you mean "0.weight"'),
    ],
)
def test_depths_that_cannot_be(call: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        call(Nested(model().named_parameters(), backend="reference"))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"use_gradient_compression": True}, "give the rank too"),
        ({"compression_rank": 2}, "say use_gradient_compression as well"),
        ({"default_interval": 2}, "no effect while intervals come from the depth"),
        ({"compat": "reference", "weight_decay": 0.1}, "ignores weight decay"),
    ],
)
def test_options_that_contradict_each_other(given: dict[str, Any], match: str) -> None:
    with pytest.warns(UserWarning, match=match):
        Nested(model().named_parameters(), backend="reference", **given)


def test_a_depth_for_a_parameter_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r'depths names "9\.\*", which no parameter matches'):
        Nested(model().named_parameters(), backend="reference", depths={"9.*": 0})
