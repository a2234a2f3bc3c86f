"""Kernels on one GPU: every rule against the float64 reference, then times beside torch's own, with no network.

    python benchmarks/gpu.py [--out benchmarks/results/gpu.json] [--quick] [--graph] [--skip-correctness]

Takes under eight minutes on an H200-class GPU. Prints a table, and writes JSON with everything that was measured:

* correctness: each rule in float32 and in bfloat16, on fresh random data, inside derived error bounds;
* time per step by CUDA events, and host time to queue one, of adamw, lion, sgd, neat and nested on four models, beside
  torch's foreach and fused optimizers and a compiled one, in turn;
* bytes per second against a device copy measured in the same run;
* a bfloat16 tensor of 2**31 + 17 elements, whose last elements are compared with those of a short one.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import optgen
from optgen.bench.machine import about
from optgen.bench.shapes import Shapes, gpt2_small, many_small, resnet50
from optgen.explain import explain, storage
from optgen.spec.loader import load, shipped
from optgen.verify import compare

Step = Callable[[], object]

RULES = ("adamw", "lion", "sgd", "neat", "nested")
#: What is not a rule's default: torch is asked for the same.
GIVEN: dict[str, dict[str, Any]] = {"sgd": {"lr": 1e-3, "momentum": 0.9}}
#: Seconds of one side on one model, and of everything; what does not fit any more is left out and said so.
SECONDS, BUDGET = 0.6, 450.0
DEVICE = "cuda"


def llama_like(width: int = 2048, blocks: int = 22, words: int = 32000) -> Shapes:
    """1.2e9 parameters in matrices of a decoder, large and few."""
    shapes: Shapes = [("embed.weight", (words, width)), ("head.weight", (words, width))]
    hidden = 5632
    for i in range(blocks):
        prefix = f"layers.{i}"
        shapes += [(f"{prefix}.attn.{name}.weight", (width, width)) for name in ("q", "k", "v", "o")]
        shapes += [(f"{prefix}.mlp.{name}.weight", (hidden, width)) for name in ("gate", "up")]
        shapes += [(f"{prefix}.mlp.down.weight", (width, hidden)), (f"{prefix}.norm.weight", (width,))]
    return shapes


MODELS: dict[str, tuple[Callable[[], Shapes], torch.dtype]] = {
    "llama-1.2b": (llama_like, torch.float32),
    "llama-1.2b bfloat16": (llama_like, torch.bfloat16),
    "gpt2-small": (gpt2_small, torch.float32),
    "resnet50": (resnet50, torch.float32),
    "1000 x 256": (lambda: many_small(1000, 256), torch.float32),
}


def parameters(shapes: Shapes, dtype: torch.dtype) -> list[tuple[str, torch.nn.Parameter]]:
    """Random parameters with random gradients."""
    made = [(n, torch.nn.Parameter(torch.randn(s, device=DEVICE, dtype=dtype).mul_(0.02))) for n, s in shapes]
    for _, param in made:
        param.grad = torch.randn_like(param).mul_(1e-3)
    return made


def peers(rule: str) -> dict[str, Callable[[list[torch.nn.Parameter]], Step]]:
    """Torch's ways to do the same step."""
    if rule == "adamw":
        return {
            "torch foreach": lambda ps: torch.optim.AdamW(ps, foreach=True).step,
            "torch fused": lambda ps: torch.optim.AdamW(ps, fused=True).step,
            "torch.compile": lambda ps: torch.compile(torch.optim.AdamW(ps, foreach=True, capturable=True).step),
        }
    if rule == "sgd":
        return {
            "torch foreach": lambda ps: torch.optim.SGD(ps, lr=1e-3, momentum=0.9, foreach=True).step,
            "torch fused": lambda ps: torch.optim.SGD(ps, lr=1e-3, momentum=0.9, fused=True).step,
        }
    return {}


def ours(rule: str, named: list[tuple[str, torch.nn.Parameter]]) -> Any:
    """Our optimizer of a rule, with torch's momentum where torch has the rule."""
    return optgen.compile(rule, backend="triton")(named, **GIVEN.get(rule, {}), backend="triton")


def device_seconds(step: Step) -> float:
    """Median time of a step on the device, by events around each."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 10 or (time.perf_counter() - begun < SECONDS and len(times) < 200):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        step()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 1e3)
    return statistics.median(times)


def host_seconds(step: Step, repeats: int = 20) -> float:
    """Median time to queue a step."""
    times: list[float] = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    torch.cuda.synchronize()
    return statistics.median(times)


def replayed_seconds(step: Step) -> float:
    """Time of a step on the device when a CUDA graph repeats it."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return device_seconds(graph.replay)


def kernels_of(step: Step) -> int:
    """Kernels that one step launches."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    named = [e.name for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not name.startswith(("Memcpy", "Memset")) for name in named)


def copy_bandwidth(elements: int = 1 << 28) -> float:
    """Bytes per second that a device copy reads and writes."""
    source, target = torch.empty(elements, device=DEVICE), torch.empty(elements, device=DEVICE)
    return 8 * elements / device_seconds(lambda: target.copy_(source))


def bytes_of(rule: str, dtype: torch.dtype) -> int:
    """Bytes that a step moves per parameter of the rule's primary variant."""
    spec, given = load(rule), GIVEN.get(rule, {})
    if dtype is torch.bfloat16:
        return storage(spec, given)["bfloat16"]["bytes_per_param"]
    return explain(spec, given)["bytes_per_param"]


