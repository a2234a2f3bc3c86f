"""The rule ademamix as functions of `keras.ops`, for every backend that Keras has, generated from ademamix.yaml.

spec cdb0d3a330ea4a834f88350c0b0e57e29e1999a6faf68f6fce63ec1322329e74
made by: optgen build ademamix --backend xla --framework keras --set maximize=false
"""

from keras import ops

from optgen.runtime.array_program import Each, Program, Slot, Variant
from optgen.runtime.keras_scalars import divide, expm1, log, minimum, power, where


def start_fast(param):
    """What fast starts from."""
    return (0.0,)


def start_slow(param):
    """What slow starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always(param, fast, slow, v, g, alpha, alpha_warmup, t, beta3, beta3_warmup, beta1, beta2, eps, lr, weight_decay):
    """`always`: one tensor."""
    # a = alpha*minimum(t/alpha_warmup, 1)
    a = alpha * minimum(divide(t, alpha_warmup), 1)
    # if alpha_warmup > 0:
    a_1 = where(alpha_warmup > 0, a, alpha)
    # first = log(0.5)/log(beta1 + 1e-8) - 1
    log_1 = log(0.5)
    first = divide(log_1, log(beta1 + 1e-08)) - 1
    # last = log(0.5)/log(beta3 + 1e-8) - 1
    last = divide(log_1, log(beta3 + 1e-08)) - 1
    # x = t/beta3_warmup
    x = divide(t, beta3_warmup)
    # b = where(x < 1, 0.5**(1/((1 - x)*first + x*last + 1)), beta3)
    b = where(x < 1, power(0.5, divide(1, (1 - x) * first + x * last + 1)), beta3)
    # if beta3_warmup > 0:
    b_1 = where(beta3_warmup > 0, b, beta3)
    # fast = beta1*fast + (1 - beta1)*g
    fast_new = beta1 * fast + (1 - beta1) * g
    # slow = b*slow + (1 - b)*g
    slow_new = b_1 * slow + (1 - b_1) * g
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g * g)
    # d = (fast/(1 - beta1**t) + a*slow) / (sqrt(v/(1 - beta2**t)) + eps)
    d = (fast_new * divide(1.0, -expm1(t * log(beta1))) + a_1 * slow_new) / (ops.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps)
    # param = param - lr*(d + weight_decay*param)
    param_new = param - lr * (d + weight_decay * param)
    return param_new, fast_new, slow_new, v_new


PROGRAM = Program(
    rule="ademamix",
    digest="cdb0d3a330ea4a834f88350c0b0e57e29e1999a6faf68f6fce63ec1322329e74",
    settled={"maximize": False},
    matrix="trailing",
    vectors=False,
    slots=(
        Slot("fast", "elem", "float", "", start_fast, ("param",)),
        Slot("slow", "elem", "float", "", start_slow, ("param",)),
        Slot("v", "elem", "float", "", start_v, ("param",)),
    ),
    variants=(
        Variant(
            "always",
            None, (),
            (
                Each("tensor", always, ("param", "fast", "slow", "v", "g", "alpha", "alpha_warmup", "t", "beta3", "beta3_warmup", "beta1", "beta2", "eps", "lr", "weight_decay"), ("param_new", "fast_new", "slow_new", "v_new")),
            ),
            {"param": "param_new", "fast": "fast_new", "slow": "slow_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
