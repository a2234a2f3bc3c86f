"""The rule signum as functions of `keras.ops`, for every backend that Keras has, generated from signum.yaml.

spec b92462919a1d226bbd4cacde5ca8c4801f4e249878501e68ead4f57964a287ec
made by: optgen build signum --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant


def start_m(param):
    """What m starts from."""
    return (0.0,)


def always(param, m, g, momentum, lr, weight_decay):
    """`always`: one tensor."""
    # m = momentum*m + (1 - momentum)*g
    m_new = momentum * m + (1 - momentum) * g
    # d = sign(m)
    d = ops.sign(m_new)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new


PROGRAM = Program(
    rule="signum",
    digest="b92462919a1d226bbd4cacde5ca8c4801f4e249878501e68ead4f57964a287ec",
    settled={"maximize": False, "momentum != 0": True},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "g", "momentum", "lr", "weight_decay"), ("param_new", "m_new")),
            ),
            {"param": "param_new", "m": "m_new"},
            True,
        ),
    ),
    inexact=(),
)
