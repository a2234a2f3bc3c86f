"""The rule rmsprop as plain JAX functions, generated from rmsprop.yaml.

spec c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176
made by: optgen build rmsprop --backend xla --set centered=false --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always(param, v, g, weight_decay, alpha, eps, lr):
    """`always`: one tensor."""
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    # v = alpha*v + (1 - alpha)*g**2
    v_new = alpha * v + (1 - alpha) * (g_new * g_new)
    # d = g/(sqrt(s) + eps)
    d = g_new / (jnp.sqrt(v_new) + eps)
    # param = param - lr*d
    param_new = param - lr * d
    return param_new, v_new


PROGRAM = Program(
    rule="rmsprop",
    digest="c710169870631c2efc39e17ddb3e4786cac86a9e43e7b9d244f94c854f852176",
    settled={"centered": False, "maximize": False, "momentum != 0": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "v", "g", "weight_decay", "alpha", "eps", "lr"), ("param_new", "v_new")),
            ),
            {"param": "param_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
