"""What becomes of the flags that trainers pass to every optimizer: one policy for all rules.

`maximize` is served. `foreach` and `fused` choose between ways of computing the same step in torch; here there is one
way, so either value is taken and changes nothing. `capturable` asks for a step that a CUDA graph can hold, which no
parameter on the CPU ever needs, and `differentiable` for a step that autograd can follow, which one in place cannot be:
both are refused when they are asked for, at construction, in a group, or set later.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from optgen.errors import HyperError, UsageError
from optgen.runtime.rule_info import MAXIMIZE

#: Flags by torch's own names, kept in the groups, with their values where nothing is said.
FLAGS: Final[Mapping[str, bool | None]] = MappingProxyType(
    {"foreach": None, MAXIMIZE: False, "capturable": False, "differentiable": False, "fused": None}
)

#: What the documentation of a class says of them.
POLICY: Final = (
    (MAXIMIZE, "climb instead of descend"),
    ("foreach, fused", "accepted and ignored: a step is always one call for all tensors"),
    ("capturable", "for CUDA graphs: steps are counted on the GPU, hypers may be tensors there; refused on the CPU"),
    ("differentiable", "refused: a step works in place, outside autograd"),
)


def check(class_name: str, group: Mapping[str, Any], where: str) -> None:
    """Raises for a flag that cannot be served, or is no flag's value."""
    for flag, default in FLAGS.items():
        value: object = group.get(flag, default)
        if not isinstance(value, bool) and not (value is None and default is None):
            allowed = "True or False" if default is not None else "True, False or None"
            raise HyperError(f"{flag} of {where} must be {allowed}, got {value!r}")
    if group.get("differentiable"):
        raise UsageError(
            f"{class_name} updates in place, outside autograd: differentiable=True ({where}) cannot be served; use "
            "torch.func with the rule written in torch operations"
        )
    if group.get("capturable") and any(param.device.type == "cpu" for param in group["params"]):
        raise UsageError(f"capturable=True ({where}) is for CUDA graphs; parameters on the CPU are never captured")
