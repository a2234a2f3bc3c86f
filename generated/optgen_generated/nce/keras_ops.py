"""The rule nce as functions of `keras.ops`, for every backend that Keras has, generated from nce.yaml.

spec 7634f9e35f997fffab370172301e1789fc8177052383d3f69261bf8c0ff6513f
made by: optgen build nce --backend xla --framework keras --set adaptive_alpha=false --set adaptive_correction=false --set adaptive_preconditioning=false --set bias_correction=false --set convention=numpy --set decouple_weight_decay=true --set gradient_centralization=false --set maximize=false --set nce_mode=projection --set nesterov=false --set opponent_source=momentum --set update_mode=momentum
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import absolute, both, divide, either, maximum, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def always(
    param, m, g, eps, alpha, nce_clip_ratio, t, correction_warmup_steps, conflict_threshold, beta, lr, weight_decay,
):
    """`always`: one tensor."""
    # X = norm(x, over="tensor")
    X = sqrt(ops.sum(g * g))
    # Y = norm(y, over="tensor")
    Y = sqrt(ops.sum(m * m))
    # xy = dot(x, y, over="tensor")
    xy = ops.sum(g * m)
    # conflict = where(guarded and (X <= eps or Y <= eps), 0, maximum(0, -xy/(X*Y + eps)))
    conflict = where(either(X <= eps, Y <= eps), 0, maximum(0, divide(-xy, X * Y + eps)))
    # s = a*conflict
    s = alpha * conflict
    # s = s*where(guarded and Y**2 <= where(convention == "cpp", 0, eps), 0, xy/(Y**2 + eps))
    mul = Y * Y
    s_1 = s * where(mul <= eps, 0, divide(xy, mul + eps))
    # longest = abs(s)*Y
    longest = absolute(s_1) * Y
    # limit = nce_clip_ratio*X
    limit = nce_clip_ratio * X
    # s = s*where(longest > limit and longest > eps, limit/longest, 1)
    s_2 = s_1 * where(both(longest > limit, longest > eps), divide(limit, longest), 1)
    # s = where(t <= correction_warmup_steps or conflict < conflict_threshold, 0, s)
    silent = t <= correction_warmup_steps
    s_3 = where(either(silent, conflict < conflict_threshold), 0, s_2)
    # u = g - s*o
    u = g - s_3 * m
    # m = beta*m + (1 - beta)*u
    m_new = beta * m + (1 - beta) * u
    # param = (1 - lr*weight_decay)*param - lr*d
    param_new = (1 - lr * weight_decay) * param - lr * m_new
    return param_new, m_new


PROGRAM = Program(
    rule="nce",
    digest="7634f9e35f997fffab370172301e1789fc8177052383d3f69261bf8c0ff6513f",
    settled={"adaptive_alpha": False, "adaptive_correction": False, "adaptive_preconditioning": False, "adaptive_preconditioning and precondition_nce": False, "bias_correction": False, "convention": 'numpy', "decouple_weight_decay": True, "gradient_centralization": False, "lookahead_k > 0": False, "maximize": False, "metrics_interval > 0": False, "nce_mode": 'projection', "nesterov": False, "opponent_source": 'momentum', "prune_threshold > 0": False, "sparsity_l1 > 0": False, "update_mode": 'momentum'},
    matrix="units",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "g", "eps", "alpha", "nce_clip_ratio", "t", "correction_warmup_steps", "conflict_threshold", "beta", "lr", "weight_decay"), ("param_new", "m_new")),
            ),
            {"param": "param_new", "m": "m_new"},
            True,
        ),
    ),
    inexact=(),
)
