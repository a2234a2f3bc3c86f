"""`optgen check` and `optgen verify`: what they run, and how they end."""

from pathlib import Path
from typing import Any

import pytest

from optgen.commands.check import check
from optgen.memo import RecentBySettings
from optgen.passes import pipeline
from optgen.passes.lower import Header, lower
from optgen.spec.loader import cases, shipped
from tests.cli.support import RULE, optgen, write_rule


@pytest.mark.parametrize("rule", shipped())
def test_every_rule_that_ships_checks(rule: str) -> None:
    result = optgen("check", rule)
    assert result.exit_code == 0, result.stderr
    assert f"{rule}: ok" in result.stdout


def test_a_worked_example_that_does_not_come_out(tmp_path: Path) -> None:
    path = write_rule(tmp_path, RULE.replace("expect: {param: [0.5]}", "expect: {param: [0.75]}"))
    result = optgen("check", path)
    assert result.exit_code == 1
    assert f"{path}:16:" in result.stderr
    assert "error: " in result.stderr


def test_a_claim_that_does_not_hold(tmp_path: Path) -> None:
    path = write_rule(tmp_path, RULE + "claims: [{reduces_to: {rule: lion, when: {drift: 0}}}]\n")
    result = optgen("check", path)
    assert result.exit_code == 1
    assert f"{path}:17:" in result.stderr


def test_all_are_checked_even_if_the_first_fails(tmp_path: Path) -> None:
    bad = write_rule(tmp_path, RULE.replace("d = g\n", "d = gg\n"))
    result = optgen("check", bad, "nope", "lion")
    assert result.exit_code == 1
    assert f"{bad}:10:" in result.stderr
    assert 'there is no rule "nope"' in result.stderr
    assert "lion: ok" in result.stdout


@pytest.mark.slow
def test_kernels_agree_with_the_meaning_of_the_rule() -> None:
    result = optgen("verify", "lion", "--backend", "numba", "--dtype", "float32")
    assert result.exit_code == 0, result.output
    for word in ("lion", "numba", "float32"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["lion", "--backend", "numba-cuda"], 1, 'serves the device "cuda"'),
        (["lion", "--backend", "xla"], 1, "name another backend"),
        (["lion", "--backend", "reference"], 1, "compared with"),
        (["lion", "--backend", "nubma"], 2, 'did you mean "numba"?'),
        (["lion", "--dtype", "float8"], 2, "float32"),
        (["loin"], 1, 'did you mean "lion"?'),
    ],
)
def test_what_cannot_be_verified(arguments: list[str], code: int, says: str) -> None:
    result = optgen("verify", *arguments)
    assert result.exit_code == code
    assert says in result.stderr


@pytest.mark.parametrize("rule", cases())
def test_each_program_is_lowered_once(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` on the whole shelf stays a matter of seconds as long as all that it does shares one compilation."""
    lowered: list[str] = []

    def counted(header: Header, *rest: Any) -> Any:
        lowered.append(header.name)
        return lower(header, *rest)

    monkeypatch.setattr(pipeline, "lower", counted)
    monkeypatch.setattr(pipeline, "_MADE", RecentBySettings(16))
    check(rule)
    assert lowered, "the rule and, where it has one, its `eval`"
    assert len(lowered) == len(set(lowered))
