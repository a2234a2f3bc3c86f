"""What each construct means, worked out by hand: the float64 interpreter is the oracle of all other tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from optgen.ir import interpret
from optgen.ir.extents import Extent
from optgen.ir.world import Array, Counterpart, Edge, Graph, Tensor, World, elements_of, matrices_of, slot_shape
from optgen.runtime.rule_info import view
from tests.ir.rules import program

HYPERS: dict[str, float | int | bool | str] = {"lr": 1.0, "beta": 0.5, "on": True, "n": 2, "kind": "soft"}
Gradients = Sequence[object]


class Run:
    """A rule on a few tensors: `param`, then steps with gradients."""

    def __init__(
        self,
        body: str,
        params: Sequence[object],
        *,
        layers: Sequence[int] | None = None,
        hypers: Sequence[Mapping[str, float | int | bool | str]] = (),
        graph: bool = False,
        **declared: str,
    ) -> None:
        self.program = program(body, **declared)
        arrays = [np.asarray(p, dtype=np.float64) for p in params]
        layers = layers or [0] * len(arrays)
        own = [{**HYPERS, **(hypers[i] if i < len(hypers) else {})} for i in range(len(arrays))]
        tensors = [Tensor(p, layer, 0.25, h) for p, layer, h in zip(arrays, layers, own, strict=True)]
        self.world = World(tensors, self.program.matrix.data, graph=pair if graph else None)
        interpret.start(self.program, self.world)

    def step(self, *gradients: object, **inputs: float) -> Run:
        """One step; None is no gradient."""
        given = [None if g is None else np.asarray(g, dtype=np.float64) for g in gradients]
        interpret.step(self.program, self.world, given, inputs)
        return self

    def param(self, i: int = 0) -> list[float]:
        """A parameter, flat."""
        return self.world.tensors[i].param.ravel().tolist()

    def state(self, name: str, i: int = 0) -> list[float]:
        """A state, flat."""
        return self.world.tensors[i].state[name].ravel().tolist()

    @property
    def updates(self) -> list[int]:
        """Updates that every tensor has counted."""
        return [tensor.t for tensor in self.world.tensors]


def pair(present: Sequence[bool]) -> Graph:
    """Layers 0 and 1 matched with weights 2 and 3, layers 1 and 2 joined unmatched with weights 1."""
    edges: list[list[Edge]] = [[], [], []]
    counterparts: list[list[Counterpart]] = [[], [], []]
    if present[0] and present[1]:
        edges[0].append(Edge(1, 2.0, 3.0, True))
        edges[1].append(Edge(0, 2.0, 3.0, True))
        counterparts[0].append(Counterpart(1, 2.0, 3.0))
        counterparts[1].append(Counterpart(0, 2.0, 3.0))
    if len(present) > 2 and present[1] and present[2]:
        edges[1].append(Edge(2, 1.0, 1.0, False))
        edges[2].append(Edge(1, 1.0, 1.0, False))
    return Graph(edges, counterparts)


def value(expression: str, g: object, **declared: str) -> list[float]:
    """An expression of g, for a single tensor in its first step."""
    return Run(f"param = 0*param + ({expression})", [np.zeros(np.shape(g))], **declared).step(g).param()  # type: ignore[arg-type]


MATRIX = [[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]]
EXPRESSIONS: dict[str, tuple[str, object, list[float]]] = {
    "sum": ('sum(g, over="tensor")', [1.0, 2.0, 4.0], [7.0] * 3),
    "mean": ('mean(g, over="tensor")', [1.0, 2.0, 6.0], [3.0] * 3),
    "norm": ('norm(g, over="tensor")', [3.0, -4.0], [5.0] * 2),
    "dot": ('dot(g, 2*g, over="tensor")', [1.0, 2.0], [10.0] * 2),
    "max": ('max(g, over="tensor")', [-1.0, -2.0], [-1.0] * 2),
    "min": ('min(g, over="tensor")', [1.0, 2.0], [1.0] * 2),
    "max_abs": ('max_abs(g, over="tensor")', [1.0, -2.0], [2.0] * 2),
    "any": ('any(g > 1, over="tensor")', [1.0, 2.0], [1.0] * 2),
    "all": ('all(g > 1, over="tensor")', [1.0, 2.0], [0.0] * 2),
    "a count": ('sum(g > 1, over="tensor")', [1.0, 2.0, 3.0], [2.0] * 3),
    "max keeps NaN": ('max(g, over="tensor")', [math.nan, 2.0], [math.nan] * 2),
    "row": ('sum(g, over="row")', MATRIX, [6.0] * 3 + [3.0] * 3),
    "col": ('sum(g, over="col")', MATRIX, [5.0, 7.0, -3.0] * 2),
    "matrix of a row": ('max(sum(g, over="row"), over="matrix")', MATRIX, [6.0] * 6),
    "mean of rows": ('mean(sum(g, over="row"), over="tensor")', MATRIX, [4.5] * 6),
    "row times col": ('sum(g, over="row")*sum(g, over="col")', [[1.0, 2.0], [3.0, 4.0]], [12.0, 18.0, 28.0, 42.0]),
    "a vector is one row": ('sum(g, over="row")', [1.0, 2.0], [3.0] * 2),
    "columns of a vector": ('sum(g, over="col")', [1.0, 2.0], [1.0, 2.0]),
    "a scalar is a matrix": ('sum(g, over="row") + sum(g, over="col") + sum(g, over="matrix")', 2.0, [6.0]),
    "rows and cols": ("rows(param)*10 + cols(param)", MATRIX, [23.0] * 6),
    "ndim and numel": ("ndim(param)*10 + numel(param)", MATRIX, [26.0] * 6),
    "depth": ("depth(param)", [1.0], [0.25]),
    "where drops the other side": ("where(g > 0, log(g), 0)", [math.e, -1.0, math.nan], [1.0, 0.0, 0.0]),
    "maximum keeps NaN": ("maximum(g, 0)", [math.nan, -1.0, 2.0], [math.nan, 0.0, 2.0]),
    "minimum keeps NaN": ("minimum(0, g)", [math.nan, -1.0, 2.0], [math.nan, -1.0, 0.0]),
    "clip keeps NaN": ("clip(g, -1, 1)", [math.nan, -5.0, 5.0], [math.nan, -1.0, 1.0]),
    "sign": ("sign(g)", [-2.0, 0.0, 3.0], [-1.0, 0.0, 1.0]),
    "division by zero": ("1/g", [0.0, -0.0], [math.inf, -math.inf]),
    "floor division": ("g // 2", [3.0, -3.0], [1.0, -2.0]),
    "remainder": ("g % 3", [5.0, -1.0], [2.0, 2.0]),
    "remainder of zero": ("g % (n - 2)", [5.0, -1.0], [0.0, 0.0]),
    "power": ("g**2 + g**n + 2**g", [3.0], [26.0]),
    "halves to even": ("round(g)", [0.5, 1.5, 2.5, -0.5], [0.0, 2.0, 2.0, 0.0]),
    "truth counts": ("(g > 0) + (g > 1)*10 - (not (g > 0)) + true", [0.5, 2.0, -1.0], [2.0, 12.0, 0.0]),
    "logic": ("(g > 0 and g < 2)*1 + (g < 0 or g > 2)*2", [1.0, -1.0, 3.0], [1.0, 2.0, 2.0]),
    "softmax": ("softmax([g, g + log(3)])[1]", [0.0, -1.0], [0.75, 0.75]),
    "softmax of large numbers": ("softmax([1000*g, 999*g, 0*g])[0]", [1000.0], [1.0]),
    "an entry by number": ("[g, 2*g, 3*g][1]", [1.0], [2.0]),
    "an entry by value": ("[g, 2*g, 3*g][n]", [1.0], [3.0]),
    "vector arithmetic": ("sum([g, 2]*[3, g] + 1)", [2.0], [12.0]),
    "vector folds": ("max([g, 2])*100 + min([g, 2])*10 + mean([g, 2])", [4.0], [423.0]),
    "repeat": ("sum(repeat(g, 4))", [2.0], [8.0]),
    "choices": ('(kind == "soft")*2 + (kind != "soft")*3', [1.0], [2.0]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name: str) -> None:
    expression, g, expected = EXPRESSIONS[name]
    np.testing.assert_allclose(value(expression, g), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("matrix", "shape", "rows", "cols"),
    [
        ("trailing", (2, 2, 2), [1, 1, 5, 5, 9, 9, 13, 13], [2, 4, 2, 4, 10, 12, 10, 12]),
        ("units", (2, 2, 2), [6, 6, 6, 6, 22, 22, 22, 22], [4, 6, 8, 10] * 2),
        ("wide", (4, 2), [12, 16] * 4, [1, 1, 5, 5, 9, 9, 13, 13]),
        ("wide", (2, 4), [6] * 4 + [22] * 4, [4, 6, 8, 10] * 2),
        ("square", (2, 6), [6] * 4 + [22] * 4 + [38] * 4, [12, 15, 18, 21] * 3),
        ("square", (4,), [6] * 4, [0, 1, 2, 3]),
    ],
)
def test_matrix_views(matrix: str, shape: tuple[int, ...], rows: list[int], cols: list[int]) -> None:
    g = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    assert value('sum(g, over="row")', g, matrix=matrix) == rows
    assert value('sum(g, over="col")', g, matrix=matrix) == cols


@pytest.mark.parametrize("matrix", ["trailing", "units", "wide", "square"])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (4,), (2, 2), (3, 4), (4, 3), (2, 3, 5), (4, 1, 1), (0, 3), (3, 0)])
def test_views_are_turned_back_and_known_to_the_runtime(matrix: str, shape: tuple[int, ...]) -> None:
    x = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    seen = matrices_of(x, matrix)
    assert seen.shape == view(shape, matrix)
    assert np.array_equal(elements_of(seen, shape, matrix), x)
    assert slot_shape(Extent.ROW, shape, matrix) == seen.shape[:2]
    assert slot_shape(Extent.COL, shape, matrix) == (seen.shape[0], seen.shape[2])


# State and counters


def test_starts() -> None:
    run = Run(
        "param = param - g*(a + b + c + e + r + s)",
        [[[1.0, 2.0]], [4.0]],
        hypers=[{}, {"n": 7}],
        state="a: param, b: zeros_like(param), c: 'full(n, over=\"tensor\")', e: 2, "
        "r: 'full(1.0*rows(param), over=\"row\")', "
        "s: 'full(0.5, over=\"col\")'",
    )
    assert [run.state("a", i) for i in (0, 1)] == [[1.0, 2.0], [4.0]]
    assert [run.state("b", i) for i in (0, 1)] == [[0.0, 0.0], [0.0]]
    assert [run.state("c", i) for i in (0, 1)] == [[2.0], [7.0]]
    assert [run.state("e", i) for i in (0, 1)] == [[2.0], [2.0]]
    assert run.state("r") == [1.0]
    assert run.state("s") == [0.5, 0.5]


def test_written_order_and_new_values() -> None:
    run = Run(
        "m = m + g\nold = m\nm = 2*m\nparam = param - m - old\nm = m + param", [[10.0]], state="m: zeros_like(param)"
    )
    assert run.step([1.0]).param() == [7.0]
    assert run.state("m") == [9.0]


def test_counters_count_updates_and_steps() -> None:
    run = Run("param = 10*t + step", [[0.0], [0.0]])
    run.step([1.0], None).step([1.0], [1.0])
    assert run.param(0) == [22.0]
    assert run.param(1) == [12.0]
    assert run.updates == [2, 1]
    run.step(None, None)
    assert run.updates == [2, 1]
    assert run.step([1.0], None).param(0) == [34.0]


def test_maximize_flips_the_gradient_first() -> None:
    run = Run("m = g\nparam = param - m", [[0.0], [0.0]], hypers=[{"maximize": True}], state="m: zeros_like(param)")
    run.step([2.0], [2.0])
    assert [run.param(0), run.param(1)] == [[2.0], [-2.0]]


def test_inputs() -> None:
    run = Run("best = minimum(best, loss)\nparam = best", [[0.0]], state="best: 9.0", inputs="loss: model")
    assert run.step([1.0], loss=5.0).param() == [5.0]
    assert run.step([1.0], loss=7.0).param() == [5.0]


# Branches


def test_a_branch_touches_only_what_it_assigns() -> None:
    run = Run(
        "if t > 1:\n    m = m + g\nelse:\n    k = k + 1\nparam = m + k", [[0.0]], state="m: zeros_like(param), k: lr"
    )
    assert run.step([3.0]).param() == [2.0]
    assert run.step([3.0]).param() == [5.0]
    assert run.state("k") == [2.0]


def test_branches_are_taken_per_tensor() -> None:
    body = 'if sum(g, over="tensor") > 0 and on:\n    x = 1.0\nelif ndim(param) == 2:\n    x = 2.0\n'
    body += "else:\n    x = 3.0\n"
    body += "param = x"
    run = Run(body, [[0.0], [0.0], [[0.0]], [0.0]], hypers=[{}, {}, {}, {"on": False}])
    run.step([1.0], [-1.0], [[-1.0]], [1.0])
    assert [run.param(i) for i in range(4)] == [[1.0], [3.0], [2.0], [3.0]]


def test_nan_in_the_arm_that_is_not_taken() -> None:
    run = Run('if sum(g, over="tensor") > 0:\n    m = log(g)\nparam = m', [[0.0], [0.0]], state="m: param")
    run.step([-1.0], [1.0])
    assert [run.param(0), run.param(1)] == [[0.0], [0.0]]


def test_a_reduction_is_of_the_tensors_that_reach_it() -> None:
    body = (
        'x = 100.0\nif ndim(param) == 1:\n    x = sum(g, over="layer") + mean(g, over="layer") + max(g, over="model")\n'
    )
    body += "param = x"
    run = Run(body, [[0.0], [0.0, 0.0], [[0.0]], [0.0]], layers=[0, 0, 0, 1])
    run.step([1.0], [2.0, 6.0], [[50.0]], [7.0])
    assert [run.param(i) for i in range(4)] == [[19.0], [19.0, 19.0], [100.0], [21.0]]


def test_skip_keeps_what_was_done_before() -> None:
    run = Run(
        "m = m + g\nif t % 2 == 0 or n == 3:\n    skip\nm = m + 10\nparam = m",
        [[0.0], [0.0]],
        hypers=[{}, {"n": 3}],
        state="m: param",
    )
    run.step([1.0], [1.0])
    assert run.param(0) == [11.0]
    assert run.param(1) == [0.0]
    assert run.state("m", 1) == [1.0]
    assert run.updates == [1, 0]
    run.step([1.0], [1.0])
    assert run.state("m") == [12.0]
    assert run.updates == [1, 0]


def test_a_skipped_tensor_counts_as_zero_afterwards() -> None:
    run = Run('if n == 3:\n    skip\nparam = sum(g, over="layer")', [[0.0], [0.0]], hypers=[{}, {"n": 3}])
    run.step([1.0], [5.0])
    assert [run.param(0), run.param(1)] == [[1.0], [0.0]]


# Layers, the model and missing gradients


def test_layers_and_the_model() -> None:
    body = 'a = sum(g, over="layer")\nb = sum(a, over="model")\nc = mean(a, over="model")\n'
    body += 'param = a*100 + b*10 + c + mean(g, over="model")'
    run = Run(body, [[0.0], [0.0], [0.0, 0.0]], layers=[0, 0, 1])
    run.step([1.0], [2.0], [3.0, 6.0])
    # sums of the layers 3 and 9, of the model 12, mean of two layers 6, mean of four entries 3
    assert run.param(0) == [300 + 120 + 6 + 3]
    assert run.param(2) == [900 + 120 + 6 + 3] * 2


def test_a_missing_gradient_is_zero_in_a_present_layer_and_an_absent_layer_is_not_there() -> None:
    body = (
        'q = sum(g + 1, over="layer")\nm = m + 1\nparam = q*100 + sum(g + 1, over="model")*10 + mean(q, over="model")'
    )
    run = Run(f"{body} + 0*m", [[0.0], [0.0], [0.0]], layers=[0, 0, 1], state="m: lr")
    run.step([4.0], None, None)
    # layer 0: (4 + 1) + (0 + 1); layer 1 adds nothing to the sum, and no entry to the mean
    assert run.param(0) == [600 + 60 + 6]
    assert run.param(1) == run.param(2) == [0.0]
    assert [run.state("m", i) for i in range(3)] == [[2.0], [1.0], [1.0]]
    assert run.updates == [1, 0, 0]


def test_state_of_layers_and_of_the_model_is_shared() -> None:
    body = 'w = w + sum(g, over="layer")\nk = k + 1\nparam = w + k'
    run = Run(body, [[0.0], [0.0], [0.0]], layers=[0, 0, 1], state="w: 'full(0.0, over=\"layer\")', k: 0")
    run.step([4.0], None, None)
    assert [run.state("w", i) for i in range(3)] == [[4.0], [4.0], [0.0]]
    assert [run.state("k", i) for i in range(3)] == [[1.0]] * 3
    run.step(None, [1.0], [2.0])
    assert [run.state("w", i) for i in range(3)] == [[5.0], [5.0], [2.0]]
    assert run.param(1) == [7.0]


# The graph: layers 0 and 1 matched with own 2 and other 3, layers 1 and 2 unmatched with 1 and 1


def test_graph_of_layer_values() -> None:
    run = Run(
        'param = laplacian(sum(g, over="layer"))*100 + neighbors(sum(g, over="layer"))',
        [[0.0], [0.0], [0.0, 0.0]],
        layers=[0, 1, 2],
        graph=True,
    )
    run.step([5.0], [7.0], [1.0, 1.0])
    assert run.param(0) == [(2 * 5 - 3 * 7) * 100 + 3 * 7]
    assert run.param(1) == [(2 * 7 - 3 * 5 + 7 - 2) * 100 + 3 * 5 + 2]
    assert run.param(2) == [(2 - 7) * 100 + 7] * 2


def test_graph_of_element_values() -> None:
    run = Run("param = laplacian(g)", [[0.0, 0.0], [0.0, 0.0], [0.0]], layers=[0, 1, 2], graph=True)
    run.step([3.0, 4.0], [0.0, 5.0], [10.0])
    assert run.param(0) == [2 * 3.0 - 3 * 0.0, 2 * 4.0 - 3 * 5.0]
    # layer 2 has norm 10, twice that of layer 1: its transport is 2*g
    assert run.param(1) == [2 * 0.0 - 3 * 3.0 + (1 - 2) * 0.0, 2 * 5.0 - 3 * 4.0 + (1 - 2) * 5.0]
    assert run.param(2) == [(1 - 0.5) * 10.0]


def test_neighbors_of_element_values() -> None:
    run = Run("param = neighbors(g)", [[0.0, 0.0], [0.0, 0.0], [0.0]], layers=[0, 1, 2], graph=True)
    run.step([3.0, 4.0], [0.0, 5.0], [10.0])
    assert run.param(0) == [0.0, 15.0]
    assert run.param(1) == [9.0, 12.0 + 2 * 5.0]
    assert run.param(2) == [0.5 * 10.0]


def test_absent_layers_have_no_edges() -> None:
    run = Run("param = param + laplacian(g)", [[1.0], [1.0], [1.0]], layers=[0, 1, 2], graph=True)
    run.step([3.0], None, [4.0])
    assert [run.param(i) for i in range(3)] == [[1.0]] * 3


def test_a_zero_gradient_has_no_transport() -> None:
    run = Run("param = laplacian(g)", [[5.0], [5.0, 5.0]], layers=[1, 2], graph=True)
    run.step([0.0], [3.0, 4.0])
    assert run.param(0) == [0.0]
    np.testing.assert_allclose(run.param(1), [3.0, 4.0])


def test_gradients_stay_the_callers() -> None:
    g: Array = np.array([1.0, 2.0])
    run = Run("g = 2*g\nparam = param - g", [[0.0, 0.0]])
    run.step(g)
    assert g.tolist() == [1.0, 2.0]
    assert run.param() == [-2.0, -4.0]
