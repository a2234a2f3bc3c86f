"""What compiled sweeps do, read off their assembly: how they reach memory, what they spill, and their arithmetic."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optgen.backend import element_text
from optgen.backend.layout import ITEM_BYTES, Layout
from optgen.errors import BackendError
from optgen.ir.view import Module, Sweep
from optgen.runtime import gpu_abi
from optgen.runtime.gpu_abi import BLOCK
from optgen_triton import offline
from optgen_triton.offline import Compiled, Kernel

_ACCESS = re.compile(r"\b(ld|st)\.global((?:\.[a-z0-9:_]+)*)")
#: Widest accesses of AMD's processors; narrower ones may be of tables.
_AMD_ACCESS = re.compile(r"\b(?:global|flat|buffer)_(load|store)_dwordx4\b")


@dataclass(frozen=True)
class Facts:
    """Of one sweep for one processor.

    loads, stores: vector accesses by bytes; of AMD's processors those in loops over elements, and of 16 bytes alone.
    float64: instructions on float64 in loops over elements. spills: bytes, or registers, that are kept in memory.
    fused: products fused into sums, in float32; approximate: divisions and roots that are not IEEE's.
    """

    loads: Mapping[int, int]
    stores: Mapping[int, int]
    float64: int
    spills: int
    registers: int
    fused: int
    approximate: int

    def moved(self, elements: int) -> tuple[float, float]:
        """Bytes that are loaded and stored per element, if a thread handles so many in a whole step."""
        return tuple(sum(size * n for size, n in x.items()) / elements for x in (self.loads, self.stores))  # type: ignore[return-value]


def facts(made: Compiled) -> Facts:
    """What a compiled kernel does. BackendError where its assembly is not known here."""
    if "ptx" in made.texts:
        return _nvidia(made.texts["ptx"], made.binary)
    if "amdgcn" in made.texts:
        return _amd(made.texts["amdgcn"])
    raise BackendError(f"there is neither ptx nor amdgcn among the stages {', '.join(made.texts)}")


def per_thread(kernel: Kernel) -> int:
    """Elements that a thread handles in a whole step."""
    return BLOCK // (32 * kernel.warps)


def issued(module: Module, sweep: Sweep) -> tuple[int, int]:
    """Bytes per element that a sweep's plan loads and stores: neighbours are read in a loop, each in turn."""
    width = {slot.name: ITEM_BYTES[slot.dtype] for slot in module.slots}
    of = {name: [op.word("slot") for op in sweep.ops if op.name == f"kernel.{name}"] for name in ("load", "store")}
    near = [op.word("slot") for op in sweep.ops if op.name == "kernel.stencil"]
    loaded = sum(width[slot] for slot in {*of["load"], *near}) + sum(width[slot] for slot in near)
    return loaded, sum(width[slot] for slot in of["store"])


def sweeps_of(module: Module) -> dict[int, list[Sweep]]:
    """The sweeps of all variants by their number; equal ones once."""
    found: dict[int, dict[str, Sweep]] = {}
    for variant in module.variants:
        for each in variant.sweeps:
            text = repr([(op.name, dict(op.attributes)) for op in each.ops])
            found.setdefault(each.index, {}).setdefault(text, each)
    return {index: list(sweeps.values()) for index, sweeps in found.items()}


def sees_vectors(module: Module) -> bool:
    """Whether any sweep sees rows, columns or matrices."""
    layout = Layout(module)
    return any(element_text.sees_vectors(sweep, layout) for variant in module.variants for sweep in variant.sweeps)


def _in_element_loops(text: str, label: str, branch: str, last: str) -> list[str]:
    """The lines of loops over elements: of those that reach memory, before the last program has something left to do.

    What a program computes of its own tensor before its first element is in none of them.
    """
    lines = re.split(last, text, maxsplit=1)[0].splitlines()
    labels = {match[1]: at for at, line in enumerate(lines) if (match := re.match(label, line))}
    inside: set[int] = set()
    for at, line in enumerate(lines):
        match = re.search(branch, line)
        loop = range(at if match is None else labels.get(match[1], at), at)
        if any("global" in lines[i] for i in loop):
            inside.update(loop)
    return [lines[at] for at in sorted(inside)]


