"""Kernels on one GPU: every rule against the float64 reference, then times beside torch's own, with no network.

    python benchmarks/gpu.py [--out benchmarks/results/gpu.json] [--quick] [--budget SECONDS] [--dry-run]

Ends within eight minutes: what the budget has no time for is left out, and a line says so. Prints tables, and writes
JSON with everything that was measured:

* correctness: each rule in float32 and in bfloat16, on fresh random data, inside derived error bounds; a step repeated
  by a CUDA graph while rates in tensors change; a bfloat16 tensor of 2**31 + 17 elements, whose last elements are
  compared with those of a short one;
* steps of adamw, lion, sgd, neat and nested on five lists of parameters, beside torch's foreach and fused optimizers
  and an eager version compiled by torch: by CUDA events, repeated by a CUDA graph, time of the host, kernels launched,
  and bytes per second against a device copy measured in the same run;
* the figures that are wanted of an H200-class GPU, and whether each is reached.

`--dry-run` runs all of it on the CPU in Triton's interpreter, tiny: it shows that the script works, and no figure.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import optgen
from optgen.bench.machine import about
from optgen.bench.shapes import Shapes, gpt2_small, many_small, resnet50
from optgen.explain import explain, storage
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import load, shipped
from optgen.verify import compare

Step = Callable[[], object]
Named = list[tuple[str, torch.nn.Parameter]]
Line = dict[str, Any]

#: Whether this is the process of a dry run: triton reads the variable when it is first imported.
DRY = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if DRY else "cuda"
OURS, FOREACH, FUSED, COMPILED = "optgen triton", "torch foreach", "torch fused", "torch.compile"
RULES = ("adamw", "lion", "sgd", "neat", "nested")
#: What is not a rule's default: torch is asked for the same, and every layer is due.
GIVEN: dict[str, Line] = {"sgd": {"lr": 1e-3, "momentum": 0.9}}
#: Seconds that a side is measured for, and parts of the budget that correctness and everything before compiling have.
SECONDS, CHECKING, MEASURING = 0.3, 0.4, 0.85
#: Elements of the tensor that 32 bits do not count, and of the copy.
BEYOND, COPIED = ((1 << 12) + 17, 1 << 12) if DRY else ((1 << 31) + 17, 1 << 28)


@dataclass(frozen=True)
class Model:
    """A list of parameters, with the dtypes of these and of their gradients."""

    name: str
    shapes: Callable[[], Shapes]
    dtype: torch.dtype = torch.float32
    gradient: torch.dtype = torch.float32


def llama_like(width: int = 2048, blocks: int = 22, words: int = 32000) -> Shapes:
    """1.2e9 parameters in matrices of a decoder, large and few."""
    shapes: Shapes = [("embed.weight", (words, width)), ("head.weight", (words, width))]
    hidden = 11 * width // 4
    for i in range(blocks):
        prefix = f"layers.{i}"
        shapes += [(f"{prefix}.attn.{name}.weight", (width, width)) for name in ("q", "k", "v", "o")]
        shapes += [(f"{prefix}.mlp.{name}.weight", (hidden, width)) for name in ("gate", "up")]
        shapes += [(f"{prefix}.mlp.down.weight", (width, hidden)), (f"{prefix}.norm.weight", (width,))]
    return shapes


LARGE, SMALL = "llama-1.2b", "1000 x 256"
MODELS = (
    Model(LARGE, llama_like),
    Model(f"{LARGE} g bfloat16", llama_like, torch.float32, torch.bfloat16),
    Model(f"{LARGE} bfloat16", llama_like, torch.bfloat16, torch.bfloat16),
    Model("gpt2-small", gpt2_small),
    Model("resnet50", resnet50),
    Model(SMALL, lambda: many_small(1000, 256)),
)
DRY_MODELS = (Model("2 x 40", lambda: many_small(2, 40)),)


@dataclass
class Budget:
    """Seconds for everything, and what they were too few for."""

    seconds: float
    begun: float = field(default_factory=time.perf_counter)
    left_out: list[str] = field(default_factory=list)

    def has(self, what: str, share: float = 1.0) -> bool:
        """Whether there is time for something, which is noted if not."""
        if self.spent < share * self.seconds:
            return True
        self.left_out.append(what)
        print(f"{what}: left out, no time", flush=True)
        return False

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.begun


# -- what is measured with ------------------------------------------------------------------------------------------


def wait() -> None:
    """Until the device is done."""
    if not DRY:
        torch.cuda.synchronize()


def device_seconds(step: Step) -> float:
    """Median time of a step on the device, by events around each."""
    for _ in range(0 if DRY else 3):
        step()
    wait()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < (1 if DRY else 10) or (time.perf_counter() - begun < SECONDS and len(times) < 200 and not DRY):
        times.append(_timed(step))
    return statistics.median(times)


def _timed(step: Step) -> float:
    if DRY:
        begun = time.perf_counter()
        step()
        return time.perf_counter() - begun
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    first.record()
    step()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3


def host_seconds(step: Step) -> float:
    """Median time to queue a step."""
    times: list[float] = []
    for _ in range(1 if DRY else 20):
        wait()
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    wait()
    return statistics.median(times)


def recorded(step: Step) -> Step:
    """A step as a CUDA graph repeats it. Where nothing is recorded, in the interpreter, the step itself."""
    if DRY:
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def kernels_of(step: Step, optimizer: Any) -> int:
    """Kernels that one step launches; in the interpreter, those that our runtime counts."""
    if DRY:
        step()
        return optimizer._current().calls() if isinstance(optimizer, Optimizer) else 0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    named = [e.name for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    return sum(not name.startswith(("Memcpy", "Memset")) for name in named)


def copy_bandwidth() -> float:
    """Bytes per second that a device copy reads and writes."""
    source, target = torch.empty(COPIED, device=DEVICE), torch.empty(COPIED, device=DEVICE)
    return 8 * COPIED / device_seconds(lambda: target.copy_(source))


def bytes_of(rule: str, model: Model) -> float:
    """Bytes that a step moves per parameter of the rule's primary variant."""
    spec, given = load(rule), GIVEN.get(rule, {})
    if model.dtype is torch.bfloat16:
        return float(storage(spec, given)["bfloat16"]["bytes_per_param"])
    return float(explain(spec, given)["bytes_per_param"]) - (2 if model.gradient is torch.bfloat16 else 0)


