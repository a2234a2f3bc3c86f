"""The rule adagrad as functions of `keras.ops`, for every backend that Keras has, generated from adagrad.yaml.

spec 5a5cf5a3b711620ec53419a4948c29cb9707d7b7a83d0d7920b5a6562f61f806
made by: optgen build adagrad --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide


def start_v(initial_accumulator_value):
    """What v starts from."""
    return (initial_accumulator_value,)


def always(param, v, g, weight_decay, eps, lr, t, lr_decay):
    """`always`: one tensor."""
    # g = g + weight_decay*param
    g_new = g + weight_decay * param
    # v = v + g**2
    v_new = v + g_new * g_new
    # d = g/(sqrt(v) + eps)
    d = g_new / (ops.sqrt(v_new) + eps)
    # param = param - lr/(1 + (t - 1)*lr_decay)*d
    param_new = param - divide(lr, 1 + (t - 1) * lr_decay) * d
    return param_new, v_new


PROGRAM = Program(
    rule="adagrad",
    digest="5a5cf5a3b711620ec53419a4948c29cb9707d7b7a83d0d7920b5a6562f61f806",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("v", "elem", "float", "", start_v, ("initial_accumulator_value",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "v", "g", "weight_decay", "eps", "lr", "t", "lr_decay"), ("param_new", "v_new")),
            ),
            {"param": "param_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
