"""A9: small updates of narrow weights are not lost, or their loss is said; random rounding can be repeated exactly."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optgen.errors import BackendError, StateError, UsageError
from optgen.ir.kernel_arith import round_at_random, stored
from optgen.ir.philox import rounding_bits
from optgen.runtime.torch_optimizer import Optimizer
from optgen.torch import SGD, AdamW, Lion

STEPS = 10_000
START, RATE = 1.75, 5e-5  # ends at 1.25: in one binade, whose numbers are 2**-7 apart
ULP = 2.0**-7
NARROW = (torch.bfloat16, torch.float16)


def parameter(n: int, value: float = START, dtype: torch.dtype = torch.bfloat16) -> Parameter:
    return Parameter(torch.full((n,), value, dtype=dtype))


def quiet(cls: type[Optimizer], params: Any, **arguments: Any) -> Any:
    """An optimizer whose warning is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cls(params, **arguments)


def run(p: Parameter, **arguments: Any) -> Any:
    optimizer = quiet(SGD, [p], lr=RATE, **arguments)
    p.grad = torch.ones_like(p)
    for _ in range(STEPS):
        optimizer.step()
    return optimizer


def room(n: int, chance: float) -> float:
    """Bernstein: independent steps of mean 0, each within an ulp, of variance q(1 - q) ulp**2 with q = RATE/ULP, stay
    within this of their mean but for a chance."""
    q = RATE / ULP
    variance, largest, log = n * STEPS * q * (1 - q) * ULP**2, ULP, math.log(2 / chance)
    return (math.sqrt(2 * variance * log) + 2 / 3 * largest * log) / n


def test_sub_ulp_updates_move_the_mean_under_stochastic_rounding() -> None:
    p = parameter(4096)
    run(p, stochastic_rounding=True)
    moved = START - p.detach().double().mean().item()
    assert abs(moved - STEPS * RATE) < room(4096, 1e-9)
    assert room(4096, 1e-9) < 0.02 * STEPS * RATE  # the bound says something
    assert p.detach().unique().numel() > 8


def test_sub_ulp_updates_reach_the_master() -> None:
    p = parameter(3)
    optimizer = run(p, master_weights=True)
    master = optimizer.state[p]["master"]
    assert master.dtype == torch.float32
    # each of the roundings to float32 is off by at most half a unit of [1, 2)
    assert torch.allclose(master, torch.full((3,), START - STEPS * RATE), rtol=0, atol=STEPS * 2.0**-24)
    assert torch.equal(p.detach(), master.to(torch.bfloat16))


@pytest.mark.parametrize("dtype", NARROW)
def test_plain_rounding_loses_them_and_says_so(dtype: torch.dtype) -> None:
    p = parameter(3, dtype=dtype)
    with pytest.warns(UserWarning, match="half a unit in the last place") as caught:
        optimizer = SGD([p], lr=RATE)
    assert len(caught) == 1
    p.grad = torch.ones_like(p)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            optimizer.step()
    assert torch.equal(p.detach(), torch.full((3,), START, dtype=dtype))


@pytest.mark.parametrize("given", [{"master_weights": True}, {"stochastic_rounding": True}])
def test_nothing_is_said_where_nothing_is_lost(given: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGD([parameter(3)], lr=RATE, **given)
        SGD([parameter(3, dtype=torch.float32)], lr=RATE)


def drawn(shape: tuple[int, ...], steps: int, *, seed: int = 0, **arguments: Any) -> list[Parameter]:
    """Two parameters after some steps on the same gradients."""
    rng = torch.Generator().manual_seed(4)
    params = [Parameter(torch.randn(shape, generator=rng).bfloat16()) for _ in range(2)]
    optimizer = quiet(AdamW, params, lr=1e-3, stochastic_rounding=True, seed=seed, **arguments)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(shape, generator=rng).bfloat16()
        optimizer.step()
    return params


def same(a: list[Parameter], b: list[Parameter]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_threads_do_not_change_the_bits() -> None:
    before = torch.get_num_threads()
    found: list[list[Parameter]] = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(drawn((700, 701), 3, state_dtype=torch.bfloat16))
    finally:
        torch.set_num_threads(before)
    assert same(*found)


def test_a_seed_is_a_run() -> None:
    assert same(drawn((40, 11), 3, seed=7), drawn((40, 11), 3, seed=7))
    assert not same(drawn((40, 11), 3, seed=7), drawn((40, 11), 3, seed=8))


def layouts() -> list[torch.Tensor]:
    """One tensor of four axes as memory may hold it."""
    x = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(1)).bfloat16()
    return [x.clone(), x.contiguous(memory_format=torch.channels_last), x.transpose(0, 3).contiguous().transpose(0, 3)]


@pytest.mark.parametrize("layout", range(3))
def test_the_bits_are_those_of_the_definition(layout: int) -> None:
    """Row-major index, position of the parameter, step and stream, as `optgen.ir.philox` has it, in any layout."""
    first, p = Parameter(torch.zeros(3, dtype=torch.bfloat16)), Parameter(layouts()[layout])
    optimizer = quiet(SGD, [first, p], lr=0.1, stochastic_rounding=True, seed=9)
    want = p.detach().float().contiguous().numpy().ravel()
    for step in (1, 2):
        g = torch.randn(p.shape, generator=torch.Generator().manual_seed(step)).bfloat16()
        p.grad = torch.empty_like(p).copy_(g)
        optimizer.step()
        moved = want - np.float32(0.1) * g.float().numpy().ravel()
        want = round_at_random(moved, rounding_bits(9, step, 1, 0, np.arange(want.size)))
        assert np.array_equal(p.detach().float().contiguous().numpy().ravel(), want)


def test_a_resumed_run_draws_the_same_bits() -> None:
    def step(optimizer: Any, p: Parameter, k: int) -> None:
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(k)).bfloat16()
        optimizer.step()

    options: dict[str, Any] = {"lr": 1e-2, "stochastic_rounding": True, "state_dtype": torch.bfloat16}
    whole = parameter(500)
    optimizer = quiet(AdamW, [whole], seed=3, **options)
    for k in range(3):
        step(optimizer, whole, k)
    saved, other = pickle.loads(pickle.dumps(optimizer.state_dict())), Parameter(whole.detach().clone())
    resumed = quiet(AdamW, [other], **options)
    resumed.load_state_dict(saved)
    for k in range(3, 6):
        step(optimizer, whole, k)
        step(resumed, other, k)
    assert torch.equal(whole, other)
    assert resumed.state_dict()["param_groups"][0]["optgen"]["seed"] == 3
    saved["param_groups"][0]["optgen"]["seed"] = "three"
    with pytest.raises(StateError, match="seed"):
        resumed.load_state_dict(saved)


