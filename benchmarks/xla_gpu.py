"""What XLA:GPU makes of the plain JAX functions of every element-wise rule, compiled ahead of time, without a GPU.

    pip install --no-deps --target FOLDER jax-cuda13-plugin==VERSION jax-cuda13-pjrt==VERSION   # of jax's own version
    PYTHONPATH=FOLDER:$PYTHONPATH python benchmarks/xla_gpu.py [RULE...] [--out benchmarks/results/xla_gpu.json]

Per rule: kernels that touch elements, per tensor; bytes that these read and write per parameter, beside those of the
plan; and the widths of their loads and stores in PTX. Nothing runs. Exits with 1 if a rule has more than one kernel per
tensor, other bytes than the plan, or accesses that are not vectorised. Needs ptxas on PATH.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0 --xla_dump_to={tempfile.mkdtemp(prefix='xla_gpu_')}"
)

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec

import optgen.jax
from optgen.bench.machine import about
from optgen.explain import explain
from optgen.frontends.declared import reach_of
from optgen.spec.loader import load, shipped

#: Where XLA writes what it makes.
DUMP = os.environ["XLA_FLAGS"].rpartition("=")[2]
#: XLA's description of a device, as text: the limits of Hopper, the memory of an H200.
HOPPER = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 threads_per_warp: 32
  threads_per_block_limit: 1024 threads_per_core_limit: 2048
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  l2_cache_size: 62914560 memory_bandwidth: 4814000000000 device_memory_size: 150000000000
}
platform_name: "CUDA"
runtime_version { major: 13 minor: 0 patch: 0 }
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "H200 (offline)"
"""
#: Different sizes, so that a kernel can be told by its shapes.
SHAPES = {"a": (4096, 1024), "b": (2048, 1024), "c": (1 << 20,)}
_NARROW = "accesses_not_vectorised"
_BYTES = {"f32": 4, "s32": 4, "pred": 1, "bf16": 2, "f64": 8}


@dataclass(frozen=True)
class Kernel:
    """A kernel: its name, the computation it is in (the entry, or a branch), its kind, what it touches."""

    name: str
    where: str
    kind: str
    elements: int
    bytes: int
    scalars: int


def compiled(rule: str) -> str:
    """The optimised HLO of a step of a rule with its defaults, all state donated; PTX goes to the dump."""
    topology = topologies.get_topology_desc("", "cuda", target_config=HOPPER, topology="1x1x1")
    sharding = NamedSharding(topologies.make_mesh(topology, (1,), ("d",)), PartitionSpec())
    tx = getattr(optgen.jax, rule)()

    def typed(tree: object) -> object:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in SHAPES.items()}
    state = jax.eval_shape(tx.init, params)

    def step(params: object, state: object, grads: object) -> object:
        return tx.apply(grads, state, params)

    step.__name__ = f"step_{rule}"
    jitted = jax.jit(step, donate_argnums=(0, 1), out_shardings=sharding)
    return jitted.lower(typed(params), typed(state), typed(params)).compile().as_text()


def kernels(text: str) -> list[Kernel]:
    """Kernels that touch more than single numbers, outside of the computations that are part of a kernel."""
    inner = set(re.findall(r"(?:calls|to_apply)=(%[\w.-]+)", text))
    found: list[Kernel] = []
    for body in re.split(r"\n(?=%|ENTRY)", text):
        head = body.split("\n", 1)[0]
        where = head.split(" ", 1)[0]
        if where in inner:
            continue
        sizes = {name: _size(kind) for name, kind in re.findall(r"(%[\w.-]+) = (\([^=]*?\)|\S+) [\w-]+\(", body)}
        for name, kind, word, operands, rest in re.findall(
            r"(%[\w.-]+) = (\([^=]*?\)|\S+) ([\w-]+)\(([^)]*)\)([^\n]*)", body
        ):
            if word in ("parameter", "get-tuple-element", "tuple", "constant", "bitcast", "conditional"):
                continue
            reads = [sizes.get(x, (0, 0)) for x in dict.fromkeys(re.findall(r"%[\w.-]+", operands))]
            elements = max(n for n, _ in [_size(kind), *reads])
            if elements > 1:
                moved = sum(b for n, b in reads if n > 1) + _size(kind)[1]
                loop = re.search(r"kind=(\w+)", rest)
                found.append(
                    Kernel(
                        name[1:], where, loop.group(1) if loop else word, elements, moved, sum(n == 1 for n, _ in reads)
                    )
                )
    return found


