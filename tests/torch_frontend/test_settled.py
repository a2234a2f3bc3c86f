"""A class and the compiler must agree on what is settled, or a class would run kernels built for other choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from optgen import compiler
from optgen.errors import BackendError, OptgenError
from optgen.frontends.settling import conditions
from optgen.frontends.torch_class import torch_class
from optgen.spec.loader import load as load_spec
from optgen.spec.loader import shipped
from optgen.spec.model import Spec
from optgen.spec.syntax import names_in
from tests.torch_frontend.support import load


def variations(spec: Spec) -> Iterator[Mapping[str, Any]]:
    """The defaults, and each choice, switch and number that a condition may read changed on its own."""
    yield {}
    read = {name for condition in conditions(spec).values() for name in names_in(condition)}
    for name, hyper in spec.hypers.items():
        if hyper.kind == "choice":
            yield from ({name: choice} for choice in hyper.choices)
        elif hyper.kind == "bool":
            yield {name: not hyper.default}
        elif name in read:
            yield from ({name: number} for number in (0, 1, 0.5, 2) if _fits(spec, name, number))


def _fits(spec: Spec, name: str, number: float) -> bool:
    try:
        spec.hypers[name].accept(number)
    except OptgenError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_a_class_settles_what_the_compiler_settles(name: str, tmp_path: Path) -> None:
    spec = load_spec(name)
    rule = load(tmp_path, torch_class(spec)).RULE
    texts: dict[str, str] = {}
    for maximize, given in (*((False, given) for given in variations(spec)), (True, {})):
        hypers = {**rule.defaults(), **given}
        settled = rule.settled(hypers, maximize)
        try:
            manifest, source = compiler.kernel_module(spec, {**given, "maximize": maximize}, "float32", "numba")
        except BackendError:  # what is not built yet
            continue
        assert {key: settled.get(key) for key in manifest["settled"]} == manifest["settled"]
        # the other direction: equal choices, equal kernels
        assert texts.setdefault(str(sorted(settled.items())), source) == source
        assert {str(slot["name"]).partition("[")[0] for slot in manifest["slots"] if slot["role"] == "state"} <= {
            state.name for state in rule.states
        }
        extents = {state.name: state.extent for state in rule.states}
        for slot in manifest["slots"]:
            if slot["role"] == "state":
                assert slot["extent"] == extents[str(slot["name"]).partition("[")[0]]
