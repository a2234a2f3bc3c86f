"""The rule sgd as plain JAX functions, generated from sgd.yaml.

spec 24e528f55c5d6fb159f767df25db1d6c7c79b39bf614e60e17726e13d3b00f46
made by: optgen build sgd --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant


def always(param, g, weight_decay, lr):
    """`always`: one tensor."""
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    # param = param - lr*d
    param_new = param - lr * g_new
    return (param_new,)


PROGRAM = Program(
    rule="sgd",
    digest="24e528f55c5d6fb159f767df25db1d6c7c79b39bf614e60e17726e13d3b00f46",
    settled={"maximize": False, "momentum != 0": False},
    matrix="trailing",
    vectors=False,
    slots=(
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "g", "weight_decay", "lr"), ("param_new",)),
            ),
            {"param": "param_new"},
            True,
        ),
    ),
    inexact=(),
)
