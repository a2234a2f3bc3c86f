"""What generated CPU kernels are written with: three function decorators, typed views of memory, and a few operations.

A kernel receives addresses (see :mod:`optgen.runtime.abi`) and looks at memory through views, which cost nothing::

    @segment
    def sweep_1(n, streams, scalars, totals):
        param = f4_stream(streams[0], n)
        g = f4_stream(streams[1], n)
        lr = f4(scalars[0])
        t0 = f4(0)
        for i in range(n):
            param[i] = param[i] - lr * g[i]
            t0 = add_reassoc(t0, g[i] * g[i])
        totals[0] += f8(t0)

    @stage
    def stage_0(ctx, begin, end):
        members = i8_stream(ctx[MEMBERS], ctx[MEMBER_COUNT])
        mode = i8_stream(ctx[MODE], ctx[TENSORS])
        hyper = f8_table(ctx[HYPER], ctx[TENSORS], 3)
        value = f8_table(ctx[TENSOR_VALUE], ctx[TENSORS], 1)
        for k in range(begin, end):
            t = members[k]
            if mode[t] == ABSENT:
                continue
            value[t, 0] = -hyper[t, 0]

===============================  =================================================================================
``segment stage select``         decorators: C functions of the three signatures, compiled at import, cached on disk
``f4 f8 i8``                     the scalar types (``np.float32``, ``np.float64``, ``np.int64``)
``f4_stream(address, n)``        n float32 at an address; ``f8_stream``, ``i8_stream`` likewise
``f8_table(address, rows, cols)``  rows of float64, read as ``table[row, column]``; ``i8_table`` likewise
``load_f4(address)``             one float32; ``load_f8``, ``load_i8`` likewise
``store_f4(address, x)``         ``store_f8``, ``store_i8`` likewise
``f4_near(streams, k)``          a tensor and its neighbours: the five addresses from ``streams[k]``; ``f8_near``
``laplacian_at(near, i)``        ``a*(own[i] - first[i]) + b*(own[i] - second[i])``, zero for missing neighbours
``add_reassoc(acc, x)``          ``acc + x`` whose order of summation is free: only reductions are vectorised this way
``maximum minimum (a, b)``       of two floats; NaN if either is NaN; vectorised, in reductions too
``TENSORS`` ... ``SLOTS``          every name of :class:`optgen.runtime.abi.Word`, as an index into ``ctx``
``ABSENT ACTIVE ZERO_GRADIENT``  the values of the mode table
===============================  =================================================================================
"""

# numba asks for these argument names whether they are used or not.
# ruff: noqa: ARG001, ARG002
# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportOptionalCall=false, reportUntypedClassDecorator=false

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from optgen.runtime.abi import Mode, Word
from optgen.runtime.native import Native, native, pointer_to

f4 = np.float32
f8 = np.float64
i8 = np.int64

# numba reads plain integers from a module, not members of an enumeration
TENSORS = int(Word.TENSORS)
LAYERS = int(Word.LAYERS)
MEMBERS = int(Word.MEMBERS)
MEMBER_COUNT = int(Word.MEMBER_COUNT)
MODE = int(Word.MODE)
VARIANT = int(Word.VARIANT)
HYPER = int(Word.HYPER)
META = int(Word.META)
INPUT = int(Word.INPUT)
STEP = int(Word.STEP)
ADDRESS = int(Word.ADDRESS)
TENSOR_VALUE = int(Word.TENSOR_VALUE)
LAYER_VALUE = int(Word.LAYER_VALUE)
MODEL_VALUE = int(Word.MODEL_VALUE)
TENSOR_TOTAL = int(Word.TENSOR_TOTAL)
MATRIX_VALUE = int(Word.MATRIX_VALUE)
ROW_VALUE = int(Word.ROW_VALUE)
COL_VALUE = int(Word.COL_VALUE)
MATRIX_WIDTH = int(Word.MATRIX_WIDTH)
ROW_WIDTH = int(Word.ROW_WIDTH)
COL_WIDTH = int(Word.COL_WIDTH)
MATRIX_OFFSET = int(Word.MATRIX_OFFSET)
ROW_OFFSET = int(Word.ROW_OFFSET)
COL_OFFSET = int(Word.COL_OFFSET)
LAYER_OF = int(Word.LAYER_OF)
LAYER_START = int(Word.LAYER_START)
LAYER_MEMBER = int(Word.LAYER_MEMBER)
LAYER_PRESENT = int(Word.LAYER_PRESENT)
EDGE_START = int(Word.EDGE_START)
EDGE_TO = int(Word.EDGE_TO)
EDGE_OWN = int(Word.EDGE_OWN)
EDGE_OTHER = int(Word.EDGE_OTHER)
EDGE_MATCHED = int(Word.EDGE_MATCHED)
SLOTS = int(Word.SLOTS)
ABSENT = int(Mode.ABSENT)
ACTIVE = int(Mode.ACTIVE)
ZERO_GRADIENT = int(Mode.ZERO_GRADIENT)


