"""How fast rules converge, with one budget of tuning for each: digits with an MLP, and a character model.

    python benchmarks/convergence.py [--out benchmarks/results/convergence.json] [--plot FILE.png] [--fresh]

Tasks: scikit-learn's bundled digits with a residual MLP, and the texts that `help()` shows, which ship with Python,
with a residual network that reads 24 characters and guesses the next. Every rule gets the same grid of five learning
rates around its own default, each tried once with a seed of its own; the best by validation loss runs with five other
seeds. Reported: steps and seconds of training until the target is met (medians over seeds, with 95 % bootstrap
intervals; a run that does not meet it counts as one that takes for ever), the last validation loss, and how gradients
conflict: the mean cosine between neighbouring blocks (of equal shapes, so that it means something) and between four
parts of one batch. Every finished run is kept in the output file, and one that is there is not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import pydoc_data.topics
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import optgen.torch
from optgen.bench.machine import about

HERE = Path(__file__).resolve().parent
#: Learning rates are a rule's own times these.
GRID = (0.1, 0.3, 1.0, 3.0, 10.0)
TUNING_SEED = 100
SEEDS = (0, 1, 2, 3, 4)
EVERY = 10  # steps between looks at the validation loss
RESAMPLES = 2000
PARTS = 4  # of a batch, between which gradients are compared

#: Class, the middle of its grid, other arguments: what its authors recommend, and nothing tuned but the rate.
RULES: dict[str, tuple[str, float, dict[str, object]]] = {
    "adamw": ("AdamW", 1e-3, {}),
    "sgd": ("SGD", 3e-2, {"momentum": 0.9}),
    "lion": ("Lion", 1e-4, {}),
    "neat": ("NEAT", 1e-3, {}),
    "neat, nsa off": ("NEAT", 1e-3, {"nsa": "off"}),
    "nce": ("NCE", 1e-3, {"adaptive_preconditioning": True, "bias_correction": True}),
    "nested": ("Nested", 1e-3, {}),
}


class Block(nn.Module):
    """x + W tanh(norm(x)): blocks of one model have equal shapes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(torch.tanh(self.norm(x)))