def correctness(budget: float) -> list[dict[str, object]]:
    """Every rule against the reference on data of its own seed."""
    seed, found = int(time.time()), list[dict[str, object]]()
    begun = time.perf_counter()
    for dtype in ("float32", "bfloat16"):
        for rule in shipped():
            if time.perf_counter() - begun > budget:
                found.append({"rule": rule, "dtype": dtype, "ok": None, "says": "left out: no time"})
                continue
            try:
                report = compare(rule, "triton", dtype, steps=4, seed=seed, device=DEVICE)
                found.append({"rule": rule, "dtype": dtype, "ok": report.ok, "says": str(report)})
            except Exception as error:  # noqa: BLE001 (the others are still worth knowing)
                found.append({"rule": rule, "dtype": dtype, "ok": False, "says": f"{type(error).__name__}: {error}"})
            print(f"{rule:12} {dtype:9} {'ok' if found[-1]['ok'] else found[-1]['says']}", flush=True)
    return found


def measured(model: str, rule: str, copy: float, *, graph: bool) -> list[dict[str, object]]:
    """A line per side."""
    shapes, dtype = MODELS[model][0](), MODELS[model][1]
    elements = sum(torch.Size(shape).numel() for _, shape in shapes)
    lines: list[dict[str, object]] = []
    sides: dict[str, Callable[[list[tuple[str, torch.nn.Parameter]]], Step]] = {
        "optgen triton": lambda named: ours(rule, named).step
    }
    for name, make in peers(rule).items():
        sides[name] = lambda named, make=make: make([param for _, param in named])
    for name, make in sides.items():
        line: dict[str, object] = {"model": model, "rule": rule, "side": name, "parameters": elements}
        try:
            step = make(parameters(shapes, dtype))
            line["seconds"] = device_seconds(step)
            line["host_seconds"] = host_seconds(step)
            line["kernels"] = kernels_of(step)
            if graph and name == "optgen triton":
                line["replayed_seconds"] = replayed_seconds(step)
            if name == "optgen triton":
                moved = bytes_of(rule, dtype) * elements
                line["of_copy_bandwidth"] = moved / float(str(line["seconds"])) / copy
        except Exception as error:  # noqa: BLE001 (a side that fails is a line that says so)
            line["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
        lines.append(line)
        print(shown(line), flush=True)
        step = None
        gc.collect()
        torch.cuda.empty_cache()
    return lines


def shown(line: dict[str, object]) -> str:
    """A line of the table."""
    head = f"{line['model']!s:22} {line['rule']!s:8} {line['side']!s:15}"
    if "failed" in line:
        return f"{head} {line['failed']}"
    times = f"{float(str(line['seconds'])) * 1e3:9.3f} ms  host {float(str(line['host_seconds'])) * 1e6:8.0f} us"
    share = f"  {float(str(line['of_copy_bandwidth'])):6.1%} of a copy" if "of_copy_bandwidth" in line else ""
    return f"{head} {times}  {line['kernels']!s:>5} kernels{share}"


def beyond_int32() -> str:
    """The last elements of a bfloat16 tensor that 32 bits cannot count are stepped as those of a short one."""
    count, tail = (1 << 31) + 17, 4096
    try:
        long = torch.nn.Parameter(torch.zeros(count, device=DEVICE, dtype=torch.bfloat16))
        short = torch.nn.Parameter(torch.randn(tail, device=DEVICE, dtype=torch.bfloat16))
        with torch.no_grad():
            long[-tail:].copy_(short)
        for param in (long, short):
            param.grad = torch.full_like(param, 0.5)
        for param in (long, short):
            ours("lion", [("w", param)]).step()
        return "ok" if torch.equal(long[-tail:], short) else "the last elements differ"
    except torch.cuda.OutOfMemoryError:
        return "left out: no memory for it"


def main() -> int:
    """Everything; 1 where a rule does not agree with the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="a file for the JSON")
    parser.add_argument("--quick", action="store_true", help="the smaller models only")
    parser.add_argument("--graph", action="store_true", help="also repeat our steps from a CUDA graph")
    parser.add_argument("--skip-correctness", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch sees no GPU here: run this on a machine that has one", file=sys.stderr)
        return 1
    begun = time.perf_counter()
    result: dict[str, object] = about("python " + " ".join(sys.argv))
    result["gpu"] = torch.cuda.get_device_name()
    checks = [] if options.skip_correctness else correctness(BUDGET / 2)
    result["correctness"] = checks
    copy = copy_bandwidth()
    result["copy_bytes_per_second"] = copy
    print(f"{result['gpu']}: a copy moves {copy / 1e12:.2f} TB/s")
    result["beyond_int32"] = "left out" if options.quick else beyond_int32()
    print(f"2**31 + 17 elements: {result['beyond_int32']}")
    lines: list[dict[str, object]] = []
    for model in list(MODELS)[2:] if options.quick else MODELS:
        for rule in RULES:
            if time.perf_counter() - begun > BUDGET:
                print(f"{model:22} {rule:8} left out: no time")
                continue
            lines += measured(model, rule, copy, graph=options.graph)
    result["steps"] = lines
    result["seconds"] = time.perf_counter() - begun
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(check["ok"] is False for check in checks))


if __name__ == "__main__":
    sys.exit(main())
