"""State that goes from torch to JAX and back in the middle of training: bit for bit, and training goes on."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import optax
import pytest
import torch

import optgen.jax
import optgen.torch
from optgen import saved_state as states
from optgen.errors import StateError, UsageError
from optgen.spec.loader import load, shipped
from tests.jax_frontend.support import precision
from tests.state.support import SHAPES, SPREAD, Jax, Torch, bits, close, start

pytestmark = pytest.mark.filterwarnings("ignore:.*order of layers.*")


@pytest.mark.parametrize("name", SPREAD)
def test_training_goes_on_elsewhere(name: str, rng: np.random.Generator, tmp_path: Path) -> None:
    """Two steps in torch, two in JAX, two in torch are six in torch; what is written is what was read."""
    there, back = tmp_path / "torch.safetensors", tmp_path / "jax.safetensors"
    with precision("float64"):
        begin = start(rng)
        grads = [start(rng) for _ in range(6)]
        whole, first = Torch(name, begin), Torch(name, begin)
        for g in grads:
            whole.step(g)
        for g in grads[:2]:
            first.step(g)
        optgen.torch.save_state(there, first.optimizer)
        middle = Jax(name, first.values())
        middle.load(there)
        assert bits(states.read(there)) == bits(first.saved()) == bits(middle.saved())
        for g in grads[2:4]:
            middle.step(g)
        optgen.jax.save_state(back, middle.transformation, middle.state, middle.params)
        last = Torch(name, middle.values())
        optgen.torch.load_state(back, last.optimizer)
        assert bits(states.read(back)) == bits(middle.saved()) == bits(last.saved())
        assert last.optimizer.global_step == 4
        for g in grads[4:]:
            last.step(g)
        close(last.values(), whole.values())


@pytest.mark.parametrize("name", shipped())
def test_every_rule_keeps_its_bits(name: str, rng: np.random.Generator) -> None:
    """Of numbers that no step would make, so that a state that is lost or mixed up is seen."""
    made = Torch(name, start(rng), torch.float32)
    made.step(start(rng))
    for slots in made.optimizer.state.values():
        for key, x in slots.items():
            if key != "step" and x.is_floating_point():
                x.copy_(torch.rand(x.shape) if x.ndim else torch.tensor(0.25))
    there = Jax(name, made.values(), "float32")
    there.load(made.saved())
    again = Torch(name, made.values(), torch.float32)
    optgen.torch.load_state(there.saved(), again.optimizer)
    integers = bits(again.saved())
    assert integers == bits(made.saved())


def test_counts_of_parameters_that_had_no_gradient(rng: np.random.Generator) -> None:
    rule = next(n for n in SPREAD if "**t" in load(n).text)
    with precision("float64"):
        begin, grads = start(rng), [start(rng) for _ in range(4)]
        grads[1] |= {"a.w": None, "c.w": None}  # type: ignore[dict-item]
        whole, first = Torch(rule, begin), Torch(rule, begin)
        for g in grads:
            whole.step(g)
        for g in grads[:2]:
            first.step(g)
        middle = Jax(rule, first.values())
        middle.load(first.saved())
        assert bits(middle.saved()) == bits(first.saved())
        assert middle.saved().parameter("a/w").updates == 1
        for g in grads[2:]:
            middle.step(g)
        close(middle.values(), whole.values())


def test_narrow_state(rng: np.random.Generator, tmp_path: Path) -> None:
    """bfloat16 goes through a file and float32 in JAX; what float32 alone holds comes back only by leave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, again, half = (
            Torch("lion", start(rng), torch.bfloat16, state_dtype=dtype)
            for dtype in ("bfloat16", "bfloat16", "float16")
        )
    made.step(start(rng))
    optgen.torch.save_state(tmp_path / "x", made.optimizer)
    assert str(states.read(tmp_path / "x").parameter("a.w").state["m"].dtype) == "bfloat16"
    middle = Jax("lion", made.values(), "bfloat16")
    middle.load(tmp_path / "x")
    optgen.torch.load_state(middle.saved(), again.optimizer)
    assert bits(again.saved()) == bits(made.saved())
    middle.step(start(rng))
    before = bits(again.saved())
    with pytest.raises(StateError, match=r"m of \"a.w\" is float32 in the file and bfloat16 here.*cast=True"):
        optgen.torch.load_state(middle.saved(), again.optimizer)
    assert bits(again.saved()) == before
    optgen.torch.load_state(middle.saved(), again.optimizer, cast=True)
    wide = torch.tensor(np.asarray(middle.state.slots["m"]["a/w"]))
    assert torch.equal(again.optimizer.state[again.params["a.w"]]["m"], wide.bfloat16())
    optgen.torch.load_state(middle.saved(), half.optimizer, cast=True)


