"""Writes the golden checkpoint of a form of the state dict: `python -m tests.guarantees.write_golden form_1`.

Two steps of a few rules of different kinds on two small tensors, and where two more steps lead. A file that is there is
never written again: it stands for the checkpoints that people have.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from torch.nn import Parameter

import optgen.torch
from optgen.runtime.torch_optimizer import Optimizer

#: One moment and none, matrices, layers and a graph, choices and counters.
CLASSES = ("AdamW", "SGD", "Adafactor", "NEAT", "Nested")


def written(name: str) -> dict[str, Any]:
    """The record of one rule."""
    torch.manual_seed(0)
    cls: type[Optimizer] = getattr(optgen.torch, name)
    named = [("h.0.weight", Parameter(torch.randn(3, 2))), ("h.1.weight", Parameter(torch.randn(2)))]
    settings = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = cls(named, lr=0.05, weight_decay=0.1, **settings)  # type: ignore[arg-type, call-arg]
    steps = [{key: torch.randn_like(param) for key, param in named} for _ in range(4)]

    def run(grads: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        for grad in grads:
            for key, param in named:
                param.grad = grad[key].clone()
            optimizer.step()
        return {key: param.detach().clone() for key, param in named}

    params = run(steps[:2])
    saved = copy.deepcopy(optimizer.state_dict())
    return {"params": params, "optimizer": saved, "grads": steps[2:], "expected": run(steps[2:])}


if __name__ == "__main__":
    path = Path(__file__).parent / "golden" / f"{sys.argv[1]}.pt"
    if path.exists():
        sys.exit(f"{path} is there already")
    torch.save({name: written(name) for name in CLASSES}, path)
