"""The suites that optax ships in its wheel, on our factories: the tests' own bodies, with other parameters.

`optax/_src/alias_test.py` is for optax's own optimizers and `optax/contrib/_common_test.py` for those that others
contribute. Both look optimizers up by name; here they find ours. Every rule has to converge; the other tests take
turns, since what takes time is compiling.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import pytest
from optax._src import base

import optgen.jax
from optgen.errors import HyperError, UsageError
from optgen.spec.loader import shipped

alias_test = pytest.importorskip("optax._src.alias_test")
common_test = pytest.importorskip("optax.contrib._common_test")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*order of layers.*", "ignore::DeprecationWarning"),
]

#: Learning rates with which optax's tests have optimizers of the same names converge; others get 1e-2.
RATES: Mapping[str, float] = {
    each["opt_name"]: each["opt_kwargs"]["learning_rate"]
    for each in (*alias_test._OPTIMIZERS_UNDER_TEST, *common_test._MAIN_OPTIMIZERS_UNDER_TEST)
    if "learning_rate" in each["opt_kwargs"]
}
#: What their tests ask and ours do not do, and why. Each is tested to be so below.
EXCEPTIONS = {
    "alias_test.test_explicit_dtype": "no mu_dtype= or accumulator_dtype=: state is in float32 or wider",
    "alias_test, complex parameters": "no rule is defined on complex numbers: such leaves are refused by name",
    "alias_test.test_optimization, adamw": "decays by 0.01, as torch's does, and not by 1e-4: it converges elsewhere",
    "common_test, convergence, m3": "its memories are sums, not averages: a rate that suits others is far too large",
    "inject_hyperparams of all numbers": "one that selects code cannot be traced: static_args names it, as in optax's "
    "own tests of some",
    "inject_hyperparams of a beta of 0.9999": "traced, it is a float32, whose 1 - beta is off by 1e-4; a Python number "
    "is exact",
}
#: A rule in its turn, for each of so many tests.
TURNS = 6


def turn(test: int) -> list[str]:
    return shipped()[test::TURNS]


def body(module: Any, test: str) -> Callable[..., None]:
    """A test as it is written: absl has replaced it by one method for each of its parameters."""
    case = next(value for value in vars(module).values() if isinstance(value, type) and hasattr(value, f"{test}0"))
    written = getattr(case, f"{test}0").__wrapped__
    return functools.partial(written, case(f"{test}0"))


def factory(name: str) -> Callable[..., Any]:
    """Ours, with its type of a learning rate spelled as optax spells it."""
    ours = getattr(optgen.jax, name)

    @functools.wraps(ours)
    def made(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    signature = inspect.signature(ours)
    known = dict(signature.parameters)
    known["learning_rate"] = known["learning_rate"].replace(annotation=base.ScalarOrSchedule)
    made.__signature__ = signature.replace(parameters=list(known.values()))  # type: ignore[attr-defined]
    return made


@pytest.fixture(autouse=True)
def _ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_test, "_get_opt", lambda _, name: factory(name))
    monkeypatch.setattr(common_test, "_get_opt_factory", factory)


def given(rule: str) -> dict[str, Any]:
    return {"opt_name": rule, "opt_kwargs": {"learning_rate": RATES.get(rule, 1e-2)}}


def common(rule: str) -> dict[str, Any]:
    return {**given(rule), "wrapper_name": None, "wrapper_kwargs": None}


@pytest.mark.parametrize("rule", [name for name in shipped() if name != "m3"])
def test_it_converges(rule: str) -> None:
    target = common_test._setup_mixed_tensor_target
    body(common_test, "test_optimizers")(**common(rule), target=target, dtype="float32")


@pytest.mark.parametrize("rule", ["adam", "sgd"])
def test_a_curved_valley(rule: str) -> None:
    body(alias_test, "test_optimization")(**given(rule), target=alias_test._setup_rosenbrock, dtype=jnp.float32)


@pytest.mark.parametrize("rule", turn(0))
def test_arguments_it_does_not_know(rule: str) -> None:
    body(common_test, "test_optimizers_accept_extra_args")(**common(rule), wrap=False)


@pytest.mark.parametrize("rule", turn(1))
def test_numbers_are_injected(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inject = common_test._inject.inject_hyperparams

    def with_static(made: Any, static: Any = (), **more: Any) -> Any:
        return inject(made, (*static, *fixed(rule)), **more)

    monkeypatch.setattr(common_test._inject, "inject_hyperparams", with_static)
    body(common_test, "test_optimizers_can_be_wrapped_in_inject_hyperparams")(**common(rule))


def fixed(rule: str) -> list[str]:
    """Arguments that are numbers but select code, and betas that float32 does not hold well enough."""
    found: list[str] = []
    for name, known in inspect.signature(getattr(optgen.jax, rule)).parameters.items():
        if isinstance(known.default, float) and name != "learning_rate":
            try:
                getattr(optgen.jax, rule)(**{name: jnp.float32(known.default)})
            except HyperError:
                found.append(name)
                continue
            found += [name] if 0.999 < known.default < 1 else []
        elif isinstance(known.default, int):
            found.append(name)
    return found


@pytest.mark.parametrize("rule", turn(2))
def test_dtypes_stay(rule: str) -> None:
    body(alias_test, "test_preserve_dtype")(**given(rule), dtype="bfloat16")


@pytest.mark.parametrize("rule", turn(3))
def test_gradients_are_accumulated(rule: str) -> None:
    body(alias_test, "test_gradient_accumulation")(**given(rule), dtype="bfloat16")


@pytest.mark.parametrize("rule", turn(4))
def test_state_keeps_its_form(rule: str) -> None:
    body(alias_test, "test_state_shape_dtype_shard_stability")(**given(rule), dtype=jnp.float16)


@pytest.mark.parametrize("rule", turn(5)[:2])
def test_a_schedule_is_a_rate(rule: str) -> None:
    test = "test_optimizers_accept_learning_rate_schedule_if_type_annotated_as_such"
    body(common_test, test)(**common(rule))


def test_every_exception_is_one() -> None:
    with pytest.raises(TypeError, match="mu_dtype"):
        body(alias_test, "test_explicit_dtype")(params_dtype="float32", state_dtype="float32", opt_name="adamw")
    with pytest.raises(UsageError, match='parameter "" is complex64'):
        body(alias_test, "test_optimization")(**given("adamw"), target=alias_test._setup_parabola, dtype=jnp.complex64)
    assert "momentum" in fixed("sgd")
    assert fixed("adamw") == ["amsgrad", "maximize", "strict"]
    assert "b3" in fixed("ademamix")
    assert all(EXCEPTIONS.values())