def _size(kind: str) -> tuple[int, int]:
    """Elements of the largest array of a type, and bytes of all its arrays."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", kind)
    counts = [(math.prod(int(x) for x in dims.split(",") if x), _BYTES.get(dtype, 4)) for dtype, dims in arrays]
    return max((n for n, _ in counts), default=0), sum(n * b for n, b in counts)


def accesses(rule: str, names: set[str]) -> dict[str, int]:
    """Loads and stores of the kernels with these names in the rule's PTX, by their words."""
    found: collections.Counter[str] = collections.Counter()
    for path in Path(DUMP).glob(f"*step_{rule}.*ptx"):
        for entry in path.read_text(encoding="utf-8").split(".entry ")[1:]:
            if re.match(r"[\w$]+", entry).group(0) in names:
                found.update(re.findall(r"(?:ld|st)\.global[.\w]*", entry))
    return dict(sorted(found.items()))


def row(rule: str) -> dict[str, object]:
    """What XLA made of a rule."""
    found = kernels(compiled(rule))
    tensors = [math.prod(shape) for shape in SHAPES.values()]
    per_tensor = [[k for k in found if k.elements == n] for n in tensors]
    places = sorted({k.where for k in found})
    counts = {place: [sum(k.where == place for k in own) for own in per_tensor] for place in places}
    moved = {k.bytes / n for own, n in zip(per_tensor, tensors, strict=True) for k in own}
    words = accesses(rule, {k.name.replace(".", "_").replace("-", "_") for k in found})
    narrow = sum(count for word, count in words.items() if not re.search(r"\.v[248]\.", word))
    scalars = sum(k.scalars for k in found)
    return {
        "rule": rule,
        "branches": len(places),
        "kernels_per_tensor": max(count for own in counts.values() for count in own),
        "kinds": sorted({k.kind for k in found}),
        "bytes_per_parameter": sorted(moved),
        "plan_bytes_per_parameter": explain(load(rule))["bytes_per_param"],
        "accesses": words,
        "scalar_operands": scalars,
        _NARROW: max(0, narrow - scalars),  # a single number is read by itself, once per thread
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*")
    parser.add_argument("--out", default="", help="JSON file to write")
    args = parser.parse_args()
    rows = []
    for rule in args.rules or [name for name in shipped() if reach_of(load(name)) == "elem"]:
        rows.append(row(rule))
        print(json.dumps(rows[-1]), flush=True)
    report = {**about("python benchmarks/xla_gpu.py"), "device": "H200, described to the compiler; nothing ran"}
    report |= {"shapes": {name: list(shape) for name, shape in SHAPES.items()}, "rows": rows}
    report["versions"] |= {"jax": jax.__version__}
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    missed = [str(each["rule"]) for each in rows if not as_wanted(each)]
    print(f"not as wanted: {', '.join(missed)}" if missed else "all as wanted")
    return int(bool(missed))


def as_wanted(found: Mapping[str, object]) -> bool:
    """One loop per tensor, the plan's bytes, vectorised."""
    same = found["bytes_per_parameter"] == [found["plan_bytes_per_parameter"]]
    return found["kernels_per_tensor"] == 1 and found["kinds"] == ["kLoop"] and same and not found[_NARROW]


if __name__ == "__main__":
    sys.exit(main())
