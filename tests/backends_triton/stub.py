"""A driver that stands for a GPU that is not here: kernels are specialised and compiled as for a launch, not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

from optgen.runtime.gpu_tables import GpuTables
from optgen.runtime.kernel_module import load_module
from optgen.runtime.tables import TensorInfo


class StubDriver(DriverBase):
    """What triton asks of a driver when it compiles."""

    def __init__(self) -> None:
        self.target = GPUTarget("cuda", 90, 32)

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return "void*" if ty.startswith("*") else "int64_t"

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None: ...

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_device_interface(self) -> Any:
        return torch.cpu

    def get_benchmarker(self) -> Callable[..., list[float]]:
        return lambda call, quantiles=None, **_: [0.0] * len(quantiles or (1,))

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        return torch.empty(0)

    def clear_cache(self, cache: object) -> None: ...


class Launched:
    """Kernels that are compiled, or only counted, instead of launched; and how often both would have happened."""

    def __init__(self, *, compiling: bool = True) -> None:
        self.launches: list[tuple[str, int]] = []
        self.compiles = 0
        self._compiling = compiling

    def wrap(self, name: str, kernel: Any) -> Any:
        """A kernel that only warms up."""
        seen: set[int] = set()

        class Warm:
            def __getitem__(_, grid: tuple[int, ...]) -> Callable[..., None]:
                def launch(*args: Any, **options: Any) -> None:
                    self.launches.append((name, grid[0]))
                    if not self._compiling:
                        return
                    made = kernel.warmup(*args, grid=grid, **options)
                    self.compiles += id(made) not in seen
                    seen.add(id(made))

                return launch

        return Warm()


def use_stub_driver() -> None:
    """From here on triton believes in a GPU. There is no way back where it finds none."""
    triton.runtime.driver.set_active(StubDriver())


def stubbed(path: str, shapes: list[tuple[int, ...]], launched: Launched) -> GpuTables:
    """Tables of a kernel file for tensors in layers of their own, on the CPU, whose launches go nowhere."""
    made = load_module(path)
    module = replace(made, kernels={name: launched.wrap(name, kernel) for name, kernel in made.kernels.items()})
    infos = [TensorInfo(shape, player, "w", 0.5, "float32") for player, shape in enumerate(shapes)]
    return GpuTables([module], infos, [0] * len(infos), torch.device("cpu"))


def give_memory(tables: GpuTables) -> list[torch.Tensor]:
    """Has the addresses of all slots but scratch name memory of zeros, which is to be kept."""
    kept: list[torch.Tensor] = []
    for t, info in enumerate(tables.infos):
        for column, slot in enumerate(tables._slots_of(t)):
            if slot["role"] != "scratch":
                kept.append(torch.zeros(info.shape, dtype=getattr(torch, slot["dtype"])))
                tables.address[t, column] = kept[-1].data_ptr()
    return kept
