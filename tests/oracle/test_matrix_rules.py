"""Rules on matrices against their published forms: torch's and optax's optimizers, and the algorithm of a paper."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from optgen.runtime.library_calls import low_rank, newton_schulz
from optgen.spec.loader import load
from optgen.verify import Reference
from tests.quick_xla import QUICK

QUINTIC = (3.4445, -4.775, 2.0315)
SHAPES = {"wide": (3, 5), "tall": (6, 2), "square": (4, 4)}
STEPS = 20


@pytest.fixture
def _in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch iterates in bfloat16 whatever it is given; here it iterates in what it is given."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("coefficients", [QUINTIC, (1.5, -0.5, 0.0)], ids=["quintic", "cubic"])
def test_the_iteration_is_a_polynomial_of_singular_values(
    shape: tuple[int, int], coefficients: tuple[float, float, float], rng: np.random.Generator
) -> None:
    a, b, c = coefficients
    x = rng.normal(size=(2, *shape))
    u, s, v = np.linalg.svd(x, full_matrices=False)
    s = s / np.sqrt((s**2).sum(axis=1, keepdims=True))
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    np.testing.assert_allclose(newton_schulz(x, (5, a, b, c, 1e-7)), (u * s[:, None]) @ v, rtol=0, atol=1e-12)


def test_small_and_missing_numbers_of_the_iteration() -> None:
    numbers = (5, *QUINTIC, 1e-7)
    assert not newton_schulz(np.zeros((1, 3, 2)), numbers).any()
    assert newton_schulz(np.zeros((1, 0, 2)), numbers).shape == (1, 0, 2)
    tiny = newton_schulz(np.full((1, 1, 1), 1e-12), numbers)
    np.testing.assert_allclose(tiny, 1e-5 * 3.4445**5, rtol=1e-3)  # the floor divides it, not its own norm
    apart = newton_schulz(np.array([[[np.nan, 1.0]], [[3.0, 4.0]]]), numbers)
    assert np.isnan(apart[0]).all()
    assert np.isfinite(apart[1]).all()


def test_low_rank_is_the_nearest_matrix_of_its_rank(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 5, 4))
    values = np.linalg.svd(x, compute_uv=False)
    for rank in range(4):
        near = low_rank(x, (rank,))
        assert (np.linalg.matrix_rank(near) == rank).all()
        left_out = np.sqrt((values[:, rank:] ** 2).sum(axis=1))
        np.testing.assert_allclose(np.linalg.norm(x - near, axis=(1, 2)), left_out, rtol=1e-12)
    assert np.array_equal(low_rank(x, (4,)), x)
    assert np.array_equal(low_rank(x, (99,)), x)
    x[0, 0, 0] = np.inf
    near = low_rank(x, (2,))
    assert np.isnan(near[0]).all()
    assert np.isfinite(near[1]).all()


@pytest.mark.usefixtures("_in_full_precision")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
def test_against_torch(nesterov: bool, scale: str, rng: np.random.Generator) -> None:
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    given = {"lr": 0.03, "momentum": 0.85, "weight_decay": 0.2, "nesterov": nesterov, "eps": 1e-5, "ns_steps": 4}
    theirs = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start.items()}
    optimizer = torch.optim.Muon(theirs.values(), **given, adjust_lr_fn=scale, ns_coefficients=QUINTIC)
    ours = Reference(load("muon"), start, {**given, "adjust_lr_fn": scale})
    for number in range(STEPS):
        grads = {name: rng.normal(size=x.shape) for name, x in start.items()}
        if number % 3 == 1:
            del grads["tall"]
        for name, param in theirs.items():
            param.grad = torch.tensor(grads[name]) if name in grads else None
        optimizer.step()
        ours.step(grads)
    for name, x in ours.params.items():
        np.testing.assert_allclose(x, theirs[name].detach().numpy(), rtol=0, atol=1e-12)


@pytest.fixture
def _sixty_four_bits() -> Iterator[None]:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_sixty_four_bits")
def test_against_optax(rng: np.random.Generator) -> None:
    """Matrices and, in the same transformation, vectors. optax corrects a bias, which the iteration takes out again
    unless it looks ahead; and it adds to norms what is here their floor."""
    import jax
    import jax.numpy as jnp
    import optax

    import optgen.jax

    params = {"w": jnp.asarray(rng.normal(size=(5, 3))), "u": jnp.asarray(rng.normal(size=(2, 6)))}
    params["b"] = jnp.asarray(rng.normal(size=7))
    theirs = optax.contrib.muon(
        0.03, beta=0.85, eps=1e-13, weight_decay=0.2, nesterov=False, adam_learning_rate=0.03, adam_weight_decay=0.1
    )
    aux = {"adamw_lr": 0.03, "adamw_eps": 1e-13, "adamw_weight_decay": 0.1}
    ours = optgen.jax.muon(0.03, momentum=0.85, eps=1e-13, weight_decay=0.2, nesterov=False, **aux)
    a, b = params, params
    states = theirs.init(a), ours.init(b)
    step, own = (jax.jit(each.update, compiler_options=QUICK) for each in (theirs, ours))
    for _ in range(6):
        grads = {name: jnp.asarray(rng.normal(size=x.shape)) for name, x in params.items()}
        updates, first = step(grads, states[0], a)
        a = optax.apply_updates(a, updates)
        updates, second = own(grads, states[1], b)
        b = optax.apply_updates(b, updates)
        states = first, second
    for name, x in a.items():
        np.testing.assert_allclose(b[name], x, rtol=0, atol=1e-10)


def published(m: np.ndarray, steps: int) -> np.ndarray:
    """X <- X(3I - X^T X)/2 from M over its norm; tensors below two axes pass."""
    if m.ndim < 2:
        return m
    x = m / max(np.linalg.norm(m), 1e-7)
    for _ in range(steps):
        x = 0.5 * x @ (3 * np.eye(x.shape[1]) - x.T @ x)
    return x


@pytest.mark.parametrize("moments", ["sum", "ema"])
def test_against_the_algorithm_of_the_paper(moments: str, rng: np.random.Generator) -> None:
    given = {"lr": 0.05, "beta1": 0.8, "beta2": 0.9, "beta3": 0.7, "alpha": 0.6, "eps": 1e-3, "ns_steps": 4}
    rate, beta1, beta2, beta3, alpha, eps, steps = given.values()
    frequency, decay = 3, 0.1
    keep = (1.0, 1.0, 1.0) if moments == "sum" else (beta1, beta2, beta3)
    take = (beta1, beta2, beta3) if moments == "sum" else (1 - beta1, 1 - beta2, 1 - beta3)
    start = {"w": rng.normal(size=(3, 5)), "k": rng.normal(size=(4, 2)), "b": rng.normal(size=6)}
    settings = {**given, "frequency": frequency, "moments": moments, "weight_decay": decay}
    ours = Reference(load("m3"), start, settings)
    grads = [{name: rng.normal(size=x.shape) for name, x in start.items()} for _ in range(11)]
    for name, theta in start.items():
        m1 = m2 = v = o2 = np.zeros_like(theta)
        for i, each in enumerate(grads):
            if i and i % frequency == 0:
                m2 = keep[2] * m2 + take[2] * sum(before[name] for before in grads[i - frequency : i])
                o2 = published(m2, int(steps))
            g = each[name]
            m1 = keep[0] * m1 + take[0] * g
            v = keep[1] * v + take[1] * g * g
            direction = (published(m1, int(steps)) + alpha * o2) / (np.sqrt(v) + eps)
            theta = theta - rate * (direction + decay * theta)
        start[name] = theta
    for each in grads:
        ours.step(each)
    for name, x in ours.params.items():
        np.testing.assert_allclose(x, start[name], rtol=0, atol=1e-11)
