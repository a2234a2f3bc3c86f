"""bfloat16 and float16 in generated CPU kernels: memory as 16-bit words, arithmetic in float32.

=================================  ===============================================================================
``b2_stream(address, n)``          1-d array of n bfloat16 at an address, as words; ``f2_stream`` of float16
``f4_of_b2(x)``, ``f4_of_f2(x)``   a word's value, exactly
``b2_of_f4(x)``, ``f2_of_f4(x)``   rounded once, to the nearest, ties to even; NaN stays NaN
``b2_at_random(x, bits)``          to one of the two neighbours: 16 random bits are added below what is kept
``u2_stream(address, n)``          1-d array of n random words of 16 bits
=================================  ===============================================================================

numba has neither type. bfloat16 is the upper half of a float32, which is integer work that vectorises; float16 is
converted by the processor where it can (F16C, any AArch64) and by integer work elsewhere. The bits are the same.
"""

# numba asks for these argument names whether they are used or not.
# ruff: noqa: ARG001
# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types

from optgen.runtime.native import Native, native, pointer_to

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_F16, _F32 = ir.HalfType(), ir.FloatType()

b2_stream = f2_stream = u2_stream = pointer_to(types.uint16, "n")

#: Writes one conversion: (builder, value) to value.
Write = Callable[[Any, Any], Any]


def _word(number: int) -> Any:
    return ir.Constant(_I32, number)


def converts_half() -> bool:
    """Whether the processor converts float16: elsewhere LLVM would call library functions that numba does not link."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(binding.get_host_cpu_features().get("f16c", False))


# -- as LLVM ---------------------------------------------------------------------------------------------------------


def widen_bfloat(builder: Any, x: Any) -> Any:
    """bfloat16 word to float32."""
    return builder.bitcast(builder.shl(builder.zext(x, _I32), _word(16)), _F32)


def _keep_nan(builder: Any, x: Any, bits: Any, rounded: Any) -> Any:
    """The upper half of a sum, or a quiet NaN of the same sign where x is one."""
    quiet = builder.or_(builder.lshr(bits, _word(16)), _word(0x40))
    upper = builder.lshr(rounded, _word(16))
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", x, x), quiet, upper), _I16)


def round_bfloat(builder: Any, x: Any) -> Any:
    """float32 to a bfloat16 word, ties to even."""
    bits = builder.bitcast(x, _I32)
    odd = builder.and_(builder.lshr(bits, _word(16)), _word(1))
    return _keep_nan(builder, x, bits, builder.add(builder.add(bits, _word(0x7FFF)), odd))


def widen_half(builder: Any, x: Any) -> Any:
    """float16 word to float32."""
    return builder.fpext(builder.bitcast(x, _F16), _F32)


def round_half(builder: Any, x: Any) -> Any:
    """float32 to a float16 word, ties to even."""
    return builder.bitcast(builder.fptrunc(x, _F16), _I16)


def widen_half_by_bits(builder: Any, x: Any) -> Any:
    """The same by integer work: exponent and mantissa moved into place, then scaled by 2**112, which is exact."""
    wide = builder.zext(x, _I32)
    sign = builder.shl(builder.and_(wide, _word(0x8000)), _word(16))
    body = builder.shl(builder.and_(wide, _word(0x7FFF)), _word(13))
    scaled = builder.fmul(builder.bitcast(body, _F32), ir.Constant(_F32, 2.0**112))
    special = builder.or_(body, _word(0x7F800000))
    is_special = builder.icmp_unsigned(">=", body, _word(0x0F800000))
    value = builder.select(is_special, special, builder.bitcast(scaled, _I32))
    return builder.bitcast(builder.or_(value, sign), _F32)


def round_half_by_bits(builder: Any, x: Any) -> Any:
    """The same by integer work. Below 2**-14 an addition of 0.5 leaves the rounded word in the low bits."""
    bits = builder.bitcast(x, _I32)
    sign = builder.and_(bits, _word(0x80000000))
    size = builder.xor(bits, sign)
    magnitude = builder.bitcast(size, _F32)
    small = builder.sub(builder.bitcast(builder.fadd(magnitude, ir.Constant(_F32, 0.5)), _I32), _word(0x3F000000))
    odd = builder.and_(builder.lshr(size, _word(13)), _word(1))
    normal = builder.add(builder.add(size, _word((15 - 127) * (1 << 23) + 0xFFF & 0xFFFFFFFF)), odd)
    normal = builder.lshr(normal, _word(13))
    word = builder.select(builder.icmp_unsigned("<", size, _word(113 << 23)), small, normal)
    word = builder.select(builder.icmp_unsigned(">=", size, _word(143 << 23)), _word(0x7C00), word)
    word = builder.select(builder.icmp_unsigned(">", size, _word(0x7F800000)), _word(0x7E00), word)
    return builder.trunc(builder.or_(word, builder.lshr(sign, _word(16))), _I16)


def _widen(write: Write) -> Native:
    def widen(typingctx, x):
        def codegen(context, builder, signature, args):
            return write(builder, args[0])

        return types.float32(types.uint16), codegen

    return native(widen)


def _narrow(write: Write) -> Native:
    def narrow(typingctx, x):
        def codegen(context, builder, signature, args):
            return write(builder, args[0])

        return types.uint16(types.float32), codegen

    return native(narrow)


_NATIVE = converts_half()
f4_of_b2, b2_of_f4 = _widen(widen_bfloat), _narrow(round_bfloat)
f4_of_f2 = _widen(widen_half if _NATIVE else widen_half_by_bits)
f2_of_f4 = _narrow(round_half if _NATIVE else round_half_by_bits)


@native
def b2_at_random(typingctx, x, bits):
    """float32 to a bfloat16 word: up with the probability that its lower 16 bits say."""

    def codegen(context, builder, signature, args):
        whole = builder.bitcast(args[0], _I32)
        return _keep_nan(builder, args[0], whole, builder.add(whole, builder.zext(args[1], _I32)))

    return types.uint16(types.float32, types.uint16), codegen