class Compiled(Protocol):
    """A compiled C function."""

    @property
    def address(self) -> int: ...


R = TypeVar("R")

_WORDS = types.CPointer(types.int64)
_NUMBERS = types.CPointer(types.float64)
SEGMENT_SIGNATURE = types.void(types.int64, _WORDS, _NUMBERS, _NUMBERS)
STAGE_SIGNATURE = types.void(_WORDS, types.int64, types.int64)


def cached(make: Callable[[bool], R]) -> R:
    """``make(True)``, which caches on disk, or ``make(False)`` where that is not to be had.

    No folder may be written, or the cache was made by an import of the same file under another module name, or its
    folder is cleared at this moment.
    """
    try:
        return make(True)
    except (ModuleNotFoundError, OSError):
        return make(False)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return make(False)


def _c_function(function: Callable[..., None], signature: Any) -> Compiled:
    # error_model: Python's test for division by zero stops vectorisation. No fastmath: results are the text's.
    def make(cache: bool) -> Compiled:
        return cast(Compiled, cfunc(signature, error_model="numpy", cache=cache)(function))

    return cached(make)


def segment(function: Callable[..., None]) -> Compiled:
    """Compile ``function(n, streams, scalars, totals)``: element code for n consecutive elements."""
    return _c_function(function, SEGMENT_SIGNATURE)


def stage(function: Callable[..., None]) -> Compiled:
    """Compile ``function(ctx, begin, end)``: coarse code for units begin to end."""
    return _c_function(function, STAGE_SIGNATURE)


def select(function: Callable[..., None]) -> Compiled:
    """Compile ``function(ctx, begin, end)``: writes the variant of members begin to end."""
    return _c_function(function, STAGE_SIGNATURE)


class Table(types.Type):
    """Rows of so many items at an address, read and written as ``table[row, column]``.

    Of an array of numba's own it takes a fifth of a module's compile time to say that indices may be negative and
    memory may be shared.
    """

    def __init__(self, element: Any) -> None:
        super().__init__(f"table({element})")
        self.element = element
        self.pointer = types.CPointer(element)


_PLACE = types.UniTuple(types.int64, 2)


@register_model(Table)
class _TableModel(models.StructModel):
    def __init__(self, manager: object, kind: Table) -> None:
        super().__init__(manager, kind, [("address", kind.pointer), ("cols", types.int64)])


@infer_global(operator.getitem)
class _TypeOfItem(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0].element, args[0], _PLACE) if isinstance(args[0], Table) else None


@infer_global(operator.setitem)
class _TypeOfStore(AbstractTemplate):
    def generic(self, args, kws):
        return signature(types.none, args[0], _PLACE, args[0].element) if isinstance(args[0], Table) else None


def _item(context, builder, kind, args):
    table = cgutils.create_struct_proxy(kind.args[0])(context, builder, args[0])
    row, column = cgutils.unpack_tuple(builder, args[1], 2)
    return builder.gep(table.address, [builder.add(builder.mul(row, table.cols), column)])


@lower_builtin(operator.getitem, Table, _PLACE)
def _load_item(context, builder, kind, args):
    return builder.load(_item(context, builder, kind, args))


