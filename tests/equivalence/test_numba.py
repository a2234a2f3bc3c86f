"""Kernels of the numba backend against the float64 reference: every shipped rule, every choice, both dtypes.

The registry decides what runs here: a rule or transform that is added is tested without a line in this file. What
costs is compiling, one to two seconds for each set of settled choices and dtype, so every set serves several tests,
choices are tried seven at a time and take turns in their dtype, float64 first, as defaults are compiled for float32,
climbing comes with a choice, and a transform is tried with one rule. That every pass keeps the meaning under every
single choice is for tests/passes/test_interpreters_agree.py, which compiles nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from optgen.errors import HyperError
from optgen.frontends.evaluate import check_requirements
from optgen.frontends.settling import conditions
from optgen.passes.pipeline import default_settings
from optgen.spec.loader import cases, load, shipped
from optgen.spec.model import Hyper, Setting, Spec
from optgen.spec.syntax import names_in
from optgen.verify import Report, compare
from optgen.verify.settings import tuned_together, with_off_neutral

#: Fewer elements for settings taken one at a time, but every kind of tensor: more than one slice, more than one row.
SMALL: Mapping[str, tuple[int, ...]] = {
    "a.w": (7, 9),
    "b.0.w": (4, 3, 3, 3),
    "b.0.b": (4,),
    "b.1.w": (4, 3, 3, 3),
    "b.1.b": (4,),
    "c.w": (),
    "d.w": (1,),
    "e.w": (0,),
    "f.w": (2500,),
}

#: Gives every tensor to another rule, whose kernels are then all that is run.
ALONE = {"rule"}


def settings_of(spec: Spec, own: str = "") -> list[dict[str, Setting]]:
    """Every choice but the default's, up to seven together; numbers at which the rule settles a condition; some ints.

    Of hypers whose names begin with `own`; with `own`, a transform's, the rest is the rule's, which is tried by itself.
    The first ones climb; a rule without choices climbs all the same.
    """
    hypers = [hyper for name, hyper in spec.hypers.items() if name.startswith(own)]
    single = [given for hyper in hypers for value in _others(spec, hyper) if _fits(spec, given := {hyper.name: value})]
    found = _together(spec, single)
    return [{**given, "maximize": True} if number == 0 else given for number, given in enumerate(found)] or (
        [] if own else [{"maximize": True}]
    )


def _together(spec: Spec, single: list[dict[str, Setting]]) -> list[dict[str, Setting]]:
    """The same settings, each in one of as few combinations as may be, none of more than seven."""
    combined: list[dict[str, Setting]] = []
    for given in single:
        home = next(
            (
                known
                for known in combined
                if len(known) < 7 and not ALONE & (known | given).keys() and not known.keys() & given
                if _fits(spec, known | given)
            ),
            None,
        )
        if home is None:
            combined.append(dict(given))
        else:
            home.update(given)
    return combined


def _fits(spec: Spec, given: dict[str, Setting]) -> bool:
    """Whether the rule's conditions between hypers can hold with this value."""
    values = {name: value for name, value in with_off_neutral(spec, given).items() if not isinstance(value, list)}
    try:
        check_requirements(spec, {**default_settings(spec), **values})
    except HyperError:
        return False
    return True


def _others(spec: Spec, hyper: Hyper) -> list[Setting]:
    match hyper.kind:
        case "choice":
            return [choice for choice in hyper.choices if choice != hyper.default]
        case "bool":
            return [not hyper.default]
        case "int":
            return [2]
        case _:
            settles = any(hyper.name in names_in(condition) for condition in conditions(spec).values())
            return [0.0] if settles and (hyper.domain is None or hyper.domain.contains(0.0)) else []


def graph_settings_of(spec: Spec) -> list[dict[str, str]]:
    """Ways to arrange layers, for rules that look at them."""
    if "laplacian(" not in spec.text:
        return []
    return [{"laplacian": "random_walk"}, {"laplacian": "symmetric"}, {"coupling": "match"}, {"players": "tensor"}]


def agrees(report: Report) -> None:
    """Fails with the report's table."""
    assert report.ok, f"\n{report}"
    assert all(line.unbounded <= line.elements // 100 for line in report.lines), f"\n{report}"


#: Case, settings and dtype: kernels compiled for a test of their own.
CHOICES = [
    (name, given, ("float64", "float32")[number % 2])
    for name in cases()
    for number, given in enumerate(settings_of(load(name), name.partition("+")[2] and f"{name.partition('+')[2]}_"))
]
GRAPHS = [(name, given) for name in shipped() for given in graph_settings_of(load(name))]


def _id(value: object) -> str:
    if isinstance(value, dict):
        return "-".join(f"{key}={entry}" for key, entry in value.items())
    return str(value)


@pytest.mark.parametrize("name", cases())
def test_every_rule(name: str) -> None:
    agrees(compare(name, dtype="float32", steps=8))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "given", "dtype"), CHOICES, ids=_id)
def test_every_choice(name: str, given: dict[str, Setting], dtype: str) -> None:
    agrees(compare(name, dtype=dtype, shapes=SMALL, hypers=given, steps=5, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "given"), GRAPHS, ids=_id)
def test_every_graph(name: str, given: dict[str, str]) -> None:
    agrees(compare(name, dtype="mixed", shapes=SMALL, steps=4, seed=2, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", shipped())
def test_groups_with_hypers_of_their_own(name: str) -> None:
    """By the kernels of the defaults."""
    spec = load(name)
    own: dict[str, Setting] = {
        hyper.name: hyper.default * 0.5
        for hyper in spec.hypers.values()
        if hyper.kind == "float" and hyper.over == "tensor" and isinstance(hyper.default, float) and hyper.default
        if hyper.name not in tuned_together(spec)
    }
    assert own
    overrides = {"b.0.w": own, "f.w": own}
    agrees(compare(name, dtype="float32", shapes=SMALL, overrides=overrides, steps=4, seed=4))


@pytest.mark.parametrize("name", shipped())
def test_shapes_without_names(name: str) -> None:
    """Two equal neighbours, nothing at all, and a single number, by the kernels of the defaults."""
    agrees(compare(name, dtype="float32", shapes=[(5, 3), (5, 3), (0, 4), ()], steps=5, seed=5))
