"""Long lines of generated Python break without changing what they mean."""

from __future__ import annotations

import ast

import pytest

from optgen.frontends.layout import fit
from optgen.frontends.python_text import WIDTH

LONG = "a_rather_long_name_of_something"
LINES = [
    f'    x = hyper["{LONG}"] * 0.5 * (1 + scalars.cos({LONG} * {LONG})) + {LONG} + 1',
    f"x = {LONG} * (({LONG} + 1) * ({LONG} - {LONG} * 2 + {LONG} * 3)) * {LONG} + 2",
    f"x = {LONG} + ({LONG} + {LONG} + {LONG},)",
    f"x = call({LONG} + {LONG}, {LONG} + {LONG}, {LONG}, {LONG}, ({LONG} + {LONG}), {LONG})",
    f"x = {LONG} + [{LONG} + {LONG} + {LONG}]",
]


@pytest.mark.parametrize("line", LINES)
def test_the_same_tree(line: str) -> None:
    assert len(line) > WIDTH
    broken = fit(line)
    assert len(broken) > 1
    assert all(len(each) <= WIDTH for each in broken)
    assert ast.dump(ast.parse(line.strip())) == ast.dump(ast.parse("\n".join(broken).strip()))
