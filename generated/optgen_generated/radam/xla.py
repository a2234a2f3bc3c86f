"""The rule radam as plain JAX functions, generated from radam.yaml.

spec 1d81291b6a8a95a65d65f3bd5c9134ba4fe9c91a135dddbab8ec2f81f6443408
made by: optgen build radam --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, expm1, log, negation, power, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def is_rho_gt_5(beta2, t):
    """Whether a tensor takes `rho_gt_5`."""
    # longest = 2/(1 - beta2) - 1
    longest = divide(2, 1 - beta2) - 1
    # rho = longest - 2*t*beta2**t/(1 - beta2**t)
    rho = longest - divide(2 * t * power(beta2, t), -expm1(t * log(beta2)))
    # if rho > 5:
    gt = rho > 5
    return (gt,)


def rho_gt_5(param, m, v, g, decoupled_weight_decay, weight_decay, beta1, beta2, t, eps, lr):
    """`rho_gt_5`: one tensor."""
    # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g + where(decoupled_weight_decay, 0, weight_decay) * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    sub = 1 - beta2
    v_new = beta2 * v + sub * (g_new * g_new)
    # d = m/(1 - beta1**t)
    d = m_new * divide(1.0, -expm1(t * log(beta1)))
    # longest = 2/(1 - beta2) - 1
    longest = divide(2, sub) - 1
    # rho = longest - 2*t*beta2**t/(1 - beta2**t)
    neg = -expm1(t * log(beta2))
    rho = longest - divide(2 * t * power(beta2, t), neg)
    # r = sqrt((rho - 4)*(rho - 2)*longest/((longest - 4)*(longest - 2)*rho))
    r = sqrt(divide((rho - 4) * (rho - 2) * longest, (longest - 4) * (longest - 2) * rho))
    # d = d*(r*sqrt(1 - beta2**t))/(sqrt(v) + eps)
    d_1 = d * (r * sqrt(neg)) / (jnp.sqrt(v_new) + eps)
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d_1 + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


def is_not_rho_gt_5(beta2, t):
    """Whether a tensor takes `not_rho_gt_5`."""
    # longest = 2/(1 - beta2) - 1
    longest = divide(2, 1 - beta2) - 1
    # rho = longest - 2*t*beta2**t/(1 - beta2**t)
    rho = longest - divide(2 * t * power(beta2, t), -expm1(t * log(beta2)))
    # if rho > 5:
    gt = rho > 5
    return (negation(gt),)


def not_rho_gt_5(param, m, v, g, decoupled_weight_decay, weight_decay, beta1, beta2, t, lr):
    """`not_rho_gt_5`: one tensor."""
    # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g + where(decoupled_weight_decay, 0, weight_decay) * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = m/(1 - beta1**t)
    d = m_new * divide(1.0, -expm1(t * log(beta1)))
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="radam",
    digest="1d81291b6a8a95a65d65f3bd5c9134ba4fe9c91a135dddbab8ec2f81f6443408",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "rho_gt_5",
            is_rho_gt_5, ("beta2", "t"),
            (
                Each("tensor", rho_gt_5, ("param", "m", "v", "g", "decoupled_weight_decay", "weight_decay", "beta1", "beta2", "t", "eps", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
        Variant(
            "not_rho_gt_5",
            is_not_rho_gt_5, ("beta2", "t"),
            (
                Each("tensor", not_rho_gt_5, ("param", "m", "v", "g", "decoupled_weight_decay", "weight_decay", "beta1", "beta2", "t", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
