"""The rule adamax as functions of `keras.ops`, for every backend that Keras has, generated from adamax.yaml.

spec 3c71858a1385ebcf63c667b82bbd9c0f28df0b298975b1b6a6ea6194a412f80b
made by: optgen build adamax --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide, expm1, log, maximum


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_u(param):
    """What u starts from."""
    return (0.0,)


def always(param, m, u, g, weight_decay, beta1, beta2, eps, t, lr):
    """`always`: one tensor."""
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # u = maximum(beta2*u, abs(g) + eps)
    u_new = maximum(beta2 * u, ops.abs(g_new) + eps)
    # d = m/(1 - beta1**t)/u
    d = m_new * divide(1.0, -expm1(t * log(beta1))) / u_new
    # param = param - lr*d
    param_new = param - lr * d
    return param_new, m_new, u_new


PROGRAM = Program(
    rule="adamax",
    digest="3c71858a1385ebcf63c667b82bbd9c0f28df0b298975b1b6a6ea6194a412f80b",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("u", "elem", "float", "", start_u, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "u", "g", "weight_decay", "beta1", "beta2", "eps", "t", "lr"), ("param_new", "m_new", "u_new")),
            ),
            {"param": "param_new", "m": "m_new", "u": "u_new"},
            True,
        ),
    ),
    inexact=(),
)