def test_what_is_written_to_a_parameter_reaches_its_master() -> None:
    p = parameter(4)
    optimizer = AdamW([p], lr=1e-4, master_weights=True)
    p.grad = torch.ones_like(p)
    optimizer.step()
    kept = optimizer.state[p]["master"].clone()
    assert not torch.equal(kept.bfloat16().float(), kept)
    with torch.no_grad():
        p[:2] = 3.0
    p.grad = torch.zeros_like(p)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert optimizer.state[p]["master"].tolist() == [3.0, 3.0, *kept[2:].tolist()]
    assert p.tolist()[:2] == [3.0, 3.0]


def test_masters_and_random_rounding_serve_those_that_need_them() -> None:
    """Norms stay in float32 beside weights in bfloat16: what concerns the weights leaves them alone."""
    params = [parameter(8), parameter(8, dtype=torch.float32)]
    for given in ({"master_weights": True}, {"stochastic_rounding": True}):
        optimizer = AdamW(params, **given)
        assert ("master" in optimizer.state[params[0]]) == ("master_weights" in given)
        assert "master" not in optimizer.state[params[1]]
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()


def test_random_rounding_of_state_beside_masters() -> None:
    p = parameter(300)
    optimizer = AdamW([p], master_weights=True, stochastic_rounding=True, state_dtype={"v": torch.bfloat16}, seed=2)
    p.grad = torch.linspace(-1, 1, 300).bfloat16()
    optimizer.step()
    own = optimizer.state[p]
    assert (own["m"].dtype, own["v"].dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(p.detach(), own["master"].bfloat16())
    v = np.float32(1 - 0.999) * np.square(p.grad.float().numpy())
    got = own["v"].float().numpy()
    assert np.array_equal(got, round_at_random(v, rounding_bits(2, 1, 0, 3, np.arange(300))))
    assert not np.array_equal(got, stored(v, "bfloat16"))


REFUSED: list[tuple[dict[str, Any], torch.dtype, str]] = [
    ({"master_weights": True}, torch.float32, "no parameter is bfloat16 or float16"),
    ({"stochastic_rounding": True}, torch.float32, "leave it out, or give bfloat16 parameters"),
    ({"stochastic_rounding": True, "master_weights": True}, torch.bfloat16, "have masters and the state is wider"),
    ({"stochastic_rounding": True}, torch.float16, "nothing is stored so"),
    ({"stochastic_rounding": True, "state_dtype": "bfloat16"}, torch.float16, "use master_weights=True"),
    ({"state_dtype": torch.int8}, torch.float32, "state_dtype is torch.int8"),
    ({"state_dtype": {"mm": "bfloat16"}}, torch.float32, "no element-wise state"),
    ({"state_dtype": torch.float64}, torch.float32, "computed with in float32"),
    ({"state_dtype": torch.bfloat16}, torch.float64, "use float32 or float64"),
    ({"master_weights": 1}, torch.bfloat16, "must be True or False"),
    ({"stochastic_rounding": True, "seed": -1}, torch.bfloat16, "seed must be an integer"),
]


@pytest.mark.parametrize(("given", "dtype", "message"), REFUSED)
def test_contradictions_are_refused(given: dict[str, Any], dtype: torch.dtype, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        quiet(Lion, [parameter(3, dtype=dtype)], **given)


def test_the_reference_does_not_round_at_random() -> None:
    with pytest.raises(BackendError, match="rounds to the nearest"):
        SGD([parameter(3)], stochastic_rounding=True, backend="reference")
