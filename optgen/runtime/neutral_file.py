"""A `NeutralState` in a safetensors file: arrays by `STATE:PARAMETER`, all else as JSON in the file's metadata.

docs/state.md describes the form for those who read or write it elsewhere.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from optgen.errors import StateError, UsageError
from optgen.extras import missing
from optgen.runtime import leaf_file
from optgen.runtime.atomic_file import replacing
from optgen.runtime.neutral_state import (
    Array,
    GraphInfo,
    Group,
    NeutralState,
    Parameter,
    SlotInfo,
    numpy_dtype,
)
from optgen.runtime.rule_info import HyperValue, RuleInfo

PathLike: TypeAlias = str | os.PathLike[str]
#: What is known of a rule, by its name.
RuleOf: TypeAlias = Callable[[str], RuleInfo]

#: Metadata key under which the JSON is, and what the form is called there.
KEY, FORMAT = "optgen", "optgen.state"
#: Version of the form. A reader refuses every other.
VERSION = 1
#: Names of dtypes in a safetensors file.
_DTYPES: Mapping[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
}


def write(path: PathLike, state: NeutralState) -> None:
    """Writes a state to a file; until that is whole and on the disk, what was there stays.

    UsageError for what JSON cannot hold, ModuleNotFoundError without safetensors, OSError if it cannot be written.
    """
    write_arrays(path, _arrays(state), describe(state))


def read(path: PathLike) -> NeutralState:
    """The state in a file, by states or as JAX's leaves. StateError if it is none, not whole, or of another version."""
    arrays, about = read_arrays(path)
    try:
        return _state(about, leaf_file.by_state(about, arrays) if about.get("form") == leaf_file.FORM else arrays)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(f"{path} is damaged: its description lacks or garbles {error}") from error


def write_leaves(path: PathLike, state: NeutralState) -> None:
    """Writes a state as the leaves of JAX's; `read` reads it, too."""
    named, arrays = leaf_file.arrays_of(state)
    write_arrays(path, arrays, {**describe(named), "form": leaf_file.FORM})


