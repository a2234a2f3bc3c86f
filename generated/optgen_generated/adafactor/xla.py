"""The rule adafactor as plain JAX functions, generated from adafactor.yaml.

spec 413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469
made by: optgen build adafactor --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, maximum, minimum, negation, power, sqrt, sum_of, where


def start_r():
    """What r starts from."""
    return (0.0,)


def start_c():
    """What c starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def is_ndim_param_ge_2(ndim):
    """Whether a tensor takes `ndim_param_ge_2`."""
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (ge,)


def ndim_param_ge_2(
    param, r, c, g, t, beta2_decay, cols, rows, eps1, numel, clip_threshold, relative_step, lr, eps2, weight_decay,
):
    """`ndim_param_ge_2`: one tensor."""
    # b = t**beta2_decay
    b = power(t, beta2_decay)
    # r = r + b*(mean(g**2, over="row") - r)
    mul = g * g
    r_new = r + b * (sum_of(mul, axis=2, keepdims=True) / cols - r)
    # c = c + b*(mean(g**2, over="col") - c)
    c_new = c + b * (sum_of(mul, axis=1, keepdims=True) / rows - c)
    # s = r*c/maximum(mean(r, over="matrix"), eps1)
    s = r_new * c_new / jnp.maximum(sum_of(r_new, axis=(1, 2), keepdims=True) / rows, eps1)
    # u = g/sqrt(maximum(s, eps1**2))
    u = g / jnp.sqrt(jnp.maximum(s, eps1 * eps1))
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    mul_1 = u * u
    d = u / maximum(1, divide(sqrt(divide(sum_of(mul_1), numel)), clip_threshold))
    # rate = where(relative_step, minimum(lr, 1/sqrt(t)), lr)
    rate = where(relative_step, minimum(lr, divide(1, sqrt(t))), lr)
    # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
    mul_2 = param * param
    size = maximum(eps2, sqrt(divide(sum_of(mul_2), numel)))
    # param = param - lr*weight_decay*param - rate*size*d
    param_new = param - lr * weight_decay * param - rate * size * d
    return param_new, r_new, c_new


def is_not_ndim_param_ge_2(ndim):
    """Whether a tensor takes `not_ndim_param_ge_2`."""
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (negation(ge),)


def not_ndim_param_ge_2(
    param, v, g, t, beta2_decay, eps1, numel, clip_threshold, relative_step, lr, eps2, weight_decay,
):
    """`not_ndim_param_ge_2`: one tensor."""
    # b = t**beta2_decay
    b = power(t, beta2_decay)
    # v = v + b*(g**2 - v)
    v_new = v + b * (g * g - v)
    # u = g/sqrt(maximum(s, eps1**2))
    u = g / jnp.sqrt(jnp.maximum(v_new, eps1 * eps1))
    # d = u/maximum(1, sqrt(mean(u**2, over="tensor"))/clip_threshold)
    mul = u * u
    d = u / maximum(1, divide(sqrt(divide(sum_of(mul), numel)), clip_threshold))
    # rate = where(relative_step, minimum(lr, 1/sqrt(t)), lr)
    rate = where(relative_step, minimum(lr, divide(1, sqrt(t))), lr)
    # size = maximum(eps2, sqrt(mean(param**2, over="tensor")))
    mul_1 = param * param
    size = maximum(eps2, sqrt(divide(sum_of(mul_1), numel)))
    # param = param - lr*weight_decay*param - rate*size*d
    param_new = param - lr * weight_decay * param - rate * size * d
    return param_new, v_new


PROGRAM = Program(
    rule="adafactor",
    digest="413f99778e9d313cfad1a80412c2b4aa10374e712aa6791162e7cdeb4ac3f469",
    settled={"maximize": False},
    matrix="trailing",
    vectors=True,
    slots=(
        Slot("r", "row", "float", "", start_r, ()),
        Slot("c", "col", "float", "", start_c, ()),
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "ndim_param_ge_2",
            is_ndim_param_ge_2, ("ndim",),
            (
                Each("tensor", ndim_param_ge_2, ("param", "r", "c", "g", "t", "beta2_decay", "cols", "rows", "eps1", "numel", "clip_threshold", "relative_step", "lr", "eps2", "weight_decay"), ("param_new", "r_new", "c_new")),
            ),
            {"param": "param_new", "r": "r_new", "c": "c_new"},
            True,
        ),
        Variant(
            "not_ndim_param_ge_2",
            is_not_ndim_param_ge_2, ("ndim",),
            (
                Each("tensor", not_ndim_param_ge_2, ("param", "v", "g", "t", "beta2_decay", "eps1", "numel", "clip_threshold", "relative_step", "lr", "eps2", "weight_decay"), ("param_new", "v_new")),
            ),
            {"param": "param_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
