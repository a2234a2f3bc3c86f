"""What is written for JAX: folders that import by themselves, StableHLO that verifies, text that cannot break out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from jax.interpreters import mlir
from jaxlib.mlir import ir

from optgen import compiler
from optgen.cli import cli
from optgen.spec.loader import load, loads, shipped


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output


def test_the_shipped_factories_need_no_compiler() -> None:
    program = (
        "import sys\n"
        "for name in ('xdsl', 'sympy', 'torch', 'numba', 'ruamel'): sys.modules[name] = None\n"
        "import jax.numpy as jnp\nfrom optgen.jax import adamw\n"
        "p = {'w': jnp.ones(3)}\ntx = adamw()\nprint(tx.apply(p, tx.init(p), p)[0]['w'][0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    code, out = run("build", "lion", "--backend", "xla", "--out", str(tmp_path))
    assert code == 0, out
    made = {"xla.py", "jax.py", "keras_ops.py", "keras.py"}
    assert {path.name for path in (tmp_path / "lion").iterdir()} == {"__init__.py", "py.typed", *made}
    program = (
        "import jax.numpy as jnp\nfrom lion.jax import lion\np = {'w': jnp.ones(3)}\n"
        "print(lion(0.5).apply(p, lion().init(p), p)[0]['w'])\ntry: lion(maximize=True)\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.5" in done.stdout
    assert "optgen build lion --backend xla --framework jax" in done.stdout


@pytest.mark.parametrize("name", ["adamw", "neat"])
def test_stablehlo_verifies(name: str) -> None:
    code, text = run("build", name, "--backend", "xla", "--emit", "stablehlo", "--dtype", "float32")
    assert code == 0, text
    with mlir.make_ir_context():
        module = ir.Module.parse(text)
        assert module.operation.verify()
    assert "stablehlo.multiply" in text
    assert "tf.aliasing_output" in text
    assert "f64" not in text


@pytest.mark.parametrize("name", shipped())
def test_text_is_the_same_every_time(name: str) -> None:
    spec = load(name)
    assert compiler.program_source(spec, {}, "xla") == compiler.program_source(spec, {}, "xla")


def test_a_rule_cannot_leave_its_comment() -> None:
    title = 'x\\"\\"\\" import os'
    text = f'optgen: 1\nname: sly\ntitle: "{title}"\nhyper: {{lr: {{default: 0.1}}}}\nupdate: param = param - lr*g'
    compile(compiler.program_source(loads(text), {}, "xla"), "sly", "exec")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "adamw", "--backend", "numba", "--emit", "stablehlo"), "--backend xla does"),
        (("build", "adamw", "--backend", "xla", "--framework", "torch"), "does not serve torch: add --backend numba"),
        (("build", "adamw", "--backend", "numba", "--framework", "jax"), "does not serve jax: add --backend xla"),
        (("build", "adamw", "--backend", "xla", "--emit", "kernel-ir"), "takes whole arrays"),
        (("verify", "adamw", "--backend", "xla"), "name another backend"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...], words: str) -> None:
    code, out = run(*arguments)
    assert code == 1
    assert words in out
