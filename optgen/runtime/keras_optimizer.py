"""What every generated Keras class is: a `keras.optimizers.Optimizer` that steps a rule on all variables at once."""

# The base class is Keras's, which carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, cast

from optgen.errors import BackendError, GradientError, HyperError, UsageError
from optgen.runtime import array_modules, keras_conversion, keras_metrics, keras_saved
from optgen.runtime.arrangement import Arrangement
from optgen.runtime.array_scalars import is_known
from optgen.runtime.evaluation import EvaluationBlock, check_training
from optgen.runtime.given import plain
from optgen.runtime.keras_arrays import in_scope, number, uncompiled, unrecorded
from optgen.runtime.keras_evaluation import Evaluation
from optgen.runtime.keras_layers import path_of, shortened, spread
from optgen.runtime.keras_layout import Layout, Options, Variable
from optgen.runtime.keras_untyped import backend, keras, ops
from optgen.runtime.rule_info import HyperInfo, HyperValue, RuleInfo

if TYPE_CHECKING:
    from optgen.runtime.keras_kernels import Engine

#: A number, a schedule of Keras, or a function without arguments.
LearningRate: TypeAlias = "float | Callable[..., Any]"
#: One value per variable, or a map from patterns of paths.
PerParameter: TypeAlias = Sequence[int | float | str] | Mapping[str, int | float | str] | None
Tensor: TypeAlias = Any

LR, DECAY = "lr", "weight_decay"


class _Own:
    """What an optimizer holds of its own. Keras tracks no attributes of it."""

    def __init__(
        self, maximize: bool, arrangement: Arrangement, each: Mapping[str, PerParameter], given: str | None
    ) -> None:
        self.maximize, self.arrangement, self.each, self.backend = maximize, arrangement, dict(each), given
        self.made_with: float | None = None
        self.layout: Layout | None = None
        self.engine = _engine(given)
        self.inputs: dict[str, Tensor] = {}
        self.evaluation = Evaluation()


