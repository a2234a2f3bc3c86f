"""The compiled driver: runs the kernels of a step over all tensors, called by address, without the GIL.

One function, compiled once per machine and shared by all rules. Everything it reads lies in tables reached through
``plan`` (:mod:`optgen.runtime.layout`). The work of a sweep is a list of *units* that threads claim; a unit is a run of
chunks, or a run of tensors that go through all their sweeps at once. Partial totals belong to chunks and are added up
in the order of chunks, so that results depend neither on the order of work nor on the number of threads.
"""

# numba has no type information: everything that touches it here is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, cast

from numba import njit

from optgen.runtime import abi, warm_up
from optgen.runtime.chunk_kernel import (
    combine,
    copy_items,
    neutral,
    partial_totals,
    program_of,
    run_chunk,
    whole_totals,
)
from optgen.runtime.cpu import (
    ABSENT,
    LAYERS,
    MEMBER_COUNT,
    MODE,
    TENSOR_TOTAL,
    TENSORS,
    cached,
)
from optgen.runtime.layout import (
    CHAIN,
    CLAIM,
    CLOSED,
    CONTEXTS,
    DONE,
    END_SWEEP,
    ENDED,
    EXTENT_LAYER,
    EXTENT_TENSOR,
    HELP,
    LOOSE,
    LOOSE_COUNT,
    LOW,
    MODULES,
    OPEN,
    ORDER,
    P_FUNCTION,
    P_STREAM,
    P_STREAMS,
    P_TOTAL,
    P_TOTALS,
    PARTIAL,
    PARTIAL_WIDTH,
    ROW_TOTAL,
    RUN,
    S_INDEX,
    S_KIND,
    S_OP,
    S_ORDINAL,
    SELECT,
    SERVE,
    SETTLE,
    SPINS,
    STAGE,
    STAGE_START,
    STREAM,
    STREAM_FIELDS,
    SUM,
    SWEEP_UNITS,
    SWEEPS,
    T_CHUNK,
    T_CHUNKS,
    T_COL_BLOCKS,
    T_MATRICES,
    T_MEMBER,
    T_MODULE,
    T_ROW_AT,
    TENSOR,
    TENSOR_FIELDS,
    TOTAL,
    TOTAL_OP,
    TOTALS,
    UNIT,
    UNIT_COUNT,
)
from optgen.runtime.native import (
    atomic_add,
    atomic_load,
    atomic_swap,
    call_stage,
    entry,
    f8_at,
    number,
    record,
    routine,
    set_number,
    set_word,
    value,
    word,
)

#: What is compiled into the driver beside this file, which is all that numba's cache looks at.
SOURCES = ("abi.py", "cpu.py", "native.py", "narrow.py", "layout.py", "random_bits.py", "chunk_kernel.py")

Drive: TypeAlias = Callable[[int, int, int, int], int]


# -- between sweeps ------------------------------------------------------------------------------------------------


