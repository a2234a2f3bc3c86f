"""What a saved optimizer says of itself: its rule, its layers, and what each of its numbered variables is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from optgen.errors import StateError
from optgen.runtime.keras_layers import path_of
from optgen.runtime.keras_layout import Layout
from optgen.runtime.keras_untyped import ops
from optgen.runtime.rule_info import RuleInfo

#: Version of this form, and the key under which it lies.
SCHEMA = 1
OPTGEN = "optgen"
#: What keys begin with of weights that train, in a file whose model has those to evaluate with.
TRAINING = "training_"


def describe(store: Any, rule: RuleInfo, layout: Layout | None, held: Sequence[Any] | None = None) -> None:
    """Adds the description to what Keras saves; `held` are the weights that train, where the model has others."""
    about = {"schema": SCHEMA, "rule": rule.name, "digest": rule.digest, **(_about(rule, layout) if layout else {})}
    store[OPTGEN] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    for index, weight in enumerate(held or ()):
        store[f"{TRAINING}{index}"] = ops.convert_to_numpy(weight)


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


def check(store: Any, rule: RuleInfo, layout: Layout | None, variables: Sequence[Any]) -> list[Any] | None:
    """StateError where what was saved is not this optimizer's. Returns the weights that train, if the model saved
    beside has those to evaluate with."""
    keys = set(store.keys())
    saved = len([key for key in keys if key.isdigit()])
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
        if saved != len(variables):
            raise StateError(f"{rule.class_name} is not built: build the model, or call build(variables), first")
        return None
    wanted = cast(Mapping[str, Any], json.loads(json.dumps(_about(rule, layout))))
    _check_state(found, wanted, rule)
    for key, own in wanted.items():
        if key != "state" and found.get(key) != own:
            raise StateError(f"it was saved with {key} {found.get(key)!r}, this optimizer has {own!r}")
    if saved != len(variables):
        raise StateError(
            f"the file holds {saved} variables of the optimizer, this one has {len(variables)}: make it with "
            "the same options (averages, accumulation, a learning rate or a schedule)"
        )
    check_shapes(variables, [store[str(index)] for index in range(len(variables))])
    return _training(store, keys, layout)


def check_shapes(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """StateError where values are not as many as variables, or one has not its variable's shape."""
    if len(values) != len(variables):
        raise StateError(f"the optimizer has {len(variables)} variables, not {len(values)}")
    for variable, value in zip(variables, values, strict=True):
        if (shape := tuple(value.shape)) != tuple(variable.shape):
            raise StateError(f'"{path_of(variable)}" is {tuple(variable.shape)}, what is to be set has {shape}')


def _training(store: Any, keys: set[str], layout: Layout) -> list[Any] | None:
    """The weights that train, where they are saved beside those to evaluate with."""
    names = [f"{TRAINING}{index}" for index in range(len(layout.parts))]
    if not keys & set(names):
        return None
    found = [store[name] for name in names if name in keys]
    shapes = [part.leaf.shape if part is not None else None for part in layout.parts]
    fits = [shape is None or tuple(np.shape(x)) == shape for shape, x in zip(shapes, found, strict=False)]
    if len(found) < len(names) or not all(fits):
        raise StateError("the weights that train, which the file holds beside those to evaluate with, do not fit")
    return found


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
