"""The rule adamw as plain JAX functions, generated from adamw.yaml.

spec 776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9
made by: optgen build adamw --backend xla --set amsgrad=false --set maximize=false
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


def always(param, m, v, g, beta1, beta2, t, eps, lr, weight_decay):
    """`always`: one tensor."""
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g * g)
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    d = m_new * divide(1.0, -expm1(t * log(beta1))) / (jnp.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="adamw",
    digest="776539a6877fcdf557c8e6fcfe462bdb7daae1acb4e06fe54482cedb711ef3c9",
    settled={"amsgrad": False, "maximize": False},
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
                Each("tensor", always, ("param", "m", "v", "g", "beta1", "beta2", "t", "eps", "lr", "weight_decay"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
