"""A traceback is never the answer to bad input: every command, on every kind of it, ends with a message and exit 1."""

import os
from pathlib import Path

import pytest

from tests.cli.support import RULE, optgen

COMMANDS = (["check"], ["explain"], ["explain", "--format", "latex"], ["build"], ["verify"])

BAD: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "not utf-8": RULE.encode().replace(b"drift", b"dr\xefft"),
    "utf-16": RULE.encode("utf-16"),
    "10 MB": b"# " + b"x" * 10_000_000,
    "no yaml": b"optgen: 1\n\t- [",
    "a list": b"- 1\n- 2\n",
    "a word": b"neat\n",
    "deep yaml": b"a: " + b"[" * 5000 + b"]" * 5000,
    "deep equation": RULE.replace("d = g\n", "d = " + "(" * 3000 + "g" + ")" * 3000 + "\n").encode(),
    "long sum": RULE.replace("d = g\n", "d = " + "+".join(["g"] * 5000) + "\n").encode(),
    "nested calls": RULE.replace("d = g\n", "d = " + "abs(" * 500 + "g" + ")" * 500 + "\n").encode(),
    "nested branches": RULE.replace(
        "  d = g\n",
        "  d = g\n" + "".join("  " + "    " * i + f"if t > {i}:\n" for i in range(90)) + "  " * 190 + "d = g\n",
    ).encode(),
    "anchors": RULE.replace("title: ", "title: &a ").encode(),
    "an alias bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a tag": RULE.replace("title: Gradient", "title: !!python/object:os.system Gradient").encode(),
    "two keys of one name": (RULE + "title: again\n").encode(),
    "an unknown key": (RULE + "colour: red\n").encode(),
    "another version": RULE.replace("optgen: 1", "optgen: 99").encode(),
    "an unknown name": RULE.replace("d = g\n", "d = gg\n").encode(),
    "an unknown function": RULE.replace("d = g\n", "d = sqr(g)\n").encode(),
    "an attribute": RULE.replace("d = g\n", "d = g.__class__\n").encode(),
    "an import": RULE.replace("d = g\n", "d = __import__('os')\n").encode(),
    "a lambda": RULE.replace("d = g\n", "d = (lambda: g)()\n").encode(),
    "a walrus": RULE.replace("d = g\n", "d = (x := g)\n").encode(),
    "an f-string": RULE.replace("d = g\n", "d = f'{g}'\n").encode(),
    "a huge number": RULE.replace("d = g\n", "d = g*" + "9" * 5000 + "\n").encode(),
    "division by zero": RULE.replace("d = g\n", "d = g/0\n").encode(),
    "not built yet": RULE.replace("d = g\n", "d = matmul(g, g)\n").encode(),
    "a graph of a computed value": RULE.replace("d = g\n", "d = laplacian(g*g)\n").encode(),
    "an element-wise if": RULE.replace("  d = g\n", "  d = g\n  if g > 0:\n      d = m\n").encode(),
    "a default outside its domain": RULE.replace("1.0e-2", "-1").encode(),
    "NaN": RULE.replace("1.0e-2", ".nan").encode(),
    "an end of docstring": (RULE + 'reference: \'""" + exec("1")\'\nclass: "A\\nB"\n').encode(),
    "a NUL": RULE.replace("title: ", "title: \0").encode(),
    "bidi marks": RULE.replace("title: ", "title: \u202e").encode(),
    "a name of a path": RULE.replace("name: drifter", "name: ../../x").encode(),
    "a class of ours": (RULE + "class: RuleInfo\n").encode(),
    "a transform": RULE.replace("title:", "kind: transform\ntitle:").encode(),
}

#: Of these rules at least the equations can be explained.
NOT_BUILT = (
    *("not built yet", "a graph of a computed value", "an element-wise if", "a class of ours", "a transform"),
    "nested branches",
)

#: What is found after seconds of work that all commands share.
SLOW = ("nested branches",)


@pytest.mark.parametrize(
    ("kind", "command"),
    [(kind, command) for kind in BAD for command in (COMMANDS[:1] if kind in SLOW else COMMANDS)],
    ids=lambda x: x if isinstance(x, str) else " ".join(x),
)
def test_a_bad_text(kind: str, command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "drifter.yaml"
    path.write_bytes(BAD[kind])
    result = optgen(*command, path)
    if result.exit_code != 0 or "explain" not in command or kind not in NOT_BUILT:
        assert result.exit_code == 1, result.output
        assert "error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("optgen_out").exists()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "rule",
    ["", " ", "nope", "adamv", "adamw+lion", "./nope.yaml", ".", "/", "~/nope.yaml", "x" * 5000 + ".yaml"],
)
def test_a_rule_that_is_not_there(rule: str, command: list[str]) -> None:
    result = optgen(*command, rule)
    assert result.exit_code == 1
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "drifter.yaml"
    path.write_text(RULE, encoding="utf-8")
    path.chmod(0)
    assert "cannot read" in optgen("check", path).stderr


def test_every_problem_is_shown_with_its_line_a_caret_and_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "drifter.yaml"
    path.write_text(RULE.replace("d = g\n", "d = gg + sqr(g)\n"), encoding="utf-8")
    result = optgen("check", path)
    assert result.exit_code == 1
    assert f"{path}:10:7: error: " in result.stderr
    assert f"{path}:10:12: error: " in result.stderr
    assert "\n        ^\n" in result.stderr
    assert 'did you mean "sqrt"?' in result.stderr
