"""The form of a state dict: torch's, where each group also names the rule it belongs to.

Everything lies in the groups, because tools that carry optimizer state between models keep groups and drop the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from optgen.errors import StateError
from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_groups import DEPTHS, NAMES, PLAYERS, Group, Options
from optgen.runtime.torch_plan import Plan
from optgen.runtime.torch_state import check_saved, with_new_slots
from optgen.runtime.torch_storage import SEEDS

#: Version of this form.
SCHEMA = 1
OPTGEN = "optgen"
GLOBAL_STEP = "global_step"
SEED = "seed"


@dataclass(frozen=True)
class Saved:
    """A state dict in the order of the live groups: groups ready to be used, state per parameter, steps completed.

    `same_text` says whether it was saved by the very text of the rule that loads it; `seed` is that of its random bits,
    if it has any.
    """

    groups: list[Group]
    states: list[Mapping[str, Any] | None]
    global_step: int
    same_text: bool = True
    seed: int | None = None

    def checked(self, plan: Plan) -> list[Mapping[str, Any] | None]:
        """The states, once they are found to fit; what an earlier text of the rule had not is new, with a warning."""
        states = self.states if self.same_text else with_new_slots(self.states, plan)
        check_saved(states, plan)
        return states


def describe_groups(saved: dict[str, Any], rule: RuleInfo, options: Options, global_step: int) -> None:
    """Adds to every group of a fresh state dict which rule it is of; separates its dicts from the live ones."""
    states = cast(dict[object, dict[str, Any]], saved["state"])
    saved["state"] = {key: dict(slots) for key, slots in states.items()}
    for group in saved["param_groups"]:
        group[OPTGEN] = {**identity(rule), GLOBAL_STEP: global_step, **(_graph(options) if rule.graph else {})}
        if options.storage.stochastic_rounding:
            group[OPTGEN][SEED] = options.storage.seed
        for key in (PLAYERS, DEPTHS, NAMES):
            if key in group:
                group[key] = list(group[key])


def identity(rule: RuleInfo) -> dict[str, Any]:
    """What a group says of the rule it is of and of this form.

    Live groups hold it too, because tools that flatten a state dict bring back only the keys that they find there.
    """
    return {"schema": SCHEMA, "rule": rule.name, "digest": rule.digest}


def _graph(options: Options) -> dict[str, Any]:
    edges = options.edges
    if edges is not None and not isinstance(edges, str):
        edges = [list(edge) for edge in edges]
    return {"edges": edges, "laplacian": options.laplacian, "coupling": options.coupling}


def read_saved(state_dict: Mapping[str, Any], rule: RuleInfo, live: Sequence[Group], options: Options) -> Saved:
    """Judges the form of a state dict against the live groups. StateError says what does not fit."""
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise StateError(f'the state dict has no "{key}": it is truncated or not an optimizer\'s')
    states, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(states, Mapping) or not isinstance(groups, list | tuple):
        raise StateError('"state" must be a dict and "param_groups" a list: this is not an optimizer\'s state dict')
    groups = cast(Sequence[object], groups)
    if len(groups) != len(live):
        raise StateError(f"the state dict has {len(groups)} parameter groups, this optimizer has {len(live)}")
    merged: list[Group] = []
    found: list[Mapping[str, Any] | None] = []
    steps: set[int] = set()
    texts: set[object] = set()
    seeds: set[int] = set()
    for index, (group, own) in enumerate(zip(groups, live, strict=True)):
        group = cast(Mapping[str, Any], group if isinstance(group, Mapping) else {})
        if not isinstance(group.get("params"), list | tuple):
            raise StateError(f"parameter group {index} of the state dict is no group: it has no list of params")
        steps.add(_about(group, rule, index, options))
        texts.add(cast(Mapping[str, object], group[OPTGEN]).get("digest"))
        seeds |= _seed(cast(Mapping[str, object], group[OPTGEN]), index)
        keys = cast(Sequence[object], group["params"])
        if len(keys) != len(own["params"]):
            raise StateError(
                f"parameter group {index} of the state dict has {len(keys)} parameters, this optimizer's has "
                f"{len(own['params'])}"
            )
        merged.append(_merged(group, own, index))
        found += [_slots(cast(Mapping[object, Any], states), key) for key in keys]
    if len(steps) > 1:
        raise StateError(f"the groups of the state dict are of different steps: {sorted(steps)}")
    if len(seeds) > 1:
        raise StateError(f"the groups of the state dict are of different seeds: {sorted(seeds)}")
    return Saved(merged, found, steps.pop(), texts == {rule.digest}, next(iter(seeds), None))


def _seed(about: Mapping[str, object], index: int) -> set[int]:
    """The seed of a saved group's random bits, if it has one."""
    seed = about.get(SEED)
    if seed is None:
        return set()
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise StateError(f"{SEED} of parameter group {index} in the state dict is {seed!r}; it must be a count")
    return {seed}


def _about(group: Mapping[str, Any], rule: RuleInfo, index: int, options: Options) -> int:
    """Global step of a saved group, once its rule and form are found to be right."""
    about: object = group.get(OPTGEN)
    if not isinstance(about, Mapping):
        raise StateError(
            f"parameter group {index} of the state dict does not say which rule it is of: it was not saved by "
            f"{rule.class_name}"
        )
    about = cast(Mapping[str, object], about)
    if about.get("rule") != rule.name:
        raise StateError(f"the state dict is of the rule {about.get('rule')!r}, this optimizer's is {rule.name!r}")
    if about.get("schema") != SCHEMA:
        raise StateError(f"the state dict has form {about.get('schema')!r}; this version reads form {SCHEMA}")
    for key, own in _graph(options).items() if rule.graph else ():
        if about.get(key) != own:
            raise StateError(
                f"the state dict was saved with {key}={about.get(key)!r}, this optimizer has {own!r}; construct it "
                f"with the same {key}"
            )
    step = about.get(GLOBAL_STEP)
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise StateError(f"{GLOBAL_STEP} of parameter group {index} in the state dict is {step!r}; it must be a count")
    return step


def _merged(group: Mapping[str, Any], own: Group, index: int) -> Group:
    """The saved group with the live parameters; what it lacks (an argument added since) stays as it is here."""
    result: Group = deepcopy({k: v for k, v in group.items() if k not in ("params", OPTGEN)})
    for key, value in own.items():
        result.setdefault(key, value)
    result["params"] = own["params"]
    for key in (PLAYERS, DEPTHS, NAMES):
        if key in result and len(result[key]) != len(own["params"]):
            raise StateError(f"{key} of parameter group {index} in the state dict has {len(result[key])} entries")
    return result


def _slots(states: Mapping[object, Any], key: object) -> Mapping[str, Any] | None:
    value = states.get(key)
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else None
