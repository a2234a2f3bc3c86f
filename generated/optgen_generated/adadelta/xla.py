"""The rule adadelta as plain JAX functions, generated from adadelta.yaml.

spec 4b454bf4c36dc31bed9947c0bd2a50b737e901020b6bee111b9b54a6e4b03473
made by: optgen build adadelta --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant


def start_v(param):
    """What v starts from."""
    return (0.0,)


def start_u(param):
    """What u starts from."""
    return (0.0,)


def always(param, v, u, g, weight_decay, rho, eps, lr):
    """`always`: one tensor."""
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    # v = rho*v + (1 - rho)*g**2
    sub = 1 - rho
    v_new = rho * v + sub * (g_new * g_new)
    # d = sqrt(u + eps)/sqrt(v + eps)*g
    d = jnp.sqrt(u + eps) / jnp.sqrt(v_new + eps) * g_new
    # u = rho*u + (1 - rho)*d**2
    u_new = rho * u + sub * (d * d)
    # param = param - lr*d
    param_new = param - lr * d
    return param_new, v_new, u_new


PROGRAM = Program(
    rule="adadelta",
    digest="4b454bf4c36dc31bed9947c0bd2a50b737e901020b6bee111b9b54a6e4b03473",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("v", "elem", "float", "", start_v, ("param",)),
        Slot("u", "elem", "float", "", start_u, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "v", "u", "g", "weight_decay", "rho", "eps", "lr"), ("param_new", "v_new", "u_new")),
            ),
            {"param": "param_new", "v": "v_new", "u": "u_new"},
            True,
        ),
    ),
    inexact=(),
)
