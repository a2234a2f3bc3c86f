"""A few shipped optimizers that between them do all that kernels do, chosen from the shelf by facts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

from optgen.runtime.kernel_module import Manifest
from optgen.runtime.programs import chainable
from optgen.runtime.progress import reading_sweeps
from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf

Fact = Callable[[Manifest], bool]

#: What makes a difference to the runtime: each is had by a shipped rule, which a test makes sure of.
FACTS: dict[str, Fact] = {
    "one sweep": lambda m: m["sweeps"] == 1,
    "reads before it stores": lambda m: reading_sweeps([m]) > 0,
    "stores in several sweeps": lambda m: m["sweeps"] > 1 and reading_sweeps([m]) == 0,
    "a tensor through all sweeps at once": chainable,
    "rows and columns": lambda m: m["tiled"],
    "tensors that see their neighbours": lambda m: m["stencil"],
    "variants": lambda m: len(m["variants"]) > 1,
    "state coarser than a tensor's elements": lambda m: any(
        s["role"] == "state" and s["extent"] != "elem" for s in m["slots"]
    ),
    "totals over more than a tensor": lambda m: bool({"layer", "model"} & set(m["barriers"])),
}


@cache
def manifest_of(cls: type[Optimizer]) -> Manifest | None:
    """What the kernels of the default choices in float32 say of themselves, read and not run; None if none shipped."""
    path = Path(cls.RULE.folder) / "numba_float32.py"
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MANIFEST":
            return cast(Manifest, ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no manifest")


def having(fact: str) -> Iterator[type[Optimizer]]:
    """The optimizers of which a fact holds."""
    for cls in shelf.CLASSES:
        manifest = manifest_of(cls)
        if manifest is not None and FACTS[fact](manifest):
            yield cls


#: The first optimizer of each fact, once.
SPREAD = list(dict.fromkeys(cls for fact in FACTS for cls in [next(having(fact), None)] if cls is not None))
