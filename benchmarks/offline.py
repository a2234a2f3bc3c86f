"""Compiles the sweeps of every rule for every GPU that Triton compiles for, here, and reads what comes out.

    python benchmarks/offline.py [--rules NAME...] [--targets NAME...] [--jobs N] [--out results/offline.json]

No GPU is needed. Checked per sweep: 16-byte accesses, bytes per element as planned, no spills, no float64 in loops over
elements, divisions and roots of IEEE, and no fused products in strict kernels. Exit 1 if anything is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="optgen-triton-")
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"

from optgen.bench.machine import about
from optgen.ir.view import view
from optgen.passes.pipeline import to_kernels
from optgen.spec.loader import load, shipped
from optgen_triton.assembly import facts, faults, fingerprint, issued, per_thread, sees_vectors, sweeps_of
from optgen_triton.emit import emit
from optgen_triton.offline import TARGETS, compile_kernel, load_kernels

#: The processor that strict kernels are compiled for too.
STRICT = "sm_90"


def checked(rule: str, target: str, dtype: str = "float32") -> list[dict[str, object]]:
    """A row per sweep of a rule for a target."""
    module = view(to_kernels(load(rule), {}, dtype))
    source = emit(module)[1]
    kernels = load_kernels(source)
    rows: list[dict[str, object]] = []
    for index, sweeps in sweeps_of(module).items():
        kernel = kernels[f"sweep_{index}"]
        near = any(op.name == "kernel.stencil" for sweep in sweeps for op in sweep.ops)
        began = time.perf_counter()
        found = facts(compile_kernel(kernel, target))
        seconds = time.perf_counter() - began
        # AMD's compiler unrolls loops over neighbours, and reads tables of rows and columns as wide as elements
        exact = target.startswith("sm_") or not (near or sees_vectors(module))
        wrong = faults(module, sweeps, per_thread(kernel), found, exact=exact)
        strict = facts(compile_kernel(kernel, target, fusion=False)).fused if target == STRICT else None
        if strict:
            wrong.append(f"{strict} fused products in strict kernels")
        loaded, stored = found.moved(per_thread(kernel))
        rows.append(
            {
                "rule": rule,
                "fingerprint": fingerprint(source),
                "target": target,
                "sweep": index,
                "dtype": dtype,
                "planned": [sum(part) for part in zip(*(issued(module, each) for each in sweeps), strict=True)],
                "loaded": loaded,
                "stored": stored,
                "registers": found.registers,
                "spills": found.spills,
                "float64": found.float64,
                "fused": found.fused,
                "approximate": found.approximate,
                "strict_fused": strict,
                "seconds": round(seconds, 2),
                "faults": wrong,
            }
        )
    return rows


def main() -> None:
    """Compiles, prints a line per sweep, writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", default=shipped())
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "offline.json")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    asked = [(rule, target) for rule in options.rules for target in options.targets]
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(checked, *zip(*asked, strict=True)):
            for row in found:
                rows.append(row)
                said = "; ".join(row["faults"]) or "as planned"  # type: ignore[arg-type]
                name = f"{row['rule']:<12} {row['target']:<7} sweep {row['sweep']}"
                print(f"{name}  {row['registers']:>3} registers  {said}", flush=True)
    result: dict[str, object] = {
        **about("python benchmarks/offline.py"),
        "rows": rows,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    wrong = sum(bool(row["faults"]) for row in rows)
    print(f"{len(rows)} sweeps, {wrong} not as planned; {options.out}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
