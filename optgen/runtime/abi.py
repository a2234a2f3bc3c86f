"""The binary interface between generated kernels, the driver that launches them, and the front ends.

A generated module exports functions with three C signatures, all called by address:

``select(ctx, begin, end)``    writes the variant of members ``begin <= k < end`` into the variant table
``stage(ctx, begin, end)``     coarse float64 code for units ``begin <= k < end`` of one extent
``segment(n, streams, scalars, totals)``   element code for ``n`` consecutive elements

``ctx`` is an array of int64 words, indexed by :class:`Word`: sizes, and addresses of C-contiguous tables. ``streams``
holds one address per stream in the order the manifest gives. ``scalars`` is the tensor's row of the tensor value table.
``totals`` has one float64 per reduction that the sweep takes; the segment adds to (sum) or combines with (max, min) it.

Streams are ``["slot", slot, "r" | "w" | "rw"]``, one address each; ``["near", slot]``, five: own value and neighbour,
twice, and two float64 coefficients (the Laplacian is ``a*(x[0] - x[1]) + b*(x[2] - x[3])``; zeros stand for what is
missing, the finished sum for more than two neighbours); ``["stencil", slot]``, the finished sum in the compute dtype,
``["stencil", slot, "neighbors"]`` that of ``b*x_j`` alone;
``["noise", stream]``, n random words of 16 bits (:mod:`optgen.ir.philox` says which); ``["matrix" | "row" | "col",
column]``, one float64 or, of columns, n; ``["row_total" | "col_total", column, op]``, one or n to combine with.
Totals start from 0, -inf or inf in every step. Stages of layer and model extent run once, with the first module's ctx.
A variant's ``stored`` names the coarse slots that its stages store, per boundary.
"""

from __future__ import annotations

from enum import IntEnum

VERSION = 1

#: Elements of the longest segment that adds to totals or goes through buffers: float32 partial sums never run over
#: more, and buffers stay in the cache. Others are as long as their chunk.
SEGMENT = 2048


class Word(IntEnum):
    """Index of a word in ``ctx``. T tensors, L layers; a *member* is a tensor of this context's dtype set."""

    TENSORS = 0  # T
    LAYERS = 1  # L
    MEMBERS = 2  # i64[members]: tensor ids of this dtype set, ascending
    MEMBER_COUNT = 3
    MODE = 4  # i64[T]: see Mode
    VARIANT = 5  # i64[T]
    HYPER = 6  # f64[T, hypers]
    META = 7  # f64[T, len(META)]
    INPUT = 8  # f64[inputs]: model-wide inputs of this step
    STEP = 9  # f64[1]: 1 + optimizer steps completed
    ADDRESS = 10  # i64[T, slots]: address of each slot's storage, 0 where absent
    TENSOR_VALUE = 11  # f64[T, columns]
    LAYER_VALUE = 12  # f64[L, columns]
    MODEL_VALUE = 13  # f64[columns]
    TENSOR_TOTAL = 14  # f64[T, totals]: per-tensor totals of the reductions over tensor, layer, model
    MATRIX_VALUE = 15  # f64[columns, sum of matrices]
    ROW_VALUE = 16  # f64[columns, sum of rows of all matrices]
    COL_VALUE = 17  # f64[columns, sum of columns of all matrices]
    MATRIX_WIDTH = 18  # length of the second axis of the table above, likewise below
    ROW_WIDTH = 19
    COL_WIDTH = 20
    MATRIX_OFFSET = 21  # i64[T]: first entry of a tensor in the second axis, likewise below
    ROW_OFFSET = 22
    COL_OFFSET = 23
    LAYER_OF = 24  # i64[T]
    LAYER_START = 25  # i64[L + 1]: LAYER_MEMBER[LAYER_START[l]:LAYER_START[l + 1]] are the tensors of layer l
    LAYER_MEMBER = 26  # i64[T]
    LAYER_PRESENT = 27  # i64[L]: 1 where any tensor of the layer has a gradient
    EDGE_START = 28  # i64[L + 1]: edges of layer l, in both directions, present layers only
    EDGE_TO = 29  # i64[edges]: the neighbouring layer
    EDGE_OWN = 30  # f64[edges]: coefficient a of the layer's own value
    EDGE_OTHER = 31  # f64[edges]: coefficient b of the neighbour's value (Laplacian: a*own - b*other)
    EDGE_MATCHED = 32  # i64[edges]: 1 where both layers have the same role -> shape map
    SLOTS = 33  # columns of ADDRESS: those of the module with the most slots; columns are a module's own
    COUNT = 34  # number of words


class Mode(IntEnum):
    """How a tensor takes part in this step."""

    ABSENT = 0  # not at all
    ACTIVE = 1
    ZERO_GRADIENT = 2  # no gradient, but its layer has one: reductions read it with g = 0, nothing is stored


#: Columns of the metadata table. ``rows`` and ``cols`` are those of one matrix under the rule's ``matrix:`` view;
#: ``depth`` is relative, 0 at the input and 1 at the output.
META = ("numel", "ndim", "rows", "cols", "matrices", "depth")
