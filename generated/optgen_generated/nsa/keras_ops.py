"""The rule nsa as functions of `keras.ops`, for every backend that Keras has, generated from nsa.yaml.

spec b1ead84a8fc0ea7097b154282d1597594e9299e563fd8a6e3ccb58a72dcd5ff3
made by: optgen build nsa --backend xla --framework keras --set coupling=transport --set maximize=false --set nsa=l2 --set nsa_mean_preserving=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Edges, Program, Slot, Stencil, Total, Variant
from optgen.runtime.keras_scalars import divide, expm1, log, sqrt, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always_tensor_1(g):
    """`always`: one tensor."""
    # c = norm(laplacian(g), over="layer")
    mul = g * g
    return g, mul


def always_layer_2(sum):
    """`always`: one layer."""
    # c = norm(laplacian(g), over="layer")
    sqrt_1 = sqrt(sum)
    return (sqrt_1,)


def always_tensor_3(g, pull, laplacian):
    """`always`: one tensor."""
    # c = norm(laplacian(g), over="layer")
    add = laplacian + pull * g
    mul_1 = add * add
    return (mul_1,)


def always_layer_4(sum_1, kappa):
    """`always`: one layer."""
    # c = norm(laplacian(g), over="layer")
    c = sqrt(sum_1)
    # share = 1/(1 + kappa*c)
    share = divide(1, 1 + kappa * c)
    return (share,)


def always_tensor_5(
    g, share, param, m, v, decoupled_weight_decay, weight_decay, beta1, beta2, bias_correction, t, eps, lr,
):
    """`always`: one tensor."""
    # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g + where(decoupled_weight_decay, 0, weight_decay) * param
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = (m/where(bias_correction, 1 - beta1**t, 1)) / (sqrt(v/where(bias_correction, 1 - beta2**t, 1)) + eps)
    d = m_new * divide(1.0, where(bias_correction, -expm1(t * log(beta1)), 1)) / (ops.sqrt(v_new * divide(1.0, where(bias_correction, -expm1(t * log(beta2)), 1))) + eps)
    # d = share*d
    d_1 = share * d
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d_1 + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="nsa",
    digest="b1ead84a8fc0ea7097b154282d1597594e9299e563fd8a6e3ccb58a72dcd5ff3",
    settled={"coupling": 'transport', "maximize": False, "nsa": 'l2', "nsa_mean_preserving": False},
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
                Each("tensor", always_tensor_1, ("g",), ("g", "mul")),
                Stencil("laplacian", "g", "laplacian"),
                Total("sum", "elem", "layer", "mul", "sum"),
                Each("layer", always_layer_2, ("sum",), ("sqrt_1",)),
                Edges("pull", "sqrt_1", "pull"),
                Each("tensor", always_tensor_3, ("g", "pull", "laplacian"), ("mul_1",)),
                Total("sum", "elem", "layer", "mul_1", "sum_1"),
                Each("layer", always_layer_4, ("sum_1", "kappa"), ("share",)),
                Each("tensor", always_tensor_5, ("g", "share", "param", "m", "v", "decoupled_weight_decay", "weight_decay", "beta1", "beta2", "bias_correction", "t", "eps", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
