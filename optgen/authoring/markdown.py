"""A rule as Markdown: its equations, hyper-parameters and state, as notebooks show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from optgen.algebra.latex import name_to_latex, to_latex
from optgen.spec.model import Spec


def to_markdown(spec: Spec) -> str:
    """Title, equations as mathematics, and tables of what the rule declares."""
    parts = [f"**{_cell(spec.name)}**: {_cell(spec.title)}", f"$$\n{to_latex(spec, 'aligned')}\n$$"]
    hypers = [
        (
            f"`{name}`",
            f"${name_to_latex(spec, name)}$",
            _default(hyper.default),
            _domain(hyper.domain.text if hyper.domain else ", ".join(hyper.choices)),
            _cell(hyper.doc),
        )
        for name, hyper in spec.hypers.items()
    ]
    states = [(f"`{name}`", f"${name_to_latex(spec, name)}$", _cell(state.doc)) for name, state in spec.states.items()]
    if hypers:
        parts.append("\n".join(_table(("hyper", "symbol", "default", "domain", "about"), hypers)))
    if states:
        parts.append("\n".join(_table(("state", "symbol", "about"), states)))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def _default(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _domain(words: str) -> str:
    return f"`{words}`" if words else ""


def _cell(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", " ".join(text.split()))
