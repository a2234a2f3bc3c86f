"""What holds of state that Keras optimizers take over and give back; run as a program, which prints a line per check.

Importing Keras settles its backend for good, so this has a process of its own.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
import torch

import optgen.jax
import optgen.keras
import optgen.torch
from optgen import saved_state as states
from optgen.errors import OptgenError, StateError, UsageError
from optgen.runtime.array_neutral import SettingsWarning
from optgen.runtime.neutral_state import NeutralState, Parameter
from optgen.spec.loader import load, shipped
from optgen.spec.model import Spec
from optgen.verify.settings import off_neutral
from tests.state.support import Jax, Numbers, Torch, bits, close, start

#: What tells rules apart here, and a rule that has it is tried.
FACTS: Mapping[str, Callable[[Spec], bool]] = {
    "rows and columns": lambda spec: 'over="row"' in spec.text,
    "a graph": lambda spec: "laplacian(" in spec.text,
    "intervals": lambda spec: any("per_parameter" in h.names and h.kind == "int" for h in spec.hypers.values()),
}
SPREAD = sorted({next(n for n in shipped() if fact(load(n))) for fact in FACTS.values()})
RNG = np.random.default_rng(0)


class Keras:
    """An optimizer of Keras on variables whose paths are torch's names."""

    def __init__(self, rule: str, begin: Numbers, dtype: str = "float32", **more: Any) -> None:
        spec = load(rule)
        self.variables = {name: _variable(name, x, dtype) for name, x in begin.items()}
        cls: Any = getattr(optgen.keras, spec.class_name)
        given = {cls.ARGUMENTS[name]: value for name, value in off_neutral(spec).items()}
        self.optimizer = cls(**{**given, **more})
        self.optimizer.build(list(self.variables.values()))

    def step(self, grads: Mapping[str, np.ndarray]) -> None:
        """Compiled as in `fit`, which is quicker than operation by operation."""
        assert not load(self.optimizer.RULE.name).inputs
        given = [np.asarray(grads[name], dtype=v.dtype) for name, v in self.variables.items()]
        mine, own = list(self.variables.values()), self.optimizer.variables
        found = jax.jit(self.optimizer.stateless_apply)([v.value for v in own], given, [v.value for v in mine])
        for variable, value in zip([*mine, *own], [*found[0], *found[1]], strict=True):
            variable.assign(value)

    def values(self) -> Numbers:
        return {name: np.asarray(v, dtype=float) for name, v in self.variables.items()}

    def saved(self) -> NeutralState:
        return optgen.keras.state_of(self.optimizer)


def _variable(name: str, x: np.ndarray, dtype: str) -> keras.Variable:
    *scopes, last = name.split(".")
    with contextlib.ExitStack() as inside:
        for scope in scopes:
            inside.enter_context(keras.name_scope(scope))
        return keras.Variable(x, dtype=dtype, name=last)


def own_intervals(rule: str) -> dict[str, Any]:
    """Values that parameters have for themselves, by the arguments of all front ends."""
    counts = [hyper for hyper in load(rule).hypers.values() if "per_parameter" in hyper.names and hyper.kind == "int"]
    return {counts[0].names["per_parameter"]: [1, 2, 1, 3]} if counts else {}


def alike(*found: NeutralState) -> bool:
    """Whether all keep the same values; a coarse state is of whatever width a front end has."""
    kept: list[object] = []
    for state in found:
        wide = [
            replace(p, state={k: x.astype("int64" if x.dtype.kind == "i" else "float64") for k, x in p.state.items()})
            for p in state.parameters
        ]
        kept.append((bits(replace(state, parameters=tuple(wide))), [(p.depth, p.hypers) for p in wide]))
    return all(each == kept[0] for each in kept)


