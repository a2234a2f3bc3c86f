"""The rule muon as plain JAX functions, generated from muon.yaml.

spec 5ad0f2e4b10225d8dc66026ef473fcac5f84db47f3334b8cb98fddc273340426
made by: optgen build muon --backend xla --set adamw_amsgrad=false --set adjust_lr_fn=original --set maximize=false --set nesterov=true --set rule=muon
"""

import jax.numpy as jnp

from optgen.runtime.jax_library import newton_schulz
from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, expm1, log, maximum, negation, sqrt


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_adamw_m(param):
    """What adamw_m starts from."""
    return (0.0,)


def start_adamw_v(param):
    """What adamw_v starts from."""
    return (0.0,)


def is_ndim_param_ge_2(ndim):
    """Whether a tensor takes `ndim_param_ge_2`."""
    # if muon:
    ge = ndim >= 2
    return (ge,)


def ndim_param_ge_2(param, m, g, momentum, ns_steps, ns_a, ns_b, ns_c, eps, rows, cols, lr, weight_decay):
    """`ndim_param_ge_2`: one tensor."""
    # m = momentum*m + (1 - momentum)*g
    mul = (1 - momentum) * g
    m_new = momentum * m + mul
    # u = momentum*m + (1 - momentum)*g
    u = momentum * m_new + mul
    # o = newton_schulz(u, steps=ns_steps, coefficients=[ns_a, ns_b, ns_c], eps=eps)
    o = newton_schulz(u, ns_steps, ns_a, ns_b, ns_c, eps)
    # scale = sqrt(maximum(1, rows(param)/cols(param)))
    scale = sqrt(maximum(1, divide(rows, cols)))
    # d = scale*o
    d = scale * o
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new


def is_not_ndim_param_ge_2(ndim):
    """Whether a tensor takes `not_ndim_param_ge_2`."""
    # if muon:
    ge = ndim >= 2
    return (negation(ge),)


def not_ndim_param_ge_2(
    param, adamw_m, adamw_v, g, adamw_beta1, adamw_beta2, t, adamw_eps, adamw_lr, adamw_weight_decay,
):
    """`not_ndim_param_ge_2`: one tensor."""
    # adamw_m = adamw_beta1*adamw_m + (1 - adamw_beta1)*g
    adamw_m_new = adamw_beta1 * adamw_m + (1 - adamw_beta1) * g
    # adamw_v = adamw_beta2*adamw_v + (1 - adamw_beta2)*g**2
    adamw_v_new = adamw_beta2 * adamw_v + (1 - adamw_beta2) * (g * g)
    # d = (adamw_m/(1 - adamw_beta1**t)) / (sqrt(adamw_v/(1 - adamw_beta2**t)) + adamw_eps)
    d = adamw_m_new * divide(1.0, -expm1(t * log(adamw_beta1))) / (jnp.sqrt(adamw_v_new * divide(1.0, -expm1(t * log(adamw_beta2)))) + adamw_eps)
    # param = param - adamw_lr*(d + adamw_weight_decay*param)
    param_new = param - adamw_lr * (d + adamw_weight_decay * param)
    return param_new, adamw_m_new, adamw_v_new


PROGRAM = Program(
    rule="muon",
    digest="5ad0f2e4b10225d8dc66026ef473fcac5f84db47f3334b8cb98fddc273340426",
    settled={"adamw_amsgrad": False, "adjust_lr_fn": 'original', "maximize": False, "nesterov": True, "rule": 'muon'},
    matrix="units",
    vectors=True,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("adamw_m", "elem", "float", "", start_adamw_m, ("param",)),
        Slot("adamw_v", "elem", "float", "", start_adamw_v, ("param",)),
    ),
    variants=(
        Variant(
            "ndim_param_ge_2",
            is_ndim_param_ge_2, ("ndim",),
            (
                Each("tensor", ndim_param_ge_2, ("param", "m", "g", "momentum", "ns_steps", "ns_a", "ns_b", "ns_c", "eps", "rows", "cols", "lr", "weight_decay"), ("param_new", "m_new")),
            ),
            {"param": "param_new", "m": "m_new"},
            True,
        ),
        Variant(
            "not_ndim_param_ge_2",
            is_not_ndim_param_ge_2, ("ndim",),
            (
                Each("tensor", not_ndim_param_ge_2, ("param", "adamw_m", "adamw_v", "g", "adamw_beta1", "adamw_beta2", "t", "adamw_eps", "adamw_lr", "adamw_weight_decay"), ("param_new", "adamw_m_new", "adamw_v_new")),
            ),
            {"param": "param_new", "adamw_m": "adamw_m_new", "adamw_v": "adamw_v_new"},
            True,
        ),
    ),
    inexact=('library.newton_schulz',),
)
