"""Compiling generated kernels for a GPU that need not be here: to Triton's IR, PTX or an AMD GPU's assembly."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from optgen.backend.source_text import imported
from optgen.errors import BackendError, suggest
from optgen.runtime.gpu_abi import REGISTERS, WARPS

#: Targets by name: Triton's backend, architecture and threads of a warp.
TARGETS: Mapping[str, tuple[str, int | str, int]] = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}


@dataclass(frozen=True)
class Compiled:
    """A kernel for a target: texts of its stages by their names (`ttir`, `ptx`, `amdgcn`, ...), and its binary."""

    texts: Mapping[str, str]
    binary: bytes


def compile_kernels(source: str, target: str, *, fusion: bool = True) -> dict[str, Compiled]:
    """Every kernel of a generated module, for a target of `TARGETS`. fusion: products may be fused into sums.

    BackendError where triton is missing, interprets kernels in this process, or does not know the target.
    """
    if target not in TARGETS:
        raise BackendError(f'there is no target "{target}"; there are {", ".join(TARGETS)}. {suggest(target, TARGETS)}')
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise BackendError("TRITON_INTERPRET=1 is set, under which triton compiles nothing: unset it")
    if importlib.util.find_spec("triton") is None:
        raise BackendError("compiling for a GPU needs the package triton: pip install triton")
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    return {name: compile_kernel(kernel, target, fusion=fusion) for name, kernel in load_kernels(source).items()}


@dataclass(frozen=True)
class Kernel:
    """A kernel that triton can compile, and the warps it is launched with."""

    function: Any
    warps: int
    is_sweep: bool


def load_kernels(source: str) -> dict[str, Kernel]:
    """The kernels of a module's text."""
    module = imported(source)
    wide = cast(int, module.MANIFEST["warps"])
    functions = cast("dict[str, Any]", module.FUNCTIONS)
    sweeps = [name for name in functions if name.startswith("sweep_")]
    return {
        name: Kernel(function, wide if name in sweeps else WARPS, name in sweeps)
        for name, function in functions.items()
    }


def compile_kernel(kernel: Kernel, target: str, *, fusion: bool = True) -> Compiled:
    """One kernel, for all of its phases."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    phases = len(re.findall(r"if FROM <= \d+", str(kernel.function.src)))
    given = {"FROM": 0, "UPTO": phases}
    names = cast("list[str]", kernel.function.arg_names)
    source = ASTSource(
        kernel.function,
        signature={name: "constexpr" if name in given else "*i64" for name in names},
        constexprs={name: given[name] for name in names if name in given},
        attrs={(0,): [["tt.divisibility", 16]]},
    )
    kind, architecture, lanes = TARGETS[target]
    options = {"num_warps": kernel.warps * 32 // lanes, "enable_fp_fusion": fusion}
    if kernel.is_sweep and kind == "cuda":
        options["maxnreg"] = REGISTERS
    compiler = cast("Callable[..., Any]", triton.compile)  # pyright: ignore[reportUnknownMemberType]
    made: Any = compiler(source, target=GPUTarget(kind, architecture, lanes), options=options)
    stages = cast("dict[str, str | bytes]", made.asm)
    texts = {stage: text for stage, text in stages.items() if isinstance(text, str)}
    binary = next((code for code in stages.values() if isinstance(code, bytes)), b"")
    return Compiled(texts, binary)
