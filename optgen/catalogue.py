"""What `optgen list` says of the rules that ship, kept beside the generated code: nobody waits for a compiler."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TypedDict, cast

from optgen.paths import specs_dir
from optgen.runtime.home import generated
from optgen.spec.loader import digest, load, shipped
from optgen.spec.model import Spec
from optgen.spec.source import Source

#: File of the package of generated code.
FILE = "rules.json"


class Entry(TypedDict):
    """A line of the list. Bytes are per parameter, of a matrix in float32, as `optgen explain` counts them."""

    name: str
    title: str
    class_name: str
    digest: str
    state_bytes_per_param: int
    bytes_per_param: int


def entry(spec: Spec) -> Entry:
    """The line of a rule, worked out by the compiler. SpecError if the rule is at fault."""
    from optgen.explain import explain

    found = explain(spec)
    return Entry(
        name=spec.name,
        title=spec.title,
        class_name=spec.class_name,
        digest=(spec.parts or (spec.own_part,))[0].digest,  # with `else`, of its own text
        state_bytes_per_param=found["state_bytes_per_param"],
        bytes_per_param=found["bytes_per_param"],
    )


def text(specs: Iterable[Spec]) -> str:
    """The file that `entries` reads."""
    return json.dumps([entry(spec) for spec in specs], indent=1, ensure_ascii=False) + "\n"


def entries() -> Iterator[Entry]:
    """The lines of all rules that ship; of a rule whose text has changed since, worked out again."""
    known = {each["digest"]: each for each in _kept()}
    for name in shipped():
        found = known.get(digest(Source.read(specs_dir() / f"{name}.yaml").text))
        yield found or entry(load(name))


def _kept() -> list[Entry]:
    folder = generated()
    if folder is None:
        return []
    try:
        return cast("list[Entry]", json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []
