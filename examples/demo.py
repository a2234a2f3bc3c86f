"""Builds a rule with the command line, then trains a small network with three of the rules that ship.

Run it with ``make demo``, or ``python examples/demo.py`` where optgen is installed. The network reads scikit-learn's
bundled images of handwritten digits; the kernels run on the CPU, compiled by Numba. Every rule gets the same learning
rate and nothing is tuned: this shows that the rules run and train, not that one of them is better.
"""

import argparse
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from optgen.torch import NEAT, AdamW, Nested

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "optgen_out"

LEARNING_RATE = 1e-3
BATCH = 64
RULES: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "AdamW": lambda model: AdamW(model.named_parameters(), lr=LEARNING_RATE, weight_decay=0.01),
    "NEAT": lambda model: NEAT(model.named_parameters(), lr=LEARNING_RATE, mu=0.1, kappa=1.0),
    "Nested": lambda model: Nested(model.named_parameters(), lr=LEARNING_RATE, memory_blend_mode="attention"),
}


@dataclass(frozen=True)
class Digits:
    """Images as rows of 64 grey values in [0, 1], labels 0 to 9."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Run:
    """One training: the mean training loss of each epoch, and the share of test images read correctly."""

    losses: list[float]
    accuracy: float


def main() -> None:
    """Builds, trains, then prints a table and says where the plot is."""
    parser = argparse.ArgumentParser(description="Build a rule, then train a small network with three of them.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()

    console = Console()
    build(console, "neat")
    runs = train_all(console, read_digits(), range(options.seeds), options.epochs)
    console.print(results(runs))
    console.print(f"loss curves: {plot(runs, OUT / 'demo_loss.png')}", soft_wrap=True, highlight=False)


def build(console: Console, rule: str) -> None:
    """Runs ``optgen build``, as a user would type it; ends the demo where that fails."""
    command = ["optgen", "build", rule]
    console.print(f"$ {shlex.join(command)}", style="bold")
    if code := subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode:
        sys.exit(code)
    console.print()


def read_digits() -> Digits:
    """The 1,797 images that come with scikit-learn, a quarter of them kept for testing."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_y, test_y = (torch.tensor(part) for part in parts[2:])
    return Digits(train_x, train_y, test_x, test_y)


def train_all(console: Console, digits: Digits, seeds: range, epochs: int) -> dict[str, list[Run]]:
    """Trains with every rule and seed: a progress bar on a terminal, a line per training elsewhere."""
    runs: dict[str, list[Run]] = {name: [] for name in RULES}
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {name: progress.add_task(name, total=len(seeds) * epochs, start=False) for name in RULES}
        for name, make_optimizer in RULES.items():
            progress.start_task(tasks[name])
            for seed in seeds:
                run = train(digits, make_optimizer, seed, epochs, lambda task=tasks[name]: progress.advance(task))
                runs[name].append(run)
                if not console.is_terminal:
                    console.print(f"{name} seed {seed}: loss {run.losses[-1]:.4f}, accuracy {run.accuracy:.1%}")
    return runs


def train(
    digits: Digits,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    seed: int,
    epochs: int,
    after_epoch: Callable[[], None],
) -> Run:
    """One training from fresh weights; the seed decides them and the order of the images."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = make_optimizer(model)
    losses: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for x, y in batches(digits.train_x, digits.train_y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        losses.append(total / len(digits.train_y))
        after_epoch()
    with torch.no_grad():
        right = model(digits.test_x).argmax(dim=1) == digits.test_y
    return Run(losses, right.float().mean().item())


def batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Every row once, in a new random order."""
    for rows in torch.randperm(len(y)).split(BATCH):
        yield x[rows], y[rows]


def results(runs: dict[str, list[Run]]) -> Table:
    """Mean and standard deviation over the seeds, a row per rule."""
    seeds = max(map(len, runs.values()))
    table = Table(title=f"Handwritten digits, {seeds} seeds", caption="one learning rate for all, nothing tuned")
    table.add_column("optimizer")
    table.add_column("final training loss", justify="right")
    table.add_column("test accuracy", justify="right")
    for name, of_rule in runs.items():
        loss = spread([run.losses[-1] for run in of_rule], ".4f")
        accuracy = spread([100 * run.accuracy for run in of_rule], ".1f")
        table.add_row(name, loss, f"{accuracy} %")
    return table


def spread(values: list[float], digits: str) -> str:
    """``mean ± standard deviation``; a single value stands alone."""
    mean = format(statistics.fmean(values), digits)
    return f"{mean} ± {format(statistics.stdev(values), digits)}" if len(values) > 1 else mean


def plot(runs: dict[str, list[Run]], path: Path) -> Path:
    """Draws each rule's mean loss per epoch, with a band from its lowest to its highest seed."""
    mpl.use("Agg")  # a file is all that is wanted: no display needed
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, of_rule in runs.items():
        by_epoch = list(zip(*(run.losses for run in of_rule), strict=True))
        epochs = range(1, len(by_epoch) + 1)
        (line,) = axes.plot(epochs, [statistics.fmean(losses) for losses in by_epoch], label=name)
        low, high = [min(losses) for losses in by_epoch], [max(losses) for losses in by_epoch]
        axes.fill_between(epochs, low, high, color=line.get_color(), alpha=0.2)
    axes.set(
        xlabel="epoch", ylabel="training loss", yscale="log", title="Handwritten digits: mean and range over seeds"
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return path


if __name__ == "__main__":
    main()
