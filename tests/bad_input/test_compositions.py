"""What cannot be joined, each with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

import optgen
from optgen.errors import SpecError, UsageError
from optgen.spec.loader import load, loads
from tests.bad_input.marked import MARK, check
from tests.cli.support import optgen as run

HEAD = "optgen: 1\nname: mine\ntitle: Mine\n"
RULE = HEAD + "hyper: {lr: {default: 0.1}}\n"

#: Joined texts, with a mark where the complaint must point; message and hint.
NAMED: dict[str, tuple[str, str, str]] = {
    "two rules": ("adamw+§lion", "adamw and lion are both rules", "transforms"),
    "two rules and more": ("adamw+ema+§sgd", "adamw and sgd are both rules", "transforms"),
    "no rule": ("§cautious+ema", "cautious and ema are transforms, and there is no rule", "RULE+cautious+ema"),
    "unknown part": ("adamw+§cautios", 'there is no rule "cautios"', 'did you mean "cautious"?'),
    "unknown rule": ("§adamx+ema", 'there is no rule "adamx"', "did you mean"),
    "a part missing": ("adamw+§+ema", "a part is missing", "between the `+`"),
    "nothing after": ("adamw+§", "a part is missing", "between the `+`"),
}

#: A rule, a transform's body with a mark, the order they are joined in; message and hint.
JOINED: dict[str, tuple[str, str, str, str, str]] = {
    "a direction nobody reads": (
        RULE + "update: param = param - lr*g\n",
        "direction: |\n  §d = 2*g\n",
        "rule+mine",
        "`d` is assigned here and nobody reads it",
        "update",
    ),
    "a direction that the rule makes anew": (
        RULE + "direction: d = g\n",
        "direction: |\n  §d = 2*g\n",
        "mine+rule",
        "`d` is assigned here and nobody reads it",
        "update",
    ),
    "before the direction": (
        RULE,
        "direction: |\n  d = 2*§d\n",
        "mine+rule",
        "mine reads `d` before rule makes it",
        "rule+mine",
    ),
    "before the step": (
        RULE,
        "state: {slow: param}\nupdate: |\n  §slow = 0.5*slow + 0.5*param\n  param = slow\n",
        "mine+rule",
        "stands before rule",
        "rule+mine",
    ),
    "a hyper that the rule lacks": (
        RULE,
        "hyper:\n  §beta1: base\ngradient: g = beta1*g\n",
        "rule+mine",
        'the hyper "beta1" of the rule, and rule has none',
        "lr",
    ),
    "a hyper misspelt": (
        RULE.replace("lr:", "lr: {default: 0.1}, rate:"),
        "hyper:\n  §rat: base\ngradient: g = rat*g\n",
        "rule+mine",
        'the hyper "rat"',
        'did you mean "rate"?',
    ),
    "a state that the rule lacks": (
        RULE,
        "state:\n  §m: base\ngradient: m = 0.5*m\n",
        "rule+mine",
        'the state "m" of the rule, and rule has none',
        "none",
    ),
    "a name that the rule has": (
        RULE.replace("lr:", "mine_k: {default: 1.0}, lr:") + "update: param = param - lr*mine_k*g\n",
        "hyper:\n  §k: {default: 2.0}\ngradient: g = k*g\n",
        "rule+mine",
        '"mine_k" would be a name of rule and of mine',
        "rename",
    ),
    "another view of matrices": (
        RULE + "matrix: wide\ndirection: d = g - mean(g, over='row')\n",
        "matrix: units\ngradient: |\n  g = g - §mean(g, over='row')\n",
        "rule+mine",
        'in the way "units", rule as "wide"',
        "matrix:",
    ),
    "an input of another extent": (
        RULE + "inputs: {loss: model}\nupdate: param = param - lr*loss*g\n",
        "inputs:\n  §loss: tensor\ngradient: g = loss*g\n",
        "rule+mine",
        'the input "loss" is over "tensor" here and "model" in another part',
        "rename",
    ),
}


def refused(call: str | list[str]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(call) if isinstance(call, str) else optgen.compose(*call)
    return caught.value


@pytest.mark.parametrize("name", NAMED)
def test_refused_at_the_part(name: str) -> None:
    marked, message, hint = NAMED[name]
    text = marked.replace(MARK, "")
    (found,) = refused(text).diagnostics
    assert (found.location.path, found.location.line, found.location.col) == (text, 1, marked.index(MARK) + 1)
    assert message in found.message
    assert hint in found.hint
    assert found.source == text


@pytest.mark.parametrize("name", JOINED)
def test_refused_in_the_text_of_the_transform(name: str, tmp_path: Path) -> None:
    rule, body, order, message, hint = JOINED[name]
    marked = HEAD + "kind: transform\n" + body
    paths = {"rule": tmp_path / "rule.yaml", "mine": tmp_path / "mine.yaml"}
    paths["rule"].write_text(rule.replace("name: mine", "name: rule"), encoding="utf-8")
    paths["mine"].write_text(marked.replace(MARK, ""), encoding="utf-8")
    loads(marked.replace(MARK, ""))  # nothing is wrong with it by itself
    (found,) = refused("+".join(str(paths[part]) for part in order.split("+"))).diagnostics
    before = marked[: marked.index(MARK)]
    line, col = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert (found.location.path, found.location.line, found.location.col) == (str(paths["mine"]), line, col)
    assert message in found.message
    assert hint in found.hint
    assert found.source == marked.replace(MARK, "").split("\n")[line - 1]


COMPOSED: dict[str, tuple[str, str, str]] = {
    "one part": (HEAD + "§compose: [adamw]\n", "two names or more", "compose: [RULE, TRANSFORM]"),
    "no list": (HEAD + "§compose: adamw\n", "two names or more", "compose: [RULE, TRANSFORM]"),
    "unknown part": (HEAD + "compose: [adamw, §emma]\n", 'no rule "emma"', 'did you mean "ema"?'),
    "two rules": (HEAD + "compose: [adamw, §lion]\n", "both rules", "else:"),
    "no rule": (HEAD + "compose: [§ema, cautious]\n", "there is no rule", "RULE+ema+cautious"),
    "equations": (
        HEAD + "compose: [adamw, ema]\n§update: param = 0\n",
        'unknown key "update" in a composition',
        "keys",
    ),
    "unknown default": (HEAD + "compose: [adamw, ema]\ndefaults: {§ema_deca: 0.5}\n", '"ema_deca"', '"ema_decay"?'),
    "default out of its domain": (HEAD + "compose: [adamw, ema]\ndefaults: {§lr: -1.0}\n", "lr must be >= 0", "takes"),
    "defaults of a rule": (RULE + "§defaults: {lr: 0.1}\n", 'unknown key "defaults"', "keys"),
    "itself": ("§" + HEAD + "compose: [mine.yaml, ema]\n", "takes part in itself", "remove it"),
    "else a transform": (RULE + "when: ndim(param) > 1\n§else: ema\n", "ema is a transform", "name a rule"),
    "else itself": ("§" + RULE + "when: ndim(param) > 1\nelse: mine.yaml\n", "takes part in itself", "remove it"),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_refused_at_the_mark(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, message, hint = COMPOSED[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(text.replace(MARK, ""), encoding="utf-8")
    check(text, message, hint)


def test_two_ways_to_evaluate() -> None:
    (found,) = refused("adamw+ema+ema").diagnostics
    assert "two parts say which weights to evaluate with" in found.message
    assert found.location == load("ema").evaluate.loc  # type: ignore[union-attr]


def test_two_texts_of_one_name(tmp_path: Path) -> None:
    for folder, factor in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        text = HEAD + f"kind: transform\ngradient: g = g*{factor}\n"
        (tmp_path / folder / "mine.yaml").write_text(text, encoding="utf-8")
    parts = [load(tmp_path / folder / "mine.yaml") for folder in ("a", "b")]
    with pytest.raises(SpecError, match='two texts are asked for as "mine"'):
        optgen.compose("sgd", *parts)


def test_a_rule_that_has_chosen_already_is_joined_in_one_go() -> None:
    chosen = loads(RULE + "when: ndim(param) > 1\nelse: adamw\n", "mine.yaml")
    with pytest.raises(SpecError, match="has chosen between two rules already"):
        optgen.compose(chosen, "ema")


def test_a_transform_alone_has_no_kernels() -> None:
    for command in ("explain", "build", "verify"):
        result = run(command, "cautious")
        assert result.exit_code == 1, result.output
        assert "a transform has no kernels of its own" in result.stderr
        assert "hint: join it to a rule: sgd+cautious" in result.stderr


def test_an_unknown_rule_alone() -> None:
    with pytest.raises(UsageError, match='did you mean "lookahead"'):
        load("lookahed")


def test_contradictory_settings_of_two_parts() -> None:
    result = run("explain", "adamw+wsd", "--set", "wsd_warmup=9000", "--set", "wsd_decay=9000")
    assert result.exit_code == 1
    assert "adamw_wsd requires wsd_warmup + wsd_decay <= wsd_steps" in result.stderr
