"""The rule nce_players as plain JAX functions, generated from nce_players.yaml.

spec f2a1b6cfc8d70c779c800911a6cbae98071e939a9a8c70baab8c0c6f129bb1ec
made by: optgen build nce_players --backend xla --set decouple_weight_decay=true --set maximize=false --set nce_mode=projection --set opponent_mode=mean_excluding_self --set player_reduction=mean --set player_count=1
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import absolute, both, divide, either, maximum, minimum, sqrt, sum_of, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_conflict_ema():
    """What conflict_ema starts from."""
    return (0.0,)


def always(
    param, m, conflict_ema, g_0, eps, adaptive_correction_decay, alpha, adaptive_correction, adaptive_correction_min_scale, adaptive_correction_max_scale, nce_clip_ratio, t, correction_warmup_steps, conflict_threshold, beta, lr, weight_decay,
):
    """`always`: one tensor."""
    # o = (sum(g) - g)/maximum(player_count - 1, 1)
    mul = (g_0 - g_0) * divide(1.0, maximum(1 - 1, 1))
    # X = norm(g, over="tensor")
    sqrt_1 = sqrt(sum_of(g_0 * g_0))
    # Y = norm(o, over="tensor")
    sqrt_2 = sqrt(sum_of(mul * mul))
    # xy = dot(g, o, over="tensor")
    total = sum_of(g_0 * mul)
    # conflict = where(X <= eps or Y <= eps, 0, maximum(0, -xy/(X*Y + eps)))
    where_1 = where(either(sqrt_1 <= eps, sqrt_2 <= eps), 0, maximum(0, divide(-total, sqrt_1 * sqrt_2 + eps)))
    # averaged = averages(conflict, conflict_ema, adaptive_correction_decay)
    conflict_ema_new = adaptive_correction_decay * conflict_ema + (1 - adaptive_correction_decay) * where_1
    # s = alpha*conflict
    mul_1 = alpha * where_1
    # s = s*where(Y**2 <= eps, 0, xy/(Y**2 + eps))
    mul_2 = sqrt_2 * sqrt_2
    mul_3 = where(adaptive_correction, mul_1 * minimum(maximum(1 + divide(sqrt_2, sqrt_1 + sqrt_2 + eps) + maximum(where_1, conflict_ema_new), adaptive_correction_min_scale), adaptive_correction_max_scale), mul_1) * where(mul_2 <= eps, 0, divide(total, mul_2 + eps))
    # longest = abs(s)*Y
    mul_4 = absolute(mul_3) * sqrt_2
    # limit = nce_clip_ratio*X
    mul_5 = nce_clip_ratio * sqrt_1
    # together = mean(g)
    div = divide(1.0, 1)
    together = g_0 * div
    # correction = mean(c)
    correction = -where(either(t <= correction_warmup_steps, where_1 < conflict_threshold), 0, mul_3 * where(both(mul_4 > mul_5, mul_4 > eps), divide(mul_5, maximum(mul_4, eps)), 1)) * mul * div
    # m = beta*m + (1 - beta)*(together + correction)
    m_new = beta * m + (1 - beta) * (together + correction)
    # param = (1 - lr*weight_decay)*param - lr*d
    param_new = (1 - lr * weight_decay) * param - lr * m_new
    return param_new, m_new, conflict_ema_new


PROGRAM = Program(
    rule="nce_players",
    digest="f2a1b6cfc8d70c779c800911a6cbae98071e939a9a8c70baab8c0c6f129bb1ec",
    settled={"decouple_weight_decay": True, "maximize": False, "metrics_interval > 0": False, "nce_mode": 'projection', "opponent_mode": 'mean_excluding_self', "player_reduction": 'mean', "prune_threshold > 0": False, "sparsity_l1 > 0": False, "player_count": 1},
    matrix="trailing",
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
                Each("tensor", always, ("param", "m", "conflict_ema", "g_0", "eps", "adaptive_correction_decay", "alpha", "adaptive_correction", "adaptive_correction_min_scale", "adaptive_correction_max_scale", "nce_clip_ratio", "t", "correction_warmup_steps", "conflict_threshold", "beta", "lr", "weight_decay"), ("param_new", "m_new", "conflict_ema_new")),
            ),
            {"param": "param_new", "m": "m_new", "conflict_ema": "conflict_ema_new"},
            True,
        ),
    ),
    inexact=(),
)
