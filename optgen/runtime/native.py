"""Operations the driver needs that numba does not offer: calls by address, atomic words, tables at addresses."""

# numba asks for these argument names whether they are used or not.
# ruff: noqa: ARG001
# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils, compiler, sigutils
from numba.core.typing.templates import signature as call_signature
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_WORDS = _WORD.as_pointer()
_POINTER = ir.IntType(8).as_pointer()


#: A function of compiled code only. Compiled code is typed by numba, not by what Python's checker sees.
Native: TypeAlias = Callable[..., Any]


def native(function: Callable[..., object]) -> Native:
    """An operation written in LLVM: ``function(typingctx, *types)`` gives its signature and its code generator."""
    return cast(Native, intrinsic(function))


def _intrinsic(call: Callable[..., object], name: str, names: Sequence[str]) -> Native:
    """An intrinsic with named arguments, which numba asks for."""
    call.__name__ = name
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(each, kind) for each in ("typingctx", *names)]
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return native(call)


def routine(signature: str, *attributes: str) -> Callable[[Callable[..., object]], Native]:
    """Compile a function as part of whatever calls it, with LLVM function attributes.

    numba's own way makes machine code of each function for itself before it inlines it, which costs seconds for a
    driver of twenty functions; here all of them are one module that is optimised once.
    """
    arguments, result = sigutils.normalize_signature(signature)
    kind = call_signature(result, *arguments)

    def decorate(function: Callable[..., object]) -> Native:
        made = weakref.WeakKeyDictionary()

        def codegen(context, builder, _, args):
            library = context.active_code_library
            if library not in made:
                flags = cast(Any, compiler.Flags())
                flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
                flags.error_model = "numpy"
                made[library] = compiler.compile_internal(
                    context.typing_context, context, library, function, kind.args, kind.return_type, flags, {}
                ).fndesc
                compiled = library._final_module.get_function(made[library].llvm_func_name)
                compiled.linkage = "linkonce_odr"
                for attribute in attributes:
                    compiled.add_function_attribute(attribute)
            return context.call_internal(builder, made[library], kind, args)

        def call(typingctx, *args):
            return kind, codegen

        return _intrinsic(call, function.__name__, list(inspect.signature(function).parameters))

    return decorate


def _call(*kinds: ir.Type) -> Native:
    """An intrinsic that calls the C function at its first argument; addresses are passed as integers."""

    def codegen(context, builder, signature, args):
        values = [
            builder.inttoptr(value, kind) if isinstance(kind, ir.PointerType) else value
            for value, kind in zip(args[1:], kinds, strict=True)
        ]
        function = ir.FunctionType(ir.VoidType(), list(kinds)).as_pointer()
        builder.call(builder.inttoptr(args[0], function), values)
        return context.get_dummy_value()

    def call(typingctx, function, *args):
        return types.void(*[types.int64] * (1 + len(kinds))), codegen

    return _intrinsic(call, "call", ["function", *(f"x{i}" for i in range(len(kinds)))])


call_segment = _call(_WORD, _POINTER, _POINTER, _POINTER)
call_stage = _call(_POINTER, _WORD, _WORD)


@native
def atomic_add(typingctx, address, x):
    """Adds to the word at an address; the value before."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.inttoptr(args[0], _WORDS), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@native
def atomic_swap(typingctx, address, x):
    """Sets the word at an address, so that whoever sees it sees everything written before; the value before."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("xchg", builder.inttoptr(args[0], _WORDS), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@native
