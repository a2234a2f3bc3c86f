"""Several gradients per parameter: taken from the caller of a step, or made of examples by `torch.func`."""

# torch.func carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from optgen.errors import GradientError, UsageError, suggest
from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_storage import gradient_dtype

#: A tensor, or tuples, lists and dicts of tensors.
Tree: TypeAlias = Any


def player_gradients(
    model: torch.nn.Module,
    loss: Callable[[Any, Any], Tensor],
    inputs: Tree,
    targets: Tree,
    *,
    tasks: bool = False,
) -> dict[str, Tensor]:
    """The gradient of every player's own `loss(model(inputs), targets)`, by parameter name: (players, *shape) each.

    `inputs` and `targets` are tensors, or tuples, lists and dicts of them, with the players along their first axis. A
    player is one example, which the model sees as a batch of one; with `tasks`, what lies behind the first axis is a
    batch of the player's own. All players are computed at once (`torch.func.vmap` of `grad`), with random numbers of
    their own; buffers are read as they are. Parameters that do not require a gradient are left out.
    """
    held = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    rest = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    rest |= {name: b.detach() for name, b in model.named_buffers()}

    def lost(params: dict[str, Tensor], x: Tree, y: Tree) -> Tensor:
        return loss(torch.func.functional_call(model, {**rest, **params}, (x,)), y)

    batches = (inputs, targets) if tasks else (_batches(inputs), _batches(targets))
    each = torch.func.vmap(torch.func.grad(lost), in_dims=(None, 0, 0), randomness="different")
    return cast("dict[str, Tensor]", each(held, *batches))


def _batches(tree: Tree) -> Tree:
    """Every example as a batch of one."""
    if isinstance(tree, Mapping):
        return {key: _batches(entry) for key, entry in tree.items()}
    if isinstance(tree, list | tuple):
        entries = [_batches(entry) for entry in tree]
        return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
    return tree.unsqueeze(1)


def stacked(
    rule: RuleInfo, count: int, given: object, params: Sequence[Tensor], names: Sequence[str]
) -> list[Tensor | None] | None:
    """The stacks of gradients that a step was given, in the order of the parameters; None where it has the
    parameters' own. UsageError and GradientError name what does not fit the rule."""
    if given is None:
        if count > 1:
            raise UsageError(
                f"{rule.class_name} has {rule.gradients}={count}: call step(gradients=...) with {count} gradients per "
                "parameter along a first axis, by name or in order (optgen.torch.player_gradients makes them)"
            )
        return None
    if not count:
        raise UsageError(f"step() got an unexpected argument 'gradients': {rule.class_name} takes param.grad")
    found = _in_order(given, names)
    for name, param, grad in zip(names, params, found, strict=True):
        if grad is not None:
            _check(rule, count, name, param, grad)
    return found


def _in_order(given: object, names: Sequence[str]) -> list[Tensor | None]:
    if isinstance(given, Mapping):
        by_name = cast("Mapping[str, Tensor | None]", given)
        for name in by_name:
            if name not in names:
                hint = suggest(str(name), names) or "construct the optimizer with model.named_parameters()"
                raise UsageError(f'gradients has "{name}", which no parameter is called; {hint}')
        return [by_name.get(name) for name in names]
    if isinstance(given, Tensor) or not isinstance(given, Sequence):
        raise UsageError(f"gradients are given by name or as a list, not as {type(given).__name__}")
    if len(given) != len(names):
        raise UsageError(f"gradients has {len(given)} entries for {len(names)} parameters")
    return list(cast("Sequence[Tensor | None]", given))


def _check(rule: RuleInfo, count: int, name: str, param: Tensor, grad: object) -> None:
    if not isinstance(grad, Tensor):
        raise GradientError(f"the gradients of {name} are a {type(grad).__name__}, no tensor")
    wanted = (count, *param.shape)
    if tuple(grad.shape) != wanted:
        raise GradientError(
            f"the gradients of {name} have shape {tuple(grad.shape)}; with {rule.gradients}={count} they have {wanted}"
        )
    if grad.dtype != gradient_dtype(param):
        raise GradientError(f"the gradients of {name} are {grad.dtype}; they must be {gradient_dtype(param)}")
