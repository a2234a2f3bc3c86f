"""The compiler and the backends know no rule: whatever works for a shipped one works for a stranger's."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Stubs of the framework namespaces are exempt: they are written from the specs and exist to spell the names.
# Words of mathematics that also name a shipped transform: free in prose, but not a word that code could compare with.
ORDINARY = ("cosine", "linear")
CHECKED = (".py", ".json", ".yaml", ".toml")


def registry() -> list[str]:
    """The names of the rules shipped."""
    return sorted(path.stem for path in (ROOT / "specs").rglob("*.yaml"))


def mentions(text: str, names: list[str]) -> list[tuple[int, str]]:
    """(line, word) wherever a rule's name stands as a whole word, in any case."""
    plain = "|".join(re.escape(name) for name in names if name not in ORDINARY)
    quoted = "|".join(rf"(?<=[\"']){name}(?=[\"'])" for name in ORDINARY)
    word = re.compile(rf"\b(?:{plain})\b|{quoted}", re.IGNORECASE)
    return [(number, hit) for number, line in enumerate(text.splitlines(), 1) for hit in word.findall(line)]


def test_no_rule_is_known_by_name() -> None:
    names = registry()
    assert names, "no specs found: this test would pass without looking"
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for folder in ("optgen", "backends")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in CHECKED and "__pycache__" not in path.parts
        for line, word in mentions(path.read_text(encoding="utf-8"), names)
    ]
    assert not found, "\n".join(found)


def test_whole_words_in_any_case_are_found() -> None:
    names = ["neat", "lion"]
    assert mentions("x = 1\n# as NEAT does, in a million ways", names) == [(2, "NEAT")]
    assert mentions("neat_lr = neatly(dandelion)", names) == []
    assert mentions('a linear map\nif curve == "linear":', names) == [(2, "linear")]
