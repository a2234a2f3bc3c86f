"""Presets of rules in JAX: sets of arguments that a rule's text names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optgen.errors import UsageError
from optgen.runtime.jax_transform import Transformation
from optgen.runtime.rule_info import RuleInfo


def preset(factory: Callable[..., Transformation], name: str, **arguments: Any) -> Transformation:
    """The transformation of a factory with one of its rule's presets; `arguments` win over the preset's.

    UsageError for a name that is no preset of the rule, and for a function that is no factory of `optgen.jax`.
    """
    rule: object = getattr(factory, "__globals__", {}).get("RULE")
    if not isinstance(rule, RuleInfo):
        raise UsageError(f"a preset is of a factory of optgen.jax, got {factory!r}")
    return factory(**{**rule.preset(name), **arguments})
