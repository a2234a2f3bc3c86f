"""Writes a rule's torch optimizer: a typed, documented class, and the data that the runtime works from."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from pathlib import PurePath

from optgen.errors import UsageError
from optgen.frontends.documented import header
from optgen.frontends.module_text import check_rule, index, joined
from optgen.frontends.python_text import docstring_text
from optgen.frontends.rule_record import import_text, record_imports, records
from optgen.frontends.torch_arguments import argument_of, uses
from optgen.frontends.torch_signature import DEPTH_BASE, class_text
from optgen.spec.model import Spec

#: Names that the generated file uses itself.
_TAKEN = {
    *("RuleInfo", "HyperInfo", "StateInfo", "InputInfo", "Requirement", "Fit", "Caution"),
    *("Domain", "Hypers", "Meta", "Settled"),
    *(
        "Optimizer",
        "DepthOptimizer",
        "Params",
        "Players",
        "Edge",
        "Depths",
        "PerParameter",
        "StateDtype",
        "Tensor",
        "Literal",
        "Path",
        "Iterable",
    ),
    *("scalars", "math", "zeros", "copy", "RULE", "EVALUATION", "possible", "negation", "both", "either", "UNKNOWN"),
}


def torch_class(spec: Spec, origin: str = "") -> str:
    """Text of the module that holds a rule's torch optimizer.

    `origin` says where kernels of other choices than those beside the file come from: `"shipped"`, the path of the
    rule's text, or empty for nowhere. UsageError for what the torch front end cannot serve.
    """
    _refuse(spec)
    return joined([*records(spec, origin), class_text(spec)], lambda body: _header(spec) + _imports(body))


def torch_index(specs: Iterable[Spec]) -> str:
    """Text of the module that names every shipped rule's torch optimizer."""
    return index(specs, "torch", "Torch optimizers", lambda spec: spec.class_name)


def _refuse(spec: Spec) -> None:
    name = spec.class_name
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name) or name in _TAKEN:
        raise UsageError(f'the class of {spec.name} cannot be called "{name}"; give another under `class:`')
    check_rule(spec)
    for hyper in spec.hypers.values():
        for spelled in (hyper.name, argument_of(spec, hyper).partition("[")[0]):
            if spelled in ("self", "super", "Optimizer", "float", "int") or not spelled.isidentifier():
                raise UsageError(f'the hyper "{hyper.name}" of {spec.name} cannot be called "{spelled}" in Python')
    for given in spec.inputs.values():
        if given.extent != "model":
            raise UsageError(f'the input "{given.name}" of {spec.name} is {given.extent}; only model inputs are built')


def _header(spec: Spec) -> str:
    about = docstring_text(f"{spec.class_name}: {spec.title}.")
    texts = f"\n\nMade of: {docstring_text(spec.made_of)}." if spec.parts else ""
    rule = docstring_text(PurePath(spec.path).name) if "+" in spec.path else spec.name
    return f'"""{about}\n\n{header(spec, f"{rule} --framework torch")}{texts}\n"""\n\n'


def _imports(body: str) -> str:
    """The imports that the text needs, in order."""

    def used(*names: str) -> list[str]:
        return [name for name in names if uses(body, name)]

    lines = ["from __future__ import annotations", ""]
    lines += [f"import {name}" for name in used("math")]
    if used("Iterable"):
        lines.append("from collections.abc import Iterable")
    lines.append("from pathlib import Path")
    lines.append(f"from typing import {', '.join(['ClassVar', *used('Literal')])}")
    lines += ["", "from torch import Tensor", ""] if used("Tensor") else [""]
    lines += record_imports(body)
    lines += [f"from optgen.runtime.torch_depths import {DEPTH_BASE}"] if used(DEPTH_BASE) else []
    groups = used("Depths", "Edge", "PerParameter", "Players")
    if groups:
        lines.append(import_text("optgen.runtime.torch_groups", groups))
    lines.append(import_text("optgen.runtime.torch_optimizer", [*used("Optimizer"), "Params"]))
    lines.append(import_text("optgen.runtime.torch_storage", ["StateDtype"]))
    return "\n".join(lines) + "\n"
