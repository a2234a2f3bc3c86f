"""What is no state, or not this optimizer's: an error that names what is wrong, and nothing changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import optgen.jax
import optgen.torch
from optgen import saved_state as states
from optgen.errors import StateError, UsageError
from optgen.runtime import neutral_file
from tests.cli.support import optgen as command
from tests.state.support import Jax, Torch, bits, start

pytestmark = pytest.mark.filterwarnings("ignore:.*order of layers.*")

SMALL = {"a.w": (3, 2), "b.w": (4,)}


@pytest.fixture
def made(rng: np.random.Generator) -> Torch:
    found = Torch("adamw", start(rng, SMALL), torch.float32)
    found.step(start(rng, SMALL))
    return found


@pytest.fixture
def path(made: Torch, tmp_path: Path) -> Path:
    optgen.torch.save_state(tmp_path / "run.safetensors", made.optimizer)
    return tmp_path / "run.safetensors"


def described(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A file with another description."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"][neutral_file.KEY])
    change(about)
    header["__metadata__"][neutral_file.KEY] = json.dumps(about)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda x: x[:-5], "not a whole safetensors file"),
    "empty": (lambda x: b"", "not a whole safetensors file"),
    "no header": (lambda x: x[:7], "not a whole safetensors file"),
    "noise": (lambda x: bytes(range(256)), "not a whole safetensors file"),
    "a bit": (lambda x: x[:-1] + bytes([x[-1] ^ 1]), "is not what was written"),
    "version": (lambda x: described(x, lambda a: a.update(version=99)), "has version 99 of its form"),
    "format": (lambda x: described(x, lambda a: a.update(format="else")), "its format is not"),
    "count": (lambda x: described(x, lambda a: a.update(global_step=-1)), "global_step is -1"),
    "lacks": (lambda x: described(x, lambda a: a.pop("groups")), "lacks or garbles 'groups'"),
    "group": (lambda x: described(x, lambda a: a.update(groups=[])), "is of group 0, and there are 0"),
    "slot": (lambda x: described(x, lambda a: a["parameters"][0]["state"].append("w")), "lacks or garbles 'w:a.w'"),
    "a rule": (lambda x: described(x, lambda a: a["rule"].update(name="lion")), "the state of lion"),
    "a text": (lambda x: described(x, lambda a: a["slots"]["m"].update(extent="row")), "written by another text"),
    "a hyper": (lambda x: described(x, lambda a: a["groups"][0]["hypers"].pop("eps")), "says nothing of eps"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage(what: str, path: Path, made: Torch) -> None:
    change, words = DAMAGE[what]
    path.write_bytes(change(path.read_bytes()))
    before = bits(made.saved())
    with pytest.raises(StateError, match=words):
        optgen.torch.load_state(path, made.optimizer)
    assert bits(made.saved()) == before


@pytest.mark.parametrize(
    ("shapes", "how", "words"),
    [
        ({"a.w": (3, 2)}, {}, r'of another model: it has "b\.w"'),
        ({**SMALL, "c.w": (2,)}, {}, r'has no parameter "c\.w"'),
        ({"a.v": (3, 2), "b.w": (4,)}, {}, r'no parameter "a\.v"\. did you mean "a\.w"\?.*names='),
        ({"a.w": (2, 3), "b.w": (4,)}, {}, r"for the shape \(3, 2\).*is \(2, 3\).*transpose="),
        (SMALL, {"transpose": {"a.w": True}}, r"for the shape \(2, 3\)"),
        (SMALL, {"transpose": {"b.w": True}}, "has 1 axes"),
        (SMALL, {"transpose": {"z.w": True}}, 'transpose names "z.w"'),
        (SMALL, {"names": {"z": "a"}}, 'names has "z"'),
        (SMALL, {"names": {"*.w": "x"}}, 'two parameters would be called "x"'),
    ],
)
def test_another_model(
    path: Path, rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], how: dict[str, Any], words: str
) -> None:
    other, there = Torch("adamw", start(rng, shapes), torch.float32), Jax("adamw", start(rng, shapes), "float32")
    before = bits(other.saved())
    with pytest.raises((StateError, UsageError), match=words):
        optgen.torch.load_state(path, other.optimizer, **how)
    assert bits(other.saved()) == before
    with pytest.raises((StateError, UsageError)):
        there.load(path, **how)


def test_other_choices(path: Path, rng: np.random.Generator) -> None:
    there = Jax("adamw", start(rng, SMALL), "float32", amsgrad=True)
    with pytest.raises(StateError, match=r'"a\.w" was written with amsgrad=False, and this transformation has True'):
        there.load(path)
    other = Jax("adamw", start(rng, SMALL), "float32", lr=0.5)
    with pytest.warns(UserWarning, match=r"lr was 0\.00125 and is 0\.5"):
        other.load(path)


def test_other_layers(rng: np.random.Generator) -> None:
    shapes = {"h.0.w": (3, 2), "h.1.w": (3, 2), "h.2.w": (3, 2)}
    made, values = Torch("neat", start(rng, shapes)), start(rng, shapes)
    apart = Torch("neat", values, players=["x", "x", "y"])
    with pytest.raises(StateError, match=r'the layer "x" on one side is h\.0 and h\.1 on the other'):
        optgen.torch.load_state(made.saved(), apart.optimizer)
    joined = Torch("neat", values, edges=[("h.0", "h.2"), ("h.1", "h.2")])
    with pytest.raises(StateError, match="joined otherwise"):
        optgen.torch.load_state(made.saved(), joined.optimizer)
    again = Torch("neat", values, edges=[("h.0", "h.2"), ("h.1", "h.2")])
    optgen.torch.load_state(joined.saved(), again.optimizer)
    other = Torch("neat", values, laplacian="random_walk")
    with pytest.raises(StateError, match='laplacian="combinatorial"'):
        optgen.torch.load_state(made.saved(), other.optimizer)


def test_what_a_file_cannot_hold_leaves_the_old_one(path: Path, made: Torch) -> None:
    before = path.read_bytes()
    made.optimizer.param_groups[0]["name"] = object()
    with pytest.raises(UsageError, match="group 0 has name="):
        optgen.torch.save_state(path, made.optimizer)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_without_safetensors(path: Path, made: Torch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"pip install \"optgen\[state\]\""):
        optgen.torch.save_state(path, made.optimizer)
    with pytest.raises(UsageError, match=r"optgen\[state\]"):
        states.read(path)


def test_inside_jit(rng: np.random.Generator) -> None:
    import jax

    there = Jax("lion", start(rng, SMALL), "float32")
    with pytest.raises(UsageError, match="outside jit"):
        jax.jit(lambda state: bool(optgen.jax.state_of(there.transformation, state, there.params)))(there.state)
    with pytest.raises(UsageError, match=r"factory of optgen\.jax"):
        optgen.jax.state_of(object(), there.state, there.params)  # type: ignore[arg-type]


# --- the command


def test_from_torch_and_back_by_the_command(made: Torch, tmp_path: Path, rng: np.random.Generator) -> None:
    first, second, third, last = (tmp_path / name for name in ("a.pt", "b.safetensors", "c.safetensors", "d.pt"))
    optgen.torch.save_checkpoint(first, optimizer=made.optimizer, epoch=3)
    done = command(
        "state", "convert", first, second, "--to", "jax", "--rename", "*.w=*.kernel", "--transpose", "a.kernel"
    )
    assert "adamw after 1 steps, 2 parameters, for jax" in done.output
    shown = command("state", "show", second).output
    assert "a/kernel" in shown
    assert "2x3" in shown
    assert "lr = 0.00125" in shown
    assert json.loads(command("state", "show", second, "--json").output)["global_step"] == 1
    command("state", "convert", second, third, "--to", "neutral")
    command(
        *("state", "convert", third, last, "--to", "torch"),
        *("--rename", "*/kernel=*.w", "--transpose", "a.w=1,0"),
    )
    again = Torch("adamw", start(rng, SMALL), torch.float32)
    again.optimizer.load_state_dict(torch.load(last, weights_only=True))
    assert bits(again.saved()) == bits(made.saved())


def test_what_the_command_refuses(path: Path, tmp_path: Path) -> None:
    def said(*words: str | Path) -> tuple[int, str]:
        done = command("state", *words)
        assert "Traceback" not in done.output
        return done.exit_code, done.output

    other, out = tmp_path / "other.pt", tmp_path / "out"
    torch.save(torch.optim.Adam([Parameter(torch.zeros(2))]).state_dict(), other)
    torch.save({"x": 1}, tmp_path / "none.pt")
    (tmp_path / "text").write_text("no state at all", encoding="utf-8")
    for words, code, text in (
        (("show", tmp_path / "none"), 1, "there is no file"),
        (("show", tmp_path / "text"), 1, "neither a safetensors file nor one of torch's"),
        (("show", tmp_path / "none.pt"), 1, "no optimizer of ours"),
        (("show", other), 1, "none of ours"),
        (("convert", path, out), 2, "--to"),
        (("convert", path, out, "--to", "mars"), 2, "mars"),
        (("convert", path, out, "--to", "jax", "--rename", "a"), 2, "OLD=NEW"),
        (("convert", path, out, "--to", "jax", "--rename", "q=r"), 1, 'names has "q"'),
        (("convert", path, out, "--to", "jax", "--transpose", "a.w=x"), 2, "NAME=AXES"),
        (("convert", path, out, "--to", "torch", "--rule", "lion"), 1, "is the rule lion"),
    ):
        assert (code, True) == (lambda got: (got[0], text in got[1]))(said(*words)), (words, said(*words))
    assert not out.exists()
