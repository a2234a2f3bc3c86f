"""One common sequence of stages for all variants: stages of one position run together, whatever variant a tensor takes.

Before: `[row, matrix, tensor]` in one variant and `[tensor]` in another. After: the second has empty stages in front.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Block, Region

from optgen.ir import kernel_dialect as kernel
from optgen.ir.extents import Extent
from optgen.ir.rule_types import ExtentAttr

Stages = Sequence[Sequence[kernel.StageOp]]


def align_stages(variants: Sequence[Stages]) -> list[list[list[kernel.StageOp]]]:
    """Pad every boundary of every variant with empty stages; variants and their boundaries keep their order."""
    boundaries = max((len(stages) for stages in variants), default=0)
    result: list[list[list[kernel.StageOp]]] = [[] for _ in variants]
    for boundary in range(boundaries):
        here = [list(stages[boundary]) if boundary < len(stages) else [] for stages in variants]
        common: tuple[Extent, ...] = ()
        for stages in here:
            common = shortest_common(common, tuple(stage.extent.data for stage in stages))
        for padded, stages, variant in zip(result, here, variants, strict=True):
            if boundary < len(variant):
                padded.append(_pad(stages, common))
    return result


def shortest_common(a: tuple[Extent, ...], b: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """The shortest sequence that holds both in order."""
    if not a or not b:
        return a + b
    if a[0] is b[0]:
        return (a[0], *shortest_common(a[1:], b[1:]))
    left, right = (a[0], *shortest_common(a[1:], b)), (b[0], *shortest_common(a, b[1:]))
    return left if len(left) <= len(right) else right


def _pad(stages: list[kernel.StageOp], common: tuple[Extent, ...]) -> list[kernel.StageOp]:
    left = list(stages)
    result: list[kernel.StageOp] = []
    for extent in common:
        if left and left[0].extent.data is extent:
            result.append(left.pop(0))
        else:
            empty = kernel.StageOp(properties={"extent": ExtentAttr(extent)}, regions=[Region(Block())])
            result.append(empty)
    return result
