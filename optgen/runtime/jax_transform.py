"""A rule as an optax transformation: what every generated factory of `optgen.jax` returns."""

# JAX and optax carry partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from optgen.errors import HyperError, UsageError
from optgen.runtime import array_modules, jax_checks, jax_report, jax_step, jax_strict
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.array_program import Program
from optgen.runtime.array_step import Plan
from optgen.runtime.given import plain
from optgen.runtime.jax_inplace import Site
from optgen.runtime.jax_layers import Asked, Laid, LayerOrderWarning, PerParameter, lay_out
from optgen.runtime.jax_report import Description
from optgen.runtime.rule_info import COUPLING, MATCH, TRANSPORT, HyperInfo, RuleInfo, mentions

__all__ = ["Description", "LayerOrderWarning", "PerParameter", "Scalar", "State", "Transformation", "transformation"]

Schedule: TypeAlias = Callable[[Any], Any]
#: A number, an array that may be traced, or a schedule of the number of steps completed.
Scalar: TypeAlias = "float | jax.Array | Schedule"
Given: TypeAlias = "bool | int | float | str | jax.Array | Schedule"
Tree: TypeAlias = Any
#: Trees that one transformation remembers, for calls outside of compiled functions.
_KEPT = 64
_T = TypeVar("_T")


class State(NamedTuple):
    """State of an optimizer. `slots` has a tree like the parameters' for each of the rule's states, None where a
    parameter has none; `updates` counts each parameter's updates, where they can differ from `count`."""

    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride]  # as optax calls it
    slots: dict[str, Tree]
    updates: Tree


class Transformation(optax.GradientTransformationExtraArgs):
    """An optax transformation with more ways to step and look.

    `apply(grads, state, params)` gives new parameters and state in one pass: on one CPU by the kernels that other front
    ends use, in place and by one call for all tensors; by the functions of `plain` on other platforms, on several
    devices, and where the step is batched, differentiated or exported. Under `jax.jit`, donate both, and take them in
    the order in which they are returned: `jax.jit(lambda params, state, grads: tx.apply(grads, state, params),
    donate_argnums=(0, 1))`. JAX hands the memory of donated arguments to outputs in order, and the other way round XLA
    has to copy.

    `plain(grads, state, params)` is the same by plain JAX functions, everywhere. `evaluation_params(state, params)` are
    the weights to evaluate with, of rules that have others. `describe(params)` says how each parameter is served.
    """

    apply: Callable[..., tuple[Tree, State]]
    plain: Callable[..., tuple[Tree, State]]
    evaluation_params: Callable[[State, Tree], Tree]
    describe: Callable[[Tree], Description]
    #: What `optgen.runtime.jax_neutral` asks about rule, settings and layers.
    engine: Any


def transformation(
    rule: RuleInfo,
    given: Mapping[str, Given],
    *,
    maximize: bool = False,
    order: Sequence[str] | None = None,
    stacked: Sequence[str] = (),
    arrangement: Arrangement | None = None,
    per_parameter: Mapping[str, PerParameter] | None = None,
    strict: bool = False,
) -> Transformation:
    """The transformation of a rule.

    `given` maps the rule's hyper-parameters to numbers, traced arrays or schedules; those that select code must be
    known. `order` names the layers from input to output, for rules that look at them; `stacked` the modules whose
    parameters hold several layers along their first axis; `per_parameter` the hypers that parameters have for
    themselves. `strict` has every operation round once, as NumPy does; compiling it for another platform than a CPU is
    a BackendError. Raises HyperError for values that cannot be, UsageError for arguments that make no sense.
    """
    own = {hyper.name: (per_parameter or {}).get(hyper.per_parameter) for hyper in rule.hypers if hyper.per_parameter}
    own = {name: values for name, values in own.items() if values is not None}
    asked = Asked(order, arrangement or Arrangement(), _names("stacked", stacked), own)
    engine = _Engine(rule, given, maximize, asked, jax_strict.asked(strict))
    made = Transformation(engine.init, cast(Any, engine.update))
    made.apply, made.plain = engine.apply, engine.plain
    made.evaluation_params, made.describe = engine.evaluation_params, engine.describe
    made.engine = engine
    return made


def _names(argument: str, given: Sequence[str]) -> Sequence[str]:
    if isinstance(given, str):
        raise UsageError(f"{argument} must be a list of names, got {given!r}")
    return tuple(given)


