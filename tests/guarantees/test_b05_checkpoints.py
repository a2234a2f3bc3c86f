"""B5: a checkpoint is plain data that names its form, and one of an earlier version is still read."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import optgen.torch
from optgen.errors import StateError
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

#: Written by write_golden.py, once per form of the state dict, and never again.
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.pt"))

every = pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)


def plain(value: object, where: str) -> None:
    """Tensors, numbers, words, lists, tuples and dicts, to the last leaf; no subclass of any."""
    if type(value) in (dict, list, tuple):
        entries = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
        for key, entry in entries:
            assert type(key) in (str, int)
            plain(entry, f"{where}/{key}")
        return
    assert value is None or type(value) in (torch.Tensor, bool, int, float, str), f"{where} is a {type(value)}"


@every
def test_a_state_dict_is_plain_data(cls: type[Optimizer]) -> None:
    _, optimizer = shelf.trained(cls, 1)
    plain(optimizer.state_dict(), "state dict")
    about = optimizer.state_dict()["param_groups"][0]["optgen"]
    assert about["schema"] == 1
    assert about["rule"] == cls.RULE.name
    assert about["digest"] == cls.RULE.digest
    assert about["global_step"] == 1
    assert shelf.through_a_file(optimizer.state_dict())["param_groups"][0]["optgen"] == about


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_checkpoint_is_loaded_and_continued(path: Path) -> None:
    """The weights after two more steps are those of then, up to what a compiler may round differently."""
    golden = torch.load(path, weights_only=True)
    assert golden
    for name, saved in golden.items():
        cls = getattr(optgen.torch, name)
        named = [(key, Parameter(value)) for key, value in saved["params"].items()]
        optimizer = cls(named)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the rule's text may have got new state since
            optimizer.load_state_dict(saved["optimizer"])
        assert optimizer.global_step == 2
        for grads in saved["grads"]:
            for key, param in named:
                param.grad = grads[key]
            optimizer.step()
        for key, param in named:
            assert torch.allclose(param, saved["expected"][key], rtol=1e-5, atol=1e-6), f"{name}: {key}"


def test_there_is_a_golden_checkpoint() -> None:
    assert GOLDEN


def damaged(cls: type[Optimizer], **about: Any) -> dict[str, Any]:
    _, optimizer = shelf.trained(cls, 2, backend="reference")
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["optgen"] |= about
    return saved


@every
def test_a_newer_form_and_another_rule_are_refused(cls: type[Optimizer]) -> None:
    optimizer = shelf.make(cls, shelf.parameters(), backend="reference")
    with pytest.raises(StateError, match="has form 2; this version reads form 1"):
        optimizer.load_state_dict(damaged(cls, schema=2))
    with pytest.raises(StateError, match="is of the rule 'another'"):
        optimizer.load_state_dict(damaged(cls, rule="another"))


@every
def test_an_option_that_the_file_does_not_have_stays_as_it_is_here(cls: type[Optimizer]) -> None:
    saved = damaged(cls)
    for flag in ("fused", "lr"):
        del saved["param_groups"][0][flag]
    optimizer = shelf.make(cls, shelf.parameters(), lr=0.0625, backend="reference")
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.0625
    assert optimizer.param_groups[0]["fused"] is None


@pytest.mark.parametrize("cls", [cls for cls in shelf.CLASSES if cls.RULE.states], ids=shelf.name_of)
def test_a_slot_that_an_earlier_text_had_not_starts_anew(cls: type[Optimizer]) -> None:
    """And says so. Of the rule's own text a missing slot means a damaged file."""
    optimizer = shelf.make(cls, shelf.parameters(), backend="reference")
    name = next(name for name in optimizer.state_dict()["state"][0] if name != "step")
    for digest in ("of an earlier text", cls.RULE.digest):
        saved = damaged(cls, digest=digest)
        for slots in saved["state"].values():
            slots.pop(name, None)
        fresh = shelf.make(cls, shelf.parameters(), backend="reference")
        if digest == cls.RULE.digest:
            with pytest.raises(StateError, match=f"lacks {name} of"):
                fresh.load_state_dict(saved)
            continue
        with pytest.warns(UserWarning, match=f"had no {name}: they start anew"):
            fresh.load_state_dict(saved)
        for loaded, new in zip(fresh.state.values(), optimizer.state.values(), strict=True):
            if name in new:
                assert shelf.same_bits(loaded[name], new[name])
        assert fresh.global_step == 2
