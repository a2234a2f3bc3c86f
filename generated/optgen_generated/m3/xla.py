"""The rule m3 as plain JAX functions, generated from m3.yaml.

spec cae22ee4f9ca3fa0c9acd0f0222118f3d3394292609588902116c85a3f42af9d
made by: optgen build m3 --backend xla --set maximize=false --set moments=sum
"""

import jax.numpy as jnp

from optgen.runtime.jax_library import newton_schulz
from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import both, negation, remainder


def start_m1(param):
    """What m1 starts from."""
    return (0.0,)


def start_m2(param):
    """What m2 starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def start_chunk(param):
    """What chunk starts from."""
    return (0.0,)


def start_o2(param):
    """What o2 starts from."""
    return (0.0,)


def is_ends_ndim_param_ge_2(t, frequency, ndim):
    """Whether a tensor takes `ends_ndim_param_ge_2`."""
    # ends = t > 1 and (t - 1) % frequency == 0
    ends = both(t > 1, remainder(t - 1, frequency) == 0)
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (both(ends, ge),)


def ends_ndim_param_ge_2(
    param, m1, m2, v, chunk, g, beta1, beta2, beta3, ns_steps, ns_a, ns_b, ns_c, ns_eps, alpha, eps, lr, weight_decay,
):
    """`ends_ndim_param_ge_2`: one tensor."""
    # m2 = keep[2]*m2 + take[2]*chunk
    m2_new = 1.0 * m2 + beta3 * chunk
    # o2 = newton_schulz(m2, steps=ns_steps, coefficients=[ns_a, ns_b, ns_c], eps=ns_eps)
    o2_new = newton_schulz(m2_new, ns_steps, ns_a, ns_b, ns_c, ns_eps)
    # m1 = keep[0]*m1 + take[0]*g
    m1_new = 1.0 * m1 + beta1 * g
    # v = keep[1]*v + take[1]*g**2
    v_new = 1.0 * v + beta2 * (g * g)
    # chunk = chunk + g
    chunk_new = 0 + g
    # o1 = newton_schulz(m1, steps=ns_steps, coefficients=[ns_a, ns_b, ns_c], eps=ns_eps)
    o1 = newton_schulz(m1_new, ns_steps, ns_a, ns_b, ns_c, ns_eps)
    # d = (o1 + alpha*o2)/(sqrt(v) + eps)
    d = (o1 + alpha * o2_new) / (jnp.sqrt(v_new) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m1_new, m2_new, v_new, chunk_new, o2_new


def is_not_ends_ndim_param_ge_2(t, frequency, ndim):
    """Whether a tensor takes `not_ends_ndim_param_ge_2`."""
    # ends = t > 1 and (t - 1) % frequency == 0
    ends = both(t > 1, remainder(t - 1, frequency) == 0)
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (both(negation(ends), ge),)


def not_ends_ndim_param_ge_2(
    param, m1, v, chunk, o2, g, beta1, beta2, ns_steps, ns_a, ns_b, ns_c, ns_eps, alpha, eps, lr, weight_decay,
):
    """`not_ends_ndim_param_ge_2`: one tensor."""
    # m1 = keep[0]*m1 + take[0]*g
    m1_new = 1.0 * m1 + beta1 * g
    # v = keep[1]*v + take[1]*g**2
    v_new = 1.0 * v + beta2 * (g * g)
    # chunk = chunk + g
    chunk_new = chunk + g
    # o1 = newton_schulz(m1, steps=ns_steps, coefficients=[ns_a, ns_b, ns_c], eps=ns_eps)
    o1 = newton_schulz(m1_new, ns_steps, ns_a, ns_b, ns_c, ns_eps)
    # d = (o1 + alpha*o2)/(sqrt(v) + eps)
    d = (o1 + alpha * o2) / (jnp.sqrt(v_new) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m1_new, v_new, chunk_new


def is_not_ends_not_ndim_param_ge_2(t, frequency, ndim):
    """Whether a tensor takes `not_ends_not_ndim_param_ge_2`."""
    # ends = t > 1 and (t - 1) % frequency == 0
    ends = both(t > 1, remainder(t - 1, frequency) == 0)
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (both(negation(ends), negation(ge)),)


def not_ends_not_ndim_param_ge_2(param, m1, v, chunk, o2, g, beta1, beta2, alpha, eps, lr, weight_decay):
    """`not_ends_not_ndim_param_ge_2`: one tensor."""
    # m1 = keep[0]*m1 + take[0]*g
    m1_new = 1.0 * m1 + beta1 * g
    # v = keep[1]*v + take[1]*g**2
    v_new = 1.0 * v + beta2 * (g * g)
    # chunk = chunk + g
    chunk_new = chunk + g
    # d = (o1 + alpha*o2)/(sqrt(v) + eps)
    d = (m1_new + alpha * o2) / (jnp.sqrt(v_new) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m1_new, v_new, chunk_new


def is_ends_not_ndim_param_ge_2(t, frequency, ndim):
    """Whether a tensor takes `ends_not_ndim_param_ge_2`."""
    # ends = t > 1 and (t - 1) % frequency == 0
    ends = both(t > 1, remainder(t - 1, frequency) == 0)
    # if ndim(param) >= 2:
    ge = ndim >= 2
    return (both(ends, negation(ge)),)


def ends_not_ndim_param_ge_2(param, m1, m2, v, chunk, g, beta1, beta2, beta3, alpha, eps, lr, weight_decay):
    """`ends_not_ndim_param_ge_2`: one tensor."""
    # m2 = keep[2]*m2 + take[2]*chunk
    m2_new = 1.0 * m2 + beta3 * chunk
    # m1 = keep[0]*m1 + take[0]*g
    m1_new = 1.0 * m1 + beta1 * g
    # v = keep[1]*v + take[1]*g**2
    v_new = 1.0 * v + beta2 * (g * g)
    # chunk = chunk + g
    chunk_new = 0 + g
    # d = (o1 + alpha*o2)/(sqrt(v) + eps)
    d = (m1_new + alpha * m2_new) / (jnp.sqrt(v_new) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m1_new, m2_new, v_new, chunk_new


PROGRAM = Program(
    rule="m3",
    digest="cae22ee4f9ca3fa0c9acd0f0222118f3d3394292609588902116c85a3f42af9d",
    settled={"maximize": False, "moments": 'sum'},
    matrix="units",
    vectors=True,
    slots=(
        Slot("m1", "elem", "float", "", start_m1, ("param",)),
        Slot("m2", "elem", "float", "", start_m2, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
        Slot("chunk", "elem", "float", "", start_chunk, ("param",)),
        Slot("o2", "elem", "float", "", start_o2, ("param",)),
    ),
    variants=(
        Variant(
            "ends_ndim_param_ge_2",
            is_ends_ndim_param_ge_2, ("t", "frequency", "ndim"),
            (
                Each("tensor", ends_ndim_param_ge_2, ("param", "m1", "m2", "v", "chunk", "g", "beta1", "beta2", "beta3", "ns_steps", "ns_a", "ns_b", "ns_c", "ns_eps", "alpha", "eps", "lr", "weight_decay"), ("param_new", "m1_new", "m2_new", "v_new", "chunk_new", "o2_new")),
            ),
            {"param": "param_new", "m1": "m1_new", "m2": "m2_new", "v": "v_new", "chunk": "chunk_new", "o2": "o2_new"},
            True,
        ),
        Variant(
            "not_ends_ndim_param_ge_2",
            is_not_ends_ndim_param_ge_2, ("t", "frequency", "ndim"),
            (
                Each("tensor", not_ends_ndim_param_ge_2, ("param", "m1", "v", "chunk", "o2", "g", "beta1", "beta2", "ns_steps", "ns_a", "ns_b", "ns_c", "ns_eps", "alpha", "eps", "lr", "weight_decay"), ("param_new", "m1_new", "v_new", "chunk_new")),
            ),
            {"param": "param_new", "m1": "m1_new", "v": "v_new", "chunk": "chunk_new"},
            True,
        ),
        Variant(
            "not_ends_not_ndim_param_ge_2",
            is_not_ends_not_ndim_param_ge_2, ("t", "frequency", "ndim"),
            (
                Each("tensor", not_ends_not_ndim_param_ge_2, ("param", "m1", "v", "chunk", "o2", "g", "beta1", "beta2", "alpha", "eps", "lr", "weight_decay"), ("param_new", "m1_new", "v_new", "chunk_new")),
            ),
            {"param": "param_new", "m1": "m1_new", "v": "v_new", "chunk": "chunk_new"},
            True,
        ),
        Variant(
            "ends_not_ndim_param_ge_2",
            is_ends_not_ndim_param_ge_2, ("t", "frequency", "ndim"),
            (
                Each("tensor", ends_not_ndim_param_ge_2, ("param", "m1", "m2", "v", "chunk", "g", "beta1", "beta2", "beta3", "alpha", "eps", "lr", "weight_decay"), ("param_new", "m1_new", "m2_new", "v_new", "chunk_new")),
            ),
            {"param": "param_new", "m1": "m1_new", "m2": "m2_new", "v": "v_new", "chunk": "chunk_new", "o2": "m2_new"},
            True,
        ),
    ),
    inexact=('library.newton_schulz',),
)
