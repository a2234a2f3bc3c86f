"""The rule neat as plain JAX functions, generated from neat.yaml.

spec ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349
made by: optgen build neat --backend xla --set bias_correction=true --set coupling=transport --set maximize=false --set nsa=l2 --set nsa_mean_preserving=false
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
    # LG = laplacian(g)
    mul = g * g
    return g, mul


def always_layer_2(sum):
    """`always`: one layer."""
    # LG = laplacian(g)
    sqrt_1 = sqrt(sum)
    return (sqrt_1,)


def always_tensor_3(g, pull, laplacian):
    """`always`: one tensor."""
    # LG = laplacian(g)
    LG = laplacian + pull * g
    # c = norm(LG, over="layer")
    mul_1 = LG * LG
    return mul_1, LG


def always_layer_4(sum_1, kappa):
    """`always`: one layer."""
    # c = norm(LG, over="layer")
    c = sqrt(sum_1)
    # share = 1/(1 + kappa*c)
    share = divide(1, 1 + kappa * c)
    return (share,)


def always_tensor_5(LG, g, share, param, m, v, mu, decoupled_weight_decay, beta1, beta2, t, eps, lr, weight_decay):
    """`always`: one tensor."""
    # g = g - mu*LG
    g_new = g - mu * LG
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    d = m_new * divide(1.0, -expm1(t * log(beta1))) / (jnp.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # d = share*d
    d_1 = share * d
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d_1 + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="neat",
    digest="ff7f4e683ee165e7c590337fe1c355bd778ee51d76fc6e648f2c6e808796e349",
    settled={"bias_correction": True, "coupling": 'transport', "maximize": False, "not decoupled_weight_decay": False, "nsa": 'l2', "nsa_mean_preserving": False},
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
                Each("tensor", always_tensor_3, ("g", "pull", "laplacian"), ("mul_1", "LG")),
                Total("sum", "elem", "layer", "mul_1", "sum_1"),
                Each("layer", always_layer_4, ("sum_1", "kappa"), ("share",)),
                Each("tensor", always_tensor_5, ("LG", "g", "share", "param", "m", "v", "mu", "decoupled_weight_decay", "beta1", "beta2", "t", "eps", "lr", "weight_decay"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
