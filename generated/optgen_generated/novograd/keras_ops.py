"""The rule novograd as functions of `keras.ops`, for every backend that Keras has, generated from novograd.yaml.

spec 94d806ea2a6cce983ec5e72b78629569804cb5d8bea93367cb94d2ad36b7e71f
made by: optgen build novograd --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import both, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v():
    """What v starts from."""
    return (0.0,)


def always(param, m, v, g, t, beta2, beta1, grad_averaging, eps, weight_decay, lr):
    """`always`: one tensor."""
    # n = sum(g**2, over="tensor")
    n = ops.sum(g * g)
    # v = where(t == 1, n, beta2*v + (1 - beta2)*n)
    v_new = where(t == 1, n, beta2 * v + (1 - beta2) * n)
    # m = beta1*m + where(grad_averaging and t > 1, 1 - beta1, 1)*(g/(sqrt(v) + eps) + weight_decay*param)
    m_new = beta1 * m + where(both(grad_averaging, t > 1), 1 - beta1, 1) * (g / (sqrt(v_new) + eps) + weight_decay * param)
    # param = param - lr*d
    param_new = param - lr * m_new
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="novograd",
    digest="94d806ea2a6cce983ec5e72b78629569804cb5d8bea93367cb94d2ad36b7e71f",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("v", "tensor", "float", "", start_v, ()),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "v", "g", "t", "beta2", "beta1", "grad_averaging", "eps", "weight_decay", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
