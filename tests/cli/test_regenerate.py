"""`tools/regenerate.py`: what it writes, and what its check sees."""

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The tool, writing to a folder of its own."""
    found = importlib.util.spec_from_file_location("regenerate", ROOT / "tools" / "regenerate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path / "optgen_generated")
    return module


def test_what_is_checked_in_is_what_the_specs_make(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "FOLDER", ROOT / "generated" / "optgen_generated")
    assert tool.summary(tool.texts(), tool.present()) == []


def test_the_manifest_holds_the_hash_of_every_file(tool: ModuleType) -> None:
    made = tool.texts()
    lines = [line.split() for line in made["MANIFEST"].splitlines() if not line.startswith("#")]
    hashes = {(rule, what): digest for rule, what, digest in lines}
    rules = {path.stem for path in (ROOT / "specs").glob("*.yaml")}
    assert {rule for rule, _ in hashes} == rules
    for rule in rules:
        assert (rule, "spec") in hashes
        for what in ("numba_float32", "numba_float64", "torch"):
            assert hashes[rule, what] == hashlib.sha256(made[f"{rule}/{what}.py"].encode()).hexdigest()


def test_differences_are_summed_up_and_mended(tool: ModuleType) -> None:
    made = tool.texts()
    assert "missing: MANIFEST" in tool.summary(made, tool.present() if tool.FOLDER.exists() else {})
    tool.write(made, {})
    assert tool.summary(made, tool.present()) == []
    (tool.FOLDER / "lion" / "torch.py").write_text("# edited\n", encoding="utf-8")
    (tool.FOLDER / "gone").mkdir()
    (tool.FOLDER / "gone" / "torch.py").write_text("", encoding="utf-8")
    (tool.FOLDER / "py.typed").unlink()
    found = tool.summary(made, tool.present())
    assert "differs: lion/torch.py" in found
    assert "not generated any more: gone/torch.py" in found
    assert "missing: py.typed" in found
    assert len(found) < 40
    tool.write(made, tool.present())
    assert tool.summary(made, tool.present()) == []
    assert not (tool.FOLDER / "gone").exists()


def test_the_generated_text_names_no_machine(tool: ModuleType) -> None:
    assert not [path for path, text in tool.texts().items() if str(ROOT) in text]
