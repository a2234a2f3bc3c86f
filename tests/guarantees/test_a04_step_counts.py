"""A4: every parameter counts its own steps; one without a gradient keeps every bit."""

from __future__ import annotations

import pytest
from torch.nn import Parameter

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

#: Rules whose parameters do not know of each other, nor of steps they took no part in.
APART = [c for c in shelf.CLASSES if c.RULE.reach in ("elem", "tensor") and not shelf.reads_the_clock(c.RULE)]

#: Which parameters have no gradient at which step.
MISSING: dict[int, tuple[str, ...]] = {
    0: ("h.0.bias", "head.weight"),
    1: ("h.0.weight", "head.weight"),
    2: (),
    3: tuple(shelf.SHAPES),
    4: ("h.1.weight", "head.scale"),
}


@pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)
def test_without_a_gradient_no_bit_changes(cls: type[Optimizer]) -> None:
    named = shelf.parameters()
    optimizer = shelf.make(cls, named)
    for step, missing in MISSING.items():
        before = shelf.everything(named, optimizer)
        shelf.train(optimizer, named, [step], missing)
        changed = shelf.difference(before, shelf.everything(named, optimizer))
        shared = {f"{n}: {s.name}" for n in missing for s in cls.RULE.states if s.extent in ("layer", "model")}
        assert not {c for c in changed if c.split(":")[0] in missing} - shared
        assert {name for name, _ in named if name not in missing} <= {c.split(":")[0] for c in changed}


@pytest.mark.parametrize("cls", APART, ids=shelf.name_of)
def test_each_parameter_steps_as_it_would_alone(cls: type[Optimizer]) -> None:
    """One optimizer for all against one optimizer each, which never hears of the steps without a gradient."""
    named, apart = shelf.parameters(), shelf.parameters()
    optimizer = shelf.make(cls, named)
    alone = {name: shelf.make(cls, [(name, param)]) for name, param in apart}
    for step, missing in MISSING.items():
        shelf.train(optimizer, named, [step], missing)
        shelf.gradients(apart, step, missing)
        for name, own in alone.items():
            if name not in missing:
                own.step(**shelf.inputs(cls.RULE, step))
    together = shelf.everything(named, optimizer)
    for name, param in apart:
        own = shelf.everything([(name, param)], alone[name])
        del own["steps"]
        assert shelf.difference(own, {key: together[key] for key in own}) == []


@pytest.mark.parametrize("cls", APART, ids=shelf.name_of)
def test_a_step_in_parts_is_the_step(cls: type[Optimizer]) -> None:
    """All gradients at once, against two calls with half of them each."""
    named, parts = shelf.parameters(), shelf.parameters()
    whole, cut = shelf.make(cls, named), shelf.make(cls, parts)
    halves: list[list[tuple[str, Parameter]]] = [parts[::2], parts[1::2]]
    for step in range(3):
        shelf.train(whole, named, [step])
        for half in halves:
            shelf.gradients(parts, step, [name for name, _ in parts if name not in dict(half)])
            cut.step(**shelf.inputs(cls.RULE, step))
    a, b = shelf.everything(named, whole), shelf.everything(parts, cut)
    assert shelf.difference(a, b) == ["steps"]
