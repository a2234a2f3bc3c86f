"""State of optimizers between frameworks: files that every front end reads, and conversion from one to another.

`optgen.torch.save_state`, `optgen.jax.save_state` and their `load_state` work on live optimizers; here are files.
Nothing of a framework is imported before a file of its own is read or written.
"""

from __future__ import annotations

import importlib
import zipfile
from typing import Literal, Protocol, TypeAlias, cast, get_args

from optgen.errors import StateError, UsageError, suggest
from optgen.runtime import neutral_file
from optgen.runtime.neutral_file import PathLike, RuleOf, read, write
from optgen.runtime.neutral_state import Axes, Group, Names, NeutralState, Parameter
from optgen.runtime.rule_info import RuleInfo

#: What a file can be written for.
Form: TypeAlias = Literal["neutral", "torch", "jax", "keras"]
FORMS: tuple[Form, ...] = get_args(Form)


class Files(Protocol):
    """Files of a framework, in a module `optgen.runtime.FRAMEWORK_neutral`."""

    def read_file(self, path: PathLike, rule_of: RuleOf, key: str = "") -> NeutralState:
        """The state in a file of the framework's."""
        ...

    def write_file(self, path: PathLike, state: NeutralState, rule_of: RuleOf) -> None:
        """Writes a state to such a file."""
        ...


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
    if to == "neutral":
        write(target, state)
    elif to == "jax":
        neutral_file.write_leaves(target, state)
    else:
        _files(to).write_file(target, state, _rule_of(rule, to))
    return state


def open_state(source: PathLike, *, key: str = "", rule: str = "") -> NeutralState:
    """The state in a file of any form. StateError if it holds none."""
    try:
        if neutral_file.is_safetensors(source):
            return read(source)
        torchs = zipfile.is_zipfile(source) and any(n.endswith("data.pkl") for n in zipfile.ZipFile(source).namelist())
    except FileNotFoundError as error:
        raise StateError(f"there is no file {source}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise StateError(f"{source} cannot be read: {error}") from error
    framework: Literal["torch", "keras"] = "torch" if torchs else "keras"
    return _files(framework).read_file(source, _rule_of(rule, framework), key)


def _files(framework: str) -> Files:
    name = f"optgen.runtime.{framework}_neutral"
    try:
        return cast(Files, importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise StateError("this is neither a safetensors file nor one of torch's, and no others are read") from error


def _rule_of(origin: str, framework: Literal["torch", "keras"]) -> RuleOf:
    """What a framework's classes know of a rule: a shipped one, or the one found at `origin`."""

    def find(name: str) -> RuleInfo:
        from optgen.api import compile as compile_rule
        from optgen.spec.loader import load

        spec = load(origin or name)
        if spec.name != name:
            raise UsageError(f"{origin} is the rule {spec.name}, and the state is of {name}")
        return cast("type[_Generated]", compile_rule(spec, framework=cast("Literal['torch']", framework))).RULE

    return find


class _Generated(Protocol):
    RULE: RuleInfo


__all__ = ["Axes", "Form", "Group", "Names", "NeutralState", "Parameter", "convert", "open_state", "read", "write"]
