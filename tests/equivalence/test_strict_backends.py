"""Bits: strict optimizers of all backends agree with one another, from the same numbers and over several steps.

`test_strict` says that those of numba are NumPy's. Sums have no order here, see `stream`: backends sum in their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.jax
from optgen.api import compile as compile_rule
from optgen.errors import BackendError, UsageError
from optgen.explain import explain
from optgen.passes.pipeline import to_arrays
from optgen.runtime import jax_strict
from optgen.runtime.storage import DtypeSet
from optgen.spec.loader import load, loads
from optgen.verify.jax_side import JaxSide
from tests.equivalence.strict_streams import Bits, arranged, on_torch, run, stream, values_of
from tests.equivalence.test_strict import EXACT
from tests.ir.rules import text_of
from tests.programs import calls_a_library, lines_of

Tree = dict[str, jax.Array]


@cache
def in_numba(rule: str) -> Bits:
    """Strict kernels of the CPU, in torch."""
    return run(load(rule), on_torch(load(rule), "numba"))


def in_jax(rule: str, way: str = "plain") -> Bits:
    """A strict transformation under jit."""
    spec = load(rule)
    side = JaxSide(spec, values_of(spec), stream(spec)[0], DtypeSet("float32"), {**arranged(spec), "strict": True})
    side.apply = jax.jit(getattr(side.transformation, way))
    return run(spec, side)


def differing(want: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray]) -> list[str]:
    """What is not the same, with the first numbers of both."""
    assert want.keys() == got.keys()
    found: list[str] = []
    for key, own in want.items():
        if not np.array_equal(own, got[key], equal_nan=True):
            where = own != got[key]
            found.append(f"{key}: {own[where].tolist()[:2]} {got[key][where].tolist()[:2]}")
    return found


@pytest.mark.parametrize("rule", EXACT)
def test_what_xla_compiles(rule: str) -> None:
    assert not differing(in_numba(rule), in_jax(rule))


def test_triton_interpreted(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    rules, file = [rule for rule in EXACT if not calls_a_library(rule)], tmp_path / "bits.npz"
    lines_of("tests.equivalence.strict_streams", ["triton", str(file), *rules], {"TRITON_INTERPRET": "1"})
    with np.load(file) as found:
        got = dict(found)
    want = {key: x for rule in rules for key, x in in_numba(rule).items()}
    assert not differing(want, got)


def test_kernels_in_jax() -> None:
    """In place, kernels compute as in torch."""
    assert not differing(in_numba("adamw"), in_jax("adamw", "apply"))


def test_guards_are_what_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_strict, "_ROUNDED", frozenset[str]())
    assert differing(in_numba("adamw"), in_jax("adamw"))


# -- in JAX ----------------------------------------------------------------------------------------------------------


def trees(*shape: int) -> tuple[Tree, Tree]:
    """Parameters and gradients."""
    rng = np.random.default_rng(5)
    made = [{"w": jnp.asarray(rng.normal(size=shape), jnp.float32)} for _ in range(2)]
    return made[0], made[1]


def test_it_composes() -> None:
    """A first step whose count the compiler knows, a batch of steps, and derivatives, which are those of the rule."""
    strict, loose = optgen.jax.adamw(0.1, eps=0.5, strict=True), optgen.jax.adamw(0.1, eps=0.5)
    params, grads = trees(3, 40)
    state = strict.init(params)
    want, _ = jax.jit(strict.plain)(grads, state, params)
    known, _ = jax.jit(lambda p, g: strict.plain(g, strict.init(p), p))(params, grads)
    assert jnp.array_equal(want["w"], known["w"])
    rows, _ = jax.jit(jax.vmap(lambda g, p: strict.plain(g, strict.init(p), p)))(grads, params)
    assert jnp.array_equal(want["w"], rows["w"])

    def loss(tx: optgen.jax.Transformation, g: Tree) -> jax.Array:
        return jnp.sum(tx.plain(g, tx.init(params), params)[0]["w"] ** 2)

    slopes = [jax.jit(jax.grad(lambda g, tx=tx: loss(tx, g)))(grads)["w"] for tx in (strict, loose)]
    assert jnp.any(slopes[0])
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-5)


def test_subnormal_numbers_in_place() -> None:
    """XLA's threads take them for zeros; kernels that they call do not."""
    params = {"w": jnp.ones(5)}
    tx = optgen.jax.adamw(0.1, strict=True)
    _, state = jax.jit(tx.apply)({"w": jnp.full(5, 1e-20)}, tx.init(params), params)
    got = np.asarray(state.slots["v"]["w"])
    square = np.float32(1e-20) * np.float32(1e-20)
    assert (got == np.float32(1 - 0.999) * square).all()
    assert (got > 0).all()


def test_refusals() -> None:
    factory = compile_rule(loads(text_of("param = param - lr*exp(g)"), "mine.yaml"), framework="jax")
    with pytest.raises(UsageError, match="strict=True, but mine uses exp on elements"):
        factory(strict=True)
    with pytest.raises(UsageError, match="strict must be True or False, got 1"):
        optgen.jax.adamw(0.1, strict=1)  # type: ignore[arg-type]
    params, grads = trees(3)
    tx = optgen.jax.adamw(0.1, strict=True)
    with pytest.raises(BackendError, match="strict=True is for CPUs, and this is compiled for cuda"):
        jax.export.export(jax.jit(tx.plain), platforms=["cuda"])(grads, tx.init(params), params)


@pytest.mark.parametrize("rule", ["adamw", "lamb", "m3", "muon"])
def test_functions_say_as_kernels_do_whether_they_are_exact(rule: str) -> None:
    assert (not to_arrays(load(rule), {}).inexact) == explain(load(rule))["exact"]
