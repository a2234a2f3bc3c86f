"""The command line on numba-cuda: building needs no GPU, and what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optgen.errors import BackendError
from optgen_numba import gpu_offline
from tests.cli.support import optgen

pytest.importorskip("numba_cuda")


def test_a_folder_is_built_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = optgen("build", "lion", "--backend", "numba-cuda", "--dtype", "bfloat16")
    assert result.exit_code == 0, result.output
    source = (tmp_path / "optgen_out/lion/numba_cuda_bfloat16.py").read_text(encoding="utf-8")
    assert "def sweep_1(ctx_at):" in source
    assert "--backend numba-cuda" in source
    assert (
        source.split("MANIFEST")[0]
        == optgen("build", "lion", "--backend", "numba-cuda", "--dtype", "bfloat16", "--emit", "source").stdout.split(
            "MANIFEST"
        )[0]
    )


def test_it_is_listed_and_examined() -> None:
    assert "numba-cuda" in json.loads(optgen("list", "--json").stdout)[0]["backends"]
    (line,) = [line for line in optgen("doctor").stdout.splitlines() if line.startswith("numba-cuda ")]
    assert "ready" in line


def test_what_compiling_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_offline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r'pip install "optgen\[numba-cuda\]"'):
        gpu_offline.compile_kernels("", "sm_90")
    with pytest.raises(BackendError, match='there is no target "sm_91"'):
        gpu_offline.compile_kernels("", "sm_91")
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    with pytest.raises(BackendError, match="unset it"):
        gpu_offline.compile_kernels("", "sm_90")


def test_no_gpu_is_said() -> None:
    """An optimizer that is asked for it by name never runs elsewhere."""
    import torch

    import optgen

    made = optgen.compile("lion", backend="numba-cuda")
    with pytest.raises(BackendError, match='"numba-cuda" serves the device "cuda", not "cpu"; "numba"'):
        made([torch.nn.Parameter(torch.zeros(3))], backend="numba-cuda")