class Optimizer(keras.optimizers.Optimizer, EvaluationBlock):
    """An optimizer of Keras made from a rule.

    It does what Keras's own do: schedules and callbacks set the learning rate, gradients may be clipped or accumulated,
    losses scaled, weights averaged; `.keras` files and `stateless_apply` hold all of its state. Weight decay is the
    rule's own where it has one, and spares what `exclude_from_weight_decay` names.

    Hyper-parameters are attributes. Keras compiles the learning rate as a variable and the others as numbers: what is
    changed after that is seen once the model is compiled again.
    """

    RULE: ClassVar[RuleInfo]
    #: Keras's name of each hyper-parameter.
    ARGUMENTS: ClassVar[Mapping[str, str]]
    #: Keras's name of each state that its own optimizer of this rule has too.
    STATE: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        given: Mapping[str, Any],
        *,
        maximize: bool = False,
        arrangement: Arrangement | None = None,
        per_parameter: Mapping[str, PerParameter] | None = None,
        weight_decay: float | None = None,
        backend: str | None = None,
        **common: Any,
    ) -> None:
        """`given` maps the rule's hyper-parameters to values. Raises HyperError for those that cannot be, BackendError
        for a backend that steps no tensors of Keras's."""
        rule = self.RULE
        values = {hyper.name: _accepted(hyper, given[hyper.name]) for hyper in rule.hypers}
        _check_requirements(rule, values)
        super().__init__(learning_rate=values.get(LR, 0.0), weight_decay=weight_decay, **common)
        self._own = _Own(bool(maximize), arrangement or Arrangement(), per_parameter or {}, backend)
        self._own.made_with = None if callable(values.get(LR)) else values.get(LR)
        for name, value in values.items():
            if name != LR:
                setattr(self, self.ARGUMENTS[name], value)
        self._rate(None)

    @property
    def iterations(self) -> Any:
        """The variable that counts steps."""
        return None if not self.built and self._odd("late_count") else super().iterations

    def hypers(self) -> dict[str, Any]:
        """Values of the rule's hyper-parameters now, by its own names; the learning rate is a tensor or a number."""
        found: dict[str, Any] = {}
        for hyper in self.RULE.hypers:
            if hyper.name != LR:
                found[hyper.name] = plain(hyper, getattr(self, self.ARGUMENTS[hyper.name]))
        return found

    # What Keras calls

    def build(self, variables: Sequence[Variable]) -> None:
        """Makes the state of variables. UsageError, before anything is made, for those that cannot be stepped."""
        if self.built:
            return
        variables = list(variables)
        values = {**self.RULE.defaults(), **self.hypers()}
        layout = Layout(self.RULE, values, self._options(variables), variables)
        super().build(variables)
        for text in self.RULE.warnings(values, layout.graph.degree if layout.graph is not None else 0.0):
            warnings.warn(text, stacklevel=2)
        layout.make_state(values, variables, self._make)
        self._own.layout = layout

    @uncompiled
    def apply(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[Variable] | None = None, **inputs: Any
    ) -> None:
        """One step. `inputs` are what the rule reads beside gradients, such as `loss`."""
        check_training(self.evaluating, self.RULE, "apply()")
        wanted = {given.name for given in self.RULE.inputs}
        if wanted ^ inputs.keys():
            missing = ", ".join(f"{name}=..." for name in sorted(wanted - inputs.keys()))
            surplus = ", ".join(sorted(inputs.keys() - wanted))
            why = f"reads more than gradients: call apply(grads, variables, {missing})"
            raise UsageError(f"{self.RULE.name} {why if missing else f'has no input {surplus}'}")
        if trainable_variables is None and not self.built:
            raise UsageError(
                f"{type(self).__name__} is not built: call build(variables) first, or apply(grads, variables)"
            )
        grads = list(grads)
        stepped = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        if len(grads) != len(stepped):
            raise GradientError(f"{len(stepped)} variables need as many gradients, or None for some; got {len(grads)}")
        self._own.inputs = dict(inputs)
        try:
            super().apply(grads, None if trainable_variables is None else stepped)
        finally:
            self._own.inputs = {}

    def _backend_update_step(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[Variable], learning_rate: Any
    ) -> None:
        with unrecorded():
            gradients = self._dense(grads, trainable_variables)
            self._step(gradients, trainable_variables, learning_rate)

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        if DECAY not in self.ARGUMENTS.values():  # else the rule decays
            super()._apply_weight_decay(variables)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this optimizer again, as Keras saves them."""
        own, arrangement = self._own, self._own.arrangement
        config: dict[str, Any] = {**super().get_config(), "maximize": own.maximize, "backend": own.backend}
        if not self._decays_as_keras():
            config.pop(DECAY, None)
        if self._odd("lr_as_made"):
            config["learning_rate"] = self._own.made_with
        config |= {self.ARGUMENTS[name]: value for name, value in self.hypers().items()}
        if self.RULE.layers:
            config["players"] = _listed(arrangement.players)
        if self.RULE.graph:
            edges = arrangement.edges
            edges = edges if edges is None or isinstance(edges, str) else [list(edge) for edge in edges]
            config |= {"edges": edges, "laplacian": arrangement.laplacian, "coupling": arrangement.coupling}
        if self.RULE.depth:
            config["depths"] = _listed(arrangement.depths)
        each = {hyper.name: hyper.per_parameter for hyper in self.RULE.hypers if hyper.per_parameter}
        return config | {argument: _listed(own.each.get(name)) for name, argument in each.items()}

    def finalize_variable_values(self, var_list: Any) -> None:
        """What Keras does when training ends. StateError if it trained the weights to evaluate with."""
        self.train()  # callbacks of the last epoch may have set the others
        super().finalize_variable_values(var_list)

    def save_own_variables(self, store: Any) -> None:
        """Writes the state, and which rule it is of; between `eval()` and `train()` the weights that train, too."""
        super().save_own_variables(store)
        keras_saved.describe(store, self.RULE, self._own.layout, self._own.evaluation.held)

    def load_own_variables(self, store: Any) -> None:
        """Reads what was saved. StateError, with nothing changed, where it is of another rule, model or form."""
        check_training(self.evaluating, self.RULE, "loading")
        held = keras_saved.check(store, self.RULE, self._own.layout, self.variables)
        for index, variable in enumerate(self.variables):
            variable.assign(store[str(index)])
        if held is not None:
            self._own.evaluation.take([ops.convert_to_tensor(x) for x in held])

    def set_weights(self, weights: Sequence[Tensor]) -> None:
        """Sets all variables of the optimizer. StateError, with nothing changed, for one of another shape."""
        check_training(self.evaluating, self.RULE, "set_weights()")
        if self.built:  # Keras says it where it is not
            keras_saved.check_shapes(self.variables, weights := list(weights))
        super().set_weights(weights)

    # Weights to evaluate with

    @property
    def evaluating(self) -> bool:
        """Whether the variables hold the weights to evaluate with."""
        return self._own.evaluation.held is not None

    def eval(self) -> None:
        """Sets the variables to the weights to evaluate with, until `train()`. Nothing happens if they are set.

        Until then `evaluate`, `predict` and `save` work on them. A file saved so holds the weights that train beside,
        and `train()` of a model loaded from it finds them. `apply`, `fit` and loading raise UsageError. UsageError
        where the rule has no `eval:`.
        """
        self._own.evaluation.begin(self)

    def train(self, *, discard: bool = False) -> None:
        """Puts back the weights that train, to the bit. Nothing happens if they are there.

        StateError if variables were written meanwhile, as by loading weights: that would be lost. `discard` says that
        it may be.
        """
        self._own.evaluation.end(self, discard=discard)

    # What it is for others

    def shown(self, name: str) -> float:
        """A number that the rule shows of itself, of the next step and with values as they are now."""
        rate = {LR: float(ops.convert_to_numpy(self._rate(self.learning_rate)))} if LR in self.ARGUMENTS else {}
        step = int(ops.convert_to_numpy(super().iterations)) + 1
        return float(self.RULE.shows[name]({**self.RULE.defaults(), **self.hypers(), **rate}, step))

    def set_hyper(self, name: str, value: Any) -> None:
        """Sets a hyper-parameter by the rule's own name. HyperError for a value that cannot be."""
        setattr(self, self.ARGUMENTS[name], plain(self.RULE.hyper(name), value))

    def describe(self) -> str:
        """Layer, role and state of each variable, as text."""
        layout = self.layout()
        lines = [f"{type(self).__name__} ({self.RULE.name}) on Keras's {backend.backend()} backend{self._served()}"]
        for path, layer, role, slots in zip(
            layout.paths, layout.layers.player, layout.layers.role, layout.slots, strict=True
        ):
            place = f"layer {layer}{f', role {role}' if role else ''}" if self.RULE.layers else ""
            lines.append("  ".join(part for part in (path, place, ", ".join(slots)) if part))
        return "\n".join(lines)

    def state_of(self, variable: Variable) -> Mapping[str, Variable]:
        """State variables of a variable of the model, by the rule's names."""
        return dict(self.layout().slots[self._get_variable_index(variable)])

    @classmethod
    def preset(cls, name: str, **arguments: Any) -> Self:
        """An optimizer with one of the rule's presets; `arguments` win over the preset's."""
        made: Callable[..., Self] = cls
        return made(**{**cls.RULE.preset(name), **arguments})

    @classmethod
    def from_keras(cls, optimizer: Any, **arguments: Any) -> Self:
        """The optimizer that goes on where Keras's own of this rule is: its variables, settings, a copy of its state.

        `arguments` are those that Keras's has not. StateError where the rule has not all of its options.
        """
        return cast(Self, keras_conversion.taken_over(cls, optimizer, arguments))

    def to_keras(self) -> Any:
        """Keras's own optimizer of this rule, with a copy of the state. StateError where it has not all options."""
        check_training(self.evaluating, self.RULE, "to_keras()")
        return keras_conversion.given_back(self)

    def metrics(self) -> dict[str, float]:
        """Mean of each metric of the rule over variables and sampled steps since `reset_metrics()`, by name.

        Empty before the first sample. UsageError where the rule has no metrics, or none are taken (`metrics_interval`
        is 0, the default).
        """
        return keras_metrics.metrics(self.RULE, self.layout())

    def reset_metrics(self) -> None:
        """Begins the means anew. UsageError as `metrics()`."""
        keras_metrics.reset_metrics(self.RULE, self.layout())

    # Parts

    def layout(self) -> Layout:
        """The rule laid out for the variables that the optimizer was built for. UsageError before that."""
        if self._own.layout is None:
            raise UsageError(f"{type(self).__name__} is not built yet: call build(variables), or fit a model with it")
        return self._own.layout

    def _odd(self, quirk: str) -> bool:
        """Whether the rule asks for a quirk of published code, with values as they are now."""
        return quirk in self.RULE.quirks and self.RULE.has_quirk(quirk, self.hypers())

    def _rate(self, learning_rate: Any) -> Any:
        """The learning rate of a step. HyperError, with nothing changed, where it is known and cannot be, or is to stay
        as it was made, and was made of a schedule."""
        if self._odd("lr_as_made"):
            if self._own.made_with is None:
                raise HyperError(
                    f"{self.RULE.name} takes its learning rate once, when it is made, as the published code does: give "
                    "a number, not a schedule"
                )
            return self._own.made_with
        rate = None if learning_rate is None else number(learning_rate)
        if LR in self.ARGUMENTS and rate is not None and is_known(rate):
            _accepted(self.RULE.hyper(LR), rate)
        return rate

    def _served(self) -> str:
        """What steps the variables, as the first line of a description says it."""
        if (engine := self._own.engine) is None:
            return ""
        values = {**self.RULE.defaults(), **self.hypers()}
        kernels = engine.kernels(self.layout(), values, self._trainable_variables, {})
        if kernels is None:
            return f", by keras.ops ({engine.reason})"
        return f", by {kernels.backend} kernels on {kernels.device}"

    def _decays_as_keras(self) -> bool:
        return DECAY not in self.ARGUMENTS.values()

    def _options(self, variables: Sequence[Variable]) -> Options:
        own, paths = self._own, [path_of(variable) for variable in variables]
        each: dict[str, Sequence[HyperValue | None]] = {}
        for name, given in own.each.items():
            if given is None:
                continue
            hyper = self.RULE.hyper(name)
            found = spread(given, paths, shortened(paths), hyper.per_parameter) if isinstance(given, Mapping) else given
            if len(found) != len(paths):
                raise UsageError(f"{hyper.per_parameter} has {len(found)} entries for {len(paths)} variables")
            each[name] = [None if value is None else plain(hyper, value) for value in found]
        decays = [name for name in self.ARGUMENTS if name == DECAY or name.endswith(f"_{DECAY}")]
        decays = [name for name in decays if self.RULE.hyper(name).kind == "float"]
        exempt = [{} if self._use_weight_decay(v) else dict.fromkeys(decays, 0.0) for v in variables]
        return Options(own.maximize, own.arrangement, each, exempt)

    def _make(self, shape: tuple[int, ...], dtype: str, start: Any, variable: Variable, slot: str) -> Variable:
        name = slot.replace("[", "_").replace("]", "")
        path = "" if variable is None else f"{path_of(variable).replace('/', '_').replace(':', '_')}_"
        layout = getattr(variable, "_layout", None) if variable is not None and shape == tuple(variable.shape) else None
        return self.add_variable(shape, initializer=start, dtype=dtype, layout=layout, name=f"{path}{name}")

    def _dense(self, grads: Sequence[Tensor], variables: Sequence[Variable]) -> dict[int, Tensor]:
        """Gradients by the numbers of their variables; sparse ones as the arrays that they stand for."""
        if backend.backend() == "tensorflow":
            values = [v.value if isinstance(v, keras.Variable) else v for v in variables]
            grads = [grad for grad, _ in self._all_reduce_sum_gradients(list(zip(grads, values, strict=True)))]
        found = [ops.convert_to_tensor(grad, sparse=False) for grad in grads]
        return {self._get_variable_index(v): grad for v, grad in zip(variables, found, strict=True)}

    def _step(self, gradients: Mapping[int, Tensor], variables: Sequence[Variable], learning_rate: Any) -> None:
        """One step by kernels where Keras's tensors are torch's, else by functions of arrays."""
        layout, own, everything = self.layout(), self._own, cast("list[Variable]", self._trainable_variables)
        settling = {**self.RULE.defaults(), **self.hypers()}
        layout.follow(settling, everything)
        layout.check(settling, gradients, everything)
        values = {**self.hypers(), LR: self._rate(learning_rate), **own.inputs}
        step = number(self.iterations) + 1
        kernels = None
        if own.engine is not None and not in_scope():
            kernels = own.engine.kernels(layout, settling, everything, gradients)
        if kernels is not None:
            kernels.run(values, step, gradients)
            return
        stepped = list(everything)
        for variable in variables:
            stepped[self._get_variable_index(variable)] = variable
        for variable, value in layout.step(values, step, gradients, stepped):
            self.assign(variable, value)


