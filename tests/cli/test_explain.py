"""`optgen explain`: the figures of the seven rules, the primary variant, and the three formats."""

import json
import re
from typing import Any

import pytest

from optgen.algebra.latex import to_latex
from optgen.explain import explain
from optgen.spec.loader import load, loads, shipped
from tests.cli.support import RULE, optgen


def explained(*arguments: str) -> dict[str, Any]:
    result = optgen("explain", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("rule", "settings", "moved", "issued", "state", "sweeps"),
    [
        ("sgd", [], 12, 12, 0, 1),
        ("sgd", ["momentum=0.9"], 20, 20, 4, 1),
        ("lion", [], 20, 20, 4, 1),
        ("adamw", [], 28, 28, 8, 1),
        ("neat", [], 32, 48, 8, 2),
        ("neat", ["nsa=off", "coupling=match"], 28, 36, 8, 1),
        ("lamb", [], 40, 40, 8, 2),
        ("adafactor", [], 24, 24, 0, 3),
        ("nested", [], 60, 60, 16, 2),
    ],
)
def test_figures(rule: str, settings: list[str], moved: int, issued: int, state: int, sweeps: int) -> None:
    found = explained(rule, *(word for setting in settings for word in ("--set", setting)))
    assert found["bytes_per_param"] == moved
    assert found["issued_bytes_per_param"] == issued
    assert found["state_bytes_per_param"] == state
    assert found["scratch_bytes_per_param"] == 0
    assert len(found["sweeps"]) == sweeps
    assert found["collectives"] == sum(bool(sweep["reductions"]) for sweep in found["sweeps"])


@pytest.mark.parametrize("rule", shipped())
def test_the_contract_of_the_json(rule: str) -> None:
    found = explained(rule)
    assert found["rule"] == rule
    assert set(found["hyper"]) == set(load(rule).hypers)
    primary = next(variant for variant in found["variants"] if variant["name"] == found["primary"])
    for key in (
        "when",
        "sweeps",
        "bytes_per_param",
        "issued_bytes_per_param",
        "scratch_bytes_per_param",
        "collectives",
    ):
        assert found[key] == primary[key]
    for variant in found["variants"]:
        for sweep in variant["sweeps"]:
            assert set(sweep["neighbours"]) <= set(sweep["reads"])
            assert {"reads", "writes", "reductions"} <= set(sweep)
    assert found["settled"]["maximize"] is False
    assert found["exact"] is not any(variant["calls"] for variant in found["variants"])


def test_every_variant_is_told_apart() -> None:
    found = explained("nested")
    figures = {variant["when"]: variant["bytes_per_param"] for variant in found["variants"]}
    assert figures == {"not due": 36, "due and k > 1": 68, "due and not (k > 1)": 60}
    assert {v["when"] for v in explained("adafactor")["variants"]} == {"ndim(param) >= 2", "not (ndim(param) >= 2)"}


def test_a_stencil_is_read_once_by_memory_and_per_neighbour_by_the_text() -> None:
    first = explained("neat")["sweeps"][0]
    assert first["reads"] == first["neighbours"] == ["g"]
    assert first["writes"] == []
    assert all(reduction.startswith("sum over layer") for reduction in first["reductions"])


def test_types_are_the_finest_that_a_name_holds() -> None:
    assert explained("neat")["values"]["c"] == "float per layer"
    assert explained("adafactor")["values"]["s"] == "float per elem"


def test_work_that_backends_round_differently_is_named() -> None:
    found = explain(loads(RULE.replace("d = g\n", "d = tanh(g)\n")))
    assert not found["exact"]
    assert found["inexact"] == ["tanh"]


def test_infinities_are_words_in_json(tmp_path: Any) -> None:
    path = tmp_path / "bounded.yaml"
    path.write_text(RULE.replace("drift: {default: 0.0", "drift: {default: .inf"), encoding="utf-8")
    assert explained(str(path))["hyper"]["drift"]["default"] == "inf"


@pytest.mark.parametrize("rule", shipped())
def test_text_shows_every_statement_and_figure(rule: str) -> None:
    result = optgen("explain", rule)
    assert result.exit_code == 0
    found = explained(rule)
    assert f"{found['bytes_per_param']} bytes per parameter" in result.stdout
    assert re.search(r"param = .*param", result.stdout)
    assert "\x1b" not in result.stdout


def test_latex_keeps_the_order_and_binding_of_what_is_written() -> None:
    latex = to_latex(load("adamw"))
    assert r"m \leftarrow \beta_1 \, m + \left(1 - \beta_1\right) \, g" in latex
    assert r"\sqrt{\frac{v}{1 - {\beta_2}^{t}}} + \varepsilon" in latex
    assert latex.startswith("\\begin{align*}")
    assert latex.endswith("\\end{align*}")


@pytest.mark.parametrize(
    ("written", "latex"),
    [
        ("(g/lr)**2", r"{\left(\frac{g}{\mathrm{lr}}\right)}^{2}"),
        ("g - (drift - lr)", r"g - \left(\mathrm{drift} - \mathrm{lr}\right)"),
        ("-3*g", r"-3 \, g"),
        ("(-g)**2", r"{\left(-g\right)}^{2}"),
        ("2*where(drift > 0, g, 1e-8)", r"2 \, \left(\begin{cases} g & \text{if}\ \mathrm{drift} > 0 \\ {10^{-8}} &"),
        ('norm(g, over="tensor")*g', r"\left\lVert g\right\rVert_{\text{tensor}} \, g"),
        ("t % 2*g", r"\left(t \bmod 2\right) \, g"),
        ("max_abs(g, over='layer')*g", r"\left\lVert g\right\rVert_{\infty, \text{layer}} \, g"),
    ],
)
def test_latex_of_expressions(written: str, latex: str) -> None:
    assert latex in to_latex(loads(RULE.replace("d = g\n", f"d = {written}\n")))


@pytest.mark.parametrize("rule", shipped())
def test_latex_is_balanced(rule: str) -> None:
    result = optgen("explain", rule, "--format", "latex")
    assert result.exit_code == 0
    latex = result.stdout
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") - latex.count(r"\leftarrow") == latex.count(r"\right")
