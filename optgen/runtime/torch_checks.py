"""What is refused before a step changes anything: parameters, gradients and hyper-parameters that cannot be served."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass  # pyright: ignore[reportUnknownVariableType]

from optgen.errors import BackendError, GradientError, HyperError, UsageError, suggest
from optgen.runtime import gpu_device
from optgen.runtime.rule_info import HyperInfo, HyperValue, RuleInfo
from optgen.runtime.torch_storage import DTYPES, computed

#: Types of the devices whose parameters some backend serves.
DEVICES = ("cpu", "cuda")

#: Elements of a view whose addresses are listed to find out whether it overlaps another; beyond, it is refused.
_LISTED = 1 << 22

#: Keys by which trainers and other optimizers mark the groups they hand around: kept, never read.
FOREIGN = frozenset(
    {"use_muon", "algorithm", "rank", "update_proj_gap", "scale", "proj_type", "name", "group_name", "layer_id"}
    | {"lr_scale", "lr_mult", "wd_mult", "decay_mult"}
)
#: What learning rate schedulers and weight averaging put into groups.
BOOKKEEPING = frozenset(
    {"initial_lr", "max_lr", "min_lr", "base_lr", "swa_lr", "base_momentum", "max_momentum", "initial_momentum"}
)

_READ = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double, torch.int64: ctypes.c_int64}


def scalar(value: object, where: str) -> object:
    """A number kept in a one-element tensor, read without issuing a tensor operation; other values as they are."""
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise HyperError(f"{where} is a tensor of {value.numel()} elements; give a number or a tensor of one element")
    kind = _READ.get(value.dtype)
    if kind is not None and value.device.type == "cpu" and not is_traceable_wrapper_subclass(value):
        return kind.from_address(value.data_ptr()).value
    if gpu_device.capturing(value.device):
        raise UsageError(
            f"{where} is a tensor on {value.device} that must be looked at, which cannot be done while a CUDA graph is "
            "captured: take a step before the capture, and change the tensor in place instead of putting another there"
        )
    return value.item()


def accept(hyper: HyperInfo, value: object, where: str) -> HyperValue:
    """The value as the rule takes it (1 becomes 1.0 for a float); HyperError says why it cannot be taken."""
    value = scalar(value, f"{hyper.argument} of {where}")
    if isinstance(value, np.generic):
        value = cast(object, value.item())
    if hyper.kind == "bool":
        if isinstance(value, bool):
            return value
        raise HyperError(f"{hyper.argument} of {where} must be True or False, got {value!r}")
    if hyper.kind == "choice":
        if isinstance(value, str) and value in hyper.choices:
            return value
        offered = ", ".join(repr(choice) for choice in hyper.choices)
        hint = suggest(value, hyper.choices) if isinstance(value, str) else ""
        raise HyperError(f"{hyper.argument} of {where} must be one of {offered}, got {value!r}. {hint}".rstrip(". "))
    if hyper.kind == "list":
        length = len(hyper.default) if isinstance(hyper.default, tuple) else 0
        entries = list(cast(Sequence[object], value)) if isinstance(value, tuple | list) else []
        if not entries or len(entries) != length:
            raise HyperError(f"{hyper.argument} of {where} must be {length} numbers, got {value!r}")
        return tuple(_number(hyper, entry, where) for entry in entries)
    return _number(hyper, value, where)


def _number(hyper: HyperInfo, value: object, where: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise HyperError(f"{hyper.argument} of {where} must be a number, got {value!r}")
    if math.isnan(value):
        raise HyperError(f"{hyper.argument} of {where} is NaN; {_wanted(hyper)}")
    if hyper.kind == "int":
        if math.isinf(value) or value != int(value):
            raise HyperError(f"{hyper.argument} of {where} is {value!r}; {_wanted(hyper)}")
        value = int(value)
    if hyper.domain is not None and not hyper.domain.contains(value):
        raise HyperError(f"{hyper.argument} of {where} is {value!r}; {_wanted(hyper)}")
    return value if hyper.kind == "int" else float(value)


def _wanted(hyper: HyperInfo) -> str:
    kind = "an integer" if hyper.kind == "int" else "a number"
    return f"it must be {kind}" + (f", {hyper.domain.text}" if hyper.domain is not None else "")


def require(rule: RuleInfo, hypers: Mapping[str, HyperValue], where: str) -> None:
    """Refuses values that break a condition between hyper-parameters."""
    for requirement in rule.require:
        if not requirement.holds(hypers):
            values = ", ".join(f"{h.argument} = {hypers[h.name]!r}" for h in rule.read_by(requirement.text))
            raise HyperError(f"{where} breaks the condition {requirement.text} ({values})")


def check_parameters(params: Sequence[Tensor], names: Sequence[str], rule: RuleInfo) -> None:
    """Refuses parameters no kernel can update in place: of another dtype, layout or device, or sharing memory."""
    for param, name in zip(params, names, strict=True):
        if is_traceable_wrapper_subclass(param):
            raise GradientError(_wrapped(type(param).__name__, name, rule))
        if param.is_complex():
            raise GradientError(f"{name} is complex; pass torch.view_as_real of it as the parameter")
        if param.layout != torch.strided:
            raise GradientError(f"{name} has layout {param.layout}; only dense parameters are served")
        if param.device.type not in DEVICES:
            raise BackendError(
                f"{name} is on {param.device}: no backend here serves that device, only {' and '.join(DEVICES)}"
            )
        if param.dtype not in DTYPES:
            raise GradientError(f"{name} is {param.dtype}; {', '.join(DTYPES.values())} are served")
        if _overlaps_itself(param):
            raise GradientError(
                f"{name} of shape {tuple(param.shape)} and strides {param.stride()} has several elements in one place "
                "(an expanded view?); pass a parameter of its own memory, such as `param.contiguous()`"
            )
    _check_distinct(params, names)


def device_type(params: Sequence[Tensor], names: Sequence[str]) -> str:
    """The type of the parameters' devices. BackendError where some are on processors of another kind."""
    if not params:
        return "cpu"
    other = next((i for i, param in enumerate(params) if param.device.type != params[0].device.type), None)
    if other is not None:
        raise BackendError(
            f"{names[0]} is on {params[0].device} and {names[other]} on {params[other].device}: one backend serves all "
            "parameters of an optimizer; move them to one kind of device, or give each kind an optimizer of its own"
        )
    return params[0].device.type