def _nvidia(ptx: str, binary: bytes) -> Facts:
    loads, stores = Counter[int](), Counter[int]()
    for match in _ACCESS.finditer(ptx):
        lanes, bits = re.search(r"\.v(\d)", match[2]), re.search(r"\.[bsuf](\d+)$", match[2])
        if lanes is not None and bits is not None and ".nc" not in match[2]:  # the library's constants are read so
            (loads if match[1] == "ld" else stores)[int(lanes[1]) * int(bits[1]) // 8] += 1
    loops = _in_element_loops(ptx, r"(\$\w+):", r"\bbra(?:\.uni)?\s+(\$\w+);", r"\batom\.")
    stack, registers = _usage(binary)
    # a function of the library may have an array of its own: sin and cos of large numbers do
    arrays = sum(map(int, re.findall(r"\.local \.align \d+ \.b8\s+\w+\[(\d+)\]", ptx)))
    return Facts(
        loads,
        stores,
        float64=sum(".f64" in line for line in loops),
        spills=max(stack - arrays, 0),
        registers=registers,
        fused=ptx.count("fma.rn.f32"),
        approximate=len(re.findall(r"(?:div\.full|sqrt\.approx|rcp\.approx)[a-z.]*\.f32", ptx)),
    )


def _amd(text: str) -> Facts:
    loops = _in_element_loops(text, r"(\.L\w+):", r"\bs_c?branch\w*\s+(\.L\w+)", r"_atomic_add")
    kinds = Counter(match[1] for line in loops for match in _AMD_ACCESS.finditer(line))
    return Facts(
        {16: kinds["load"]},
        {16: kinds["store"]},
        float64=sum("_f64" in line for line in loops),
        spills=_number(text, r"\.vgpr_spill_count:\s+(\d+)"),
        registers=_number(text, r"\.vgpr_count:\s+(\d+)"),
        fused=len(re.findall(r"\bv_(?:pk_)?fma\w*_f32", text)),
        approximate=0,  # its divisions are sequences of instructions
    )


def _number(text: str, pattern: str) -> int:
    found = re.findall(pattern, text)
    if not found:
        raise BackendError(f"the assembly does not say {pattern}")
    return max(map(int, found))


def _usage(binary: bytes) -> tuple[int, int]:
    """Bytes of stack and registers of a thread, as NVIDIA's tools report them of a binary."""
    from triton.backends import nvidia

    program = Path(str(nvidia.__file__)).parent / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory(prefix="optgen-") as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(binary)
        done = subprocess.run([program, "-res-usage", file], capture_output=True, text=True, check=True)
    return _number(done.stdout, r"STACK:(\d+)"), _number(done.stdout, r"REG:(\d+)")


def faults(module: Module, sweeps: Sequence[Sweep], elements: int, found: Facts, *, exact: bool = True) -> list[str]:
    """What of a compiled sweep is not as planned; nothing where all is.

    sweeps: those of all variants that a kernel holds; elements: of a thread; exact: accesses are not unrolled.
    """
    said: list[str] = []
    planned = [sum(part) for part in zip(*(issued(module, sweep) for sweep in sweeps), strict=True)]
    for kind, bytes_, plan in zip(("loaded", "stored"), found.moved(elements), planned, strict=True):
        if bytes_ != plan if exact else bytes_ < plan:
            said.append(f"{bytes_:g} bytes per element are {kind}, {plan} planned")
    widths = {*found.loads, *found.stores}
    least = min(ITEM_BYTES[slot.dtype] for slot in module.slots if slot.extent == "elem") * elements
    if widths and (min(widths) < min(16, least) or max(widths) > 16):
        said.append(f"accesses of {sorted(widths)} bytes")
    said += [f"{found.float64} float64 instructions in loops over elements"] if found.float64 else []
    said += [f"{found.spills} spilled"] if found.spills else []
    said += [f"{found.approximate} approximate divisions or roots"] if found.approximate else []
    return said


def fingerprint(source: str) -> str:
    """A digest of all that decides what is found of a module's sweeps: their text, the files of functions that they
    call, and those here that compile and look. Two modules of one fingerprint have the same faults under one Triton."""
    runtime = Path(gpu_abi.__file__).parent
    files = [
        Path(__file__),
        Path(offline.__file__),
        *sorted(runtime.glob("*abi.py")),
        *sorted(runtime.glob("triton_*.py")),
    ]
    parts = [source[source.index("@triton.jit") :].encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]
