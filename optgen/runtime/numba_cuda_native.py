"""What kernels of numba-cuda stand on: memory by address, words of narrow numbers, a program's threads.

Loads and stores name global memory, and four elements go as one access: numba-cuda does neither of itself. The same
names in plain Python, for its simulator, are in :mod:`optgen.runtime.numba_cuda_simulated`.
"""

# Device code, which numba types: to a checker of Python its values have no types.
# pyright: basic, reportGeneralTypeIssues=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportAttributeAccessIssue=false, reportMissingImports=false

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic
from numba.cuda.np import arrayobj

kernel = cuda.jit
device = cuda.jit(device=True)

#: Threads of a warp, which may combine values without a barrier.
LANES = 32

_GLOBAL = 1  # address space
_I32 = ir.IntType(32)
_F32 = ir.FloatType()


def _index(k):
    return ir.Constant(_I32, k)


def _load(kind, lanes, item):
    """One element at an address, or four, which lie at a multiple of their size."""
    result = kind if lanes == 1 else types.UniTuple(kind, lanes)

    @intrinsic
    def load(typing, at):  # noqa: ARG001 (numba's protocol)
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            own = context.get_value_type(kind)
            whole = own if lanes == 1 else ir.VectorType(own, lanes)
            found = builder.load(builder.inttoptr(arguments[0], ir.PointerType(whole, _GLOBAL)))
            found.align = item * lanes if item * lanes <= 16 else 16
            if lanes == 1:
                return found
            return cgutils.pack_array(builder, [builder.extract_element(found, _index(k)) for k in range(lanes)])

        return result(types.int64), generate

    return load


def _store(kind, item):
    """Replaces the element at an address."""

    @intrinsic
    def store(typing, at, x):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            own = context.get_value_type(kind)
            builder.store(arguments[1], builder.inttoptr(arguments[0], ir.PointerType(own, _GLOBAL))).align = item
            return context.get_dummy_value()

        return types.void(types.int64, kind), generate

    return store


def _store4(kind, item):
    """Replaces the four elements at an address that is a multiple of their size."""

    @intrinsic
    def put(typing, at, a, b, c, d):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            whole = ir.VectorType(context.get_value_type(kind), 4)
            value = ir.Constant(whole, ir.Undefined)
            for k in range(4):
                value = builder.insert_element(value, arguments[1 + k], _index(k))
            builder.store(value, builder.inttoptr(arguments[0], ir.PointerType(whole, _GLOBAL))).align = min(
                4 * item, 16
            )
            return context.get_dummy_value()

        return types.void(types.int64, kind, kind, kind, kind), generate

    @device
    def store4(at, x):
        put(at, x[0], x[1], x[2], x[3])

    return store4


load_f4, load_f8, load_i8 = (
    _load(kind, 1, 4 if kind is types.float32 else 8) for kind in (types.float32, types.float64, types.int64)
)
load_b2 = load_f2 = _load(types.uint16, 1, 2)
load4_f4, load4_f8 = _load(types.float32, 4, 4), _load(types.float64, 4, 8)
load4_b2 = load4_f2 = _load(types.uint16, 4, 2)
store_f4, store_f8, store_i8 = _store(types.float32, 4), _store(types.float64, 8), _store(types.int64, 8)
store_b2 = store_f2 = _store(types.uint16, 2)
store4_f4, store4_f8 = _store4(types.float32, 4), _store4(types.float64, 8)
store4_b2 = store4_f2 = _store4(types.uint16, 2)


