"""The rule adabelief as functions of `keras.ops`, for every backend that Keras has, generated from adabelief.yaml.

spec e3dd9b580966cc936423ff91c220eb9f80d152bdfcaf7e2eab37c9925d521cb7
made by: optgen build adabelief --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide, expm1, log


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_s(param):
    """What s starts from."""
    return (0.0,)


def always(param, m, s, g, beta1, beta2, eps, t, lr, weight_decay):
    """`always`: one tensor."""
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g
    # s = beta2*s + (1 - beta2)*(g - m)**2 + eps
    sub = g - m_new
    s_new = beta2 * s + (1 - beta2) * (sub * sub) + eps
    # d = (m/(1 - beta1**t)) / (sqrt(s/(1 - beta2**t)) + eps)
    d = m_new * divide(1.0, -expm1(t * log(beta1))) / (ops.sqrt(s_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new, s_new


PROGRAM = Program(
    rule="adabelief",
    digest="e3dd9b580966cc936423ff91c220eb9f80d152bdfcaf7e2eab37c9925d521cb7",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("s", "elem", "float", "", start_s, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "s", "g", "beta1", "beta2", "eps", "t", "lr", "weight_decay"), ("param_new", "m_new", "s_new")),
            ),
            {"param": "param_new", "m": "m_new", "s": "s_new"},
            True,
        ),
    ),
    inexact=(),
)
