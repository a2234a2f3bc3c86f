"""The rule lion as functions of `keras.ops`, for every backend that Keras has, generated from lion.yaml.

spec 2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93
made by: optgen build lion --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant


def start_m(param):
    """What m starts from."""
    return (0.0,)


def always(param, m, g, beta1, beta2, lr, weight_decay):
    """`always`: one tensor."""
    # d = sign(beta1*m + (1 - beta1)*g)
    d = ops.sign(beta1 * m + (1 - beta1) * g)
    # m = beta2*m + (1 - beta2)*g
    m_new = beta2 * m + (1 - beta2) * g
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, m_new


PROGRAM = Program(
    rule="lion",
    digest="2ae1e83b89d8d06912e96d398487972853d31ff25acd5e120c2cbce0ab52ab93",
    settled={"maximize": False},
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
                Each("tensor", always, ("param", "m", "g", "beta1", "beta2", "lr", "weight_decay"), ("param_new", "m_new")),
            ),
            {"param": "param_new", "m": "m_new"},
            True,
        ),
    ),
    inexact=(),
)