class _Engine:
    def __init__(self, rule: RuleInfo, given: Mapping[str, Given], maximize: bool, asked: Asked, strict: bool) -> None:
        self.rule, self.asked, self.strict = rule, asked, strict
        self.given = {hyper.name: accepted(hyper, given[hyper.name]) for hyper in rule.hypers}
        self.known = {name: value for name, value in self.given.items() if isinstance(value, bool | int | float | str)}
        known = self.known
        static = {**rule.defaults(), **known}
        for requirement in rule.require:
            given_all = all(hyper.name in known for hyper in rule.read_by(requirement.text))
            if given_all and not requirement.holds(static):
                raise HyperError(f"{rule.name} needs {requirement.text}")
        coupling = TRANSPORT if asked.arrangement.coupling == TRANSPORT else MATCH
        self.settled = rule.settled(static, maximize, coupling)
        self._refuse_traced(known)
        self.static = static
        self.program: Program = array_modules.find(rule, self.settled, static, "jax")
        if strict:
            jax_strict.check(rule.name, self.program.inexact)
        self.sites: dict[object, Site] = {}
        self.laid: dict[object, Laid] = {}

    def _refuse_traced(self, known: Mapping[str, object]) -> None:
        traced = [hyper.name for hyper in self.rule.hypers if hyper.name not in known]
        for name in (*traced, *self.asked.own):
            for key in self.settled:
                if mentions(key, name) or (name in traced and name in self.rule.structural):
                    how = "as a plain number" if name in traced else "as one number for all parameters"
                    raise HyperError(f"{name} selects code of {self.rule.name} ({key}): give it {how}")

    def init(self, params: Tree) -> State:
        """State before the first step, sharded and typed like the parameters."""
        arrays, treedef, laid = self._laid(params)
        self._warn(laid.plan)
        count = jnp.zeros([], jnp.int32)
        hypers = self._hypers(count)
        rows = [jax_step.start(laid, param, x, hypers) for param, x in zip(laid.params, arrays, strict=True)]
        counts = [jnp.zeros([] if param.layers is None else [param.layers], jnp.int32) for param in laid.params]
        slots = {s.name: treedef.unflatten([row.get(s.name) for row in rows]) for s in self.program.slots}
        return State(count, slots, treedef.unflatten(counts) if laid.plan.counted else None)

    def _warn(self, plan: Plan) -> None:
        """What the rule's text warns of, as far as values are known."""
        degree = 0.0 if plan.graph is None else plan.graph.degree
        for text in self.rule.warnings(self.static, degree):
            warnings.warn(text, stacklevel=4)

    def update(self, updates: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        """What to add to the parameters, in their dtypes, and the new state: always by plain functions."""
        new, after = self.plain(updates, state, params, **extra)
        return jax.tree.map(_difference, new, params), after

    def apply(self, grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        """New parameters and state, in place where that can be."""
        return self._step(grads, state, params, extra, in_place=True)

    def plain(self, grads: Tree, state: State, params: Tree = None, **extra: Any) -> tuple[Tree, State]:
        """New parameters and state by plain functions."""
        return self._step(grads, state, params, extra, in_place=False)

    def _step(
        self, grads: Tree, state: State, params: Tree, extra: Mapping[str, Any], *, in_place: bool
    ) -> tuple[Tree, State]:
        if params is None:
            raise UsageError(f"{self.rule.name} needs the parameters: call update(grads, state, params)")
        arrays, treedef, laid = self._laid(params)
        gradients = jax_step.gradients(grads, treedef, laid, self.rule.gradient_count(self.static))
        inputs = self._inputs(extra)
        hypers = self._hypers(state.count)
        traced = {name: jnp.asarray(x) for name, x in hypers.items() if not isinstance(x, bool | int | float | str)}
        jax_checks.watch([self.rule.hyper(name) for name in traced], list(traced.values()))
        site = self._site(treedef, laid, hypers, tuple(traced), tuple(inputs), state.updates is not None)
        held = jax_step.held(state.slots, state.updates, treedef, laid, self.program)
        given = [state.count, *traced.values(), *map(jnp.asarray, inputs.values())]
        operands = [*arrays, *held, *gradients, *given]
        found = site(operands) if in_place else site.plain(*operands)
        rows, _ = site.rows([*found, *gradients])
        slots = {s.name: treedef.unflatten([row.get(s.name) for row in rows]) for s in self.program.slots}
        counts = treedef.unflatten([row["updates"] for row in rows]) if site.counted else None
        return treedef.unflatten([row["param"] for row in rows]), State(state.count + 1, slots, counts)

    def _site(
        self,
        treedef: Any,
        laid: Laid,
        hypers: Mapping[str, Any],
        traced: tuple[str, ...],
        inputs: tuple[str, ...],
        counted: bool,
    ) -> Site:
        """The step for these parameters; the same one as long as nothing but values of operands differs."""
        known = {name: value for name, value in hypers.items() if name not in traced}
        key = (treedef, tuple((x.shape, x.dtype) for x in laid.params), tuple(known.items()), traced, inputs, counted)
        return _kept(
            self.sites, key, lambda: Site(laid, self.settled, self.static, known, traced, inputs, counted, self.strict)
        )

    def evaluation_params(self, state: State, params: Tree) -> Tree:
        """The weights to evaluate with: those of the rule's `eval:`, or the parameters where it has none."""
        rule = self.rule.evaluation
        if rule is None:
            return params
        arrays, treedef, laid = self._laid(params)
        names = {hyper.name for hyper in rule.hypers}
        static = {name: value for name, value in self.static.items() if name in names}
        settled = rule.settled(static, False, str(self.settled.get(COUPLING, TRANSPORT)))
        program = array_modules.find(rule, settled, static, "jax")
        given = {name: value for name, value in self._hypers(state.count).items() if name in names}
        held = jax_step.held(state.slots, state.updates, treedef, laid, self.program)
        counted = state.updates is not None
        return treedef.unflatten(jax_step.evaluated(laid, rule, program, [*arrays, *held], counted, state.count, given))

    def describe(self, params: Tree) -> Description:
        """How each parameter is served, in the order of the tree; its `apply` says what a step in place would run."""
        arrays, treedef, laid = self._laid(params)
        hypers = self._hypers(jnp.zeros([], jnp.int32))
        traced = tuple(name for name, x in hypers.items() if not isinstance(x, bool | int | float | str))
        site = self._site(
            treedef, laid, hypers, traced, tuple(given.name for given in self.rule.inputs), laid.plan.counted
        )
        return jax_report.describe(site, self.rule, self.static, arrays)

    def _hypers(self, count: jax.Array) -> dict[str, Any]:
        given = {hyper.name: (hyper, self.given[hyper.name]) for hyper in self.rule.hypers}
        return {name: accepted(hyper, x(count)) if callable(x) else x for name, (hyper, x) in given.items()}

    def _inputs(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        wanted = [given.name for given in self.rule.inputs]
        missing = [name for name in wanted if extra.get(name) is None]
        if missing:
            raise UsageError(
                f"{self.rule.name} reads {missing[0]}: call update(grads, state, params, {missing[0]}=...)"
            )
        return {name: extra[name] for name in wanted}

    @property
    def arrangement(self) -> Arrangement:
        """What the caller said of layers."""
        return self.asked.arrangement

    def _laid(self, params: Tree) -> tuple[list[jax.Array], Any, Laid]:
        """The parameters in the tree's order, and the program laid out for them."""
        paths, treedef = jax.tree_util.tree_flatten_with_path(params)
        names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
        arrays = [jax_step.checked_leaf(name, leaf) for name, (_, leaf) in zip(names, paths, strict=True)]
        kinds = [(name, tuple(x.shape), str(x.dtype)) for name, x in zip(names, arrays, strict=True)]

        def lay() -> Laid:
            laid = lay_out(self.rule, self.program, self.static, self.asked, kinds)
            for leaf in laid.plan.leaves:
                self.rule.check_fit(leaf.name, {**self.known, **leaf.own}, leaf.meta)
            return laid

        return arrays, treedef, _kept(self.laid, (treedef, tuple(kinds)), lay)

    def laid_for_files(self, params: Tree, stacked: Sequence[str]) -> tuple[list[jax.Array], Any, Laid, Laid]:
        """The parameters, and the program laid out as it steps them and with the layers of stacks one by one.

        UsageError for more stacks than the transformation's own, where its steps would depend on them.
        """
        arrays, treedef, laid = self._laid(params)
        more = tuple(name for name in _names("stacked", stacked) if name not in self.asked.stacked)
        if more and (self.rule.reach != "elem" or self.rule.depth):
            raise UsageError(
                f"the steps of {self.rule.name} depend on which layers are stacked: give "
                f"stacked={[*self.asked.stacked, *more]} to the transformation"
            )
        asked = replace(self.asked, stacked=(*self.asked.stacked, *more))
        if not asked.stacked:
            return arrays, treedef, laid, laid
        kinds = tuple((param.name, param.shape, param.dtype) for param in laid.params)

        def lay() -> Laid:
            return lay_out(self.rule, self.program, self.static, asked, kinds, one_by_one=True)

        return arrays, treedef, laid, _kept(self.laid, (treedef, kinds, asked.stacked), lay)


def _kept(where: dict[object, _T], key: object, make: Callable[[], _T]) -> _T:
    """What was made for a key before, or made now."""
    if key not in where:
        if len(where) >= _KEPT:
            where.clear()
        where[key] = make()
    return where[key]


def accepted(hyper: HyperInfo, value: Given) -> Given:
    """A value of a hyper-parameter; what is known of it is checked."""
    if callable(value) or isinstance(value, jax.Array | np.ndarray):
        if hyper.kind == "choice":
            raise HyperError(f"{hyper.name} must be one of {', '.join(hyper.choices)}")
        return value if callable(value) else _checked(hyper, value)
    return cast(Given, plain(hyper, value, ", an array or a schedule"))


def _checked(hyper: HyperInfo, value: jax.Array | np.ndarray) -> Given:
    """An array that may be a hyper-parameter: a single number, in its domain as far as it is known."""
    if value.ndim > 0:
        raise HyperError(f"{hyper.name} must be a single number, got an array of shape {value.shape}")
    if not isinstance(value, Tracer):
        number = float(value)
        if math.isnan(number) or (hyper.domain is not None and not hyper.domain.contains(number)):
            raise HyperError(f"{hyper.name} must be {hyper.domain.text if hyper.domain else 'a number'}, got {number}")
    return jnp.asarray(value)


def _difference(new: jax.Array, old: jax.Array) -> jax.Array:
    """What takes the old value to the new one, in the parameter's dtype."""
    wide = jnp.promote_types(old.dtype, jnp.float32)
    return (new.astype(wide) - old.astype(wide)).astype(old.dtype)