def travels(rule: str) -> None:
    """Steps in torch, JAX, Keras and torch again are as many in torch, and each reads what the one before wrote."""
    begin, grads, more = start(RNG), [start(RNG) for _ in range(5)], own_intervals(rule)
    whole, first = Torch(rule, begin, **more), Torch(rule, begin, **more)
    for g in grads:
        whole.step(g)
    for g in grads[:2]:
        first.step(g)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        optgen.torch.save_state(path, first.optimizer)
        second = Jax(rule, first.values(), **more)
        second.load(path)
        assert alike(states.read(path), second.saved())
        second.step(grads[2])
        optgen.jax.save_state(path, second.transformation, second.state, second.params)
        third = Keras(rule, second.values(), "float64", **more)
        optgen.keras.load_state(path, third.optimizer)
        assert alike(states.read(path), third.saved())
        third.step(grads[3])
        optgen.keras.save_state(path, third.optimizer)
        last = Torch(rule, third.values(), **more)
        optgen.torch.load_state(path, last.optimizer)
        assert alike(states.read(path), third.saved(), last.saved())
        assert last.optimizer.global_step == 4
    last.step(grads[4])
    close(last.values(), whole.values())


def check_training_goes_on() -> None:
    with jax.enable_x64(True):
        keras.config.set_floatx("float64")
        try:
            for rule in SPREAD:
                travels(rule)
        finally:
            keras.config.set_floatx("float32")


def check_bits_are_kept_in_float32() -> None:
    """From torch to JAX, to Keras and back, of every rule, and of numbers that no step would make, so that a state that
    is lost or mixed up is seen."""
    for rule in shipped():
        made = Torch(rule, start(RNG), torch.float32, **own_intervals(rule))
        made.step(start(RNG))
        for slots in made.optimizer.state.values():
            for key, x in slots.items():
                if key != "step" and x.is_floating_point():
                    x.copy_(torch.rand(x.shape) if x.ndim else torch.tensor(0.25))
        between = Jax(rule, made.values(), "float32", **own_intervals(rule))
        between.load(made.saved())
        there = Keras(rule, made.values(), **own_intervals(rule))
        optgen.keras.load_state(between.saved(), there.optimizer)
        assert alike(made.saved(), between.saved(), there.saved()), rule
        again = Torch(rule, made.values(), torch.float32, **own_intervals(rule))
        optgen.torch.load_state(there.saved(), again.optimizer)
        assert bits(again.saved()) == bits(made.saved()), rule


SMALL = {"net.a.kernel": (3, 2), "net.b.kernel": (4,)}


def check_names_and_layouts_of_a_converted_file() -> None:
    """It needs no more words; a model's own name may differ."""
    made = Torch("adamw", start(RNG, {"a.w": (3, 2), "b.w": (4,)}), torch.float32)
    made.step(start(RNG, {"a.w": (3, 2), "b.w": (4,)}))
    turned = {"net.a.kernel": (2, 3), "net.b.kernel": (4,)}
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "run", Path(folder) / "keras"
        optgen.torch.save_state(path, made.optimizer)
        how: dict[str, Any] = {"names": {"*.w": "*/kernel"}, "transpose": {"a/kernel": True}}
        states.convert(path, other, "keras", **how)
        one, two = Keras("adamw", start(RNG, turned)), Keras("adamw", start(RNG, turned))
        optgen.keras.load_state(path, one.optimizer, **how)
        optgen.keras.load_state(other, two.optimizer)
        assert bits(one.saved()) == bits(two.saved())
    m = one.saved().parameter("net/a/kernel").state["m"]
    np.testing.assert_array_equal(m, made.saved().parameter("a.w").state["m"].T)
    renamed = one.saved().renamed({"net/*": "net_1/*"})
    third = Keras("adamw", start(RNG, turned))
    optgen.keras.load_state(renamed, third.optimizer)
    assert bits(third.saved()) == bits(one.saved())
    places = Keras("adamw", start(RNG, turned))
    optgen.keras.load_state(replace(one.saved(), named=False), places.optimizer)
    assert bits(places.saved()) == bits(one.saved())


