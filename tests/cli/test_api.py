"""`optgen.load` and `optgen.compile`."""

import inspect
import pickle
from pathlib import Path

import pytest
import torch

import optgen
from optgen.errors import BackendError, SpecError, UsageError
from optgen.runtime import cache as folders
from tests.cli.support import RULE, write_rule


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(folder))
    return folder


def parameter() -> torch.nn.Parameter:
    found = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    found.grad = torch.tensor([0.5, 0.25])
    return found


@pytest.mark.slow
def test_a_rule_from_a_file_steps(tmp_path: Path) -> None:
    cls = optgen.compile(optgen.load(write_rule(tmp_path)), framework="torch", backend="numba")
    assert issubclass(cls, torch.optim.Optimizer)
    param = parameter()
    cls([param], lr=0.5).step()
    assert param.tolist() == [0.75, -2.125]


@pytest.mark.slow
def test_other_choices_are_compiled_when_asked_for_even_if_the_file_is_gone(tmp_path: Path) -> None:
    path = write_rule(tmp_path)
    cls = optgen.compile(path)
    path.unlink()
    param = parameter()
    cls([param], lr=0.5, style="signed").step()
    assert param.tolist() == [0.5, -2.5]


def test_the_same_text_gives_the_same_class_and_another_text_another(tmp_path: Path) -> None:
    first = optgen.compile(write_rule(tmp_path), backend="numba")
    assert optgen.compile(write_rule(tmp_path), backend="numba") is first
    assert pickle.loads(pickle.dumps(first)) is first
    assert optgen.compile(write_rule(tmp_path, RULE.replace("1.0e-2", "0.5"))) is not first


def test_the_class_shows_its_arguments_and_documentation(tmp_path: Path) -> None:
    for backend in (None, "numba"):
        cls = optgen.compile(write_rule(tmp_path), backend=backend)
        signature = inspect.signature(cls)
        assert list(signature.parameters)[:2] == ["params", "lr"]
        assert signature.parameters["backend"].default == backend
        assert cls.__name__ == "Drifter"
        assert "may drift" in str(cls.__doc__)


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(folders, "_temporary", [])
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        made = optgen.compile(write_rule(tmp_path, RULE + "# elsewhere\n"))
    assert made.__name__ == "Drifter"


def test_what_cannot_be_served_is_refused_at_once(tmp_path: Path) -> None:
    path = write_rule(tmp_path)
    with pytest.raises(BackendError, match="not installed"):
        optgen.compile(path, backend="vulkan")
    with pytest.raises(UsageError, match="no front end"):
        optgen.compile(path, framework="mxnet")
    with pytest.raises(SpecError, match="not built yet"):
        optgen.compile(write_rule(tmp_path, RULE.replace("d = g\n", "d = matmul(g, g)\n")))