def check_one_device(params: Sequence[Tensor], names: Sequence[str], rule: RuleInfo, what: str) -> None:
    """Refuses parameters on several devices for a rule that couples them: `what`. BackendError names two of them."""
    other = next((i for i, param in enumerate(params) if param.device != params[0].device), None)
    if other is not None:
        raise BackendError(
            f"{names[0]} is on {params[0].device} and {names[other]} on {params[other].device}, and {rule.class_name} "
            f"couples {what}: move them to one device, or give each device an optimizer of its own"
        )


def _wrapped(kind: str, name: str, rule: RuleInfo) -> str:
    """Why a tensor made of others, such as a DTensor, is not served, and what is."""
    if rule.reach == "elem":
        why = (
            "works element by element, so its local tensors, given as the parameters, are stepped as the whole would be"
        )
    else:
        span = {"tensor": "the whole tensor", "layer": "the whole layer"}.get(rule.reach, "the whole model")
        why = f"needs {span}: a part cannot be stepped alone, so gather it before the step"
    return f"{name} is a {kind}; only plain tensors are served. {rule.class_name} {why}"


def _overlaps_itself(param: Tensor) -> bool:
    axes = sorted((s, n) for s, n in zip(param.stride(), param.shape, strict=True) if n > 1)
    if param.numel() <= 1:
        return False
    reach = 0
    for stride, size in axes:
        if stride <= reach:
            return param.numel() > _LISTED or len(np.unique(_addresses(param))) < param.numel()
        reach += (size - 1) * stride
    return False


