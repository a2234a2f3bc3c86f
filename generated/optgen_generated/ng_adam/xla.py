"""The rule ng_adam as plain JAX functions, generated from ng_adam.yaml.

spec daf9c456937e328e280ea10d3c941e7576aa9dd1dd5af0bde0f7652877079d16
made by: optgen build ng_adam --backend xla --set coupling=transport --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Edges, Program, Slot, Stencil, Total, Variant
from optgen.runtime.jax_scalars import divide, expm1, log, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always_tensor_1(g):
    """`always`: one tensor."""
    # g = g - mu*laplacian(g) + where(decoupled_weight_decay, 0, weight_decay)*param
    mul = g * g
    return g, mul


def always_layer_2(sum):
    """`always`: one layer."""
    # g = g - mu*laplacian(g) + where(decoupled_weight_decay, 0, weight_decay)*param
    sqrt_1 = sqrt(sum)
    return (sqrt_1,)


def always_tensor_3(
    g, pull, laplacian, param, m, v, mu, decoupled_weight_decay, weight_decay, beta1, beta2, bias_correction, t, eps, lr,
):
    """`always`: one tensor."""
    # g = g - mu*laplacian(g) + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g - mu * (laplacian + pull * g) + where(decoupled_weight_decay, 0, weight_decay) * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = (m/where(bias_correction, 1 - beta1**t, 1)) / (sqrt(v/where(bias_correction, 1 - beta2**t, 1)) + eps)
    d = m_new * divide(1.0, where(bias_correction, -expm1(t * log(beta1)), 1)) / (jnp.sqrt(v_new * divide(1.0, where(bias_correction, -expm1(t * log(beta2)), 1))) + eps)
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="ng_adam",
    digest="daf9c456937e328e280ea10d3c941e7576aa9dd1dd5af0bde0f7652877079d16",
    settled={"coupling": 'transport', "maximize": False},
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
                Each("tensor", always_tensor_1, ("g",), ("g", "mul")),
                Stencil("laplacian", "g", "laplacian"),
                Total("sum", "elem", "layer", "mul", "sum"),
                Each("layer", always_layer_2, ("sum",), ("sqrt_1",)),
                Edges("pull", "sqrt_1", "pull"),
                Each("tensor", always_tensor_3, ("g", "pull", "laplacian", "param", "m", "v", "mu", "decoupled_weight_decay", "weight_decay", "beta1", "beta2", "bias_correction", "t", "eps", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
