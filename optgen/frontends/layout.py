"""Breaks long lines of generated Python at their last brackets, the way the formatter of this repository does."""

from __future__ import annotations

from optgen.frontends.python_text import WIDTH

_OPEN, _CLOSE = "([{", ")]}"


def fit(line: str) -> list[str]:
    """The line, or the lines it breaks into where it is too long. Strings are double-quoted."""
    if len(line) <= WIDTH:
        return [line]
    group = _last_group(line)
    if group is None:
        return [line]
    start, end = group
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    inside = line[start + 1 : end]
    items = _items(inside)
    head, tail = line[: start + 1], indent[4:] + line[end:]
    together = indent + ", ".join(items)
    called = start > 0 and (line[start - 1].isalnum() or line[start - 1] == "_")
    if called and len(together) <= WIDTH:
        return [head, together, tail]
    if line[start] == "(" and not called and len(items) == 1 and not inside.rstrip().endswith(","):
        return [head, *fit(together), tail]  # a comma would make a tuple of it
    return [head, *(text for item in items for text in fit(f"{indent}{item},")), tail]


def fitted(lines: list[str]) -> str:
    """Text of lines, each broken where it is too long."""
    return "\n".join(text for line in lines for text in fit(line))


def _last_group(line: str) -> tuple[int, int] | None:
    """Positions of the last outermost pair of brackets that holds something."""
    found: tuple[int, int] | None = None
    opened: list[int] = []
    for at, char in _code(line):
        if char in _OPEN:
            opened.append(at)
        elif char in _CLOSE:
            start = opened.pop()
            if not opened and at > start + 1:
                found = (start, at)
    return found


def _items(text: str) -> list[str]:
    """The parts between commas outside brackets and strings."""
    items: list[str] = []
    depth, begin, in_lambda = 0, 0, False
    for at, char in _code(text):
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif depth == 0 and char == "l" and text[begin:at].strip() == "" and text[at:].startswith("lambda "):
            in_lambda = True
        elif depth == 0 and char == ":":
            in_lambda = False
        elif depth == 0 and char == "," and not in_lambda:
            items.append(text[begin:at].strip())
            begin = at + 1
    last = text[begin:].strip()
    return [*items, last] if last else items


def _code(text: str) -> list[tuple[int, str]]:
    """(position, character) of everything outside strings."""
    found: list[tuple[int, str]] = []
    quoted = escaped = False
    for at, char in enumerate(text):
        if quoted:
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            quoted = True
        else:
            found.append((at, char))
    return found
