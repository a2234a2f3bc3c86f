"""Claims: what is shown from the equations, what is left to numbers, and that neither takes a false one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from optgen.algebra.proof import proven
from optgen.spec.loader import load, loads, shipped
from optgen.spec.model import Claim, Setting
from optgen.verify.claims import broken, shown_by
from tests.cli.support import optgen

CLAIMS = [(name, i) for name in shipped() for i in range(len(load(name).claims))]

HYPERS = """\
  lr: {default: 1.0e-3, domain: ">= 0"}
  beta: {default: 0.9, domain: "[0, 1)"}
  beta2: {default: 0.99, domain: "[0, 1)"}
  eps: {default: 1.0e-8, domain: "> 0"}
  k: {default: 0.0, domain: ">= 0"}
  on: {default: false}
"""
HEAD = "optgen: 1\nname: NAME\ntitle: One side of a claim\nhyper:\n" + HYPERS
STATE = "state: {m: zeros_like(param), v: zeros_like(param)}\n"
RULE = """\
direction: |
  m = beta*m + (1 - beta)*g
  v = beta2*v + (1 - beta2)*g**2
  d = (m/(1 - beta**t))/(sqrt(v/(1 - beta2**t)) + eps)
"""

#: A rule that becomes the one above where k = 0, written otherwise; shown from the equations.
SHOWN = {
    "a factor": RULE.replace("d = ", "d = (1 + k)*"),
    "a term": RULE.replace("+ eps)", '+ eps) + k*norm(g, over="tensor")*g'),
    "distributed": RULE.replace("beta*m + (1 - beta)*g", "m + (g - m)*(1 - beta) + k"),
    "one denominator": RULE.replace("(m/(1 - beta**t))/(", "m*(1 + k*g)/(1 - beta**t)/("),
    "other names": RULE.replace("m", "first").replace("g**2", "g*g"),
    "a root squared": RULE.replace("sqrt(v", "sqrt(v*sqrt(1 + k)**2").replace("beta2)*g**2", "beta2)*sqrt(g**2)**2"),
    "a branch that is settled": RULE + "  if k > 0:\n      d = sign(d)\n",
    "a branch of scalars": RULE + "  if k > 0:\n      c = 1/k\n  else:\n      c = 1\n  d = c*d\n",
    "a branch per element": RULE + "  d = where(k*g > 0, -d, d)\n",
    "a shared switch": RULE + "  if on:\n      d = d + k\n",
    "a clamp to itself": RULE + "  d = maximum(d + k*g, d)\n",
    "sums": RULE + '  d = d + sum(k*g + g, over="tensor") - sum(g, over="tensor")\n',
    "a sum of a square": RULE + '  d = d + sum((g + k)**2, over="row") - sum(g**2, over="row")\n',
    "state that no longer matters": RULE + "  m = m + k*v\n",
    "a conjunction": RULE + "  d = where(g > 0 and k > 0, 0, d)\n",
}

#: Rules that differ from it, some by very little.
FALSE = {
    "eps inside the root": RULE.replace("sqrt(v/(1 - beta2**t)) + eps", "sqrt(v/(1 - beta2**t) + eps)"),
    "eps before the correction": RULE.replace("sqrt(v/(1 - beta2**t)) + eps", "(sqrt(v) + eps)/sqrt(1 - beta2**t)"),
    "eps squared inside": RULE.replace("sqrt(v/(1 - beta2**t)) + eps", "sqrt(v/(1 - beta2**t) + eps**2)"),
    "no correction": RULE.replace("/(1 - beta**t)", ""),
    "a late correction": RULE.replace("beta**t", "beta**(t + 1)"),
    "decays exchanged": RULE.replace("beta2", "beta_").replace("beta*", "beta2*").replace("beta_", "beta"),
    "the old average": RULE.replace("  m = beta*m + (1 - beta)*g\n", "") + "  m = beta*m + (1 - beta)*g\n",
    "a sign": RULE.replace("d = (m", "d = -(m"),
    "absolute values": RULE.replace("sqrt(v/(1 - beta2**t))", "v/(1 - beta2**t)"),
    "a switch that is off": RULE + "  if not on:\n      d = 2*d\n",
    "a mean for a sum": RULE + '  d = d + mean(g, over="tensor") - sum(g, over="tensor")\n',
    "another extent": RULE + '  d = d + norm(g, over="row") - norm(g, over="tensor")\n',
}


def sides(tmp_path: Path, ours: str, theirs: str = RULE, when: dict[str, Setting] | None = None) -> tuple[str, Claim]:
    """Text of a rule that claims to be another one, whose text lies in a file."""
    other = tmp_path / "other.yaml"
    other.write_text(HEAD.replace("NAME", "other") + STATE + theirs, encoding="utf-8")
    states = STATE.replace("m:", "first:") if "first" in ours else STATE
    claim = Claim("reduces_to", str(other), {"k": 0.0} if when is None else when)
    return HEAD.replace("NAME", "ours") + states + ours, claim


def test_the_claims_that_ship_are_few_enough_to_name() -> None:
    assert len(CLAIMS) >= 5


@pytest.mark.parametrize(("name", "index"), CLAIMS)
def test_a_shipped_claim_holds_in_numbers_too(name: str, index: int) -> None:
    spec = load(name)
    assert broken(spec, spec.claims[index]) is None


def test_most_shipped_claims_are_proven() -> None:
    shown = [shown_by(load(name).claims[i], load(name)) for name, i in CLAIMS]
    assert shown.count("proven") >= 0.75 * len(shown)


@pytest.mark.parametrize("case", SHOWN)
def test_what_follows_from_the_equations_is_proven(tmp_path: Path, case: str) -> None:
    text, claim = sides(tmp_path, SHOWN[case])
    assert proven(loads(text), claim)


@pytest.mark.parametrize("case", FALSE)
def test_a_false_claim_is_neither_proven_nor_run_in_vain(tmp_path: Path, case: str) -> None:
    text, claim = sides(tmp_path, FALSE[case])
    spec = loads(text)
    assert not proven(spec, claim)
    assert broken(spec, claim) is not None


def test_a_claim_that_needs_its_settings(tmp_path: Path) -> None:
    text, claim = sides(tmp_path, SHOWN["a factor"], when={"k": 1.0})
    assert not proven(loads(text), claim)
    text, claim = sides(tmp_path, RULE, when={})
    assert proven(loads(text), claim)


def test_settings_go_to_both_rules(tmp_path: Path) -> None:
    text, claim = sides(tmp_path, RULE.replace("(m/(1 - beta**t))", "(g + k*m)"), when={"beta": 0.0, "k": 0.0})
    assert proven(loads(text), claim)


def test_starts_count(tmp_path: Path) -> None:
    text, claim = sides(tmp_path, RULE)
    assert not proven(loads(text.replace("v: zeros_like(param)", "v: param")), claim)


def test_the_counter_counts(tmp_path: Path) -> None:
    shown = HEAD + 'update: |\n  c = sum(g, over="tensor") > 0\n'
    held = "  h = where(c, 0, g)\n  param = where(c, param, param - lr*t*h)\n"
    skipped = "  if c:\n      skip\n  param = param - lr*t*g\n"
    other = tmp_path / "other.yaml"
    other.write_text(shown.replace("NAME", "other") + held, encoding="utf-8")
    claim = Claim("reduces_to", str(other), {})
    assert proven(loads(shown.replace("NAME", "ours") + held), claim)
    assert not proven(loads(shown.replace("NAME", "ours") + skipped), claim)  # its t stays where it skips


def test_a_threshold_splits_a_hyper(tmp_path: Path) -> None:
    clamped = RULE + "  if beta2 > 0.5:\n      d = {}\n"
    for ours, holds in (("d*1", True), ("d*2", False)):
        text, claim = sides(tmp_path, clamped.format(ours), clamped.format("d"))
        assert proven(loads(text), claim) is holds
        text, claim = sides(tmp_path, clamped.format("d").replace("> 0.5", "> 0.75"), clamped.format("2*d"))
        assert not proven(loads(text), claim)


def test_what_holds_at_the_default_alone_is_not_proven(tmp_path: Path) -> None:
    text, claim = sides(tmp_path, RULE + "  if beta2 <= 0.5:\n      d = 3*d\n")
    assert not proven(loads(text), claim)


def test_how_a_claim_was_shown_is_told(tmp_path: Path) -> None:
    text, claim = sides(tmp_path, SHOWN["a factor"])
    path = tmp_path / "ours.yaml"
    path.write_text(f"{text}claims: [{{reduces_to: {{rule: {claim.rule}, when: {{k: 0}}}}}}]\n", encoding="utf-8")
    assert "claims: 1, 1 of them proven" in optgen("check", path).stdout
    assert "(proven from the equations)" in optgen("explain", path).stdout
    text, claim = sides(tmp_path, FALSE["eps inside the root"])
    path.write_text(f"{text}claims: [{{reduces_to: {{rule: {claim.rule}, when: {{k: 0}}}}}}]\n", encoding="utf-8")
    checked = optgen("check", path)
    assert checked.exit_code == 1
    assert "does not step as" in checked.stderr
    assert "(numeric: " in optgen("explain", path).stdout


def test_it_is_given_up_soon(tmp_path: Path) -> None:
    product = "*".join(f"(g + {i}*m + v)" for i in range(1, 30))
    text, claim = sides(tmp_path, RULE + f"  d = d + {product}\n", RULE + f"  d = d + {product[::1]}*1*(1 + k)\n")
    started = time.process_time()
    proven(loads(text), claim)
    assert time.process_time() - started < 20
