"""The rule laprop as plain JAX functions, generated from laprop.yaml.

spec 65312258b2797416ab3cafce752e04af7de60ca331295f2d4a6ae119081c650a
made by: optgen build laprop --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, expm1, log


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always(param, m, v, g, beta2, beta1, t, eps, lr, weight_decay):
    """`always`: one tensor."""
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g * g)
    # m = beta1*m + (1 - beta1)*(g/(sqrt(v/(1 - beta2**t)) + eps))
    m_new = beta1 * m + (1 - beta1) * (g / (jnp.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps))
    # d = m/(1 - beta1**t)
    d = m_new * divide(1.0, -expm1(t * log(beta1)))
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="laprop",
    digest="65312258b2797416ab3cafce752e04af7de60ca331295f2d4a6ae119081c650a",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "v", "g", "beta2", "beta1", "t", "eps", "lr", "weight_decay"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