def _engine(given: str | None) -> Engine | None:
    """What finds kernels for tensors of torch. BackendError for a backend that steps none of Keras's."""
    if backend.backend() == "torch":
        from optgen.runtime.keras_kernels import Engine  # which imports torch

        return Engine(given)
    if given not in (None, array_modules.BACKEND):
        raise BackendError(
            f'backend="{given}" steps tensors of torch, and Keras runs on {backend.backend()}: leave it out, or set '
            "KERAS_BACKEND=torch"
        )
    return None


def _accepted(hyper: HyperInfo, value: Any) -> Any:
    """A value of a hyper-parameter; the learning rate may be a schedule or a function."""
    if hyper.name != LR:
        return plain(hyper, value)
    if callable(value):  # schedules are, too
        return value
    return float(cast(float, plain(hyper, value, ", a schedule or a function without arguments")))


def _check_requirements(rule: RuleInfo, values: Mapping[str, Any]) -> None:
    static = {**rule.defaults(), **{n: v for n, v in values.items() if isinstance(v, bool | int | float | str | tuple)}}
    for requirement in rule.require:
        if not requirement.holds(static):
            raise HyperError(f"{rule.name} needs {requirement.text}")


def _listed(given: Any) -> Any:
    """A setting as Keras writes it to a file: maps and lists of plain values."""
    if isinstance(given, Mapping):
        return dict(given)
    return given if given is None or isinstance(given, str) else list(given)