def _addresses(param: Tensor) -> NDArray[np.int64]:
    """Address of every element."""
    found = np.full((), param.data_ptr(), dtype=np.int64)
    for stride, size in zip(param.stride(), param.shape, strict=True):
        found = found[..., None] + np.arange(size, dtype=np.int64) * (stride * param.element_size())
    return found.ravel()


def _check_distinct(params: Sequence[Tensor], names: Sequence[str]) -> None:
    spans = sorted((*_span(param), i) for i, param in enumerate(params) if param.numel())
    reached, holders = -1, list[int]()
    for start, end, i in spans:
        holders = [j for j in holders if _span(params[j])[1] > start] if start < reached else []
        for j in holders:
            if _share_memory(params[i], params[j]):
                raise GradientError(
                    f"{names[j]} and {names[i]} share memory, so one step would update it twice; pass a tied "
                    "parameter once, as one and the same Parameter"
                )
        holders.append(i)
        reached = max(reached, end)


def _span(param: Tensor) -> tuple[int, int]:
    """Address of the first byte, and of the one behind the last."""
    reach = sum((size - 1) * stride for size, stride in zip(param.shape, param.stride(), strict=True))
    start = param.data_ptr()
    return start, start + (reach + 1) * param.element_size()


def _share_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors whose spans overlap have an element in common (columns of one matrix have none)."""
    if (a.is_contiguous() and b.is_contiguous()) or a.element_size() != b.element_size():
        return True
    if a.numel() > _LISTED or b.numel() > _LISTED:
        return True
    return bool(np.intersect1d(_addresses(a), _addresses(b)).size)


def check_gradients(
    params: Sequence[Tensor], grads: Sequence[Tensor | None], names: Sequence[str], stack: int = 0
) -> None:
    """Raises a GradientError for the first gradient, or stack of so many, that cannot be stepped with."""
    for param, grad, name in zip(params, grads, names, strict=True):
        if grad is not None:
            problem = _problem(param, grad, stack)
            if problem:
                raise GradientError(f"the {'gradients' if stack else 'gradient'} of {name} {problem}")


def _problem(param: Tensor, grad: Tensor, stack: int) -> str:
    if grad.layout != torch.strided:
        kind = "sparse" if "sparse" in str(grad.layout) else str(grad.layout)
        return f"is {kind}; only dense gradients are served: make it so with `param.grad = param.grad.to_dense()`"
    if grad.is_complex() or not grad.is_floating_point():
        return f"is {grad.dtype}; it must be {param.dtype} as the parameter is"
    if grad.device != param.device:
        return f"is on {grad.device} and the parameter on {param.device}; move it to the parameter's device"
    if grad.dtype != param.dtype and not computed(param.dtype, grad.dtype):
        return f"is {grad.dtype} and the parameter {param.dtype}; convert it to the parameter's dtype"
    if stack and grad.shape != (stack, *param.shape):
        wanted = (stack, *param.shape)
        return f"have shape {tuple(grad.shape)}; {stack} of a parameter of shape {tuple(param.shape)} have {wanted}"
    if not stack and grad.shape != param.shape:
        return f"has shape {tuple(grad.shape)} and the parameter {tuple(param.shape)}"
    return ""


def unknown_keys(rule: RuleInfo, keys: Iterable[str], known: Iterable[str]) -> None:
    """Refuses group keys that look like a misspelt argument, saying which; others are the caller's own and are kept."""
    arguments = sorted(set(known))
    by_name = {hyper.name: hyper.argument for hyper in rule.hypers if hyper.argument != hyper.name}
    for key in keys:
        if key in arguments or key in FOREIGN or key in BOOKKEEPING:
            continue
        if key in by_name:
            raise HyperError(f'"{key}" is given as {by_name[key]} in a torch parameter group')
        hint = suggest(key, [a for a in arguments if abs(len(a) - len(key)) <= 2 and len(a) > 2])
        if hint:
            raise HyperError(f'"{key}" is no argument of {rule.class_name}; {hint}')
