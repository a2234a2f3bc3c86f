"""The base class of generated torch optimizers: a `torch.optim.Optimizer` whose step runs kernels in place."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeAlias, cast

import torch
from torch import Tensor

from optgen.errors import BackendError, GradientError, PartialStepError, StateError, UsageError
from optgen.runtime import (
    torch_checks,
    torch_conversion,
    torch_flags,
    torch_groups,
    torch_report,
    torch_storage,
)
from optgen.runtime.gpu_count import StepCount
from optgen.runtime.graph import refuse_unconnected, unconnected
from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_binding import Binding
from optgen.runtime.torch_compiled import Given, Traced, queue
from optgen.runtime.torch_evaluation import EvaluationWeights
from optgen.runtime.torch_gradients import stacked
from optgen.runtime.torch_groups import DEPTHS, NAMES, PLAYERS, Depths, Edge, Group, Options, PerParameter, Players
from optgen.runtime.torch_metrics import Metrics
from optgen.runtime.torch_plan import Plan, plan
from optgen.runtime.torch_saved import OPTGEN, Saved, describe_groups, identity, read_saved
from optgen.runtime.torch_scaling import Scaling, scaling_of
from optgen.runtime.torch_state import Slots, copied, schemas
from optgen.runtime.torch_storage import StateDtype

Params: TypeAlias = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

_torch_add: Callable[[torch.optim.Optimizer, Group], None] = torch.optim.Optimizer.add_param_group
#: What torch wraps to keep its compiler away; the wrapper imports that compiler, which takes most of a second.
_add_param_group: Callable[[torch.optim.Optimizer, Group], None] = getattr(_torch_add, "__wrapped__", _torch_add)


class Optimizer(EvaluationWeights, Metrics):
    """An optimizer whose rule was written once as equations; subclasses are generated and give `RULE`.

    State is made when parameters are added, so that a state dict is complete before the first step. Hyper-parameters
    are read from `param_groups` at every step; a value outside its domain raises before anything changes.
    """

    RULE: ClassVar[RuleInfo]
    #: Says to torch.amp.GradScaler that a step takes `grad_scale` and `found_inf`, which it sets as attributes.
    _step_supports_amp_scaling = True
    #: What a step that was cut while it stored left behind, until state is loaded.
    _cut: str = ""
    #: Steps, where the host does not see them run: under CUDA graphs, and where a scaler's `found_inf` skips them.
    _count: StepCount | None = None
    #: Whether there are no kernels that divide by a scaler's scale, so that gradients are divided before a step.
    _unscales: bool = False
    #: What torch's compiler sees of a step.
    _traced: Traced | None = None

    def __init__(
        self,
        params: Params,
        defaults: Mapping[str, Any],
        *,
        backend: str | None = None,
        players: Players = None,
        edges: str | Iterable[Edge] | None = None,
        laplacian: str = "combinatorial",
        coupling: str = "transport",
        depths: Depths = None,
        per_parameter: Mapping[str, PerParameter] | None = None,
        state_dtype: StateDtype = None,
        master_weights: bool = False,
        stochastic_rounding: bool = False,
        seed: int = 0,
        strict: bool = False,
    ) -> None:
        self._options = Options(
            backend=backend,
            players=players,
            edges=edges if edges is None or isinstance(edges, str) else tuple(edges),
            laplacian=laplacian,
            coupling=coupling,
            depths=depths,
            per_parameter=dict(per_parameter or {}),
            strict=torch_storage.switch("strict", strict),
            storage=torch_storage.storage_options(self.RULE, state_dtype, master_weights, stochastic_rounding, seed),
        )
        self._global_step = 0
        self._binding: Binding | None = None
        self._made = False
        super().__init__(cast(Any, params), {**torch_flags.FLAGS, **defaults})
        self._spread_over_all()
        self._made = True
        made = self._bind().plan
        refuse_unconnected(self.RULE.class_name, made.edges, made.players)
        self._warn_unnamed(made)
        members = made.members
        sets, names = [member.dtypes for member in members], [member.name for member in members]
        torch_storage.warn_lost_updates(self.RULE.class_name, sets, names)

    @classmethod
    def preset(cls, name: str, params: Params, **arguments: Any) -> Self:
        """An optimizer with one of the rule's presets; `arguments` win over the preset's."""
        return cls(params, **{**cls.RULE.preset(name), **arguments})

    @classmethod
    def from_torch(cls, optimizer: torch.optim.Optimizer, **arguments: Any) -> Self:
        """Goes on where torch's optimizer of this rule is: its parameters and groups, and copies of its state.

        `arguments` are those that torch's has not, such as `backend`. StateError if it is of another rule, or uses an
        option that this rule does not have.
        """
        made = cls(torch_conversion.groups_of(optimizer, cls.RULE, arguments), **arguments)
        made.load_state_dict(optimizer.state_dict())
        return made

    def to_torch(self) -> torch.optim.Optimizer:
        """Torch's own optimizer of this rule, going on where this one is, with copies of the state.

        StateError if torch has none, or lacks an option that is in use.
        """
        self._check_whole()
        binding = self._current()
        return torch_conversion.to_torch(self.RULE, self.param_groups, self.state, binding.plan)

    # --- stepping

    def step(self, closure: Callable[[], float] | None = None, **inputs: object) -> float | None:  # type: ignore[override]
        """Updates every parameter that has a gradient, in place, and returns the closure's loss.

        `inputs` are the values that the rule reads at each step; an input called `loss` is taken from the closure.
        Rules that take several gradients per parameter get them as `gradients`, along a first axis, by the names of
        parameters or in their order; one alone may be the parameters' own.
        Raises before anything is changed if a gradient or a hyper-parameter cannot be used. An exception from outside
        (Ctrl-C, no memory) leaves all parameters and all state as before the step, or all as after it, and then
        `global_step` counts it; PartialStepError, now and until a state is loaded, where neither could be had.
        """
        gradients = inputs.pop("gradients", None)
        if torch.compiler.is_compiling():
            if gradients is not None:
                raise UsageError("a step with gradients= is taken outside torch.compile")
            return queue(self._traced, closure, inputs)
        self._check_whole()
        self._check_training("step()")
        loss: float | None = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            if "loss" not in inputs and any(given.name == "loss" for given in self.RULE.inputs):
                inputs["loss"] = loss
        self._advance(inputs, None, gradients)
        return loss

    def step_on(self, given: Given) -> None:
        """The step of a compiled graph: on tensors that stand for this optimizer's own. Called by the operator."""
        self._check_whole()
        self._check_training("step()")
        self._advance(dict(zip((each.name for each in self.RULE.inputs), given.inputs, strict=True)), given)

    def _advance(self, inputs: Mapping[str, object], given: Given | None, gradients: object = None) -> None:
        """One step, on tensors that are given or on the optimizer's own."""
        scaling = scaling_of(self)
        if scaling is not None and scaling.decided_on_device and self._current().plan.counts_here:
            scaling = scaling.read()
        if scaling is not None and scaling.skipped_here:
            return
        step = self._global_step + 1
        try:
            binding = self._ready(inputs, scaling, given, gradients)
            binding.run(step, None if scaling is None else scaling.finite(binding.devices))
            self._global_step = step
        except BaseException:
            # Tables may be written in part: the next step makes them anew. No call here, so nothing can interrupt it.
            binding, self._binding = self._binding, None
            if binding is not None:
                self._cut = binding.cut
                if binding.done == step:
                    self._global_step = step
            raise

    def _ready(
        self, inputs: Mapping[str, object], scaling: Scaling | None, given: Given | None, gradients: object
    ) -> Binding:
        """The binding with all that the groups, the gradients, a scaler and the caller say now."""
        if scaling is not None:
            self._scale(scaling)
        binding, taken = self._binding, None
        if given is not None:
            binding = self._placed(given)
        else:
            if binding is None or binding.stale(self.param_groups, self.state):
                binding = self._bind()
            taken, stack = self._gradients(binding, gradients)
            if binding.refresh():
                if not stack:
                    binding.gradients()
                binding = self._bind()
            if binding.gradients(taken, stack):
                binding = self._bind()
                if binding.gradients(taken, stack):
                    raise GradientError("a gradient changed while the step looked at it")
            self._trace(binding)
        scaled = scaling is not None and self._options.storage.scaled
        binding.set_inputs(inputs, scaling.grad_scale if scaling is not None and scaled else None)
        if scaling is not None and not scaled:
            scaling.unscale(taken if taken is not None else (param.grad for param in binding.stepped))
        return binding

    def _gradients(self, binding: Binding, given: object) -> tuple[list[Tensor | None] | None, int]:
        """Stacks of gradients that a step was given and their length; None and 0 for the parameters' own."""
        rule, count = self.RULE, 0
        if rule.gradients and self.param_groups:
            own = torch_groups.entry(rule.hyper(rule.gradients), self.param_groups[0], 0)
            count = int(cast(int, torch_checks.accept(rule.hyper(rule.gradients), own, "parameter group 0")))
        found = stacked(rule, count, given, binding.params, binding.names)
        return found, 0 if found is None else count

    def _placed(self, given: Given) -> Binding:
        """The binding on tensors that a compiled graph gives. UsageError where the graph was made for another state."""
        binding = self._binding or self._bind()
        self._gradients(binding, None)
        replaced = binding.flag.up or binding.stale(self.param_groups, self.state)
        if replaced or binding.refresh() or binding.gradients(given.grads):
            raise UsageError(
                f"a compiled step of {self.RULE.class_name} finds other parameters, state or dtypes of gradients than "
                "it was compiled with, or settings that need other kernels: take one step outside torch.compile"
            )
        binding.place_on([*given.params, *given.state])
        return binding

    def _scale(self, scaling: Scaling) -> None:
        """Has kernels that divide by the scale, and steps counted where it is known whether they are skipped."""
        if scaling.decided_on_device and self._count is None:
            self._count, self._binding = StepCount(self._global_step), None
        if scaling.grad_scale is None or self._options.storage.scaled or self._unscales:
            return
        before = self._options
        self._options, self._binding = before.with_scaled(True), None
        try:
            self._bind()
        except BackendError:
            self._options, self._unscales = before.with_scaled(False), True

    def _check_whole(self) -> None:
        """PartialStepError if an earlier step was cut while it stored, and no state was loaded since."""
        if self._cut:
            raise PartialStepError(self._cut)

    @property
    def global_step(self) -> int:
        """Steps completed by this optimizer. With `capturable` or a gradient scaler, waits for the device."""
        return self._global_step if self._count is None else self._count.completed()

    def _bind(self) -> Binding:
        """Ties parameters and state, as they are now, to the kernels."""
        for index, group in enumerate(self.param_groups):
            torch_flags.check(self.RULE.class_name, group, torch_groups.where(index))
        made = plan(self.RULE, self.param_groups, self._options)
        if self._count is None and any(group.get("capturable") for group in self.param_groups):
            self._count = StepCount(self._global_step)
        state = cast(dict[Tensor, Slots], self.state)
        self._binding = Binding(made, self.param_groups, self._options, state, self._count)
        self._trace(self._binding)
        return self._binding

    def _trace(self, binding: Binding) -> None:
        """Says what a graph of a step is made of."""
        if self._traced is None:
            self._traced = Traced(self, [given.name for given in self.RULE.inputs])
        self._traced.follow(binding.fixed, len(binding.params))

    # --- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, at any time. A group that cannot be served raises, and is not added."""
        self._check_training("add_param_group()")
        if not isinstance(param_group, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        own = (*torch_flags.FLAGS, *self.defaults, "params", OPTGEN, NAMES, PLAYERS, DEPTHS)
        torch_checks.unknown_keys(self.RULE, param_group, (*own, *self._per_parameter_arguments()))
        count = len(self.param_groups)
        try:
            _add_param_group(self, param_group)
            self._adopt_group(self.param_groups[-1])
            if self._made:
                self._spread(self.param_groups[-1])
                made = self._bind().plan
                torch_groups.warn_unconnected(self.RULE, unconnected(made.edges, made.players))
        except BaseException:
            for group in self.param_groups[count:]:
                for param in group["params"]:
                    self.state.pop(param, None)
            del self.param_groups[count:]
            raise

    def _adopt_group(self, group: Group) -> None:
        params = cast(Sequence[Tensor], group["params"])
        if len(set(map(id, params))) != len(params):
            raise GradientError("a parameter group has the same parameter twice; one step would update it twice")
        index = len(self.param_groups) - 1
        torch_flags.check(self.RULE.class_name, group, torch_groups.where(index))
        for key, value in group.items():
            if isinstance(value, Tensor) and any(other.get(key) is value for other in self.param_groups[:-1]):
                group[key] = (
                    value.clone()
                )  # a scheduler that writes one group's value in place must not change another's
        group[OPTGEN] = identity(self.RULE)
        torch_groups.hypers_of(self.RULE, group, index)

    def _per_parameter_arguments(self) -> list[str]:
        return [hyper.per_parameter for hyper in self.RULE.hypers if hyper.per_parameter]

    def _spread_over_all(self) -> None:
        """Cuts arguments given for all parameters into the groups, once all groups are there."""
        options, groups = self._options, self.param_groups
        if self.RULE.layers:
            for group, part in zip(groups, torch_groups.split(options.players, groups, PLAYERS), strict=True):
                self._set_players(group, part)
            torch_groups.check_matched(options.players, set(), groups, PLAYERS)
        for argument in self._per_parameter_arguments():
            given = options.per_parameter.get(argument)
            for group, part in zip(groups, torch_groups.split(given, groups, argument), strict=True):
                self._set_values(group, argument, part)
            torch_groups.check_matched(given, set(), groups, argument)
        if self.RULE.depth:
            self._set_depths()
            torch_groups.check_matched(options.depths, set(), groups, DEPTHS)

    def _warn_unnamed(self, made: Plan) -> None:
        """A warning if layers matter to the kernels in use, and were made up for want of names."""
        named = self._options.players is not None or any(group.get(NAMES) for group in self.param_groups)
        if self.RULE.layers and not named and made.uses_layers:
            torch_groups.warn_unnamed(self.RULE, list(made.players))
        if self.RULE.cautions:
            degree = made.max_degree(self._options)
            for text in dict.fromkeys(text for values in made.values for text in self.RULE.warnings(values, degree)):
                warnings.warn(text, stacklevel=4)

    def _spread(self, group: Group) -> None:
        """The same for one group added later: maps and words hold for it, lists do not reach it."""
        options = self._options
        if self.RULE.layers:
            self._set_players(group, options.players if isinstance(options.players, str | Mapping) else None)
        for argument in self._per_parameter_arguments():
            given = options.per_parameter.get(argument)
            self._set_values(group, argument, given if isinstance(given, Mapping) else None)
        if self.RULE.depth:
            self._set_depths(group)

    def _set_players(self, group: Group, given: object) -> None:
        index = next(i for i, other in enumerate(self.param_groups) if other is group)
        given = group.get(PLAYERS, given)
        group[PLAYERS] = torch_groups.name_players(given, group, index)[0]

    def _set_values(self, group: Group, argument: str, given: object) -> None:
        given = group.get(argument, given)
        if given is not None:
            group[argument] = torch_groups.spread(given, group, argument)

    def _set_depths(self, only: Group | None = None) -> None:
        groups, given = self.param_groups, self._options.depths
        apart = self._odd("tensor_depth")
        derived = torch_groups.derive_depths(groups, apart=apart)
        parts = torch_groups.split(given, groups, DEPTHS) if only is None else [given] * len(groups)
        chosen: list[list[object]] = []
        for group, part, fallback in zip(groups, parts, derived, strict=True):
            own = group.get(DEPTHS, part if only is None or isinstance(part, Mapping) else None)
            chosen.append(torch_groups.spread(own, group, DEPTHS) or [None] * len(fallback))
        if apart and any(value is not None for values in chosen for value in values):
            derived = [[1.0] * len(fallback) for fallback in derived]
        relative = iter(torch_groups.relative_depths([value for values in chosen for value in values]))
        for group, fallback in zip(groups, derived, strict=True):
            taken = [next(relative) for _ in fallback]
            if only is None or group is only:
                group[DEPTHS] = [f if value is None else value for value, f in zip(taken, fallback, strict=True)]

    def _odd(self, quirk: str) -> bool:
        """Whether the rule asks for a quirk of published code, with values of the first group as they are now."""
        return quirk in self.RULE.quirks and self.RULE.has_quirk(
            quirk, torch_groups.hypers_of(self.RULE, self.param_groups[0], 0)
        )

    def _set_hyper(self, name: str, value: object) -> None:
        """Sets a hyper-parameter of every group. HyperError, and nothing set, for a value that cannot be."""
        hyper = self.RULE.hyper(name)
        accepted = torch_checks.accept(hyper, value, "every group")
        for group in self.param_groups:
            group[hyper.key] = accepted

    def _shown(self, name: str) -> float:
        """What the rule shows under a name, of the latest step and the first group as it is now."""
        return float(
            self.RULE.shows[name](torch_groups.hypers_of(self.RULE, self.param_groups[0], 0), self._global_step)
        )

    # --- saving and loading

    def state_dict(self) -> dict[str, Any]:
        """State and groups, as torch gives them; each group also says which rule and which step it was saved from.

        PartialStepError after a step that was cut while it stored: there is nothing whole to save.
        """
        self._check_whole()
        self._check_training("state_dict()")
        saved = super().state_dict()
        describe_groups(saved, self.RULE, self._options, self.global_step)
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a saved state, each slot in its own dtype, sharing no memory with it.

        It may be one that torch's optimizer of this rule has saved. StateError, with nothing changed, if it is of
        another rule or model, incomplete, or of other shapes.
        """
        self._check_training("load_state_dict()")
        if not isinstance(state_dict, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise StateError(f"a state dict is a dict, not a {type(state_dict).__name__}")
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        torchs = torch_conversion.is_torchs(state_dict, self.RULE)
        if torchs:
            dtypes = [param.dtype for param in torch_groups.flat(self.param_groups)]
            state_dict = torch_conversion.ours(state_dict, self.RULE, dtypes)
        saved = read_saved(state_dict, self.RULE, self.param_groups, self._options)
        self._check_graph(saved)
        options = self._options.with_seed(saved.seed)
        made = plan(self.RULE, saved.groups, options)
        if torchs:
            saved = replace(saved, states=torch_conversion.completed(saved.states, made))
        states = saved.checked(made)
        slots = schemas(made)
        state: defaultdict[Tensor, Any] = defaultdict(dict)
        for member, wanted, own in zip(made.members, slots, states, strict=True):
            state[member.param] = copied(own or {}, member.param, wanted)
        count = None if self._count is None else StepCount(saved.global_step)
        binding = Binding(made, saved.groups, options, cast(dict[Tensor, Slots], state), count)
        taken: dict[str, object] = {"state": state, "param_groups": saved.groups, "_options": options, "_cut": ""}
        taken |= {"_global_step": saved.global_step, "_count": count}
        vars(self).update(taken, _binding=binding)
        self._trace(binding)
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _check_graph(self, saved: Saved) -> None:
        for live, loaded in zip(self.param_groups, saved.groups, strict=True):
            if self.RULE.layers and loaded.get(PLAYERS, live[PLAYERS]) != live[PLAYERS]:
                raise StateError(
                    f"the state dict was saved with the players {loaded[PLAYERS]}, this optimizer has {live[PLAYERS]}; "
                    "construct it with the same names or players="
                )

    def __getstate__(self) -> dict[str, Any]:
        self._check_training("pickling")
        own = {"_options": self._options, "_global_step": self.global_step, "_cut": self._cut}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._binding, self._count, self._traced = None, None, None
        self._made = True
        super().__setstate__(state)
        for group in self.param_groups:  # one pickled before an option was added lacks it
            for key, value in self.defaults.items():
                group.setdefault(key, value)

    # --- looking inside

    def describe(self) -> torch_report.Description:
        """Per parameter: rule, group, layer, neighbours, variant, backend and the kernel file. Prints as a table."""
        return torch_report.describe(self.RULE, self._current())

    def source(self) -> str:
        """Text of the kernels in use."""
        return torch_report.source(self._current())

    def _current(self) -> Binding:
        binding = self._binding
        return self._bind() if binding is None or binding.stale(self.param_groups, self.state) else binding


__all__ = ["Optimizer", "Params"]
