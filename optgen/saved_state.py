"""State of optimizers between frameworks: files that every front end reads, and conversion from one to another.

For live optimizers `optgen.torch`, `optgen.jax` and `optgen.keras` have `save_state` and `load_state`; here are files.
Torch is not imported before a file of its own is read or written.
"""

from __future__ import annotations

import zipfile
from typing import Literal, Protocol, TypeAlias, cast, get_args

from optgen.errors import StateError, UsageError, suggest
from optgen.runtime import neutral_file
from optgen.runtime.neutral_file import PathLike, RuleOf, read, write
from optgen.runtime.neutral_state import Axes, Group, Names, NeutralState, Parameter
from optgen.runtime.rule_info import RuleInfo

#: What a file can be written for. What Keras reads is the neutral file.
Form: TypeAlias = Literal["neutral", "torch", "jax", "keras"]
FORMS: tuple[Form, ...] = get_args(Form)


def convert(
    source: PathLike,
    target: PathLike,
    to: Form,
    *,
    names: Names | None = None,
    transpose: Axes | None = None,
    key: str = "",
    rule: str = "",
) -> NeutralState:
    """Writes the state in one file to another, for a framework or for all; returns it as written.

    What `source` is follows from its content. `names` and `transpose` are as in `load_state`; `key` names the optimizer
    in a file of several things; `rule` says where the rule is found, if it does not ship. StateError if the file is not
    whole or holds no state of ours; UsageError for what cannot be written so.
    """
    if to not in FORMS:
        raise UsageError(f'state is not written for "{to}"; there is {", ".join(FORMS)}. {suggest(to, FORMS)}'.rstrip())
    state = open_state(source, key=key, rule=rule)
    state = state if names is None else state.renamed(names)
    state = state if transpose is None else state.transposed(transpose)
    if to == "jax":
        neutral_file.write_leaves(target, state)
    elif to == "torch":
        from optgen.runtime import torch_neutral

        torch_neutral.write_file(target, state, _rule_of(rule))
    else:
        write(target, state)
    return state


def open_state(source: PathLike, *, key: str = "", rule: str = "") -> NeutralState:
    """The state in a file of any form. StateError if it holds none."""
    try:
        if neutral_file.is_safetensors(source):
            return read(source)
        entries = zipfile.ZipFile(source).namelist() if zipfile.is_zipfile(source) else []
    except FileNotFoundError as error:
        raise StateError(f"there is no file {source}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise StateError(f"{source} cannot be read: {error}") from error
    if not any(entry.endswith("data.pkl") for entry in entries):
        keras = ": it is a model of Keras; load it there and save with optgen.keras.save_state"
        raise StateError(
            f"{source} is neither a safetensors file nor one of torch's{keras if 'config.json' in entries else ''}"
        )
    from optgen.runtime import torch_neutral

    return torch_neutral.read_file(source, _rule_of(rule), key)


def _rule_of(origin: str) -> RuleOf:
    """What torch's classes know of a rule: a shipped one, or the one found at `origin`."""

    def find(name: str) -> RuleInfo:
        from optgen.api import compile as compile_rule
        from optgen.spec.loader import load

        spec = load(origin or name)
        if spec.name != name:
            raise UsageError(f"{origin} is the rule {spec.name}, and the state is of {name}")
        return cast("type[_Generated]", compile_rule(spec, framework="torch")).RULE

    return find


class _Generated(Protocol):
    RULE: RuleInfo


__all__ = ["Axes", "Form", "Group", "Names", "NeutralState", "Parameter", "convert", "open_state", "read", "write"]
