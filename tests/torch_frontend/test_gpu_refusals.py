"""What a GPU, or its lack, cannot serve: said when an optimizer is made, with what is missing and what would do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import optgen
from optgen.errors import BackendError, GradientError
from optgen.runtime import gpu_device, modules
from optgen.runtime.torch_optimizer import Optimizer
from optgen.spec.loader import shipped
from tests.torch_frontend.fake_cuda import fake_cuda

CPU = torch.device("cpu")


@cache
def made(rule: str) -> type[Optimizer]:
    return optgen.compile(rule, backend="triton")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors on "cuda", whose kernels are queued nowhere."""
    check = gpu_device.check
    with warnings.catch_warnings(), fake_cuda(monkeypatch):
        warnings.filterwarnings("ignore", message=".*data pointer of FakeTensor")
        warnings.filterwarnings("ignore", message=".*works on layers")
        monkeypatch.setattr(gpu_device, "check", check)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Something")
        monkeypatch.setattr(gpu_device, "driver_version", lambda: 13000)
        yield


def param(device: str = "cuda", **given: Any) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.empty(3, 4, device=device, **given), requires_grad=False)


@pytest.mark.parametrize("rule", ["adamw", "neat"])
def test_triton_on_the_cpu_is_refused_not_replaced(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for built, words in (
        (False, "is built without CUDA"),
        (True, "finds no GPU: Found no NVIDIA driver on your system"),
    ):

        def init() -> None:
            raise RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU.")

        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda built=built: built)
        monkeypatch.setattr(torch.cuda, "init", init)
        with pytest.raises(BackendError) as found:
            made(rule)([param("cpu")], backend="triton")
        assert '"triton" serves the device "cuda", not "cpu"; "numba" or "reference" would.' in str(found.value)
        assert words in str(found.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(BackendError, match="Or move the model to the GPU"):
        made(rule)([param("cpu")], backend="triton")


@pytest.mark.usefixtures("gpu")
def test_what_is_there_serves() -> None:
    optimizer = made("adamw")([param()])
    assert optimizer.describe.__self__._binding.plan.backend == "triton"


@pytest.mark.usefixtures("gpu")
def test_an_old_processor_or_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_device, "driver_version", lambda: 11040)
    with pytest.raises(BackendError, match=r"driver of cuda:0 is of CUDA 11\.4, and kernels need 12\.0"):
        made("adamw")([param()])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(BackendError, match=r"Something of compute capability 7\.5; kernels need 8\.0"):
        made("adamw")([param()])


@pytest.mark.usefixtures("gpu")
def test_a_missing_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_has_package", lambda name: name == "numba")
    for backend in (None, "triton"):
        with pytest.raises(BackendError, match="needs the package triton: pip install triton, or move the model"):
            made("adamw")([param()], backend=backend)


@pytest.mark.usefixtures("gpu")
def test_the_interpreter_and_the_cpu_do_not_read_a_gpu() -> None:
    with pytest.raises(BackendError, match=r'"reference" interprets on the CPU .* "triton".* would serve, or move'):
        made("adamw")([param()], backend="reference")
    with pytest.raises(BackendError, match=r'"numba" serves the device "cpu", not "cuda"; "triton".* would. Or move'):
        made("adamw")([param()], backend="numba")


@pytest.mark.usefixtures("gpu")
def test_devices_that_are_mixed() -> None:
    """Within one layer, or in a rule that couples its whole model, and between kinds of devices."""
    names = {cls.RULE.reach: cls for cls in map(made, shipped()[::-1])}
    split = [("h.0.w", param("cuda:0")), ("h.0.b", param("cuda:1")), ("h.1.w", param("cuda:1"))]
    for reach in ("layer", "model"):
        if reach in names:
            with pytest.raises(BackendError, match=r"h\.0\.w is on cuda:0 and h\.0\.b on cuda:1, and \w+ couples"):
                names[reach](split)
    with pytest.raises(BackendError, match=r"h\.0\.w is on cuda:0 and h\.0\.b on cpu: one backend serves all"):
        made("adamw")([("h.0.w", param("cuda:0")), ("h.0.b", param("cpu"))])
    if "layer" in names:  # layers are not coupled with one another
        whole = [("h.0.w", param("cuda:0")), ("h.0.b", param("cuda:0")), ("h.1.w", param("cuda:1"))]
        assert len(names["layer"](whole)._binding.gpus) == 2  # type: ignore[union-attr]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("dtype", "match"), [(torch.int32, "is torch.int32"), (torch.complex64, "is complex")])
def test_parameters_without_real_numbers(dtype: torch.dtype, match: str) -> None:
    with pytest.raises(GradientError, match=f"w {match}"):
        made("adamw")([("w", param(dtype=dtype))])


@pytest.mark.usefixtures("gpu")
def test_a_driver_that_triton_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without one, as this may be; triton looks anew, whatever stood for a driver before."""
    import triton

    from optgen.runtime import triton_launch

    if torch.cuda.is_available():
        pytest.skip("there is a driver here")
    monkeypatch.setattr(triton.runtime, "driver", type(triton.runtime.driver)())
    with pytest.raises(BackendError, match=r"triton cannot launch kernels here: .* move the model to the CPU"):
        triton_launch.check()
