"""The keys of a rule text, and the names that already mean something."""

from __future__ import annotations

import keyword
import re

from optgen.spec.functions import CONSTANTS, FUNCTIONS

VERSION = 1

TOP_KEYS = (
    "optgen",
    "name",
    "kind",
    "title",
    "reference",
    "class",
    "doc",
    "compose",
    "defaults",
    "matrix",
    "when",
    "else",
    "hyper",
    "require",
    "warn",
    "presets",
    "gradients",
    "inputs",
    "state",
    "probe",
    "gradient",
    "direction",
    "update",
    "eval",
    "claims",
    "example",
    "metrics",
    "shows",
    "quirks",
)
COMPOSITION_KEYS = (
    *("optgen", "name", "title", "reference", "class", "doc", "compose", "defaults"),
    *("presets", "claims", "example"),
)
"""Keys of a text that composes others: it has no equations of its own."""
REQUIRED_KEYS = ("optgen", "name", "title")
FRAMEWORKS = ("torch", "optax", "keras")
#: The argument that gives a hyper one value per parameter.
PER_PARAMETER = "per_parameter"
#: The method that sets a hyper of a running optimizer.
SETTER = "setter"
HYPER_KEYS = ("default", "domain", "choices", "over", "doc", "symbol", PER_PARAMETER, SETTER, *FRAMEWORKS)
STATE_KEYS = ("start", "dtype", "doc", "symbol", *FRAMEWORKS)
WARN_KEYS = ("when", "say")
#: What conditions of warnings may read beside hypers: the largest weighted degree of the graph of layers, 0 without.
MAX_DEGREE = "max_degree"
#: What a front end may do as published code does, and would not by itself.
QUIRKS = {
    "lr_as_made": "the learning rate stays what the optimizer was made with, whatever is set later",
    "tensor_depth": "tensors count as layers where no depth is given; where some are, the others are deepest",
    "root_depth": "depths from a model are all 0, those of the root, which holds every weight",
    "late_count": "there is no count of steps before state is made",
}
INPUT_KEYS = ("extent", "doc")
DTYPES = ("float32", "float64", "bfloat16", "float16", "int32", "int64")
#: Most gradients that a tensor can have in one step.
MOST_GRADIENTS = 64
MATRICES = ("trailing", "units", "wide", "square")

GIVENS = ("param", "g", "d", "t", "step")
GRAPH_ARGUMENTS = ("players", "edges", "laplacian", "coupling")
DEPTH_ARGUMENTS = ("depths",)

COMMON_ARGUMENTS = frozenset(
    {"params", "param_groups", "named_parameters", "defaults", "closure", "backend", "rule"}
    | {"foreach", "fused", "capturable", "differentiable", "maximize"}
    | {"state", "state_dict", "state_dtype", "players", "edges", "coupling"}
    | {"master", "master_weights", "stochastic_rounding", "seed", "strict"}
)
"""Arguments and attributes that every optimizer has."""

CHOOSER, CHOOSERS = "rule", "rules"
"""The hyper of a rule with `else` by which a group names the rule its tensors get, and what names one per tensor."""

RESPELLED = {
    "learning_rate": "lr",
    "epsilon": "eps",
    "betas": "beta1",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "beta_3": "beta3",
    "b1": "beta1",
    "b2": "beta2",
    "b3": "beta3",
}
"""Spellings of one framework, and how a rule text spells them."""

SAVED_NAMES = frozenset({"global_step", "seed"})
"""Keys of a saved state that are no rule's."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
MAX_NAME = 64


def name_problem(name: str, what: str) -> tuple[str, str] | None:
    """Why a name cannot be given to a hyper, state, input, metric or local; message and hint."""
    if not _IDENTIFIER.fullmatch(name) or len(name) > MAX_NAME:
        return f'"{name}" cannot be a name', "names are ASCII letters, digits and _, and start with a letter"
    if keyword.iskeyword(name) or name in ("true", "false", "skip", "base"):
        return f'"{name}" is a word of the language', f"choose another name for this {what}, e.g. `{name}_`"
    if name in FUNCTIONS:
        return f'"{name}" is a function of the language', f"choose another name for this {what}"
    if name in CONSTANTS:
        return f'"{name}" is a constant of the language', f"choose another name for this {what}"
    if name in GIVENS:
        return f'"{name}" is given to every rule', f"choose another name for this {what}"
    if name in COMMON_ARGUMENTS:
        return f'"{name}" is an argument all optimizers share', f"choose another name for this {what}"
    return None