@pytest.mark.parametrize("name", [n for n in SPREAD if 'over="row"' in load(n).text] + ["adamw"])
def test_layouts(name: str, rng: np.random.Generator) -> None:
    """A weight that is (out, in) in torch and (in, out) in JAX: training goes on as if it had never been turned."""
    with precision("float64"):
        begin, grads = start(rng), [start(rng) for _ in range(4)]
        whole, first = Torch(name, begin), Torch(name, begin)
        for g in grads:
            whole.step(g)
        for g in grads[:2]:
            first.step(g)
        kernels = {"a.w": (1, 0), "b.?.w": (3, 2, 1, 0)} if name == "adamw" else {"a.w": True, "b.*": (1, 0, 3, 2)}

        def turned(values: dict[str, np.ndarray], way: int = 1) -> dict[str, np.ndarray]:
            orders = {2: (1, 0), 4: (3, 2, 1, 0) if name == "adamw" else (1, 0, 3, 2)}
            return {n: x.transpose(orders[x.ndim]) if x.ndim in orders and x.size else x for n, x in values.items()}

        called = {n.replace(".w", ".kernel"): x for n, x in turned(first.values()).items()}
        middle = Jax(name, called)
        given = {key.replace(".w", "/kernel").replace("b.", "b/"): order for key, order in kernels.items()}
        with pytest.raises(StateError, match="names="):
            middle.load(first.saved())
        middle.load(first.saved(), names={"*.*.w": "*/*/kernel", "*.w": "*/kernel"}, transpose=given)
        for g in grads[2:]:
            middle.step({n.replace(".w", ".kernel"): x for n, x in turned(g).items()})
        found = {n.replace(".kernel", ".w"): x for n, x in middle.values().items()}
        close(turned(found), whole.values())


def test_a_state_within_another(rng: np.random.Generator) -> None:
    made = Torch("lion", start(rng), torch.float32)
    made.step(start(rng))
    there = Jax("lion", made.values(), "float32")
    chain = optax.chain(optax.clip_by_global_norm(1.0), there.transformation)
    state = optgen.jax.load_state(made.saved(), there.transformation, there.params, chain.init(there.params))
    there.state = state[1]
    assert bits(there.saved()) == bits(made.saved())
    assert bits(optgen.jax.state_of(there.transformation, state, there.params)) == bits(made.saved())
    with pytest.raises(UsageError, match="0 are of one of our"):
        optgen.jax.state_of(there.transformation, state[0], there.params)


def test_a_file_of_leaves(rng: np.random.Generator, tmp_path: Path) -> None:
    """Its arrays are the leaves of the state, by their paths."""
    import safetensors.numpy

    made = Torch("adamw", start(rng), torch.float32)
    made.step(start(rng))
    optgen.torch.save_state(tmp_path / "x", made.optimizer)
    states.convert(tmp_path / "x", tmp_path / "y", "jax")
    leaves = safetensors.numpy.load_file(tmp_path / "y")
    assert leaves["count"] == 1
    assert set(leaves) == {
        "count",
        *(f"{what}/{name.replace('.', '/')}" for what in ("slots/m", "slots/v", "updates") for name in SHAPES),
    }
    there = Jax("adamw", made.values(), "float32")
    there.load(tmp_path / "y")
    assert bits(there.saved()) == bits(made.saved())