def _view(kind, item, axes):
    """An array of some length, or of rows and columns, at an address."""
    made = types.Array(kind, axes, "C")

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        array = context.make_array(made)(context, builder)
        size = context.get_constant(types.intp, item)
        data = builder.inttoptr(arguments[0], context.get_data_type(kind).as_pointer())
        lengths = list(arguments[1:])
        strides = [size] if axes == 1 else [builder.mul(lengths[1], size), size]
        arrayobj.populate_array(array, data=data, shape=lengths, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()

    if axes == 1:

        @intrinsic
        def stream(typing, at, length):  # noqa: ARG001
            return made(types.int64, types.int64), generate

        return stream

    @intrinsic
    def table(typing, at, rows, cols):  # noqa: ARG001
        return made(types.int64, types.int64, types.int64), generate

    return table


f4_stream, f8_stream, i8_stream = _view(types.float32, 4, 1), _view(types.float64, 8, 1), _view(types.int64, 8, 1)
f8_table, i8_table = _view(types.float64, 8, 2), _view(types.int64, 8, 2)


# -- words ---------------------------------------------------------------------------------------------------------


def _converted(instruction, constraints, result, operand):
    """A conversion that the processor has an instruction for."""

    @intrinsic
    def convert(typing, x):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            own = [context.get_value_type(each) for each in (result, operand)]
            function = ir.InlineAsm(ir.FunctionType(own[0], [own[1]]), f"{instruction} $0, $1;", constraints)
            return builder.call(function, arguments)

        return result(operand), generate

    return convert


@intrinsic
def f4_of_b2(typing, word):  # noqa: ARG001
    """The number of a bfloat16 word."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _I32), _index(16)), _F32)

    return types.float32(types.uint16), generate


@intrinsic
def bits_of_f4(typing, x):  # noqa: ARG001
    """The 32 bits of a float32, as an integer."""

    def generate(context, builder, signature, arguments):  # noqa: ARG001
        return builder.zext(builder.bitcast(arguments[0], _I32), ir.IntType(64))

    return types.int64(types.float32), generate


f4_of_f2 = _converted("cvt.f32.f16", "=f,h", types.float32, types.uint16)
b2_of_f4 = _converted("cvt.rn.bf16.f32", "=h,f", types.uint16, types.float32)
f2_of_f4 = _converted("cvt.rn.f16.f32", "=h,f", types.uint16, types.float32)


# -- threads -------------------------------------------------------------------------------------------------------


@device
def thread():
    """Number of this thread in its program."""
    return cuda.threadIdx.x


@device
def threads():
    """Threads of a program."""
    return cuda.blockDim.x


@device
def program():
    """Number of this program."""
    return cuda.blockIdx.x


@device
def programs():
    """Programs of this launch."""
    return cuda.gridDim.x


@device
def arrive(at):
    """The number at an address, which is one more after this."""
    return cuda.atomic.add(i8_stream(at, 1), 0, 1)


@device
def any_thread(x):
    """Whether a condition holds for any thread of the program; all of them must come by."""
    return cuda.syncthreads_or(np.int32(x)) != 0


@device
def barrier():
    """Waits for all threads of the program."""
    cuda.syncthreads()


@device
def other_lane(x, distance):
    """The value of the lane whose number differs in a bit."""
    return cuda.shfl_xor_sync(0xFFFFFFFF, x, distance)


# -- functions -----------------------------------------------------------------------------------------------------


def _function(name):
    """A function of the mathematics library, of its argument's type."""
    own = getattr(math, name)

    @device
    def function(x):
        return own(x)

    return function


sqrt, exp, log, expm1, log1p = map(_function, ("sqrt", "exp", "log", "expm1", "log1p"))
sin, cos, tanh = map(_function, ("sin", "cos", "tanh"))


def _rounding(name):
    """A function to whole numbers that stays in its argument's type."""

    @intrinsic
    def function(typing, x):  # noqa: ARG001
        def generate(context, builder, signature, arguments):  # noqa: ARG001
            own = arguments[0].type
            short = "f32" if own == _F32 else "f64"
            return builder.call(
                builder.module.declare_intrinsic(f"llvm.{name}.{short}", [], ir.FunctionType(own, [own])), arguments
            )

        return x(x), generate

    return function


floor, ceil, rint = map(_rounding, ("floor", "ceil", "rint"))


@device
def power(x, y):
    """x to the y."""
    return math.pow(x, y)
