"""The torch front end over kernels that Triton interprets, in a process of its own: what a CUDA graph would repeat, and
memory that moves.

    python -m tests.backends_triton.interpreted_frontend

prints a line of JSON with what does not hold; nothing where everything does. The CPU's memory stands for the device's:
numbers in tensors count as being there, and a step is recorded as a list of everything that it queues.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from optgen_triton.interpreted import mend_bfloat16, patch_once

import optgen  # isort: skip (triton is told to interpret first)
from optgen.runtime import gpu_tables, torch_binding, torch_flags, torch_resident, torch_scaling
from optgen.runtime.torch_optimizer import Optimizer

Named = list[tuple[str, torch.nn.Parameter]]

SHAPES = {"h.0.w": (9, 8), "h.0.b": (9,), "h.1.w": (9, 8), "h.1.b": (9,), "head": (3, 2, 4)}
#: Rules of one launch, of two sweeps over a graph, of several variants with intervals, and with products in between.
REPLAYED = ("adamw", "neat", "nested", "muon")
#: One whose products depend on counts of updates.
COUNTED = "m3"


class Recording(TorchDispatchMode):
    """What a step queues: operations of torch and launches, in order. `replay` repeats them over the same memory."""

    current: Recording | None = None

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Callable[[], None]] = []

    def __enter__(self) -> Any:
        Recording.current = self
        return super().__enter__()

    def __exit__(self, *about: Any) -> None:
        Recording.current = None
        super().__exit__(*about)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))

        def again() -> None:
            fresh = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.data_ptr() != fresh.data_ptr():
                made.copy_(fresh)

        self.work.append(again)
        return made

    def replay(self) -> None:
        """The step once more."""
        for each in self.work:
            each()


def stand_in() -> None:
    """Has the CPU's memory taken for a device's."""
    launcher = gpu_tables.launcher

    def recorded(*about: Any, **options: Any) -> Any:
        launch = launcher(*about, **options)

        def queue(*args: Any, **given: Any) -> None:
            if Recording.current is not None:
                Recording.current.work.append(lambda: launch(*args, **given))
            with _disable_current_modes():  # the interpreter asks torch for copies of its own
                launch(*args, **given)

        return queue

    def on_device(value: object) -> bool:
        return isinstance(value, torch.Tensor)

    gpu_tables.launcher = recorded
    torch_flags.check = lambda *_: None
    for module in (torch_resident, torch_binding, torch_scaling):
        module.on_device = on_device  # type: ignore[attr-defined]


def parameters(seed: int = 3) -> Named:
    rng = torch.Generator().manual_seed(seed)
    return [(name, torch.nn.Parameter(torch.randn(shape, generator=rng))) for name, shape in SHAPES.items()]


def gradients(named: Named, step: int, scale: float = 1.0) -> None:
    """New values, in the same memory where there is any."""
    rng = torch.Generator().manual_seed(100 + step)
    for _, param in named:
        fresh = torch.randn(param.shape, generator=rng) * scale
        if param.grad is None:
            param.grad = fresh
        else:
            param.grad.copy_(fresh)


def different(named: Named, one: Optimizer, others: Named, other: Optimizer) -> list[str]:
    """What is not the same bit for bit."""
    found = [name for (name, a), (_, b) in zip(named, others, strict=True) if not torch.equal(a, b)]
    for (name, a), (_, b) in zip(named, others, strict=True):
        found += [f"{name}.{slot}" for slot, x in one.state[a].items() if not torch.equal(x, other.state[b][slot])]
    return found + (["global_step"] if one.global_step != other.global_step else [])


def made(rule: str) -> type[Optimizer]:
    return optgen.compile(rule, backend="triton")


def check_replays(rule: str, wrong: list[str]) -> None:
    """A recorded step follows rates, scale and gradients that change in place, and counts on the device."""
    named, others = parameters(), parameters()
    lr, scale, found = (torch.tensor(value, dtype=torch.float64) for value in (0.1, 4.0, 0.0))
    optimizer = made(rule)(named, lr=lr, capturable=True, backend="triton")  # type: ignore[call-arg]
    eager = made(rule)(others, lr=0.1, backend="triton")  # type: ignore[call-arg]
    decay = torch.tensor(0.3, dtype=torch.float64)
    decays = "weight_decay" in optimizer.param_groups[0] and rule != "nested"  # there it decides on the kernels
    if decays:
        optimizer.param_groups[0]["weight_decay"], eager.param_groups[0]["weight_decay"] = decay, 0.3
    optimizer.grad_scale, optimizer.found_inf = scale, found  # type: ignore[attr-defined]
    recording = Recording()
    for step in range(6):
        lr.fill_(0.1 / (step + 1))
        decay.fill_(0.3 / (step + 1))
        scale.fill_(2.0**step)
        found.fill_(float(step == 4))
        gradients(named, step, scale=2.0**step)
        gradients(others, step)
        if step == 2:
            with recording:
                optimizer.step()
        elif step > 2:
            recording.replay()
        else:
            optimizer.step()
        eager.param_groups[0]["lr"] = float(lr)
        if decays:
            eager.param_groups[0]["weight_decay"] = float(decay)
        if step != 4:
            eager.step()
        lacking = different(named, optimizer, others, eager)
        if lacking:
            wrong.append(f"{rule}: step {step} replayed: {lacking}")
            return


def check_memory(wrong: list[str]) -> None:
    """Parameters, gradients and state may move, groups and copies be made, and tables do not grow."""
    named, others = parameters(), parameters()
    late, also_late = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(5))
    optimizer = made("adamw")(named, lr=0.1, backend="triton")  # type: ignore[call-arg]
    other = made("adamw")([{"params": others}, {"params": [("late", also_late)]}], lr=0.1, backend="triton")  # type: ignore[call-arg]
    sizes = set[int]()
    for step in range(12):
        if step == 9:
            copied: dict[str, Any] = copy.deepcopy({"named": named, "late": late, "optimizer": optimizer})
            named, late, optimizer = copied["named"], copied["late"], copied["optimizer"]
        for _, param in named:
            param.grad = None
            param.data = param.data.clone()
        gradients(named, step)
        gradients(others, step)
        if step == 4:
            optimizer.add_param_group({"params": [("late", late)]})
        if step >= 4:
            late.grad, also_late.grad = torch.full((5,), 0.5), torch.full((5,), 0.5)
        if step == 7:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.step()
        other.step()
        binding = optimizer._binding
        assert binding is not None
        if step > 4:
            sizes.add(sum(buffer.numel() for tables in binding.gpus for buffer in tables.buffers()))
    lacking = different([*named, ("late", late)], optimizer, [*others, ("late", also_late)], other)
    if lacking:
        wrong.append(f"memory that moved: {lacking}")
    if len(sizes) != 1:
        wrong.append(f"tables grew: {sorted(sizes)} words")


def check_counts(wrong: list[str]) -> None:
    """The host's counts of updates follow steps that a scaler skips, state that is loaded, and counts written over."""
    named, others = parameters(), parameters()
    optimizer = made(COUNTED)(named, lr=0.1, frequency=2, backend="triton")  # type: ignore[call-arg]
    other = made(COUNTED)(others, lr=0.1, frequency=2, backend="triton")  # type: ignore[call-arg]
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(1.0), torch.tensor(0.0)  # type: ignore[attr-defined]
    for step in range(5):
        gradients(named, step)
        gradients(others, step)
        skipped = step == 1
        optimizer.found_inf.fill_(float(skipped))  # type: ignore[attr-defined]
        if step == 3:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        if step == 4:
            for param in optimizer.state:
                optimizer.state[param]["step"].fill_(2.0)
            changed = copy.deepcopy(other.state_dict())
            for slots in changed["state"].values():
                slots["step"].fill_(2.0)
            other.load_state_dict(changed)
        optimizer.step()
        if not skipped:
            other.step()
        lacking = different(named, optimizer, others, other)
        if lacking:
            wrong.append(f"{COUNTED}: step {step}: {lacking}")
            return


def main() -> None:
    """A line of what does not hold."""
    wrong: list[str] = []
    mend_bfloat16()
    patch_once()
    check_memory(wrong)
    stand_in()
    for rule in REPLAYED:
        check_replays(rule, wrong)
    check_counts(wrong)
    print(json.dumps(wrong))


if __name__ == "__main__":
    main()