# -- what is measured -----------------------------------------------------------------------------------------------


def parameters(model: Model) -> Named:
    """Random parameters with random gradients."""
    made = [
        (n, torch.nn.Parameter(torch.randn(s, device=DEVICE, dtype=model.dtype).mul_(0.02))) for n, s in model.shapes()
    ]
    for _, param in made:
        if model.gradient != model.dtype:
            param.grad_dtype = model.gradient  # type: ignore[attr-defined]
        param.grad = torch.randn(param.shape, device=DEVICE, dtype=model.gradient).mul_(1e-3)
    return made


def ours(rule: str, named: Named, **more: Any) -> Any:
    """Our optimizer of a rule, with torch's momentum where torch has the rule, and every layer due."""
    cls = optgen.compile(rule, backend="triton")
    given = dict(GIVEN.get(rule, {}))
    given |= {h.per_parameter: [1] * len(named) for h in cls.RULE.hypers if h.per_parameter}
    return cls(named, **given, **more, backend="triton")


class EagerLion(torch.optim.Optimizer):
    """The published update with torch's foreach operations, for torch to compile."""

    def __init__(self, params: list[torch.nn.Parameter]) -> None:
        super().__init__(params, {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0})
        self.m = [torch.zeros_like(param) for param in params]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One update of every parameter."""
        group = self.param_groups[0]
        params, (beta1, beta2) = group["params"], group["betas"]
        grads = [param.grad for param in params]
        update = torch._foreach_lerp(self.m, grads, 1 - beta1)
        torch._foreach_sign_(update)
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, update, alpha=-group["lr"])
        torch._foreach_lerp_(self.m, grads, 1 - beta2)


def sides(rule: str, *, capturable: bool = False) -> dict[str, Callable[[Named], torch.optim.Optimizer]]:
    """Who does the step, and how each is made. Torch has no eager version of the rest to compile."""

    def of(cls: Any, **given: Any) -> Callable[[Named], torch.optim.Optimizer]:
        return lambda named: cls([param for _, param in named], **given)

    graph = {"capturable": True} if capturable else {}
    found: dict[str, Callable[[Named], torch.optim.Optimizer]] = {OURS: lambda named: ours(rule, named, **graph)}
    if rule == "adamw":
        eager = of(torch.optim.AdamW, foreach=True, **graph)
        found |= {FOREACH: eager, FUSED: of(torch.optim.AdamW, fused=True, **graph), COMPILED: eager}
    elif rule == "sgd":
        eager = of(torch.optim.SGD, lr=1e-3, momentum=0.9, foreach=True)
        found |= {FOREACH: eager, FUSED: of(torch.optim.SGD, lr=1e-3, momentum=0.9, fused=True), COMPILED: eager}
    elif rule == "lion":
        found |= {FOREACH: of(EagerLion), COMPILED: of(EagerLion)}
    return found


def measured(model: Model, rule: str, side: str, copy: float) -> Line:
    """Everything of one side; a side that fails is a line that says so."""
    line: Line = {"model": model.name, "rule": rule, "side": side}
    try:
        named = parameters(model)
        line["parameters"] = sum(param.numel() for _, param in named)
        optimizer = sides(rule)[side](named)
        step: Step = optimizer.step
        if side == COMPILED:
            step = torch.compile(step, backend="eager" if DRY else "inductor")
        line["seconds"] = device_seconds(step)
        line["host_seconds"] = host_seconds(step)
        line["kernels"] = kernels_of(step, optimizer)
        if side != COMPILED:
            optimizer = sides(rule, capturable=not DRY)[side](named)
            line["replayed_seconds"] = device_seconds(recorded(optimizer.step))
        if side == OURS:
            best = min(line["seconds"], line["replayed_seconds"])
            line["of_copy_bandwidth"] = bytes_of(rule, model) * line["parameters"] / best / copy
    except Exception as error:  # noqa: BLE001 (the others are still worth knowing)
        line["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
    print(shown(line), flush=True)
    named = optimizer = step = None  # type: ignore[assignment]
    gc.collect()
    if not DRY:
        torch.cuda.empty_cache()
    return line


def shown(line: Line) -> str:
    """A line of the table."""
    head = f"{line['model']:24} {line['rule']:8} {line['side']:14}"
    if "failed" in line:
        return f"{head} {line['failed']}"
    replayed = f"{line['replayed_seconds'] * 1e3:9.3f}" if "replayed_seconds" in line else " " * 9
    times = f"{line['seconds'] * 1e3:9.3f} ms {replayed} ms as a graph, host {line['host_seconds'] * 1e6:8.0f} us"
    share = f", {line['of_copy_bandwidth']:6.1%} of a copy" if "of_copy_bandwidth" in line else ""
    return f"{head} {times}, {line['kernels']:5} kernels{share}"


def steps(budget: Budget, copy: float, *, quick: bool) -> list[Line]:
    """All sides, what takes long to compile last."""
    models = DRY_MODELS if DRY else MODELS[3:] if quick else MODELS
    lines: list[Line] = []
    for compiled in (False, True):
        for model in models:
            for rule in RULES:
                for side in sides(rule):
                    if (side == COMPILED) != compiled:
                        continue
                    what = f"{model.name:24} {rule:8} {side}"
                    if budget.has(what, 1.0 if compiled else MEASURING):
                        lines.append(measured(model, rule, side, copy))
    return lines


# -- correctness ----------------------------------------------------------------------------------------------------


def correctness(budget: Budget) -> list[Line]:
    """Every rule against the reference on data of its own seed."""
    seed, found = int(time.time()), list[Line]()
    for dtype in ("float32", "bfloat16"):
        for rule in RULES[:1] if DRY else shipped():
            line: Line = {"rule": rule, "dtype": dtype, "seed": seed, "ok": None, "says": "left out: no time"}
            found.append(line)
            if DRY and dtype == "bfloat16":
                line["says"] = "left out: triton's interpreter truncates where bfloat16 is rounded"
                continue
            if not budget.has(f"{rule} in {dtype}", CHECKING):
                continue
            try:
                given: Line = {"steps": 1, "shapes": {"h.0.w": (4, 4), "h.1.w": (4, 4)}} if DRY else {"steps": 4}
                report = compare(rule, "triton", dtype, seed=seed, device=DEVICE, **given)
                line |= {"ok": report.ok, "says": str(report)}
            except Exception as error:  # noqa: BLE001 (the others are still worth knowing)
                line |= {"ok": False, "says": f"{type(error).__name__}: {error}"}
            print(f"{rule:12} {dtype:9} {'ok' if line['ok'] else line['says']}", flush=True)
    return found


def graph_follows() -> str:
    """Rates in tensors on the device that change between replays of a graph take effect, as they do eagerly."""
    model = Model("", lambda: [("h.0.weight", (64, 33)), ("h.1.weight", (64, 33))])
    named = parameters(model)
    others = [(name, torch.nn.Parameter(param.detach().clone())) for name, param in named]
    rates = [torch.tensor(value, device=DEVICE, dtype=torch.float64) for value in (0.1, 0.3)]
    given: Line = {} if DRY else {"capturable": True}
    one = ours("adamw", named, lr=rates[0], weight_decay=rates[1], **given)
    other = ours("adamw", others, lr=0.1, weight_decay=0.3)
    for (_, param), (_, twin) in zip(named, others, strict=True):
        twin.grad = param.grad.clone()  # type: ignore[union-attr]
    replay = recorded(one.step)
    done = int(one.global_step)
    for _ in range(done):
        other.step()
    for k in range(2, 5):
        for rate, value in zip(rates, (0.1, 0.3), strict=True):
            rate.fill_(value / k)
        other.param_groups[0].update(lr=0.1 / k, weight_decay=0.3 / k)
        replay()
        other.step()
    wait()
    same = all(torch.equal(a, b) for (_, a), (_, b) in zip(named, others, strict=True))
    counted = one.global_step == other.global_step
    return "ok" if same and counted else f"differs: parameters {'equal' if same else 'not'}, steps {counted}"


def beyond_int32() -> str:
    """The last elements of a bfloat16 tensor that 32 bits cannot count are stepped as those of a short one."""
    tail = min(4096, BEYOND // 2)
    try:
        long = torch.nn.Parameter(torch.zeros(BEYOND, device=DEVICE, dtype=torch.bfloat16))
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


# -- what is wanted -------------------------------------------------------------------------------------------------


def figures(lines: list[Line]) -> Iterator[Line]:
    """What is wanted of an H200-class GPU, what came out, and whether it is enough; None where nothing was measured."""
    timed = [] if DRY else [line for line in lines if "failed" not in line]
    at = {(line["model"], line["rule"], line["side"]): line for line in timed}

    def best(*key: str) -> float | None:
        line = at.get(key)  # type: ignore[arg-type]
        return min(line["seconds"], line.get("replayed_seconds", line["seconds"])) if line else None

    def ratio(a: float | None, b: float | None) -> float | None:
        return a / b if a is not None and b else None

    large = at.get((LARGE, "adamw", OURS))
    share = large["of_copy_bandwidth"] if large else None
    yield _figure("adamw of copy bandwidth, large list", share, 0.95, at_least=True)
    for model in dict.fromkeys(line["model"] for line in lines):
        yield _figure(
            f"adamw / torch fused, {model}", ratio(best(model, "adamw", OURS), best(model, "adamw", FUSED)), 1.0
        )
    adamw = best(LARGE, "adamw", OURS)
    yield _figure("neat / adamw, large list", ratio(best(LARGE, "neat", OURS), adamw), 1.17)
    yield _figure("nested, all due / adamw, large list", ratio(best(LARGE, "nested", OURS), adamw), 2.2)
    for rule, most in (("adamw", 1), ("neat", 3)):
        found = [
            line["kernels"] for line in lines if (line["rule"], line["side"]) == (rule, OURS) and "kernels" in line
        ]
        yield _figure(f"kernels of {rule}, the most on any list", max(found, default=None), most)
    host = [at.get((SMALL, "adamw", side)) for side in (OURS, FUSED)]
    hosts = [line["host_seconds"] if line else None for line in host]
    yield _figure("host time of adamw / torch fused, 1000 tensors", ratio(*hosts), 0.5)


def _figure(what: str, found: float | None, wanted: float, *, at_least: bool = False) -> Line:
    reached = None if found is None else found >= wanted if at_least else found <= wanted
    words = "not measured" if found is None else f"{found:.3g}, {'reached' if reached else 'MISSED'}"
    print(f"{what:48} wanted {'>=' if at_least else '<='} {wanted:<5} {words}")
    return {"figure": what, "wanted": wanted, "at_least": at_least, "found": found, "reached": reached}


def main() -> int:
    """Everything; 1 where a rule does not agree with the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="a file for the JSON")
    parser.add_argument("--quick", action="store_true", help="the smaller models only")
    parser.add_argument("--budget", type=float, default=440.0, help="seconds after which nothing more is begun")
    parser.add_argument("--dry-run", action="store_true", help="tiny, in Triton's interpreter: no figures")
    options = parser.parse_args()
    if options.dry_run and not DRY:
        return subprocess.call([sys.executable, *sys.argv], env={**os.environ, "TRITON_INTERPRET": "1"})
    if not DRY and not torch.cuda.is_available():
        print("torch sees no GPU here: run this on a machine that has one, or try --dry-run", file=sys.stderr)
        return 1
    budget = Budget(options.budget)
    result: Line = {**about("python " + " ".join(sys.argv)), "dry_run": DRY}
    result["gpu"] = "none: interpreted on the CPU" if DRY else torch.cuda.get_device_name()
    result["correctness"] = correctness(budget)
    for name, check in (("graph_follows", graph_follows), ("beyond_int32", beyond_int32)):
        result[name] = check() if budget.has(name, MEASURING) else "left out: no time"
        print(f"{name}: {result[name]}", flush=True)
    gc.collect()
    result["copy_bytes_per_second"] = copy = copy_bandwidth()
    print(f"{result['gpu']}: a copy moves {copy / 1e12:.2f} TB/s")
    result["steps"] = steps(budget, copy, quick=options.quick)
    result["figures"] = list(figures(result["steps"]))
    result |= {"left_out": budget.left_out, "seconds": budget.spent}
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    wrong = [check["rule"] for check in result["correctness"] if check["ok"] is False]
    wrong += [name for name in ("graph_follows", "beyond_int32") if "differ" in result[name]]
    print(f"does not hold: {', '.join(wrong) or 'nothing that was looked at'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
