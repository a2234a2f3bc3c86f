"""Storage of a torch optimizer: which dtype set serves a parameter, from its dtype, its gradient's and the options."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import torch
from torch import Tensor

from optgen.errors import UsageError, suggest
from optgen.runtime.kernel_module import Module
from optgen.runtime.rule_info import RuleInfo, StateInfo, copy
from optgen.runtime.storage import FLOATS, MASTER, NARROW, STOCHASTIC, DtypeSet

#: One dtype, or a dtype by name of state.
StateDtype: TypeAlias = torch.dtype | str | Mapping[str, torch.dtype | str] | None

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int64": torch.int64,
}
#: Storage types the kernels take, and how the rest of the runtime calls them.
DTYPES: Mapping[torch.dtype, str] = {TORCH_DTYPES[name]: name for name in FLOATS}

#: Seeds of random bits run up to here.
SEEDS = 1 << 63
#: The state that every rule has under master weights.
MASTER_STATE = StateInfo(MASTER, "elem", (copy,), doc="the parameter before rounding")


@dataclass(frozen=True)
class StorageOptions:
    """What the caller chose of storage, for a whole optimizer. `state` is for all element-wise state, "" for the
    default; `states` is by name. `seed` is that of stochastic rounding. `scaled`: a gradient scaler is in use, and
    kernels divide by its scale."""

    state: str = ""
    states: tuple[tuple[str, str], ...] = ()
    master_weights: bool = False
    stochastic_rounding: bool = False
    seed: int = 0
    scaled: bool = False


def storage_options(
    rule: RuleInfo, state_dtype: StateDtype, master_weights: bool, stochastic_rounding: bool, seed: int
) -> StorageOptions:
    """The options, checked as far as no parameter has to be looked at. UsageError says what is wrong."""
    switch("master_weights", master_weights)
    switch("stochastic_rounding", stochastic_rounding)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    state, states = "", dict[str, str]()
    if isinstance(state_dtype, Mapping):
        known = [info.name for info in rule.states if info.extent == "elem"]
        for name, dtype in state_dtype.items():
            if name not in known:
                hint = suggest(str(name), known) or f"there is {', '.join(known) or 'none'}"
                raise UsageError(f'state_dtype names "{name}", which is no element-wise state. {hint}')
            states[name] = _word(dtype)
    elif state_dtype is not None:
        state = _word(state_dtype)
    return StorageOptions(state, tuple(sorted(states.items())), master_weights, stochastic_rounding, seed)


def switch(name: str, given: object) -> bool:
    """An argument that is on or off."""
    if not isinstance(given, bool):
        raise UsageError(f"{name} must be True or False, got {given!r}")
    return given


def check_strict(rule: RuleInfo, modules: Sequence[Module]) -> None:
    """Refuses kernels whose elements depend on how a backend rounds. UsageError names what they use."""
    for module in modules:
        uses = module.manifest.get("inexact")
        if uses is None:
            raise UsageError(f"strict=True is for compiled kernels, and {module.path} are none; use another backend")
        if uses:
            raise UsageError(
                f"strict=True, but {rule.class_name} uses {', '.join(uses)} on elements, which backends round "
                "differently; leave it out"
            )


def _word(dtype: object) -> str:
    word = DTYPES.get(dtype) if isinstance(dtype, torch.dtype) else dtype
    if word not in FLOATS:
        offered = ", ".join(f"torch.{name}" for name in FLOATS)
        raise UsageError(f"state_dtype is {dtype!r}; state is stored in one of {offered}")
    return cast(str, word)


def computed(param: torch.dtype, grad: torch.dtype) -> bool:
    """Whether kernels take gradients of this dtype with parameters of that."""
    if param not in DTYPES or grad not in DTYPES:
        return False
    try:
        DtypeSet(DTYPES[param], DTYPES[grad]).check()
    except UsageError:
        return False
    return True


def gradient_dtype(param: Tensor) -> torch.dtype:
    """The dtype of a parameter's gradient, or the one it will have; the parameter's where that cannot be served."""
    expected = cast("torch.dtype | None", getattr(param, "grad_dtype", None))
    found = expected if param.grad is None else param.grad.dtype
    return found if found is not None and computed(param.dtype, found) else param.dtype


def dtype_set(rule: RuleInfo, options: StorageOptions, param: torch.dtype, gradient: torch.dtype) -> DtypeSet:
    """What a parameter's kernels are made for. UsageError for a combination that is not computed with."""
    own = DTYPES[param]
    compute = DtypeSet(own).compute
    usual = {info.name: info.dtype or options.state or compute for info in rule.states}
    states = tuple((name, dtype) for name, dtype in options.states if usual[name] != dtype)
    plain = DtypeSet(own, DTYPES[gradient], options.state, states, options.master_weights and own in NARROW)
    random = DtypeSet(own, plain.gradient, plain.state, states, plain.master, stochastic=True)
    found = random if options.stochastic_rounding and random.rounded_at_random else plain
    found = replace(found, scaled=options.scaled)
    found.check()
    return found


def check_served(options: StorageOptions, sets: Sequence[DtypeSet], names: Sequence[str]) -> None:
    """Refuses options that would change nothing, or that a parameter cannot be served with."""
    if options.master_weights and sets and not any(each.master for each in sets):
        raise UsageError(
            f"master_weights=True, but no parameter is {' or '.join(NARROW)}: what is stored is already what is "
            "computed; leave it out"
        )
    if options.stochastic_rounding and sets and not any(each.stochastic for each in sets):
        why = "the parameters have masters and the state is wider" if options.master_weights else "nothing is stored so"
        raise UsageError(
            f"stochastic_rounding=True rounds what is stored in {STOCHASTIC}, but {why}: leave it out, or give "
            f"{STOCHASTIC} parameters (without master_weights) or state_dtype=torch.{STOCHASTIC}"
        )
    for each, name in zip(sets, names, strict=True):
        if options.stochastic_rounding and each.param == "float16" and not each.master:
            raise UsageError(
                f"{name} is float16, which stochastic_rounding does not round to; use master_weights=True, or a "
                f"{STOCHASTIC} parameter"
            )


def warn_lost_updates(class_name: str, sets: Sequence[DtypeSet], names: Sequence[str]) -> None:
    """Says, when an optimizer is made, that small updates of narrow parameters are lost in rounding."""
    lossy = [name for each, name in zip(sets, names, strict=True) if _loses(each)]
    if lossy:
        dtypes = " and ".join(dict.fromkeys(each.param for each in sets if _loses(each)))
        other = ", or stochastic_rounding=True (no memory)" if STOCHASTIC in dtypes else ""
        count = f"{len(lossy)} parameters, from {lossy[0]} on," if len(lossy) > 1 else lossy[0]
        warnings.warn(
            f"{class_name}: {count} in {dtypes} without a float32 copy: an update below half a unit in the last place "
            f"is lost, weight decay first. Pass master_weights=True (4 bytes per weight){other}",
            stacklevel=4,
        )


def _loses(each: DtypeSet) -> bool:
    return each.param in NARROW and not each.master and not (each.stochastic and each.param == STOCHASTIC)


def reconciled(master: Tensor, param: Tensor) -> Tensor:
    """A master for a parameter that may have been written to from outside: what was written wins, digits stay."""
    with torch.no_grad():
        return torch.where(master.to(param.dtype) == param, master, param.to(master.dtype))
