"""The rule adam as functions of `keras.ops`, for every backend that Keras has, generated from adam.yaml.

spec f7391aed7024a6ebd09e7e5868f0991ac97dd4a2acd6130663f765db004d7dd0
made by: optgen build adam --backend xla --framework keras --set amsgrad=false --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide, expm1, log, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always(param, m, v, g, decoupled_weight_decay, weight_decay, beta1, beta2, t, eps, lr):
    """`always`: one tensor."""
    # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g + where(decoupled_weight_decay, 0, weight_decay) * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps)
    d = m_new * divide(1.0, -expm1(t * log(beta1))) / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="adam",
    digest="f7391aed7024a6ebd09e7e5868f0991ac97dd4a2acd6130663f765db004d7dd0",
    settled={"amsgrad": False, "maximize": False},
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
                Each("tensor", always, ("param", "m", "v", "g", "decoupled_weight_decay", "weight_decay", "beta1", "beta2", "t", "eps", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