@routine("void(int64, int64, int64)", "noinline", "optsize")
def finish(plan, sweep, t):
    """Combines the partial totals of a tensor's chunks, in order."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    ctx = entry(plan, CONTEXTS, word(tensor, T_MODULE))
    program = program_of(plan, ctx, tensor, t, sweep)
    if word(program, P_FUNCTION) == 0 or entry(ctx, MODE, t) == ABSENT:
        return
    width, begin = word(plan, PARTIAL_WIDTH), word(tensor, T_CHUNK)
    for j in range(word(program, P_TOTALS)):
        column = entry(plan, TOTAL, word(program, P_TOTAL) + j)
        op = entry(plan, TOTAL_OP, column)
        total = neutral(op)
        for i in range(begin, begin + word(tensor, T_CHUNKS)):
            total = combine(op, total, value(plan, PARTIAL, i * width + j))
        set_number(word(ctx, TENSOR_TOTAL), t * word(plan, TOTALS) + column, total)
    for j in range(word(program, P_STREAMS)):
        stream = record(plan, STREAM, STREAM_FIELDS, word(program, P_STREAM) + j)
        axis = word(stream, S_KIND) - ROW_TOTAL + 1
        if axis > 0 and word(tensor, T_ROW_AT + axis - 1) >= 0:
            n = word(tensor, T_MATRICES) * word(tensor, T_MATRICES + axis)
            blocks = word(tensor, T_COL_BLOCKS + 1 - axis)
            source = partial_totals(plan, axis, word(stream, S_ORDINAL), word(tensor, T_ROW_AT + axis - 1))
            target = whole_totals(ctx, axis, word(stream, S_INDEX), t)
            copy_items(target, 1, source, 1, 8, n)
            for block in range(1, blocks):
                combine_into(target, source + 8 * block * n, n, word(stream, S_OP))


@routine("void(int64, int64, int64, int64)", "noinline")
def combine_into(target, source, n, op):
    """Combines n totals with n others in place."""
    if op == SUM:
        X, Y = f8_at(target), f8_at(source)
        for i in range(n):
            X[i] += Y[i]
    else:
        for i in range(n):
            set_number(target, i, combine(op, number(target, i), number(source, i)))


@routine("void(int64, int64, int64)", "noinline", "optsize")
def run_stages(plan, after, t):
    """The stages after a sweep (0: before the first) for one chained tensor, or for all others where t < 0."""
    modules = word(plan, MODULES)
    for i in range(entry(plan, STAGE_START, after), entry(plan, STAGE_START, after + 1)):
        stage = word(plan, STAGE) + 8 * (1 + modules) * i
        extent = word(stage, 0)
        if extent == EXTENT_TENSOR:
            if t >= 0:
                run_member(plan, stage, t)
            elif after == 0 or word(plan, LOOSE_COUNT) < 0:
                for module in range(modules):
                    ctx = entry(plan, CONTEXTS, module)
                    call_stage(word(stage, 1 + module), ctx, 0, word(ctx, MEMBER_COUNT))
            else:
                for k in range(word(plan, LOOSE_COUNT)):
                    run_member(plan, stage, entry(plan, LOOSE, k))
        elif t < 0:
            ctx = entry(plan, CONTEXTS, 0)
            units = 1
            if extent == EXTENT_LAYER:
                units = word(ctx, LAYERS)
            call_stage(word(stage, 1), ctx, 0, units)


@routine("void(int64, int64, int64)")
def run_member(plan, stage, t):
    """A stage of tensor extent for one tensor."""
    tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
    module, member = word(tensor, T_MODULE), word(tensor, T_MEMBER)
    call_stage(word(stage, 1 + module), entry(plan, CONTEXTS, module), member, member + 1)


@routine("void(int64)", "optsize")
def begin_step(plan):
    """Clears totals, picks variants, runs what comes before the first sweep."""
    ctx = entry(plan, CONTEXTS, 0)
    columns = word(plan, TOTALS)
    for t in range(word(ctx, TENSORS)):
        for column in range(columns):
            set_number(word(ctx, TENSOR_TOTAL), t * columns + column, neutral(entry(plan, TOTAL_OP, column)))
    for module in range(word(plan, MODULES)):
        ctx, function = entry(plan, CONTEXTS, module), entry(plan, SELECT, module)
        if function != 0:
            call_stage(function, ctx, 0, word(ctx, MEMBER_COUNT))
    run_stages(plan, 0, -1)
    set_word(plan, ENDED, 0)


@routine("void(int64, int64)", "noinline", "optsize")
def end_sweep(plan, sweep):
    """Finishes the totals of a sweep and runs the stages after it: the sweep is complete."""
    ctx = entry(plan, CONTEXTS, 0)
    if word(plan, LOOSE_COUNT) < 0:
        for t in range(word(ctx, TENSORS)):
            finish(plan, sweep, t)
    else:
        for k in range(word(plan, LOOSE_COUNT)):
            finish(plan, sweep, entry(plan, LOOSE, k))
    run_stages(plan, sweep, -1)
    set_word(plan, ENDED, sweep)


# -- units and threads ---------------------------------------------------------------------------------------------


@routine("void(int64, int64, int64, int64)", "noinline", "optsize")
def run_unit(plan, sweep, unit, scratch):
    """One claim's work: chunks of a sweep, or all sweeps of some tensors."""
    begin, end = entry(plan, UNIT, 2 * unit), entry(plan, UNIT, 2 * unit + 1)
    if unit < word(plan, SWEEP_UNITS):
        for k in range(begin, end):
            run_chunk(plan, sweep, entry(plan, ORDER, k), scratch)
        return
    for k in range(begin, end):
        t = entry(plan, CHAIN, k)
        tensor = record(plan, TENSOR, TENSOR_FIELDS, t)
        first = word(tensor, T_CHUNK)
        for s in range(1, word(plan, SWEEPS) + 1):
            for index in range(first, first + word(tensor, T_CHUNKS)):
                run_chunk(plan, s, index, scratch)
            finish(plan, s, t)
            run_stages(plan, s, t)


