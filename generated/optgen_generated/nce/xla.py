"""The rule nce as plain JAX functions, generated from nce.yaml.

spec ff5b90b105fd74576fa53e2a8bc3125dda2a29be0b7c4a896a1f80c89fe4c9fc
made by: optgen build nce --backend xla --set adaptive_alpha=false --set adaptive_preconditioning=false --set bias_correction=false --set convention=numpy --set decouple_weight_decay=true --set gradient_centralization=false --set maximize=false --set nce_mode=projection --set nesterov=false --set opponent_source=momentum --set update_mode=momentum
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import absolute, both, divide, either, maximum, minimum, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_conflict_ema():
    """What conflict_ema starts from."""
    return (0.0,)


def always(
    param, m, conflict_ema, g, eps, alpha, adaptive_correction_decay, adaptive_correction, adaptive_correction_min_scale, adaptive_correction_max_scale, nce_clip_ratio, t, correction_warmup_steps, conflict_threshold, beta, lr, weight_decay,
):
    """`always`: one tensor."""
    # X = norm(x, over="tensor")
    X = sqrt(jnp.sum(g * g))
    # Y = norm(y, over="tensor")
    Y = sqrt(jnp.sum(m * m))
    # xy = dot(x, y, over="tensor")
    xy = jnp.sum(g * m)
    # conflict = where(guarded and (X <= eps or Y <= eps), 0, maximum(0, -xy/(X*Y + eps)))
    conflict = where(either(X <= eps, Y <= eps), 0, maximum(0, divide(-xy, X * Y + eps)))
    # conflict_ema = adaptive_correction_decay*conflict_ema + (1 - adaptive_correction_decay)*conflict
    conflict_ema_new = adaptive_correction_decay * conflict_ema + (1 - adaptive_correction_decay) * conflict
    # s = a*conflict
    s = alpha * conflict
    # scale = 1 + Y/(X + Y + eps) + maximum(conflict, conflict_ema)
    scale = 1 + divide(Y, X + Y + eps) + maximum(conflict, conflict_ema_new)
    # s = s*clip(scale, adaptive_correction_min_scale, adaptive_correction_max_scale)
    s_1 = s * minimum(maximum(scale, adaptive_correction_min_scale), adaptive_correction_max_scale)
    # if adaptive_correction:
    s_2 = where(adaptive_correction, s_1, s)
    # s = s*where(guarded and Y**2 <= eps, 0, xy/(Y**2 + eps))
    mul = Y * Y
    s_3 = s_2 * where(mul <= eps, 0, divide(xy, mul + eps))
    # longest = abs(s)*Y
    longest = absolute(s_3) * Y
    # limit = nce_clip_ratio*X
    limit = nce_clip_ratio * X
    # s = s*where(longest > limit and longest > eps, limit/longest, 1)
    s_4 = s_3 * where(both(longest > limit, longest > eps), divide(limit, longest), 1)
    # s = where(t <= correction_warmup_steps or conflict < conflict_threshold, 0, s)
    s_5 = where(either(t <= correction_warmup_steps, conflict < conflict_threshold), 0, s_4)
    # u = g - s*o
    u = g - s_5 * m
    # m = beta*m + (1 - beta)*u
    m_new = beta * m + (1 - beta) * u
    # param = (1 - lr*weight_decay)*param - lr*d
    param_new = (1 - lr * weight_decay) * param - lr * m_new
    return param_new, m_new, conflict_ema_new


PROGRAM = Program(
    rule="nce",
    digest="ff5b90b105fd74576fa53e2a8bc3125dda2a29be0b7c4a896a1f80c89fe4c9fc",
    settled={"adaptive_alpha": False, "adaptive_preconditioning": False, "adaptive_preconditioning and precondition_nce": False, "bias_correction": False, "convention": 'numpy', "decouple_weight_decay": True, "gradient_centralization": False, "lookahead_k > 0": False, "maximize": False, "nce_mode": 'projection', "nesterov": False, "opponent_source": 'momentum', "prune_threshold > 0": False, "sparsity_l1 > 0": False, "update_mode": 'momentum'},
    matrix="units",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("conflict_ema", "tensor", "float", "", start_conflict_ema, ()),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "conflict_ema", "g", "eps", "alpha", "adaptive_correction_decay", "adaptive_correction", "adaptive_correction_min_scale", "adaptive_correction_max_scale", "nce_clip_ratio", "t", "correction_warmup_steps", "conflict_threshold", "beta", "lr", "weight_decay"), ("param_new", "m_new", "conflict_ema_new")),
            ),
            {"param": "param_new", "m": "m_new", "conflict_ema": "conflict_ema_new"},
            True,
        ),
    ),
)