@lower_builtin(operator.setitem, Table, _PLACE, types.Any)
def _store_item(context, builder, kind, args):
    builder.store(args[2], _item(context, builder, kind, args))
    return context.get_dummy_value()


def _table_of(element: Any) -> Native:
    """An intrinsic ``(address, rows, cols) -> Table``."""
    kind = Table(element)

    def codegen(context, builder, signature, args):
        table = cgutils.create_struct_proxy(kind)(context, builder)
        table.address = builder.inttoptr(args[0], context.get_value_type(kind.pointer))
        table.cols = args[2]
        return table._getvalue()

    def table(typingctx, address, rows, cols):
        return kind(types.int64, types.int64, types.int64), codegen

    return native(table)


f4_stream = pointer_to(types.float32, "n")
f8_stream = pointer_to(types.float64, "n")
i8_stream = pointer_to(types.int64, "n")
f8_table = _table_of(types.float64)
i8_table = _table_of(types.int64)


def _load(element: Any) -> Native:
    def load(typingctx, address):
        def codegen(context, builder, signature, args):
            pointer = builder.inttoptr(args[0], context.get_value_type(types.CPointer(element)))
            return builder.load(pointer)

        return element(types.int64), codegen

    return native(load)


def _store(element: Any) -> Native:
    def store(typingctx, address, x):
        def codegen(context, builder, signature, args):
            pointer = builder.inttoptr(args[0], context.get_value_type(types.CPointer(element)))
            builder.store(args[1], pointer)
            return context.get_dummy_value()

        return types.void(types.int64, element), codegen

    return native(store)


load_f4, store_f4 = _load(types.float32), _store(types.float32)
load_f8, store_f8 = _load(types.float64), _store(types.float64)
load_i8, store_i8 = _load(types.int64), _store(types.int64)


def _near(element: Any) -> Native:
    pointer = types.CPointer(element)
    kind = types.Tuple([pointer] * 4 + [element] * 2)

    def near(typingctx, streams, k):
        def codegen(context, builder, signature, args):
            def address(i: int):
                return builder.load(builder.gep(args[0], [builder.add(args[1], context.get_constant(types.int64, i))]))

            arrays = [builder.inttoptr(address(i), context.get_value_type(pointer)) for i in range(4)]
            weights = builder.inttoptr(address(4), ir.DoubleType().as_pointer())
            numbers = [builder.load(builder.gep(weights, [ir.Constant(ir.IntType(64), i)])) for i in range(2)]
            numbers = [context.cast(builder, number, types.float64, element) for number in numbers]
            return context.make_tuple(builder, kind, arrays + numbers)

        return kind(types.CPointer(types.int64), types.int64), codegen

    return native(near)


f4_near = _near(types.float32)
f8_near = _near(types.float64)


@native
def laplacian_at(typingctx, near, i):
    """Element i of the weighted sum of differences between a tensor and its neighbours."""

    def codegen(context, builder, signature, args):
        own, first, again, second, a, b = cgutils.unpack_tuple(builder, args[0], 6)

        def difference(x, y):
            return builder.fsub(builder.load(builder.gep(x, [args[1]])), builder.load(builder.gep(y, [args[1]])))

        return builder.fadd(builder.fmul(a, difference(own, first)), builder.fmul(b, difference(again, second)))

    return near.types[4](near, types.int64), codegen


@native
def add_reassoc(typingctx, acc, x):
    """acc + x as part of a sum whose order is free; x is converted to the accumulator's type."""

    def codegen(context, builder, signature, args):
        return builder.fadd(args[0], args[1], flags=("reassoc", "nsz"))

    return acc(acc, acc), codegen


def _extremum(name: str) -> Native:
    def extremum(typingctx, a, b):
        result = types.float64 if types.float64 in (a, b) else types.float32

        def codegen(context, builder, signature, args):
            number = args[0].type
            suffix = "f64" if number == ir.DoubleType() else "f32"
            kind = ir.FunctionType(number, [number, number])
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix}")
            return builder.call(function, args)

        return result(result, result), codegen

    return native(extremum)


maximum = _extremum("maximum")
minimum = _extremum("minimum")
