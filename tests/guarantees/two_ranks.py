"""One of two processes that train alike and save together: `python -m tests.guarantees.two_ranks RANK FOLDER RULE...`.

Every rank has half of the gradients. Torch's distributed checkpoint writes each tensor from one of the ranks only, so
that what a rank reads back is partly the other one's.
"""

from __future__ import annotations

import sys
import warnings
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from optgen.runtime.torch_optimizer import Optimizer
from tests.guarantees import shelf
from tests.guarantees.test_a20_whole_state import Model

#: After which a rank whose peer has failed gives up.
LIMIT = timedelta(seconds=120)


def train(net: Model, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        shelf.gradients(list(net.named_parameters()), 2 * step + dist.get_rank())
        for param in net.parameters():
            dist.all_reduce(param.grad)
        optimizer.step(**shelf.inputs(optimizer.RULE, step))


def check(cls: type[Optimizer], folder: Path) -> None:
    """Saved after two steps and read by fresh optimizers on both ranks, training goes on as if nothing had been."""
    net, other = Model(), Model(seed=1)
    optimizer, again = (shelf.make(cls, list(m.named_parameters()), backend="reference") for m in (net, other))
    train(net, optimizer, range(2))
    weights, state = get_state_dict(net, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder)
    assert {path.name for path in folder.glob("*.distcp")} == {"__0_0.distcp", "__1_0.distcp"}
    weights, state = get_state_dict(other, again)
    found = {"model": weights, "optimizer": state}
    dcp.load(found, checkpoint_id=folder)
    set_state_dict(other, again, model_state_dict=found["model"], optim_state_dict=found["optimizer"])
    both = ((net, optimizer), (other, again))
    for steps in (range(0), range(2, 4)):
        for each in both:
            train(*each, steps)
        held = [shelf.everything(list(m.named_parameters()), o) for m, o in both]
        assert shelf.difference(*held) == [], cls.__name__


def main() -> None:
    rank, folder, *names = sys.argv[1:]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=int(rank), world_size=2, timeout=LIMIT)
    for cls in shelf.CLASSES:
        if cls.__name__ in names:
            check(cls, Path(folder) / cls.__name__)
    dist.destroy_process_group()
    print("equal")


if __name__ == "__main__":
    main()