def is_safetensors(path: PathLike) -> bool:
    """Whether a file begins as one of safetensors does: with the length of a JSON object, and that."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{"


def write_arrays(path: PathLike, arrays: Mapping[str, Array], about: Mapping[str, object]) -> None:
    """Writes arrays with a description, and with a checksum of each."""
    numpy = _safetensors()
    whole = {name: np.asarray(x, order="C") for name, x in arrays.items()}
    sums = {name: _checksum(x) for name, x in whole.items()}
    try:
        text = json.dumps({**about, "checksums": sums})
    except TypeError as error:
        raise UsageError(f"a neutral file holds numbers, words, lists and maps of them: {error}") from error
    content = cast(bytes, numpy.save(whole, {KEY: text}))
    with replacing(Path(os.path.realpath(path))) as file:
        file.write(content)


def read_arrays(path: PathLike) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a file and its description, once both are found to be whole."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise StateError(f"there is no file {path}") from error
    arrays = _parsed(content, path)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(KEY)
    if text is None:
        raise StateError(f"{path} is a safetensors file, but not of optimizer state: its metadata has no {KEY}")
    try:
        about: object = json.loads(text)
    except ValueError as error:
        raise StateError(f"{path} is damaged: its description is no JSON ({error})") from error
    if not isinstance(about, dict) or cast("dict[str, Any]", about).get("format") != FORMAT:
        raise StateError(f"{path} does not hold what it says: its format is not {FORMAT}")
    found = cast("dict[str, Any]", about)
    if found.get("version") != VERSION:
        raise StateError(f"{path} has version {found.get('version')!r} of its form; this optgen reads {VERSION}")
    _check_sums(path, arrays, found.get("checksums"))
    return arrays, found


def _safetensors() -> Any:
    try:
        import ml_dtypes  # noqa: F401  # pyright: ignore[reportUnusedImport]  # has NumPy know bfloat16
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise UsageError(missing(error) or str(error)) from error
    return safetensors.numpy


def _parsed(content: bytes, path: PathLike) -> dict[str, Array]:
    _safetensors()
    import safetensors
    from safetensors import SafetensorError

    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = getattr(safetensors, "deserialize")  # noqa: B009
    try:
        parts = deserialize(content)
    except SafetensorError as error:
        raise StateError(f"{path} is not a whole safetensors file ({error})") from error
    arrays: dict[str, Array] = {}
    for name, part in parts:
        if part["dtype"] not in _DTYPES:
            raise StateError(f"{name} in {path} is {part['dtype']}, which no state is kept in")
        words = np.frombuffer(part["data"], dtype=numpy_dtype(_DTYPES[part["dtype"]]))
        arrays[name] = words.reshape(part["shape"]).copy()
    return arrays


def _checksum(x: Array) -> str:
    return f"{zlib.crc32(x.tobytes()):08x}"


def _check_sums(path: PathLike, arrays: Mapping[str, Array], sums: object) -> None:
    given = cast("dict[str, str]", sums) if isinstance(sums, dict) else {}
    for name in sorted(given.keys() ^ arrays.keys()):
        raise StateError(f"{path} is damaged: {name} is {'missing' if name in given else 'one too many'}")
    for name, x in arrays.items():
        if given[name] != _checksum(x):
            raise StateError(f"{path} is damaged: {name} is not what was written")


# --- the description


def _arrays(state: NeutralState) -> dict[str, Array]:
    return {f"{slot}:{p.name}": x for p in state.parameters for slot, x in p.state.items()}


def describe(state: NeutralState) -> dict[str, object]:
    from optgen import __version__

    graph = state.graph
    return {
        "format": FORMAT,
        "version": VERSION,
        "written_by": {"optgen": __version__, "framework": state.framework},
        "rule": {"name": state.rule, "digest": state.digest},
        "global_step": state.global_step,
        "seed": state.seed,
        "named": state.named,
        "matrix": state.matrix,
        "slots": {name: asdict(info) for name, info in state.slots.items()},
        "groups": [{"hypers": g.hypers, "maximize": g.maximize, "extra": g.extra} for g in state.groups],
        "graph": None if graph is None else asdict(graph),
        "parameters": [_about_parameter(p) for p in state.parameters],
    }


def _about_parameter(p: Parameter) -> dict[str, object]:
    return {
        "name": p.name,
        "shape": p.shape,
        "dtype": p.dtype,
        "group": p.group,
        "updates": p.updates,
        "layer": p.layer,
        "depth": p.depth,
        "hypers": p.hypers,
        "state": list(p.state),
    }


def _state(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> NeutralState:
    groups = tuple(Group(_hypers(g["hypers"]), bool(g["maximize"]), dict(g["extra"])) for g in about["groups"])
    parameters = tuple(_parameter(p, arrays) for p in about["parameters"])
    graph = about["graph"]
    for p in parameters:
        if not 0 <= p.group < len(groups):
            raise StateError(f'"{p.name}" is of group {p.group}, and there are {len(groups)}')
    return NeutralState(
        rule=str(about["rule"]["name"]),
        digest=str(about["rule"]["digest"]),
        global_step=_count(about["global_step"], "global_step"),
        groups=groups,
        parameters=parameters,
        slots={name: SlotInfo(**info) for name, info in about["slots"].items()},
        matrix=str(about["matrix"]),
        graph=None if graph is None else GraphInfo(_edges(graph["edges"]), graph["laplacian"], graph["coupling"]),
        seed=None if about["seed"] is None else _count(about["seed"], "seed"),
        named=bool(about["named"]),
        framework=str(about["written_by"]["framework"]),
    )


def _parameter(about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Parameter:
    name = str(about["name"])
    return Parameter(
        name=name,
        shape=None if about["shape"] is None else tuple(about["shape"]),
        dtype=str(about["dtype"]),
        updates=_count(about["updates"], f'updates of "{name}"'),
        state={slot: arrays[f"{slot}:{name}"] for slot in about["state"]},
        group=int(about["group"]),
        layer=str(about["layer"]),
        depth=None if about["depth"] is None else float(about["depth"]),
        hypers=_hypers(about["hypers"]),
    )


def _hypers(given: Mapping[str, Any]) -> dict[str, HyperValue]:
    return {
        name: tuple(cast("list[float]", value)) if isinstance(value, list) else value for name, value in given.items()
    }


def _edges(given: Sequence[Sequence[Any]] | None) -> tuple[tuple[str, str, float], ...] | None:
    return None if given is None else tuple((str(a), str(b), float(w)) for a, b, w in given)


def _count(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise StateError(f"{what} is {value!r}; it must be a count")
    return value
