"""Every transform that ships, joined to the rule of its example: a spec file more is a case more."""

from __future__ import annotations

import pytest

from optgen.spec.loader import load, partnered, transforms
from optgen.verify import compare
from optgen.verify.examples import check
from tests.equivalence.test_numba import CHOICES, SMALL, agrees


@pytest.mark.parametrize("name", transforms())
def test_complete(name: str) -> None:
    spec = load(name)
    assert spec.name == name
    assert spec.title
    assert spec.reference
    for hyper in spec.hypers.values():
        assert hyper.doc or hyper.kind == "base", hyper.name
        assert hyper.symbol or hyper.kind in ("bool", "choice", "int", "base"), hyper.name
    assert all(state.doc for state in spec.states.values())
    assert spec.examples
    assert all(example.rule for example in spec.examples)
    assert max(example.steps for example in spec.examples) >= 2


@pytest.mark.parametrize("name", transforms())
def test_examples_come_out(name: str) -> None:
    spec = load(partnered(name))
    assert spec.examples
    assert check(spec) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", transforms())
def test_kernels(name: str) -> None:
    """With its own settings of its first example: short intervals and schedules, which eight steps go through.

    Most settle what the defaults settle, whose kernels are there in float32; float64 is for those without choices of
    their own, which are tried in it.
    """
    spec = load(partnered(name))
    given = {key: value for key, value in spec.examples[0].settings.items() if key.startswith(f"{name}_")}
    dtype = "float32" if any(case == partnered(name) for case, _, _ in CHOICES) else "float64"
    agrees(compare(spec, dtype=dtype, shapes=SMALL, hypers=given, steps=8))
