"""Hand-written kernel modules, and numpy arrays bound to their tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from optgen.runtime.tables import Module, Tables, TensorInfo, load_module

KERNELS = Path(__file__).parent / "kernels"


@dataclass
class Model:
    """Tables of one module and the arrays they point to: arrays[slot][tensor], None for no gradient."""

    tables: Tables
    arrays: list[list[np.ndarray | None]]
    keep: list[object] = field(default_factory=list)

    def bind(self) -> None:
        active = np.array([g is not None for g in self.arrays[1]], dtype=bool)
        for slot, column in enumerate(self.arrays):
            for t, array in enumerate(column):
                self.tables.address[t, slot] = 0 if array is None else array.ctypes.data
                if array is not None:
                    contiguous = array.flags.c_contiguous
                    steps = tuple(s // array.itemsize for s in array.strides)
                    self.tables.set_layout(t, slot, None if contiguous else steps)
        self.tables.set_active(active)

    def step(self, number: int = 1, threads: int = 1, order_seed: int | None = None) -> None:
        self.bind()
        self.tables.run(number, threads=threads, order_seed=order_seed)


@pytest.fixture(scope="session")
def module() -> Callable[..., Module]:
    loaded: dict[str, Module] = {}

    def load(name: str, **changes: object) -> Module:
        if name not in loaded:
            loaded[name] = load_module(str(KERNELS / f"{name}.py"))
        made = loaded[name]
        return replace(made, manifest={**made.manifest, **changes})  # type: ignore[typeddict-item]

    return load


@pytest.fixture
def model(module: Callable[..., Module]) -> Callable[..., Model]:
    def make(
        name: str,
        arrays: Sequence[Sequence[np.ndarray | None]],
        *,
        players: Sequence[int] | None = None,
        roles: Sequence[str] | None = None,
        changes: dict[str, object] | None = None,
        **options: object,
    ) -> Model:
        params = arrays[0]
        infos = [
            TensorInfo(
                np.shape(p), players[t] if players else t, roles[t] if roles else "", 0.5, str(np.asarray(p).dtype)
            )
            for t, p in enumerate(params)
        ]
        tables = Tables([module(name, **(changes or {}))], infos, [0] * len(infos), **options)  # type: ignore[arg-type]
        return Model(tables, [list(column) for column in arrays])

    return make


def same_bits(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
    """Whether two lists of arrays are equal to the last bit."""
    return all(
        np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes() for x, y in zip(a, b, strict=True)
    )
