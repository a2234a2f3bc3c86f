"""The rule adan as plain JAX functions, generated from adan.yaml.

spec 932e977df29a81a22338d07f7a12d221d51c2ae24a5647d7112705ec9aa9bd77
made by: optgen build adan --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, expm1, log, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_u(param):
    """What u starts from."""
    return (0.0,)


def start_n(param):
    """What n starts from."""
    return (0.0,)


def start_before(param):
    """What before starts from."""
    return (0.0,)


def always(param, m, u, n, before, g, t, beta1, beta2, beta3, eps, no_prox, lr, weight_decay):
    """`always`: one tensor."""
    # x = where(t == 1, 0, g - before)
    x = jnp.where(t == 1, 0, g - before)
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g
    # u = beta2*u + (1 - beta2)*x
    u_new = beta2 * u + (1 - beta2) * x
    # n = beta3*n + (1 - beta3)*(g + beta2*x)**2
    add = g + beta2 * x
    n_new = beta3 * n + (1 - beta3) * (add * add)
    # d = (m/(1 - beta1**t) + beta2/(1 - beta2**t)*u) / (sqrt(n/(1 - beta3**t)) + eps)
    d = (m_new * divide(1.0, -expm1(t * log(beta1))) + divide(beta2, -expm1(t * log(beta2))) * u_new) / (jnp.sqrt(n_new * divide(1.0, -expm1(t * log(beta3)))) + eps)
    # param = (where(no_prox, 1 - lr*weight_decay, 1)*param - lr*d)/where(no_prox, 1, 1 + lr*weight_decay)
    mul = lr * weight_decay
    param_new = (where(no_prox, 1 - mul, 1) * param - lr * d) * divide(1.0, where(no_prox, 1, 1 + mul))
    return param_new, m_new, u_new, n_new, g


PROGRAM = Program(
    rule="adan",
    digest="932e977df29a81a22338d07f7a12d221d51c2ae24a5647d7112705ec9aa9bd77",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("u", "elem", "float", "", start_u, ("param",)),
        Slot("n", "elem", "float", "", start_n, ("param",)),
        Slot("before", "elem", "float", "", start_before, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "u", "n", "before", "g", "t", "beta1", "beta2", "beta3", "eps", "no_prox", "lr", "weight_decay"), ("param_new", "m_new", "u_new", "n_new", "g")),
            ),
            {"param": "param_new", "m": "m_new", "u": "u_new", "n": "n_new", "before": "g"},
            True,
        ),
    ),
    inexact=(),
)