def word(typingctx, table, index):
    """Entry of a table of words at an address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], _WORDS)
        return builder.load(builder.gep(pointer, [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@native
def at(typingctx, table, fields, index):
    """Address of an entry of so many words in a table."""

    def codegen(context, builder, signature, args):
        return builder.add(args[0], builder.mul(builder.mul(args[1], args[2]), ir.Constant(_WORD, 8)))

    return types.int64(types.int64, types.int64, types.int64), codegen


@native
def record(typingctx, table, name, fields, index):
    """Address of an entry of so many words in the table whose address is a word of a table."""

    def codegen(context, builder, signature, args):
        base = builder.load(builder.gep(builder.inttoptr(args[0], _WORDS), [args[1]]))
        return builder.add(base, builder.mul(builder.mul(args[2], args[3]), ir.Constant(_WORD, 8)))

    return types.int64(types.int64, types.int64, types.int64, types.int64), codegen


@native
def place(typingctx, terms, matrix, row, col):
    """terms[0] + matrix*terms[1] + row*terms[2] + col*terms[3]"""

    def codegen(context, builder, signature, args):
        table = builder.inttoptr(args[0], _WORDS)
        terms = [builder.load(builder.gep(table, [ir.Constant(_WORD, i)])) for i in range(4)]
        total = terms[0]
        for index, term in zip(args[1:], terms[1:], strict=True):
            total = builder.add(total, builder.mul(index, term))
        return total

    return types.int64(types.int64, types.int64, types.int64, types.int64), codegen


@native
def entry(typingctx, table, name, index):
    """Entry of the table of words whose address is a word of another table."""

    def codegen(context, builder, signature, args):
        table = builder.load(builder.gep(builder.inttoptr(args[0], _WORDS), [args[1]]))
        return builder.load(builder.gep(builder.inttoptr(table, _WORDS), [args[2]]))

    return types.int64(types.int64, types.int64, types.int64), codegen


@native
def value(typingctx, table, name, index):
    """Entry of the table of float64 whose address is a word of a table."""

    def codegen(context, builder, signature, args):
        table = builder.load(builder.gep(builder.inttoptr(args[0], _WORDS), [args[1]]))
        return builder.load(builder.gep(builder.inttoptr(table, ir.DoubleType().as_pointer()), [args[2]]))

    return types.float64(types.int64, types.int64, types.int64), codegen


@native
def set_word(typingctx, table, index, x):
    """Sets an entry of a table of words at an address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], _WORDS)
        builder.store(args[2], builder.gep(pointer, [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@native
def atomic_load(typingctx, address):
    """The word at an address as other threads last left it."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], _WORDS), "seq_cst", 8)

    return types.int64(types.int64), codegen


@native
def prefetch(typingctx, address):
    """Asks for the cache line at an address, to the second level, ahead of its use. Any address will do."""

    def codegen(context, builder, signature, args):
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_POINTER, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        how = [ir.Constant(flag, x) for x in (0, 2, 1)]  # to read, into the second level, data
        builder.call(function, [builder.inttoptr(args[0], _POINTER), *how])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@native
def number(typingctx, table, index):
    """Entry of a table of float64 at an address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.DoubleType().as_pointer())
        return builder.load(builder.gep(pointer, [args[1]]))

    return types.float64(types.int64, types.int64), codegen


@native
def set_number(typingctx, table, index, x):
    """Sets an entry of a table of float64 at an address."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.DoubleType().as_pointer())
        builder.store(args[2], builder.gep(pointer, [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), codegen


def pointer_to(element: Any, *further: str) -> Native:
    """An intrinsic that turns an address into a pointer to elements; words that it takes `further` change nothing."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    def call(typingctx, *args):
        return types.CPointer(element)(*[types.int64] * (1 + len(further))), codegen

    return _intrinsic(call, "pointer", ["address", *further])


f4_at = pointer_to(types.float32)
f8_at = pointer_to(types.float64)
u2_at = pointer_to(types.uint16)
u4_at = pointer_to(types.uint32)


@routine("int64(int64, int64)")
def place_of(layout, index):
    """Where an element lies, in items: a layout is its number of axes, their sizes and their steps, outermost first."""
    axes = word(layout, 0)
    place, rest = 0, index
    for axis in range(axes, 0, -1):
        size = word(layout, axis)
        place += rest % size * word(layout, axes + axis)
        rest //= size
    return place