def check_what_keras_adds() -> None:
    """Exemptions are groups of their own, accumulated gradients of no step are refused, schedules say no warning."""
    some = Keras("adamw", start(RNG, SMALL), gradient_accumulation_steps=2)
    some.optimizer._iterations.assign(2)
    kept = some.saved()
    assert kept.global_step == 1
    some.optimizer._iterations.assign(3)
    gradient = some.optimizer._accumulated_gradients[0]
    gradient.assign(np.ones(gradient.shape))
    with pytest.raises(UsageError, match="1 of 2 gradients"):
        some.saved()
    optgen.keras.load_state(kept, some.optimizer)
    assert bits(some.saved()) == bits(kept)
    assert not np.asarray(gradient).any()

    spared: Any = optgen.keras.AdamW(keras.optimizers.schedules.CosineDecay(0.5, 8), weight_decay=0.1)
    variables = [_variable(name, x, "float32") for name, x in start(RNG, SMALL).items()]
    spared.exclude_from_weight_decay(var_list=variables[1:])
    spared.build(variables)
    state = optgen.keras.state_of(spared)
    assert [(g.hypers["lr"], g.hypers["weight_decay"]) for g in state.groups] == [(0.5, 0.1), (0.5, 0.0)]
    assert [p.group for p in state.parameters] == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SettingsWarning)
        optgen.keras.load_state(replace(state, global_step=3), spared)
    assert int(spared.iterations) == 3


def check_refusals() -> None:
    made = Torch("adamw", start(RNG, SMALL), torch.float32)
    made.step(start(RNG, SMALL))
    saved = made.saved()

    def refused(here: Keras, says: str, source: Any = saved, kind: type[OptgenError] = StateError, **how: Any) -> None:
        before = bits(here.saved())
        with pytest.raises(kind, match=says):
            optgen.keras.load_state(source, here.optimizer, **how)
        assert bits(here.saved()) == before

    same = Keras("adamw", start(RNG, SMALL))
    refused(Keras("lion", start(RNG, SMALL)), "the state of adamw, and the optimizer's rule is lion")
    refused(Keras("adamw", start(RNG, {**SMALL, "net.a.kernel": (2, 3)})), r"for the shape \(3, 2\).*transpose=")
    refused(Keras("adamw", start(RNG, {"net.q.kernel": (3, 2), "net.b.kernel": (4,)})), 'no parameter "net/q/kernel"')
    refused(Keras("adamw", start(RNG, {"net.a.kernel": (3, 2)})), "another model")
    refused(Keras("adamw", start(RNG, SMALL), amsgrad=True), "amsgrad")
    refused(same, 'names has "z"', kind=UsageError, names={"z": "a"})
    refused(same, 'transpose names "z"', kind=UsageError, transpose={"z": True})
    refused(same, "there is no file", "/no/such/file")
    wide = replace(saved, parameters=tuple(_with_thirds(p) for p in saved.parameters))
    refused(same, "cast=True", wide)
    with pytest.warns(SettingsWarning, match=r"lr was .* and is 0\.5"):
        optgen.keras.load_state(wide, Keras("adamw", start(RNG, SMALL), learning_rate=0.5).optimizer, cast=True)
    with pytest.raises(UsageError, match="is not built"):
        optgen.keras.load_state(saved, optgen.keras.AdamW())
    with pytest.raises(UsageError, match=r"no optimizer of optgen\.keras"):
        optgen.keras.state_of(keras.optimizers.AdamW())  # type: ignore[arg-type]
    twice: Any = optgen.keras.AdamW()
    twice.build([keras.Variable(np.ones(2), name="v"), keras.Variable(np.ones(2), name="v")])
    with pytest.raises(StateError, match='two variables here have the path "v"'):
        optgen.keras.load_state(saved, twice)
    assert not optgen.keras.state_of(twice).named
    layered = next(n for n in SPREAD if "laplacian(" in load(n).text)
    apart = Torch(layered, start(RNG), torch.float32, players=["x", "x", "y", "z"])
    refused(Keras(layered, start(RNG)), 'the layer "x" on one side is', apart.saved())
    spaced = next(n for n in SPREAD if own_intervals(n))
    slow = Torch(spaced, start(RNG), torch.float32, **own_intervals(spaced))
    refused(Keras(spaced, start(RNG)), "give .*=", slow.saved())
    with pytest.raises(StateError, match=r"had .* and here it is .*: give"):
        Jax(spaced, start(RNG), "float32").load(slow.saved())


def _with_thirds(p: Parameter) -> Parameter:
    return replace(p, state={name: x.astype("float64") + 1 / 3 for name, x in p.state.items()})


def main() -> None:
    """Runs every check; the first that fails ends it."""
    warnings.filterwarnings("ignore", message=".*order of layers.*")
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check()
            print("ok", name, flush=True)


if __name__ == "__main__":
    main()
