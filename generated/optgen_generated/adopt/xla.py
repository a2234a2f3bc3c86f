"""The rule adopt as plain JAX functions, generated from adopt.yaml.

spec 38a4d3d78f79c2cdba7b0c86006596e61d7598ac7efd866489cabb5b75afb511
made by: optgen build adopt --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import negation, power


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def is_t_is_1(t):
    """Whether a tensor takes `t_is_1`."""
    # if t == 1:
    eq = t == 1
    return (eq,)


def t_is_1(g):
    """`t_is_1`: one tensor."""
    # v = g**2
    v_new = g * g
    return (v_new,)


def is_not_t_is_1(t):
    """Whether a tensor takes `not_t_is_1`."""
    # if t == 1:
    eq = t == 1
    return (negation(eq),)


def not_t_is_1(param, m, v, g, t, beta1, eps, beta2, lr, weight_decay):
    """`not_t_is_1`: one tensor."""
    # bound = (t - 1)**0.25
    bound = power(t - 1, 0.25)
    # m = beta1*m + (1 - beta1)*clip(g/maximum(sqrt(v), eps), -bound, bound)
    m_new = beta1 * m + (1 - beta1) * jnp.minimum(jnp.maximum(g / jnp.maximum(jnp.sqrt(v), eps), -bound), bound)
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g * g)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (m_new + weight_decay * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="adopt",
    digest="38a4d3d78f79c2cdba7b0c86006596e61d7598ac7efd866489cabb5b75afb511",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "t_is_1",
            is_t_is_1, ("t",),
            (
                Each("tensor", t_is_1, ("g",), ("v_new",)),
            ),
            {"v": "v_new"},
            True,
        ),
        Variant(
            "not_t_is_1",
            is_not_t_is_1, ("t",),
            (
                Each("tensor", not_t_is_1, ("param", "m", "v", "g", "t", "beta1", "eps", "beta2", "lr", "weight_decay"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