class Network(nn.Module):
    """Something that makes a vector of the input, residual blocks, a linear layer."""

    def __init__(self, read: nn.Module, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.read = read
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@dataclass(frozen=True)
class Task:
    """Data, a model, how long to train, and the validation loss that is the target."""

    x: Tensor
    y: Tensor
    held_x: Tensor
    held_y: Tensor
    model: Callable[[], Network]
    steps: int
    batch: int
    target: float


def digits() -> Task:
    """1,797 images of 8 x 8, a fifth of them held out."""
    images, labels = cast("tuple[Any, Any]", load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = torch.tensor(images[order] / 16, dtype=torch.float32), torch.tensor(labels[order], dtype=torch.int64)
    kept = len(y) * 4 // 5

    def model() -> Network:
        return Network(nn.Linear(64, 48), 48, 4, 10)

    return Task(x[:kept], y[:kept], x[kept:], y[kept:], model, 300, 64, 0.1)


def characters() -> Task:
    """The first 120,000 characters of Python's help; the last tenth is held out, and 2,000 places of it looked at."""
    text = "".join(pydoc_data.topics.topics[key] for key in sorted(pydoc_data.topics.topics))[:120_000]
    letters = sorted(set(text))
    codes = torch.tensor([letters.index(letter) for letter in text])
    context, width = 24, 96
    x, y = codes.unfold(0, context, 1)[:-1], codes[context:]
    kept = len(y) * 9 // 10
    held = torch.linspace(kept + context, len(y) - 1, 2000).long()

    def model() -> Network:
        read = nn.Sequential(nn.Embedding(len(letters), 16), nn.Flatten(), nn.Linear(16 * context, width))
        return Network(read, width, 4, len(letters))

    return Task(x[:kept], y[:kept], x[held], y[held], model, 400, 128, 2.6)


TASKS: dict[str, Callable[[], Task]] = {"digits": digits, "characters": characters}


def train(task: Task, rule: str, lr: float, seed: int) -> dict[str, object]:
    """One run: validation losses, seconds of training up to each, and cosines between gradients."""
    torch.manual_seed(seed)
    model = task.model()
    name, _, more = RULES[rule]
    optimizer = getattr(optgen.torch, name)(model.named_parameters(), lr=lr, **more)
    shuffled = torch.Generator().manual_seed(seed)
    losses, seconds, layers, parts = list[float](), list[float](), list[float](), list[float]()
    spent = 0.0
    for step in range(task.steps + 1):
        rows = torch.randint(len(task.y), (task.batch,), generator=shuffled)
        if step % EVERY == 0:
            with torch.no_grad():
                losses.append(float(cross_entropy(model(task.held_x), task.held_y)))
            seconds.append(spent)
            if step % (4 * EVERY) == 0:
                layers.append(_between_blocks(model, task, rows))
                parts.append(_between_parts(model, task, rows))
            if not math.isfinite(losses[-1]):
                break
        begin = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(model(task.x[rows]), task.y[rows]).backward()
        optimizer.step()
        spent += time.perf_counter() - begin
    return {"losses": losses, "seconds": seconds, "between_blocks": layers, "between_parts": parts}


def _gradients(model: Network, x: Tensor, y: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(cross_entropy(model(x), y), list(model.parameters())))


def _cosines(pairs: Iterator[tuple[Tensor, Tensor]]) -> float:
    return statistics.fmean(float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairs)


def _between_blocks(model: Network, task: Task, rows: Tensor) -> float:
    names = [name for name, _ in model.named_parameters()]
    grads = dict(zip(names, _gradients(model, task.x[rows], task.y[rows]), strict=True))
    flat = [
        torch.cat([g.flatten() for name, g in grads.items() if name.startswith(f"blocks.{i}.")])
        for i in range(len(model.blocks))
    ]
    return _cosines(itertools.pairwise(flat))


def _between_parts(model: Network, task: Task, rows: Tensor) -> float:
    flat = [
        torch.cat([g.flatten() for g in _gradients(model, task.x[part], task.y[part])]) for part in rows.chunk(PARTS)
    ]
    return _cosines(itertools.combinations(flat, 2))


def first(values: Sequence[float], losses: Sequence[float], target: float) -> float:
    """The value at which losses first meet the target, or infinity."""
    return next((value for value, loss in zip(values, losses, strict=True) if loss <= target), math.inf)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and where 95 % of the medians of resampled runs lie."""
    rng, array = np.random.default_rng(0), np.array(values)
    resampled = np.sort(rng.choice(array, (RESAMPLES, len(array))), axis=1)[:, len(array) // 2]
    medians = np.sort(resampled)
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return float(np.sort(array)[len(array) // 2]), float(low), float(high)


class Kept:
    """Runs by task, rule, rate and seed, in a file that grows by one at a time."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self.data: dict[str, Any] = {"runs": {}}
        if path.exists() and not fresh:
            self.data = json.loads(path.read_text(encoding="utf-8"))

    def run(self, task: str, rule: str, lr: float, seed: int, made: Task) -> dict[str, Any]:
        """The run of that name, made if it is not there."""
        key = f"{task} {rule} lr={lr:g} seed={seed}"
        if key not in self.data["runs"]:
            self.data["runs"][key] = train(made, rule, lr, seed)
            self.write()
        return self.data["runs"][key]

    def write(self) -> None:
        """Whole or not at all."""
        other = self.path.with_suffix(".part")
        other.write_text(json.dumps(_rounded(self.data)) + "\n", encoding="utf-8")
        other.replace(self.path)


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in cast("dict[str, object]", value).items()}
    return [_rounded(entry) for entry in cast("list[object]", value)] if isinstance(value, list) else value


def last(run: dict[str, Any]) -> float:
    """The mean of the last three validation losses; infinity where training broke down."""
    losses = [math.inf if loss is None else loss for loss in run["losses"][-3:]]
    return math.inf if any(not math.isfinite(loss) for loss in losses) else statistics.fmean(losses)


def summary(task: Task, lr: float, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is reported of one rule on one task."""
    looks = [[EVERY * i for i in range(len(run["losses"]))] for run in runs]
    losses = [[math.inf if loss is None else loss for loss in run["losses"]] for run in runs]
    steps = [first(at, own, task.target) for at, own in zip(looks, losses, strict=True)]
    seconds = [first(run["seconds"], own, task.target) for run, own in zip(runs, losses, strict=True)]
    return {
        "lr": lr,
        "reached": sum(map(math.isfinite, steps)),
        "of": len(runs),
        "steps_to_target": interval(steps),
        "seconds_to_target": interval(seconds),
        "last_loss": interval([last(run) for run in runs]),
        "cosine_between_blocks": interval([statistics.fmean(run["between_blocks"]) for run in runs]),
        "cosine_between_parts_of_a_batch": interval([statistics.fmean(run["between_parts"]) for run in runs]),
    }


def chosen() -> dict[str, tuple[str, float, dict[str, object]]]:
    """The rules that this build has."""
    return {rule: entry for rule, entry in RULES.items() if entry[0] in dir(optgen.torch)}


def measure(kept: Kept) -> dict[str, dict[str, Any]]:
    """Tunes, runs, and sums up every rule on every task."""
    rules = chosen()
    found: dict[str, dict[str, Any]] = {}
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        total = len(TASKS) * len(rules) * (len(GRID) + len(SEEDS))
        bar = progress.add_task("", total=total)
        for name, make in TASKS.items():
            task = make()
            for rule, (_, middle, _) in rules.items():
                progress.update(bar, description=f"{name}: {rule}")
                tried: dict[float, float] = {}
                for factor in GRID:
                    tried[middle * factor] = last(kept.run(name, rule, middle * factor, TUNING_SEED, task))
                    progress.advance(bar)
                best = min(tried, key=lambda lr: tried[lr])
                runs: list[dict[str, Any]] = []
                for seed in SEEDS:
                    runs.append(kept.run(name, rule, best, seed, task))
                    progress.advance(bar)
                found.setdefault(name, {})[rule] = {**summary(task, best, runs), "target": task.target}
    return found


def shown(found: dict[str, dict[str, Any]]) -> Iterator[Table]:
    """A table per task."""
    for name, rows in found.items():
        target = next(iter(rows.values()))["target"]
        table = Table(title=f"{name}: validation loss {target}", title_justify="left")
        for head in ("rule", "rate", "reached", "steps", "seconds", "last loss", "cos blocks", "cos parts"):
            table.add_column(head)
        for rule, row in rows.items():
            cells = [f"{row['reached']}/{row['of']}"]
            for key in ("steps_to_target", "seconds_to_target", "last_loss"):
                cells.append(_range(row[key]))
            cells += [f"{row['cosine_between_blocks'][0]:.2f}", f"{row['cosine_between_parts_of_a_batch'][0]:.2f}"]
            table.add_row(rule, f"{row['lr']:g}", *cells)
        yield table


def _range(values: Sequence[float | None]) -> str:
    middle, low, high = ("never" if x is None or not math.isfinite(x) else f"{x:.3g}" for x in values)
    return f"{middle} ({low} to {high})"


def plot(kept: Kept, found: dict[str, dict[str, Any]], path: Path) -> None:
    """Validation loss over steps and over seconds, a median line per rule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4 * len(found)), layout="constrained")
    grid = figure.subplots(len(found), 2, squeeze=False)
    for (name, rows), axes in zip(found.items(), grid, strict=True):
        for rule, row in rows.items():
            runs = [kept.data["runs"][f"{name} {rule} lr={row['lr']:g} seed={seed}"] for seed in SEEDS]
            length = min(len(run["losses"]) for run in runs)
            losses = np.median([run["losses"][:length] for run in runs], axis=0)
            seconds = np.median([run["seconds"][:length] for run in runs], axis=0)
            axes[0].plot(EVERY * np.arange(length), losses, label=f"{rule} ({row['lr']:g})")
            axes[1].plot(seconds, losses)
        for one, what in zip(axes, ("steps", "seconds of training"), strict=True):
            one.set_xlabel(what)
            one.set_ylabel("validation loss")
            one.set_yscale("log")
            one.axhline(next(iter(rows.values()))["target"], color="gray", lw=0.8, ls=":")
            one.set_title(name)
        axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "convergence.json", help="runs and summary")
    parser.add_argument("--plot", type=Path, default=HERE / "results" / "convergence.png", help="the picture")
    parser.add_argument("--fresh", action="store_true", help="make every run again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kept = Kept(args.out, fresh=args.fresh)
    found = measure(kept)
    kept.data |= {**about("python benchmarks/convergence.py"), "summary": found}
    kept.write()
    for table in shown(found):
        Console().print(table)
    plot(kept, found, args.plot)


if __name__ == "__main__":
    main()
