"""`optgen cache`: what it counts, what it calls stale, and clearing it while other processes write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import optgen as package
from optgen import cached
from optgen.runtime import cache
from tests.cli.support import optgen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTGEN_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kernels(name: str, **versions: str) -> Path:
    """An entry as `modules.find` stores it, made by what is here unless versions say otherwise."""
    about = {"rule": name, "for": "numba", "made_by": {**cache.made_by("numba", "numba"), **versions}}
    return cache.store(cache.KERNELS, cache.key(name, about), "numba_float32.py", "x" * 1000, about)


def test_an_empty_cache(folder: Path) -> None:
    assert optgen("cache").stdout == f"{folder}: 0 entries (0 files, 0.0 MB)\n"
    assert "removed 0 entries" in optgen("cache", "--clear").stdout
    assert not folder.exists()


def test_entries_are_counted_by_what_made_them(folder: Path) -> None:
    kernels("a")
    kernels("b")
    kernels("a", optgen="0.0.1")
    kernels("a", numba="0.1")
    kernels("a", compiler="other files")
    (folder / "modules" / "before-there-were-notes").mkdir()
    (folder / "modules" / "before-there-were-notes" / "numba_float32.py").write_text("", encoding="utf-8")
    lines = optgen("cache").stdout.splitlines()
    assert lines[0] == f"{folder}: 6 entries (11 files, 0.0 MB)"
    found = {" ".join(line.split()[4:]): line.split()[1] for line in lines[2:-1]}
    ours, numba = cache.version("optgen"), cache.version("numba")
    assert found == {
        f"optgen {ours}, numba {numba} in use": "2",
        f"optgen {ours}, numba {numba} before an edit stale": "1",
        f"optgen 0.0.1, numba {numba} stale": "1",
        f"optgen {ours}, numba 0.1 stale": "1",
        "an unknown version stale": "1",
    }
    assert "--clear --stale" in lines[-1]


def test_clearing_removes_what_optgen_wrote_and_nothing_else(folder: Path) -> None:
    kernels("a")
    (folder / "classes" / "b").mkdir(parents=True)
    (folder / "classes" / "b" / "torch.py").write_text("", encoding="utf-8")
    (folder / "mine.txt").write_text("", encoding="utf-8")
    assert optgen("cache", "--clear").stdout.startswith("removed 2 entries (3 files, ")
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_clearing_what_is_stale_keeps_what_is_in_use(folder: Path) -> None:
    kept, gone = kernels("a"), kernels("a", optgen="0.0.1")
    assert optgen("cache", "--clear", "--stale").stdout.startswith("removed 1 entry (2 files, ")
    assert (kept.exists(), gone.exists()) == (True, False)
    assert optgen("cache", "--stale").exit_code == 2


def test_an_entry_that_cannot_be_removed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels("a")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cached.os, "rename", refuse)
    result = optgen("cache", "--clear")
    assert result.exit_code == 1
    assert "1 entry (2 files, 0.0 MB) could not be removed" in result.stderr
    assert "removed 0 entries" in result.stdout


_WRITER = """
import os, sys
from pathlib import Path
from optgen.runtime import cache
end = Path(sys.argv[1])
count = 0
while not end.exists():
    count += 1
    about = {"rule": "r", "count": count % 7, "by": os.getpid() % 2}
    path = cache.store(cache.KERNELS, cache.key("r", about), "k.py", "whole" * 1000, about)
    try:
        assert path.read_text() == "whole" * 1000, "half a file"
    except FileNotFoundError:
        pass
print(count)
"""


def test_clearing_disturbs_no_writer(folder: Path, tmp_path: Path) -> None:
    end = tmp_path / "end"
    command = [sys.executable, "-W", "error", "-c", _WRITER, str(end)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        removed = 0
        while removed < 30:
            found = cached.entries()
            assert cached.remove(found) == []
            removed += len(found)
    finally:
        end.write_text("", encoding="utf-8")
        done = [writer.communicate(timeout=60) for writer in writers]
    assert [err for _, err in done] == ["", ""]
    assert sum(int(out) for out, _ in done) >= removed  # one of them may have begun too late to write
    assert not [path for path in folder.rglob("*") if path.name.startswith("trash")]


def test_a_class_says_what_made_it(folder: Path) -> None:
    pytest.importorskip("torch")
    package.compile("lion")
    (entry,) = cached.entries()
    about = json.loads((entry.path / cache.ABOUT).read_text(encoding="utf-8"))
    assert about["rule"] == "lion"
    assert (entry.kind, entry.stale, entry.made_by) == ("class", False, f"optgen {package.__version__}")
