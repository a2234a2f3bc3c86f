"""Sums over the neighbours of a tensor, as generated Triton kernels take them.

A neighbour is a tensor and a window: only some of a tensor's elements have it, and they read elements a fixed distance
on in row-major order (:class:`optgen.runtime.graph.Neighbours`). Where tensors match, windows are whole.
"""

# Triton kernels are text for another compiler: nothing here has a type that the checker could know.
# pyright: basic, reportArgumentType=false

from __future__ import annotations

import triton
import triton.language as tl

from optgen.runtime import graph
from optgen.runtime.triton_device import (
    ACTIVE,
    MODE,
    NEIGHBOUR,
    NEIGHBOUR_OTHER,
    NEIGHBOUR_OWN,
    NEIGHBOUR_START,
    WINDOW,
    load,
    plain,
    pointer,
    slot,
    strided,
    table,
)

WHOLE = tl.constexpr(graph.WHOLE)


@triton.jit
def neighbours_plain(ctx, t, column: tl.constexpr, GRADIENT: tl.constexpr):
    """Whether a slot of all neighbours of a tensor is there, plain, and read element by element."""
    first = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t)
    end = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t + 1)
    all_plain = first == first
    for e in range(first, end):
        u = tl.maximum(tl.load(table(ctx, NEIGHBOUR, tl.int64) + e), 0)
        all_plain = all_plain & plain(slot(ctx, u, column))
        all_plain = all_plain & (tl.load(table(ctx, WINDOW, tl.int64) + 3 * e + 1) == WHOLE)
        if GRADIENT:
            all_plain = all_plain & (tl.load(table(ctx, MODE, tl.int64) + u) == ACTIVE)
    return all_plain


@triton.jit
def neighbours_strided(ctx, t, column: tl.constexpr):
    """Whether a slot of any neighbour does not lie in order."""
    first = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t)
    end = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t + 1)
    any_strided = first != first
    for e in range(first, end):
        u = tl.maximum(tl.load(table(ctx, NEIGHBOUR, tl.int64) + e), 0)
        any_strided = any_strided | strided(slot(ctx, u, column))
    return any_strided


@triton.jit
def near(
    ctx,
    t,
    own,
    i,
    inside,
    column: tl.constexpr,
    kind: tl.constexpr,
    GRADIENT: tl.constexpr,
    OWN: tl.constexpr,
    HOW: tl.constexpr,
):
    """The sum over a tensor's neighbours of a*own - b*other, or without OWN of b*other, for elements of a slot."""
    first = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t)
    end = tl.load(table(ctx, NEIGHBOUR_START, tl.int64) + t + 1)
    total = tl.zeros_like(own)
    for e in range(first, end):
        u = tl.load(table(ctx, NEIGHBOUR, tl.int64) + e)
        b = tl.load(table(ctx, NEIGHBOUR_OTHER, own.dtype) + e)
        there = inside
        place = i
        a = b * 0
        if OWN:
            a = tl.load(table(ctx, NEIGHBOUR_OWN, own.dtype) + e)
        if HOW != "whole":
            window = table(ctx, WINDOW, tl.int64) + 3 * e
            seen = (i >= tl.load(window)) & (i < tl.load(window + 1))
            there = inside & seen & (u + i * 0 >= 0)
            place = i + tl.load(window + 2)
            a = tl.where(seen, a, 0)
            u = tl.maximum(u, 0)
        if GRADIENT:
            there = there & (tl.load(table(ctx, MODE, tl.int64) + u) + i * 0 == ACTIVE)
        at = pointer(slot(ctx, u, column), kind, HOW)
        other = load(at, place, there, HOW).to(own.dtype)
        if OWN:
            total += a * (own - other) + tl.where(a == b, 0.0, (a - b) * other)  # in this order on all backends
        else:
            total += b * other
    return total
