"""Several texts in one file: a joined rule, and the texts it is joined of, to be read where none of them is at hand.

The first text comes first; each other one follows a line `--- # NAME`, the name or path that it is asked for by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from optgen.spec.model import Part
from optgen.spec.vocabulary import VERSION

_MARK = re.compile(r"^--- # (.+)\n", re.MULTILINE)


def bundled(first: str, parts: Sequence[Part]) -> str:
    """One text of a first one and its parts."""
    rest = (f"--- # {part.asked}\n{part.text.strip(_ENDS)}\n" for part in parts)
    return f"{first.strip(_ENDS)}\n" + "".join(rest)


_ENDS = "\n"


def unbundled(text: str) -> tuple[str, Mapping[str, str]]:
    """The first text, and the others by what asks for them."""
    found = _MARK.split(text)
    return found[0], dict(zip(found[1::2], found[2::2], strict=True))


def heading(name: str, class_name: str, title: str, asked: Sequence[str]) -> str:
    """The text of a composition that was written as `A+B`."""
    words = ", ".join(json.dumps(each, ensure_ascii=False) for each in asked)
    shown = json.dumps(title, ensure_ascii=False)
    return f"optgen: {VERSION}\nname: {name}\nclass: {class_name}\ntitle: {shown}\ncompose: [{words}]\n"
