"""The numba-cuda emitter: its only input is kernel IR, its text is valid and repeatable, and names what there is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from optgen.ir.text import from_text, to_text
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, shipped
from optgen_numba.gpu_emit import emit
from optgen_numba.gpu_spelling import LIBRARY

#: Prints the names that both libraries lack.
MISSING = """
import sys
from optgen.runtime import numba_cuda_library as library
print(*[name for name in sys.argv[1:] if not hasattr(library, name)])
"""


@pytest.mark.parametrize("name", shipped())
def test_the_text_of_the_ir_is_the_source(name: str) -> None:
    kernels = to_kernels(load(name), {}, "float32")
    manifest, source = emit(view(kernels))
    assert emit(view(from_text(to_text(kernels)))) == (manifest, source)
    tree = ast.parse(source)
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {launch["function"] for boundary in manifest["launches"] for launch in boundary} <= functions  # type: ignore[attr-defined, index]
    assert all(len(line) <= 140 or "=" in line for line in source.splitlines())


def test_equations_stand_above_what_computes_them() -> None:
    lines = [line.strip() for line in emit(view(to_kernels(load("adamw"), {}, "float32")))[1].splitlines()]
    below = {after for line, after in pairwise(lines) if line == "# m = beta1*m + (1 - beta1)*g"}
    assert "m_new = beta1 * m + one_minus_beta1 * g" in below


def test_two_hash_seeds_give_one_text() -> None:
    program = (
        "from optgen.ir.view import view; from optgen.passes.pipeline import to_kernels; "
        "from optgen.spec.loader import load; from optgen_numba.gpu_emit import emit; "
        "print(emit(view(to_kernels(load('neat'), {}, 'float32')))[1])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(texts) == 1


@pytest.mark.parametrize("simulated", ["0", "1"])
def test_every_name_that_kernels_import_is_there(simulated: str) -> None:
    """In the library for GPUs, and in its likeness for the simulator."""
    pytest.importorskip("numba_cuda")
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": simulated}
    command = [sys.executable, "-c", MISSING, *sorted(LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert not done.stdout.split()
