"""The rule lamb as plain JAX functions, generated from lamb.yaml.

spec aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502
made by: optgen build lamb --backend xla --set maximize=false
"""

import jax.numpy as jnp

from optgen.runtime.jax_program import Each, Program, Slot, Variant
from optgen.runtime.jax_scalars import divide, either, expm1, log, minimum, sqrt, sum_of, where


def start_m(param):
    """What m starts from."""
    return (0.0,)


def start_v(param):
    """What v starts from."""
    return (0.0,)


def always(param, m, v, g, beta1, beta2, t, eps, weight_decay, max_norm, lr):
    """`always`: one tensor."""
    # m = beta1*m + (1 - beta1)*g
    m_new = beta1 * m + (1 - beta1) * g
    # v = beta2*v + (1 - beta2)*g**2
    v_new = beta2 * v + (1 - beta2) * (g * g)
    # u = (m/(1 - beta1**t)) / (sqrt(v/(1 - beta2**t)) + eps) + weight_decay*param
    u = m_new * divide(1.0, -expm1(t * log(beta1))) / (jnp.sqrt(v_new * divide(1.0, -expm1(t * log(beta2)))) + eps) + weight_decay * param
    # size = norm(param, over="tensor")
    size = sqrt(sum_of(param * param))
    # length = norm(u, over="tensor")
    length = sqrt(sum_of(u * u))
    # d = where(size == 0 or length == 0, 1, minimum(size, max_norm)/length)*u
    d = where(either(size == 0, length == 0), 1, divide(minimum(size, max_norm), length)) * u
    # param = param - lr*d
    param_new = param - lr * d
    return param_new, m_new, v_new


PROGRAM = Program(
    rule="lamb",
    digest="aaea894c034715dec592897008d055f3a583dba984dde649f9688530ff698502",
    settled={"maximize": False},
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
                Each("tensor", always, ("param", "m", "v", "g", "beta1", "beta2", "t", "eps", "weight_decay", "max_norm", "lr"), ("param_new", "m_new", "v_new")),
            ),
            {"param": "param_new", "m": "m_new", "v": "v_new"},
            True,
        ),
    ),
    inexact=(),
)
