"""The rule nadam as functions of `keras.ops`, for every backend that Keras has, generated from nadam.yaml.

spec 4df3d6dcc71e962d57d3ae4ae3dbb35876d7665f12fc08ee54fdaa9f22b02f94
made by: optgen build nadam --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide, expm1, log, power, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def start_product():
    """What product starts from."""
    return (1.0,)


def always(param, m, v, product, g, decoupled_weight_decay, weight_decay, beta1, t, momentum_decay, beta2, eps, lr):
    """`always`: one tensor."""
    # g = g + where(decoupled_weight_decay, 0, weight_decay)*param
    g_new = g + where(decoupled_weight_decay, 0, weight_decay) * param
    # mu = beta1*(1 - 0.5*0.96**(t*momentum_decay))
    mu = beta1 * (1 - 0.5 * power(0.96, t * momentum_decay))
    # mu_next = beta1*(1 - 0.5*0.96**((t + 1)*momentum_decay))
    mu_next = beta1 * (1 - 0.5 * power(0.96, (t + 1) * momentum_decay))
    # product = product*mu
    product_new = product * mu
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g_new
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g_new * g_new)
    # d = (mu_next/(1 - product*mu_next)*m + (1 - mu)/(1 - product)*g) / (sqrt(v/(1 - beta2**t)) + eps)
    d = (divide(mu_next, 1 - product_new * mu_next) * m_new + divide(1 - mu, 1 - product_new) * g_new) / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # param = param - lr*(d + where(decoupled_weight_decay, weight_decay, 0)*param)
    param_new = param - lr * (d + where(decoupled_weight_decay, weight_decay, 0) * param)
    return param_new, m_new, v_new, product_new


PROGRAM = Program(
    rule="nadam",
    digest="4df3d6dcc71e962d57d3ae4ae3dbb35876d7665f12fc08ee54fdaa9f22b02f94",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("m", "elem", "float", "", start_m, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
        Slot("product", "tensor", "float", "", start_product, ()),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "m", "v", "product", "g", "decoupled_weight_decay", "weight_decay", "beta1", "t", "momentum_decay", "beta2", "eps", "lr"), ("param_new", "m_new", "v_new", "product_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new", "product": "product_new"},
            True,
        ),
    ),
    inexact=(),
)
