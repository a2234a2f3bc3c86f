"""Layers of a Keras model: which variables form one, in which order, how deep each lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar, cast

from optgen.errors import UsageError, suggest
from optgen.runtime.arrangement import Arrangement, Depths, Layers, Players, layers_of
from optgen.runtime.graph import players_from_names

T = TypeVar("T")


def path_of(variable: Any) -> str:
    """Path of a variable; TensorFlow's own have but a name."""
    return str(getattr(variable, "path", variable.name))


def arranged(paths: Sequence[str], given: Arrangement, *, tensor_depth: bool = False) -> Layers:
    """Layers of variables from their paths, or as the caller gives them by patterns of paths."""
    names = shortened(paths)
    players: Players = given.players
    if players is None or isinstance(players, Mapping):
        derived = layer_names(names)
        chosen = spread(players, paths, names, "players") if isinstance(players, Mapping) else [None] * len(names)
        players = [own if player is None else player for own, player in zip(derived, chosen, strict=True)]
    depths: Depths = given.depths
    if isinstance(depths, Mapping):
        depths = cast(Depths, spread(depths, paths, names, "depths"))
    found = Arrangement(players, given.edges, given.laplacian, given.coupling, depths)
    return layers_of(names, len(names), found, tensor_depth=tensor_depth)


def shortened(paths: Sequence[str]) -> list[str]:
    """Paths without the leading parts that all share (the model's own name); two parts at least are left of each."""
    parts = [path.split("/") for path in paths]
    most = min((len(own) for own in parts), default=0) - 2
    same = 0
    while same < most and len({own[same] for own in parts}) == 1:
        same += 1
    return ["/".join(own[same:]) for own in parts]


def layer_names(names: Sequence[str]) -> list[str]:
    """The layer of each variable. Keras numbers layers of one kind from the second on, so that beside `dense_1` a
    `dense` is taken for the first of them."""
    parts = [name.split("/") for name in names]
    numbered = {("/".join(own[:at]), part) for own in parts for at, part in enumerate(own)}
    found: list[str] = []
    for own in parts:
        first = [f"{part}_0" if ("/".join(own[:at]), f"{part}_1") in numbered else part for at, part in enumerate(own)]
        player = players_from_names(["/".join(first)])[0][0]
        found.append("/".join(own[: len(player.split("/")) if player else 0]))
    return found


def spread(given: Mapping[str, T], paths: Sequence[str], names: Sequence[str], argument: str) -> list[T | None]:
    """The entry of each variable in a map from patterns of paths, or None. UsageError for one that matches nothing."""
    for key in given:
        if not any(fnmatchcase(path, key) or fnmatchcase(name, key) for path, name in zip(paths, names, strict=True)):
            hint = suggest(key, [*paths, *names])
            raise UsageError(f'{argument}: no variable has a path like "{key}". {hint}'.rstrip())
    return [
        next((value for key, value in given.items() if fnmatchcase(path, key) or fnmatchcase(name, key)), None)
        for path, name in zip(paths, names, strict=True)
    ]


def exactly(path: str) -> str:
    """The pattern that a path alone matches."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def depths_of(model: Any) -> dict[str, int]:
    """How many layers with weights come before each variable's, by its path; a shared variable is its first owner's.

    Layers that own none themselves, such as models and wrappers, do not count. UsageError for a model without weights.
    """
    found: dict[str, int] = {}
    for depth, paths in enumerate(_owned(model, set())):
        found |= dict.fromkeys(paths, depth)
    if not found:
        raise UsageError(
            f'the model "{model.name}" has no trainable variables yet: build it first, by build(input_shape) or a call'
        )
    return found


def _owned(layer: Any, seen: set[int]) -> Iterator[list[str]]:
    """Paths of the variables that each layer owns itself, from input to output."""
    inner = list(layer.layers) if hasattr(layer, "layers") else list(layer._flatten_layers(False, False))
    below = {id(variable) for part in inner for variable in part.trainable_variables}
    own = [v for v in layer.trainable_variables if id(v) not in below and id(v) not in seen]
    if own:
        seen |= {id(variable) for variable in own}
        yield [path_of(variable) for variable in own]
    for part in inner:
        yield from _owned(part, seen)
