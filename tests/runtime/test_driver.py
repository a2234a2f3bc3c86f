"""The driver against plain numpy: extents, strides, missing gradients, orders, threads."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable

import numpy as np
import pytest

from optgen.errors import StateError
from optgen.runtime import layout
from optgen.runtime.abi import SEGMENT
from optgen.runtime.pool import _borrow, _idle

from .conftest import Model, same_bits  # pyright: ignore

Make = Callable[..., Model]

SHAPES = [
    (),
    (0,),
    (1,),
    (SEGMENT - 1,),
    (SEGMENT + 1,),
    (SEGMENT,),
    (3, 0, 2),
    (17, 33),
    (2, 3, 4, 5),
    (70_000,),
    (512, 600),
]
HYPERS = [1e-2, 0.9, 0.99, 1e-8, 0.1]


def arrays(
    shapes: list[tuple[int, ...]], slots: int, dtype: type = np.float32, seed: int = 0
) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[np.asarray(rng.standard_normal(shape), dtype=dtype) for shape in shapes] for _ in range(slots)]


def adaptive_state(shapes: list[tuple[int, ...]], seed: int = 0) -> list[list[np.ndarray]]:
    p, g, m, v = arrays(shapes, 4, seed=seed)
    return [p, g, m, [np.asarray(np.square(x)) for x in v], [np.zeros((), np.float32) for _ in shapes]]


def adaptive_reference(state: list[list[np.ndarray]], count: int) -> list[list[np.ndarray]]:
    p, g, m, v = [[x.astype(np.float64) for x in column] for column in state[:4]]
    lr, beta1, beta2, eps, decay = HYPERS
    m = [beta1 * a + (1 - beta1) * b for a, b in zip(m, g, strict=True)]
    v = [beta2 * a + (1 - beta2) * b * b for a, b in zip(v, g, strict=True)]
    p = [
        (1 - lr * decay) * x - lr / (1 - beta1**count) * a / (np.sqrt(b / (1 - beta2**count)) + eps)
        for x, a, b in zip(p, m, v, strict=True)
    ]
    return [p, m, v]


def close(found: list[np.ndarray], wanted: list[np.ndarray], tolerance: float = 1e-5) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_sweep(model: Make, threads: int) -> None:
    state = adaptive_state(SHAPES)
    wanted = adaptive_reference(state, 1)
    made = model("adaptive", state)
    made.tables.hyper[:] = HYPERS
    made.step(threads=threads)
    for slot, want in zip((0, 2, 3), wanted, strict=True):
        close(made.arrays[slot], want)
    assert all(count == 1 for count in made.arrays[4])
    assert made.tables.calls() == (1 if threads == 1 else 4)
    assert made.tables.variant_names() == ["all"] * len(SHAPES)


def test_no_tensors_and_no_gradients(model: Make) -> None:
    made = model("adaptive", [[], [], [], [], []])
    made.step()
    made = model("adaptive", [[np.ones(3, np.float32)], [None], *adaptive_state([(3,)])[2:]])
    made.step()
    assert made.tables.calls() == 0
    assert same_bits(made.arrays[0], [np.ones(3, np.float32)])


def strided(x: np.ndarray, how: int) -> np.ndarray:
    """An equal array with other strides."""
    if x.ndim == 0 or how == 0:
        return x
    if how == 1:
        return np.asfortranarray(x)
    if how == 2:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    order = list(np.roll(range(x.ndim), 1))
    back = np.argsort(order)
    return np.ascontiguousarray(x.transpose(order)).transpose(back)


@pytest.mark.parametrize("seed", range(4))
def test_strides(model: Make, seed: int) -> None:
    shapes = [(17, 33), (5, 6, 7, 8), (70, 80, 3), (4097,), (1, 5), (9, 1, 4), ()]
    state = adaptive_state(shapes, seed)
    wanted = adaptive_reference(state, 1)
    rng = np.random.default_rng(seed)
    state = [[strided(x, int(rng.integers(4))) for x in column] for column in state]
    made = model("adaptive", state)
    made.tables.hyper[:] = HYPERS
    made.step(threads=1)
    for slot, want in zip((0, 2, 3), wanted, strict=True):
        close(made.arrays[slot], want)


def test_equal_strides_need_no_copies(model: Make) -> None:
    state = adaptive_state([(8, 4, 5, 6), (7, 9)])
    state = [[strided(x, 3) for x in column] for column in state]
    made = model("adaptive", state)
    made.step()
    assert not made.tables._layout.any()
    made.arrays[1] = [np.ascontiguousarray(x) for x in made.arrays[1]]
    made.step()
    assert (made.tables._layout != 0).sum() == 2


def test_expanded_gradient_and_moving_layouts(model: Make) -> None:
    state = adaptive_state([(6, 700)])
    state[1] = [np.broadcast_to(np.float32(0.5), (6, 700))]
    wanted = adaptive_reference(state, 1)
    made = model("adaptive", state)
    made.tables.hyper[:] = HYPERS
    made.step()
    close(made.arrays[0], wanted[0])
    before = adaptive_reference(made.arrays, 2)
    made.arrays[1] = [np.full((6, 700), 0.5, np.float32)]
    made.step(2)
    close(made.arrays[0], before[0])


def test_coarse_state_must_be_contiguous(model: Make) -> None:
    made = model("adaptive", adaptive_state([(3,)]))
    made.tables.set_layout(0, 4, None)
    with pytest.raises(StateError, match=r"step.*contiguous"):
        made.tables.set_layout(0, 4, (2,))


def normed_reference(state: list[list[np.ndarray]], lr: float) -> list[np.ndarray]:
    result = []
    for p, g in zip(*[[x.astype(np.float64) for x in column] for column in state[:2]], strict=True):
        rate = lr
        if p.ndim != 1 and np.linalg.norm(g) > 0:
            rate = lr * np.linalg.norm(p) / np.linalg.norm(g)
        result.append(p - rate * g)
    return result


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("barrier", ["tensor", "model"])
def test_tensor_totals_chained_or_not(model: Make, threads: int, barrier: str) -> None:
    shapes = [*SHAPES, (1000, 1000)]
    state = arrays(shapes, 2)
    wanted = normed_reference(state, 0.1)
    made = model("normed", state, changes={"barriers": [barrier, "none"]})
    made.tables.hyper[:] = 0.1
    made.step(threads=threads)
    close(made.arrays[0], wanted)
    assert made.tables.variant_names()[0] == "matrices"
    assert made.tables.variant_names()[2] == "vectors"
    largest = made.tables._keep["TENSOR_VALUE"][:, 1]
    for t, g in enumerate(made.arrays[1]):
        if g.ndim != 1 and g.size:
            assert largest[t] == np.abs(g).max()


def test_nan_stays_in_totals(model: Make) -> None:
    state = arrays([(300, 300)], 2)
    state[1][0][17, 5] = np.nan
    made = model("normed", state)
    made.step()
    assert np.isnan(made.tables._keep["TENSOR_VALUE"][0, 1])


@pytest.mark.parametrize("name", ["normed", "factored", "pulled", "near"])
def test_orders_and_threads_give_the_same_bits(model: Make, name: str) -> None:
    shapes = [(900, 700), (900, 700), (900, 700), (40,), (70, 3, 3), (5, 100_000)]
    results = []
    for threads, seed in [(1, None), (2, None), (3, None), (1, 1), (1, 2), (2, 3), (2, 4)]:
        state = arrays(shapes, 2, np.float64 if name == "factored" else np.float32, seed=5)
        made = model(name, state)
        if made.tables.hyper.size:
            made.tables.hyper[:] = 0.1
        for number in (1, 2):
            made.step(number, threads=threads, order_seed=seed)
        results.append(made.arrays[0])
    for other in results[1:]:
        assert same_bits(results[0], other)


MATRICES = [
    (7, 5),
    (3, 40, 50),
    (300, 40_001),
    (70_000, 3),
    (2, 50_000),
    (90_000,),
    (64, 3, 3, 3),
    (),
    (0, 4),
    (100, 20_000),
]


def matrix(x: np.ndarray, view: str) -> np.ndarray:
    """(matrices, rows, columns)"""
    if x.ndim < 2:
        return x.reshape(1, 1, x.size)
    if view == "trailing":
        return x.reshape(int(np.prod(x.shape[:-2])), *x.shape[-2:])
    units = x.reshape(1, x.shape[0], int(np.prod(x.shape[1:])))
    return units.swapaxes(1, 2) if view == "wide" and units.shape[1] > units.shape[2] else units


@pytest.mark.slow
@pytest.mark.parametrize("how", [0, 3])
@pytest.mark.parametrize("view", ["trailing", "units", "wide"])
def test_rows_and_columns(model: Make, view: str, how: int) -> None:
    state = [[strided(x, how) for x in column] for column in arrays(MATRICES, 2, np.float64)]
    wanted = []
    for p, g in zip(*state, strict=True):
        G = matrix(np.ascontiguousarray(g), view)
        row, col = np.sqrt((G * G).sum(2, keepdims=True)), np.sqrt((G * G).sum(1, keepdims=True))
        largest = G.max(2, keepdims=True) if G.size else 0
        wanted.append(matrix(np.ascontiguousarray(p), view) - G / (row * col) + largest)
    made = model("factored", state, changes={"matrix": view})
    made.step(threads=2)
    for p, want in zip(made.arrays[0], wanted, strict=True):
        np.testing.assert_allclose(matrix(np.ascontiguousarray(p), view), want, rtol=1e-9)
    totals = made.tables._keep["TENSOR_TOTAL"][:, 0]
    np.testing.assert_allclose(totals, [np.square(g).sum() for g in made.arrays[1]], rtol=1e-10)


def laplacian_reference(
    state: list[list[np.ndarray | None]],
    players: list[int],
    roles: list[str],
    edges: list[tuple[int, int, float]],
    mu: float,
) -> list[np.ndarray]:
    there = {player for player, g in zip(players, state[1], strict=True) if g is not None}
    where = {key: t for t, key in enumerate(zip(players, roles, strict=True))}
    kinds = [
        {roles[t]: state[0][t].shape for t in range(len(players)) if players[t] == i} for i in range(max(players) + 1)
    ]
    g = [np.zeros(p.shape) if g is None else g.astype(np.float64) for p, g in zip(*state[:2], strict=True)]
    x = [np.zeros(p.shape) for p in state[0]]
    for i, j, weight in edges:
        if i in there and j in there and kinds[i] == kinds[j]:
            for role in kinds[i]:
                a, b = where[i, role], where[j, role]
                x[a] += weight * (g[a] - g[b])
                x[b] += weight * (g[b] - g[a])
    norms = [sum(float((x[t] ** 2).sum()) for t in range(len(x)) if players[t] == i) for i in there]
    scale = 1 / (1 + sum(np.sqrt(norms)))
    return [
        p - (a - mu * b) * scale if q is not None else p for p, a, b, q in zip(state[0], g, x, state[1], strict=True)
    ]


EDGES = [(0, 1, 1.0), (1, 2, 0.5), (2, 3, 2.0), (0, 3, 0.25), (3, 4, 1.0), (1, 3, 1.0)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("missing", [[], [2], [2, 3], [8]])
@pytest.mark.parametrize("edges", [None, EDGES])
@pytest.mark.parametrize("name", ["pulled", "near"])
def test_neighbours(
    model: Make, name: str, threads: int, missing: list[int], edges: list[tuple[int, int, float]] | None
) -> None:
    players = [0, 0, 1, 1, 2, 2, 3, 3, 4]
    roles = ["w", "b"] * 4 + ["w"]
    shapes = [(200, 300), (300,)] * 4 + [(200, 300)]
    state = arrays(shapes, 2)
    state[1] = [None if t in missing else strided(g, t % 4) for t, g in enumerate(state[1])]
    path = [(i, i + 1, 1.0) for i in range(4)]
    wanted = laplacian_reference(state, players, roles, edges or path, 0.1)
    before = [p.copy() for p in state[0]]
    made = model(name, state, players=players, roles=roles, edges=edges)
    made.tables.hyper[:] = 0.1
    made.step(threads=threads)
    close(made.arrays[0], wanted)
    for t in missing:
        assert same_bits([before[t]], [made.arrays[0][t]])


@pytest.mark.parametrize("name", ["pulled", "near"])
def test_layouts_of_neighbours_follow_one_order(model: Make, name: str) -> None:
    state = arrays([(40, 50)] * 3, 2)
    state[0][0], state[1][2] = strided(state[0][0], 1), strided(state[1][2], 1)
    wanted = laplacian_reference(state, [0, 1, 2], [""] * 3, [(0, 1, 1.0), (1, 2, 1.0)], 0.1)
    made = model(name, state)
    made.tables.hyper[:] = 0.1
    made.step()
    close(made.arrays[0], wanted)


@pytest.mark.parametrize("name", ["pulled", "near"])
def test_symmetric_coefficients(model: Make, name: str) -> None:
    state = arrays([(6000,)] * 4, 2)
    made = model(name, state, edges=[(0, 1, 1.0), (1, 2, 1.0), (1, 3, 1.0)], laplacian="symmetric")
    made.tables.hyper[:] = 1.0
    before = [p.copy() for p in state[0]]
    made.step()
    A = np.zeros((4, 4))
    for i, j in [(0, 1), (1, 2), (1, 3)]:
        A[i, j] = A[j, i] = 1
    d = A.sum(1)
    L = np.eye(4) - A / np.sqrt(np.outer(d, d))
    g = np.array(state[1], dtype=np.float64)
    x = L @ g
    scale = 1 / (1 + np.sqrt((x**2).sum(1)).sum())
    close(made.arrays[0], list(np.array(before) - (g - x) * scale))


def test_two_python_threads_at_once(model: Make) -> None:
    shapes = [(600, 700), (900, 700), (40,)]
    wanted = None
    made = []
    for _ in range(3):
        one = model("normed", arrays(shapes, 2))
        one.tables.hyper[:] = 0.1
        one.bind()
        made.append(one)

    def work(one: Model) -> None:
        for number in range(1, 51):
            one.tables.run(number, threads=2)

    work(made[0])
    wanted = made[0].arrays[0]
    threads = [threading.Thread(target=work, args=(one,)) for one in made[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for one in made[1:]:
        assert same_bits(wanted, one.arrays[0])


def _child(one: Model, queue: multiprocessing.Queue) -> None:
    assert not _idle
    one.step(2, threads=2)
    queue.put([p.copy() for p in one.arrays[0]])


def test_fork(model: Make) -> None:
    one = model("normed", arrays([(600, 700), (900, 700)], 2))
    one.tables.hyper[:] = 0.1
    one.step(1, threads=2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_child, args=(one, queue))
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    one.step(2, threads=2)
    assert same_bits(found, one.arrays[0])


def test_interrupted_step(model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = model("normed", arrays([(600, 700), (900, 700)], 2))
    one.step(1, threads=2)
    workers = _borrow(1, 0)
    with monkeypatch.context() as patch:
        patch.setattr(type(workers[0]), "wake", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            one.tables.run(2, threads=2)
    _idle.extend(workers)
    assert one.tables._job.broken
    assert one.tables._plan[layout.CLAIM] <= layout.LOW, "no thread works on it any more"
    one.tables.run(3, threads=2)
    assert not one.tables._job.broken
