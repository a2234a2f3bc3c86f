"""Where kernels come from: the folder, the cache, the compiler; and what is said where none has them."""

from __future__ import annotations

import shutil
import sys
import types
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import optgen
from optgen import cached
from optgen.errors import BackendError
from optgen.runtime import cache, modules
from optgen.runtime.rule_info import RuleInfo
from optgen.runtime.torch_optimizer import Optimizer
from optgen.torch import AdamW

OptimizerType = type[Optimizer]


class FakeCompiler(types.ModuleType):
    """Gives the hand-written kernels as if it had compiled them, and counts."""

    def __init__(self, rule: RuleInfo) -> None:
        super().__init__("optgen.compiler")
        self.rule = rule
        self.asked: list[tuple[Mapping[str, Any], str]] = []

    def load(self, origin: str) -> RuleInfo:
        assert origin == "walker.yaml"
        return self.rule

    def kernel_module(self, spec: RuleInfo, hypers: Mapping[str, Any], dtype: str, backend: str) -> tuple[None, str]:
        self.asked.append((hypers, dtype))
        settled = spec.settled(hypers, hypers["maximize"])
        return None, (Path(spec.folder) / modules.file_name(spec, settled, dtype, backend)).read_text()


@pytest.fixture
def compiled(
    walker: OptimizerType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[OptimizerType, FakeCompiler]:
    """The first rule without kernels beside it, a compiler that has them, and an empty cache."""
    compiler = FakeCompiler(walker.RULE)
    monkeypatch.setitem(sys.modules, "optgen.compiler", compiler)
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_temporary", [])
    bare = type("Bare", (walker,), {"RULE": replace(walker.RULE, folder=str(tmp_path), origin="walker.yaml")})
    return bare, compiler


def take_a_step(cls: OptimizerType, **arguments: Any) -> Optimizer:
    p = Parameter(torch.ones(3))
    optimizer = cls([p], lr=0.1, **arguments)
    p.grad = torch.ones(3)
    optimizer.step()
    return optimizer


def test_compiled_once_then_cached(compiled: tuple[OptimizerType, FakeCompiler], tmp_path: Path) -> None:
    cls, compiler = compiled
    module = take_a_step(cls).describe()[0].module
    assert Path(module).is_relative_to(tmp_path / "cache" / "modules")
    take_a_step(cls, betas=(0.5, 0.6))
    modules._loaded_modules.clear()
    take_a_step(cls)
    assert [(asked["maximize"], dtype) for asked, dtype in compiler.asked] == [(False, "float32")]
    take_a_step(cls, maximize=True)
    assert [asked["maximize"] for asked, _ in compiler.asked] == [False, True]
    modules._loaded_modules.clear()
    assert len(cached.entries()) == 2
    assert cached.remove(cached.entries()) == []
    take_a_step(cls)
    assert len(compiler.asked) == 3


def test_a_rule_that_ships_is_compiled_where_it_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kernels of the same text as those that ship are those: machine code is made of them once."""
    shipped = Path(take_a_step(AdamW).describe()[0].module)
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path))
    cls = optgen.compile("adamw")
    built = Path(cls.RULE.folder) / shipped.name
    assert built != shipped
    assert Path(take_a_step(cls).describe()[0].module) == shipped
    built.write_text(built.read_text(encoding="utf-8") + "# another text\n", encoding="utf-8")
    assert Path(take_a_step(cls).describe()[0].module) == built


def test_no_number_compiles_again(compiled: tuple[OptimizerType, FakeCompiler]) -> None:
    cls, compiler = compiled
    optimizer = take_a_step(cls)
    for step in range(1, 50):
        optimizer.param_groups[0].update(lr=0.1 / step, betas=(0.9 - step / 100, 0.99), eps=1e-8 * step)
        optimizer.step()
    assert len(compiler.asked) == 1


@pytest.mark.filterwarnings("error")
def test_a_cache_that_cannot_be_written(
    compiled: tuple[OptimizerType, FakeCompiler], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cls, _ = compiled
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(blocked))
    with pytest.warns(RuntimeWarning, match="cannot be written .*Set OPTGEN_CACHE_DIR") as caught:
        module = Path(take_a_step(cls).describe()[0].module)
    take_a_step(cls, maximize=True)
    assert len(caught) == 1
    assert module.is_file()
    assert not module.is_relative_to(blocked)
    shutil.rmtree(module.parent)


def test_nowhere_to_write(
    compiled: tuple[OptimizerType, FakeCompiler], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory")

    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path / "a file"))
    monkeypatch.setattr(cache.tempfile, "mkdtemp", refuse)
    with pytest.raises(BackendError, match=r"nor a temporary folder can be written.*set OPTGEN_CACHE_DIR"):
        take_a_step(compiled[0])


def test_a_cache_that_is_cleared_while_kernels_are_looked_for(
    compiled: tuple[OptimizerType, FakeCompiler], monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, compiler = compiled
    take_a_step(cls)
    modules._loaded_modules.clear()
    load, cleared = modules.load_module, []

    def load_too_late(path: str) -> modules.Module:
        if not cleared:
            cleared.append(cached.remove(cached.entries()))
        return load(path)

    monkeypatch.setattr(modules, "load_module", load_too_late)
    take_a_step(cls)
    assert cleared == [[]]
    assert len(compiler.asked) == 2


def test_the_folder_comes_first(walker: OptimizerType) -> None:
    assert Path(take_a_step(walker).describe()[0].module).parent == Path(walker.RULE.folder)


def test_a_folder_without_the_kernels_says_how_to_build_them(walker: OptimizerType, tmp_path: Path) -> None:
    bare = type("Bare", (walker,), {"RULE": replace(walker.RULE, folder=str(tmp_path))})
    with pytest.raises(BackendError, match="optgen build walker --backend numba --framework torch") as caught:
        bare([Parameter(torch.ones(1))])
    assert "float32" in str(caught.value)


def test_a_changed_rule_text_is_noticed(compiled: tuple[OptimizerType, FakeCompiler]) -> None:
    cls, compiler = compiled
    compiler.rule = replace(compiler.rule, digest="another")
    with pytest.raises(BackendError, match="has changed since"):
        take_a_step(cls)


def test_kernels_of_another_text_in_the_folder_are_not_used(walker: OptimizerType) -> None:
    stale = type("Stale", (walker,), {"RULE": replace(walker.RULE, digest="another")})
    with pytest.raises(BackendError, match="holds no numba kernels"):
        stale([Parameter(torch.ones(1))])


def test_kernels_of_another_interface(walker: OptimizerType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules.abi, "VERSION", 99)
    with pytest.raises(BackendError, match="was built for interface 1, this is 99"):
        walker([Parameter(torch.ones(1))])


def test_default_choices_have_the_plain_file_name(walker: OptimizerType) -> None:
    assert modules.file_name(walker.RULE, {"maximize": False}, "float32", "numba") == "numba_float32.py"
    other = modules.file_name(walker.RULE, {"maximize": True}, "float32", "numba")
    assert other.startswith("numba_float32_")
    assert other.endswith(".py")
