"""The text of a new rule: a commented template that already checks, builds and verifies."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from optgen.errors import UsageError
from optgen.spec.loader import RULE_NAME, shipped

FOLDER = Path(__file__).resolve().parent
SCHEMA = FOLDER.parent / "spec" / "schema.json"
#: Template of each kind of text.
TEMPLATES = {"rule": "rule.yaml"}


def template(name: str, kind: str = "rule") -> str:
    """A complete rule text under this name. UsageError says why a name cannot be taken."""
    check_name(name)
    text = (FOLDER / TEMPLATES[kind]).read_text(encoding="utf-8")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    marks = {"SCHEMA": SCHEMA.as_uri(), "FILE": f"./{name}.yaml", "NAME": name, "CLASS": class_name}
    return re.sub("@([A-Z]+)@", lambda mark: marks[mark[1]], text)


def check_name(name: str) -> None:
    """UsageError where a new rule cannot have this name."""
    if name.endswith((".yaml", ".yml")):
        raise UsageError(f'"{name}" is a file; give the name of the rule, "{Path(name).stem}", and the folder by --out')
    if not RULE_NAME.fullmatch(name):
        raise UsageError(f'"{name}" cannot name a rule: {_wrong(name)}. {_instead(name)}'.rstrip())
    if keyword.iskeyword(name):
        raise UsageError(f'"{name}" cannot name a rule: it is a word of Python. Take another, such as {name}_rule')
    taken = [rule for rule in shipped() if rule.replace("_", "") == name.replace("_", "")]
    if taken:
        raise UsageError(f'the rule "{taken[0]}" ships with optgen; take another name, such as my_{name}')


def _wrong(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > 64:
        return f"it has {len(name)} characters, and 64 are the most"
    if not re.fullmatch("[a-z]", name[0]):
        return f"it starts with {name[0]!r}, not with a lower-case ASCII letter"
    wrong = next(char for char in name if not re.fullmatch("[a-z0-9_]", char))
    return f"{wrong!r} is no lower-case ASCII letter, digit or _"


def _instead(name: str) -> str:
    """The nearest name that a rule may have, as advice."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    near = re.sub("[^a-z0-9]+", "_", words).strip("_0123456789")
    return f"Write {near[:64].rstrip('_')}" if near else "Write a name such as my_rule"
