"""B14: groups carry settings and marks of their own, which are kept, saved and loaded; misspelt ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from optgen.errors import HyperError
from optgen.runtime.torch_checks import FOREIGN
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

every = pytest.mark.parametrize("cls", shelf.CLASSES, ids=shelf.name_of)

#: Marks that other optimizers and trainers put into groups, and one of the caller's own.
MARKS: dict[str, Any] = {
    "use_muon": True,
    "rank": 128,
    "update_proj_gap": 200,
    "scale": 0.25,
    "proj_type": "std",
    "initial_lr": 0.5,
    "colour": ["red", {"deep": 1}],
}


@every
def test_marks_are_kept_saved_and_loaded(cls: type[Optimizer]) -> None:
    names = {hyper.key for hyper in cls.RULE.hypers}
    marks = {key: value for key, value in MARKS.items() if key not in names}
    named = shelf.parameters()
    optimizer = shelf.make(cls, [{"params": named[:3], **marks}, {"params": named[3:]}])  # type: ignore[arg-type]
    shelf.train(optimizer, named, [0])
    again = shelf.parameters()
    other = shelf.make(cls, [{"params": again[:3]}, {"params": again[3:]}])  # type: ignore[arg-type]
    other.load_state_dict(shelf.through_a_file(optimizer.state_dict()))
    for each in (optimizer, other):
        assert {key: each.param_groups[0].get(key) for key in marks} == marks
        assert not set(marks) & set(each.param_groups[1])
    assert other.param_groups[0]["colour"] is not optimizer.param_groups[0]["colour"]


@every
def test_every_known_mark_of_others_is_taken(cls: type[Optimizer]) -> None:
    own = {hyper.key for hyper in cls.RULE.hypers}
    marks = dict.fromkeys(FOREIGN - own, 1)
    group = {"params": shelf.parameters(), **marks}
    assert marks.items() <= cls([group], backend="reference").param_groups[0].items()  # type: ignore[list-item]


@every
def test_settings_of_one_group_are_its_own(cls: type[Optimizer]) -> None:
    """A group whose rate is 0 stands still, whatever the others do, for rules that scale all they do by the rate."""
    if cls.RULE.arms:
        pytest.skip("each of several rules has a rate of its own")
    named = shelf.parameters()
    kept = {hyper.name: 0.0 for hyper in cls.RULE.hypers if hyper.name == "prune_threshold"}  # prunes at any rate
    optimizer = shelf.make(cls, [{"params": named[:2], "lr": 0.0}, {"params": named[2:]}], **kept)  # type: ignore[arg-type]
    before = [param.detach().clone() for _, param in named]
    shelf.train(optimizer, named, range(8))  # every interval passes
    still = [shelf.same_bits(param.detach(), was) for (_, param), was in zip(named, before, strict=True)]
    assert still[:2] == [True, True]
    assert not any(still[2:])


@every
def test_a_key_that_is_nearly_an_argument_is_refused_with_it(cls: type[Optimizer]) -> None:
    for key, meant in (("weight_decays", "weight_decay"), ("maximise", "maximize"), ("capturabel", "capturable")):
        if meant == "weight_decay" and all(hyper.key != meant for hyper in cls.RULE.hypers):
            continue
        with pytest.raises(HyperError, match=f'"{key}" is no argument of {cls.__name__}; did you mean "{meant}"'):
            cls([{"params": shelf.parameters(), key: 1}], backend="reference")
        optimizer = shelf.make(cls, shelf.parameters()[:5], backend="reference")
        with pytest.raises(HyperError, match=f'did you mean "{meant}"'):
            optimizer.add_param_group({"params": shelf.parameters()[5:], key: 1})
        assert len(optimizer.param_groups) == 1