@routine("int64(int64, int64)", "noinline", "optsize")
def help_out(plan, scratch):
    """Runs units of whatever sweep is open until there are none. 1: the last unit, and the caller waits for it."""
    while True:
        ticket = atomic_add(plan + 8 * CLAIM, 1)
        sweep, unit = ticket >> 32, ticket & LOW
        if unit >= CLOSED:
            return 0
        units = entry(plan, UNIT_COUNT, sweep)
        if unit >= units:
            return 0
        run_unit(plan, sweep, unit, scratch)
        done = atomic_add(plan + 8 * DONE, 1) + 1
        if done & LOW == units:
            return done >> 32


@routine("int64(int64, int64, int64)")
def serve(plan, sweep, scratch):
    """The caller's part of a sweep. 1: the sweep is done; 0: another thread will say so."""
    units = entry(plan, UNIT_COUNT, sweep)
    help_out(plan, scratch)
    for _ in range(SPINS):
        if atomic_load(plan + 8 * DONE) == units:
            return 1
    if atomic_add(plan + 8 * DONE, LOW + 1) == units:
        return 1
    return 0


@routine("void(int64, int64)")
def open_sweep(plan, sweep):
    """Lets threads claim the units of a sweep; sweep 0 has none."""
    atomic_swap(plan + 8 * DONE, 0)
    if sweep == 0:
        atomic_swap(plan + 8 * CLAIM, CLOSED)
    else:
        atomic_swap(plan + 8 * CLAIM, sweep << 32)


@routine("int64(int64, int64)", "optsize")
def open_next(plan, until):
    """Opens the sweep after those that are complete, and says which; 0 where there is none up to `until`."""
    sweep = word(plan, ENDED) + 1
    if sweep > until:
        return 0
    open_sweep(plan, sweep)
    return sweep


@routine("int64(int64, int64)", "optsize")
def end_open_sweep(plan, until):
    """Completes the sweep that all units were run of, and opens the next."""
    open_sweep(plan, 0)
    end_sweep(plan, word(plan, ENDED) + 1)
    return open_next(plan, until)


@routine("void(int64, int64)", "optsize")
def settle(plan, scratch):
    """Completes the sweep that is open, if one is; then no thread works on the plan."""
    sweep = atomic_load(plan + 8 * CLAIM) >> 32
    if sweep == 0:
        return
    help_out(plan, scratch)
    while atomic_load(plan + 8 * DONE) & LOW != entry(plan, UNIT_COUNT, sweep):
        pass
    end_open_sweep(plan, 0)


@routine("void(int64, int64, int64)", "optsize")
def run(plan, until, scratch):
    """All that is left of a step up to the end of a sweep, by this thread."""
    settle(plan, scratch)
    if word(plan, ENDED) < 0:
        begin_step(plan)
    for s in range(word(plan, ENDED) + 1, until + 1):
        for unit in range(entry(plan, UNIT_COUNT, s)):
            run_unit(plan, s, unit, scratch)
        end_sweep(plan, s)


def _digest() -> int:
    """Of the other files that are compiled into the driver."""
    try:
        folder = Path(__file__).parent
        texts = [(folder / name).read_bytes() for name in SOURCES]
    except OSError:  # no plain files
        return abi.VERSION
    return int.from_bytes(hashlib.sha256(b"".join(texts)).digest()[:7], "big")


def _compile(cache: bool) -> Drive:
    version = _digest()

    def drive(plan, action, sweep, scratch):
        if action == RUN:
            run(plan, sweep, scratch)
        elif action == OPEN:
            if word(plan, ENDED) < 0:
                begin_step(plan)
            return open_next(plan, sweep)
        elif action == SERVE:
            return serve(plan, sweep, scratch)
        elif action == HELP:
            return help_out(plan, scratch)
        elif action == END_SWEEP:
            return end_open_sweep(plan, sweep)
        elif action == SETTLE:
            settle(plan, scratch)
        else:
            return version
        return 0

    signature = "int64(int64, int64, int64, int64)"
    return cast(Drive, njit(signature, error_model="numpy", nogil=True, cache=cache)(drive))


#: ``drive(plan, action, sweep, scratch)``: addresses of the plan and of this thread's scratch, an action of
#: :mod:`optgen.runtime.layout`, and a sweep: the one to SERVE, or the last to RUN or to OPEN (also by END_SWEEP, which
#: like OPEN gives the sweep that is open now, or 0).
warm_up.finish()
drive: Drive = cached(_compile)
