"""What a saved optimizer says of itself: its rule, its layers, and what each of its numbered variables is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from optgen.errors import StateError
from optgen.runtime.keras_layers import path_of
from optgen.runtime.keras_layout import Layout
from optgen.runtime.rule_info import RuleInfo

#: Version of this form, and the key under which it lies.
SCHEMA = 1
OPTGEN = "optgen"


def describe(store: Any, rule: RuleInfo, layout: Layout | None) -> None:
    """Adds the description to what Keras saves."""
    about = {"schema": SCHEMA, "rule": rule.name, "digest": rule.digest, **(_about(rule, layout) if layout else {})}
    store[OPTGEN] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)


def _about(rule: RuleInfo, layout: Layout) -> dict[str, Any]:
    about: dict[str, Any] = {
        "state": [[path, sorted(slots)] for path, slots in zip(layout.paths, layout.slots, strict=True)],
        "own": [dict(part.leaf.own) if part is not None else {} for part in layout.parts],
    }
    if rule.layers or rule.graph:
        about["players"] = layout.layers.player
    if rule.graph:
        given = layout.options.arrangement
        edges = None if layout.layers.edges is None else [list(edge) for edge in layout.layers.edges]
        about |= {"edges": edges, "laplacian": given.laplacian, "coupling": given.coupling}
    if rule.depth:
        about["depths"] = layout.layers.depth
    return about


def check(store: Any, rule: RuleInfo, layout: Layout | None, variables: Sequence[Any]) -> None:
    """StateError where what was saved is not this optimizer's."""
    keys = set(store.keys())
    if OPTGEN not in keys:
        raise StateError(
            f"the file does not say which rule its optimizer is of: it was not saved by {rule.class_name} of optgen. "
            f"{rule.class_name}.from_keras goes on from one of Keras's own"
        )
    found = _read(store)
    if found.get("rule") != rule.name:
        raise StateError(f"the file's optimizer is of the rule {found.get('rule')!r}, this one is of {rule.name!r}")
    if found.get("schema") != SCHEMA:
        raise StateError(f"the file has form {found.get('schema')!r}; this version reads form {SCHEMA}")
    if layout is None:
        if len(keys) - 1 != len(variables):
            raise StateError(f"{rule.class_name} is not built: build the model, or call build(variables), first")
        return
    wanted = cast(Mapping[str, Any], json.loads(json.dumps(_about(rule, layout))))
    _check_state(found, wanted, rule)
    for key, own in wanted.items():
        if key != "state" and found.get(key) != own:
            raise StateError(f"it was saved with {key} {found.get(key)!r}, this optimizer has {own!r}")
    if len(keys) - 1 != len(variables):
        raise StateError(
            f"the file holds {len(keys) - 1} variables of the optimizer, this one has {len(variables)}: make it with "
            "the same options (averages, accumulation, a learning rate or a schedule)"
        )
    for index, variable in enumerate(variables):
        shape = tuple(np.shape(store[str(index)]))
        if shape != tuple(variable.shape):
            raise StateError(f'"{path_of(variable)}" is {tuple(variable.shape)}, the file has {shape}')


def _read(store: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(bytes(np.asarray(store[OPTGEN], dtype=np.uint8)))
    except (ValueError, TypeError) as error:
        raise StateError(f"what the file says of its optimizer cannot be read: {error}") from error
    return cast(Mapping[str, Any], found) if isinstance(found, dict) else {}


def _check_state(found: Mapping[str, Any], wanted: Mapping[str, Any], rule: RuleInfo) -> None:
    saved = cast("list[tuple[str, list[str]]] | None", found.get("state"))
    if saved is None:
        raise StateError("the file's optimizer was not built when it was saved: it has no state")
    live = cast("list[tuple[str, list[str]]]", wanted["state"])
    if len(saved) != len(live):
        raise StateError(f"the file's optimizer steps {len(saved)} variables, this one {len(live)}")
    for (path, slots), (own_path, own_slots) in zip(saved, live, strict=True):
        if slots != own_slots:
            text = "" if found.get("digest") == rule.digest else " (it was saved by another text of the rule)"
            raise StateError(
                f'"{own_path}" has the state {", ".join(own_slots) or "of no kind"}; in the file "{path}" has '
                f"{', '.join(slots) or 'none'}{text}"
            )
