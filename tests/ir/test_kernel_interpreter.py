"""The kernel interpreter against NumPy in float64 on kernel IR written by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from optgen.ir import kernel_dialect as kernel
from optgen.ir.kernel_interpreter import run
from optgen.ir.kernel_world import Tensor, World
from optgen.ir.text import IRError, from_text, to_text
from optgen.ir.world import Counterpart, Edge, Graph
from tests.ir import kernel_texts as texts

Array = NDArray[np.float64]
SHAPES = ((37, 65), (5001,), (3, 4, 50), (), (0, 3))
DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 3e-6, "float64": 1e-13}


def tensor(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: str,
    hypers: Mapping[str, float],
    *,
    layer: int = 0,
    states: Mapping[str, NDArray[np.generic]] | None = None,
    gradient: bool = True,
) -> Tensor:
    g = np.asarray(rng.standard_normal(shape)).astype(dtype) if gradient else None
    param = np.asarray(rng.standard_normal(shape)).astype(dtype)
    return Tensor(shape, layer, {"param": param, "g": g, **(states or {})}, hypers)


def new_gradients(rng: np.random.Generator, world: World) -> None:
    for t in world.tensors:
        if (g := t.buffers["g"]) is not None:
            g[...] = rng.standard_normal(g.shape)


def f64(t: Tensor, slot: str) -> Array:
    buffer = t.buffers[slot]
    assert buffer is not None
    return buffer.astype(np.float64)


def close(actual: Array, expected: Array, dtype: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


# One sweep, two sweeps

HYPERS = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}


def moments_world(rng: np.random.Generator, dtype: str) -> World:
    def states(shape: tuple[int, ...]) -> dict[str, NDArray[np.generic]]:
        return {"m": np.zeros(shape, dtype), "v": np.zeros(shape, dtype), "step": np.zeros((), np.float32)}

    return World([tensor(rng, s, dtype, HYPERS, layer=k, states=states(s)) for k, s in enumerate(SHAPES)])


def moments_step(t: Tensor, count: int, *, trust: bool) -> dict[str, Array]:
    p, g, m, v = (f64(t, name) for name in ("param", "g", "m", "v"))
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    u = 0.01 * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.99**count)) + 1e-8)
    ratio = np.linalg.norm(p) / np.linalg.norm(u) if trust and p.size else 1.0
    return {"param": p - ratio * u, "m": m, "v": v}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("text", "trust", "words"), [(texts.ADAM, False, 7), (texts.TRUST, True, 10)], ids=["plain", "trust"]
)
def test_moments(rng: np.random.Generator, dtype: str, text: str, trust: bool, words: int) -> None:
    world, module = moments_world(rng, dtype), texts.module(text, dtype=dtype)
    numel = sum(f64(t, "param").size for t in world.tensors)
    for count in range(1, 4):
        new_gradients(rng, world)
        expected = [moments_step(t, count, trust=trust) for t in world.tensors]
        traffic = run(module, world, seed=count, chunk=777, step=count)
        for t, want in zip(world.tensors, expected, strict=True):
            for name, value in want.items():
                close(f64(t, name), value, dtype)
            assert f64(t, "step") == count
        assert traffic.bytes == words * numel * np.dtype(dtype).itemsize
        assert traffic.chosen == ["main"] * len(SHAPES)
    itemsize = np.dtype(dtype).itemsize
    if trust:
        assert traffic.of_sweep(1) == (4 * numel * itemsize, 2 * numel * itemsize)
        assert traffic.of_sweep(2) == (3 * numel * itemsize, numel * itemsize)
        assert traffic.launches == 4  # stage, sweep, stage, sweep
    else:
        assert traffic.loaded == {(1, dtype): 4 * numel * itemsize}
        assert traffic.chunks == sum(-(-f64(t, "param").size // 777) for t in world.tensors)


@pytest.mark.parametrize("text", [texts.TRUST, texts.ADAM], ids=["trust", "plain"])
def test_chunk_order_is_random_and_does_not_matter(rng: np.random.Generator, text: str) -> None:
    states = []
    for seed in range(3):
        world = moments_world(np.random.default_rng(7), "float32")
        run(texts.module(text), world, seed=seed, chunk=100, step=1)
        states.append([t.buffers for t in world.tensors])
    for other in states[1:]:
        for one, two in zip(states[0], other, strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], two[name])


def test_sums_are_float64_across_slices() -> None:
    text = texts.SLOTS + (
        'kernel.slot @total tensor "float64" state\nkernel.declare_total @s sum tensor\n'
        'kernel.variant @main "" slots [] { kernel.sweep 1 { %g = kernel.load @g : F\n'
        "kernel.accumulate sum @s, %g : F }\n"
        "kernel.stage tensor { %s = kernel.total sum @s\nkernel.put @total, %s } }"
    )
    g = np.full(1 << 20, 0.1, np.float32)
    total = np.zeros(())
    world = World([Tensor(g.shape, 0, {"param": g.copy(), "g": g, "total": total}, {})])
    run(texts.module(text), world, chunk=1 << 16, step=1)
    np.testing.assert_allclose(total, g.astype(np.float64).sum(), rtol=1e-6)


# Rows, columns and matrices


def factored_step(t: Tensor, shape: tuple[int, int, int], turned: bool) -> dict[str, Array]:
    def seen(x: Array) -> Array:
        return x.reshape(shape[0], shape[2], shape[1]).swapaxes(1, 2) if turned else x.reshape(shape)

    p, g = seen(f64(t, "param")), seen(f64(t, "g"))
    r = 0.9 * f64(t, "r") + 0.1 * (g * g).mean(axis=2)
    c = 0.9 * f64(t, "c") + 0.1 * (g * g).mean(axis=1)
    u = g / np.sqrt((r / r.mean(axis=1, keepdims=True))[:, :, None] * c[:, None, :])
    new = p - 0.01 * u / max(1.0, float(np.sqrt((u * u).mean())))
    return {"r": r, "c": c, "param": (new.swapaxes(1, 2) if turned else new).reshape(t.shape)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("matrix", "shape", "view"),
    [
        ("trailing", (37, 65), (1, 37, 65)),
        ("trailing", (3, 2, 20, 30), (6, 20, 30)),
        ("trailing", (50,), (1, 1, 50)),
        ("units", (8, 3, 5), (1, 8, 15)),
        ("wide", (40, 3, 5), (1, 15, 40)),
        ("square", (6, 10), (1, 6, 10)),
    ],
)
def test_rows_and_columns(
    rng: np.random.Generator, dtype: str, matrix: str, shape: tuple[int, ...], view: tuple[int, int, int]
) -> None:
    module = texts.module(texts.FACTORED, dtype=dtype, matrix=matrix)
    states = {"r": np.zeros(view[:2], np.float32), "c": np.zeros((view[0], view[2]), np.float32)}
    world = World([tensor(rng, shape, dtype, {"lr": 0.01, "beta": 0.9}, states=states)])
    for step in range(1, 4):
        new_gradients(rng, world)
        expected = factored_step(world.tensors[0], view, matrix == "wide")
        traffic = run(module, world, chunk=19, seed=step, step=step)
        close(f64(world.tensors[0], "r"), expected["r"], "float32")
        close(f64(world.tensors[0], "c"), expected["c"], "float32")
        close(f64(world.tensors[0], "param"), expected["param"], dtype)
    assert traffic.bytes == 5 * np.dtype(dtype).itemsize * int(np.prod(shape))


# The graph


def path_graph(present: list[bool]) -> Graph:
    """Layers 0-1-2-3 in a row, the first three matched pairwise, tensor by tensor; weight 1."""
    edges: list[list[Edge]] = [[] for _ in range(4)]
    counterparts: list[list[Counterpart]] = [[] for _ in range(7)]
    for i, j in ((0, 1), (1, 2), (2, 3)):
        if present[i] and present[j]:
            edges[i].append(Edge(j, 1.0, 1.0, j < 3))
            edges[j].append(Edge(i, 1.0, 1.0, j < 3))
            for role in range(2 if j < 3 else 0):
                counterparts[2 * i + role].append(Counterpart(2 * j + role, 1.0, 1.0))
                counterparts[2 * j + role].append(Counterpart(2 * i + role, 1.0, 1.0))
    return Graph(edges, counterparts)


def graph_expected(world: World) -> list[Array]:
    """Parameters after a step, with the Laplacian as an explicit sum over layers."""
    g = [
        [np.zeros(t.shape) if t.buffers["g"] is None else f64(t, "g") for t in world.tensors if t.layer == k]
        for k in range(4)
    ]
    there = [any(t.buffers["g"] is not None for t in world.tensors if t.layer == k) for k in range(4)]
    norm = [float(np.sqrt(sum((x * x).sum() for x in layer))) for layer in g]
    result: list[Array] = []
    for k in range(4):
        lg = [np.zeros_like(x) for x in g[k]]
        for j in (k - 1, k + 1):
            if 0 <= j < 4 and there[k] and there[j]:
                matched = max(j, k) < 3
                rest = 0.0 if matched else 1 - norm[j] / max(norm[k], 1e-16)
                lg = [x + (a - g[j][r] if matched else rest * a) for r, (x, a) in enumerate(zip(lg, g[k], strict=True))]
        conflict = float(np.sqrt(sum((x * x).sum() for x in lg)))
        tensors = [t for t in world.tensors if t.layer == k]
        moves = [t.buffers["g"] is not None for t in tensors]
        result += [
            f64(t, "param") - (0.1 * x / (1 + conflict) if m else 0.0)
            for t, x, m in zip(tensors, lg, moves, strict=True)
        ]
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", [(), (2,), (2, 3), (0, 1, 5)])
def test_graph(rng: np.random.Generator, dtype: str, missing: tuple[int, ...]) -> None:
    shapes = [(30, 11), (11,)] * 3 + [(7,)]
    tensors = [
        tensor(rng, s, dtype, {"lr": 0.1}, layer=k // 2, gradient=k not in missing) for k, s in enumerate(shapes)
    ]
    world = World(tensors, lambda present: path_graph(list(present)))
    expected = graph_expected(world)
    traffic = run(texts.module(texts.GRAPH, dtype=dtype), world, chunk=50, step=1)
    for t, want in zip(world.tensors, expected, strict=True):
        close(f64(t, "param"), want, dtype)
    absent = {(2, 3): (2, 3), (0, 1, 5): (0, 1)}.get(missing, ())
    assert [k for k, name in enumerate(traffic.chosen) if not name] == list(absent)
    if not missing:
        assert traffic.bytes == 4 * np.dtype(dtype).itemsize * sum(int(np.prod(s)) for s in shapes)


def test_stencil_hazard() -> None:
    text = texts.SLOTS + (
        'kernel.variant @main "" slots [] { kernel.sweep 1 { %p = kernel.load @param : F\n'
        "%x = kernel.stencil neighbors @param : F\n"
        "%q = arith.addf %p, %x : F\nkernel.store @param, %q : F } }"
    )
    graph = Graph([[], []], [[Counterpart(1, 1.0, 1.0)], [Counterpart(0, 1.0, 1.0)]])

    def world() -> World:
        data = {"param": np.ones(3, np.float32), "g": np.ones(3, np.float32)}
        return World([Tensor((3,), k, {n: x.copy() for n, x in data.items()}, {}) for k in range(2)], lambda _: graph)

    with pytest.raises(IRError, match="reads as its neighbour"):
        run(texts.module(text), world(), step=1)
    run(texts.module(text), world(), step=1, poison=False)
    alone = world()
    alone.graph = None
    run(texts.module(text), alone, step=1)


# Variants


def interval_world(rng: np.random.Generator, dtype: str) -> World:
    def one(shape: tuple[int, ...], layer: int, every: float) -> Tensor:
        states = {"acc": np.zeros(shape, dtype), "times": np.zeros((), np.int64), "step": np.zeros((), np.float32)}
        return tensor(rng, shape, dtype, {"lr": 0.1, "every": every}, layer=layer, states=states)

    return World([one((20, 30), 0, 2), one((30,), 0, 2), one((7,), 1, 3)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_variants(rng: np.random.Generator, dtype: str) -> None:
    world, module = interval_world(rng, dtype), texts.module(texts.INTERVAL, dtype=dtype)
    param = [f64(t, "param") for t in world.tensors]
    acc = [np.zeros(t.shape) for t in world.tensors]
    for step in range(1, 8):
        new_gradients(rng, world)
        every = [int(t.hypers["every"]) for t in world.tensors]
        for k, t in enumerate(world.tensors):
            acc[k] = acc[k] + f64(t, "g")
            if step % every[k] == 0:
                param[k], acc[k] = param[k] - 0.1 * acc[k], np.zeros(t.shape)
        traffic = run(module, world, chunk=64, seed=step, step=step)
        assert traffic.chosen == ["wait" if step % n else "due" for n in every]
        itemsize = np.dtype(dtype).itemsize
        words = [3 if step % n else 5 for n in every]
        assert traffic.bytes == sum(n * itemsize * x.size for n, x in zip(words, param, strict=True))
        for k, t in enumerate(world.tensors):
            close(f64(t, "param"), param[k], dtype)
            close(f64(t, "acc"), acc[k], dtype)
            assert f64(t, "times") == step // every[k] == f64(t, "step")


def test_layer_state_without_gradient(rng: np.random.Generator) -> None:
    """A layer's state moves on with the layer, a tensor's counter only with its own gradient."""
    world, module = interval_world(rng, "float32"), texts.module(texts.INTERVAL)
    world.tensors[0].buffers["g"] = None
    before = f64(world.tensors[0], "param")
    run(module, world, step=6)
    assert [float(f64(t, "times")) for t in world.tensors] == [1, 1, 1]
    assert [float(f64(t, "step")) for t in world.tensors] == [0, 1, 1]
    np.testing.assert_array_equal(f64(world.tensors[0], "param"), before)


# Layers and the model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("most", [1e-3, 1e3])
def test_layer_and_model(rng: np.random.Generator, dtype: str, most: float) -> None:
    """Two layers, one with a tensor that counts as zeros for want of a gradient, and a layer that is absent."""
    tensors = [tensor(rng, s, dtype, {"lr": 0.5}, layer=k // 2, gradient=k != 1) for k, s in enumerate(SHAPES[:4])]
    tensors.append(tensor(rng, (9,), dtype, {"lr": 0.5}, layer=2, gradient=False))
    g = [np.zeros(t.shape) if t.buffers["g"] is None else f64(t, "g") for t in tensors]
    means = [sum((x * x).sum() for x in pair) / sum(x.size for x in pair) for pair in (g[:2], g[2:4])]
    factor = min(1, most / np.sqrt(np.mean(means))) / max(np.abs(x).max() for x in g)
    expected = [f64(t, "param") - 0.5 * factor * x for t, x in zip(tensors, g, strict=True)]
    traffic = run(texts.module(texts.CLIP, dtype=dtype), World(tensors, inputs={"most": most}), chunk=333, step=1)
    for t, want in zip(tensors, expected, strict=True):
        close(f64(t, "param"), want, dtype)
    assert traffic.chosen == ["main"] * 4 + [""]


# Memory without a gradient, storage dtypes, text


def test_zero_gradient_sees_its_own_stores_and_forgets_them(rng: np.random.Generator) -> None:
    """Layer norms of moments that sweep 1 stored: a tensor without gradient takes part with moments it never keeps."""
    text = texts.SLOTS + (
        "kernel.slot @m elem DT state\nkernel.declare_total @mm sum layer\nkernel.declare @k layer\n"
        'kernel.variant @main "" slots ["m"] {\n'
        "kernel.sweep 1 { %g = kernel.load @g : F\n%m = kernel.load @m : F\n%n = arith.addf %m, %g : F\n"
        "%h = arith.addf %n, %n : F\nkernel.store @m, %h : F }\n"
        'kernel.sweep 2 { %m = kernel.load @m {version = "new"} : F\n%mm = arith.mulf %m, %m : F\n'
        "kernel.accumulate sum @mm, %mm : F }\n"
        "kernel.stage layer { %s = kernel.total sum @mm\nkernel.define @k, %s }\n"
        "kernel.sweep 3 { %p = kernel.load @param : F\n%k = kernel.read @k : F\n%q = arith.addf %p, %k : F\n"
        "kernel.store @param, %q : F } }"
    )
    tensors = [
        tensor(rng, (5,), "float64", {}, states={"m": rng.standard_normal(5)}, gradient=k == 0) for k in range(2)
    ]
    m = [f64(t, "m") for t in tensors]
    param = [f64(t, "param") for t in tensors]
    total = ((2 * (m[0] + f64(tensors[0], "g"))) ** 2).sum() + ((2 * m[1]) ** 2).sum()
    traffic = run(texts.module(text, dtype="float64"), World(tensors), step=1)
    close(f64(tensors[0], "param"), param[0] + total, "float64")
    np.testing.assert_array_equal(f64(tensors[1], "param"), param[1])
    np.testing.assert_array_equal(f64(tensors[1], "m"), m[1])
    assert traffic.of_sweep(1) == (8 * 5 * 3, 8 * 5)  # one gradient, two moments; one stored


def test_storage_rounds_once() -> None:
    text = """
    kernel.slot @param elem "float32" param
    kernel.slot @g elem "float32" gradient
    kernel.slot @h elem "float16" state
    kernel.slot @b elem "bfloat16" state
    kernel.variant @main "" slots ["h", "b"] { kernel.sweep 1 {
        %g = kernel.load @g : f32
        %old = kernel.load @h : f16
        %o = arith.extf %old : f16 to f32
        %s = arith.addf %o, %g : f32
        %h = arith.truncf %s : f32 to f16
        %b = arith.truncf %s : f32 to bf16
        kernel.store @h, %h : f16
        kernel.store @b, %b : bf16
    } }"""
    g = np.array([1 / 3, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, -3.4e38, np.nan], np.float32)
    with np.errstate(over="ignore"):
        half = g.astype(np.float16)
    buffers = {"param": g.copy(), "g": g, "h": np.zeros(6, np.float16), "b": np.zeros(6, np.float32)}
    traffic = run(texts.module(text), World([Tensor((6,), 0, buffers, {})]), step=1)
    np.testing.assert_array_equal(buffers["h"], half)
    np.testing.assert_array_equal(buffers["b"][:5], np.float32([0.333984375, 1.0, 1 + 2**-6, np.inf, -np.inf]))
    assert np.isnan(buffers["b"][5])
    assert traffic.loaded == {(1, "float32"): 24, (1, "float16"): 12}
    assert traffic.stored == {(1, "float16"): 12, (1, "bfloat16"): 12}


def test_printed_text_means_the_same() -> None:
    worlds = [moments_world(np.random.default_rng(3), "float32") for _ in range(2)]
    module = texts.module(texts.TRUST)
    parsed = from_text(to_text(module)).body.block.first_op
    assert isinstance(parsed, kernel.ModuleOp)
    assert run(module, worlds[0], step=1) == run(parsed, worlds[1], step=1)
    for one, two in zip(worlds[0].tensors, worlds[1].tensors, strict=True):
        np.testing.assert_array_equal(one.buffers["param"], two.buffers["param"])
