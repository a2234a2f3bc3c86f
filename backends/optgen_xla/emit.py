"""From a program to a module of plain array functions, and the steps that call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from optgen.ir.array_view import Op, Program, Start, Value, Variant
from optgen_xla.phases import Crossing, Phase, known_before, phases
from optgen_xla.text import ATOM, HELPERS, Dialect, Function, Names, comment, python_name

_GIVEN = ("param", "g", "t", "step", "numel", "ndim", "rows", "cols", "matrices", "depth")
_NAMESPACES = ("jnp", "math", "ops")
_RECORDS = ("Each", "Edges", "Program", "Slot", "Stencil", "Total", "Variant", "PROGRAM")
_RESERVED = (*_NAMESPACES, *_RECORDS, *HELPERS)
_VECTORS = ("matrix", "row", "col")


@dataclass
class _Module:
    """What all functions of a module share."""

    program: Program
    dialect: Dialect
    reserved: frozenset[str]
    vectors: bool
    functions_named: Names
    helpers: set[str] = field(default_factory=set[str])
    calls: set[str] = field(default_factory=set[str])
    functions: list[str] = field(default_factory=list[str])
    records: set[str] = field(default_factory=set[str])

    def add(self, name: str, doc: str, function: Function, results: Sequence[str]) -> None:
        """A function's text."""
        self.helpers |= function.helpers
        self.calls |= function.calls
        arguments = ", ".join(function.arguments)
        head = f"def {name}({arguments}):"
        if len(head) > 120:
            head = f"def {name}(\n    {arguments},\n):"
        lines = [head, f'    """{doc}"""', *(f"    {line}" for line in function.lines)]
        returned = ", ".join(results)
        self.functions.append(
            "\n".join([*lines, f"    return {returned}" if len(results) > 1 else f"    return ({returned},)"])
        )


JAX = Dialect(
    about="plain JAX functions",
    framework="",
    imports="import jax.numpy as jnp",
    arrays="jnp",
    inf="jnp.inf",
    records="optgen.runtime.jax_program",
    scalars="optgen.runtime.jax_scalars",
    library="optgen.runtime.jax_library",
    reductions={"sum": "sum_of", "max": "max_of", "min": "min_of"},
)
KERAS = Dialect(
    about="functions of `keras.ops`, for every backend that Keras has",
    framework=" --framework keras",
    imports="from keras import ops",
    arrays="ops",
    inf="math.inf",
    records="optgen.runtime.array_program",
    scalars="optgen.runtime.keras_scalars",
    library="optgen.runtime.keras_library",
    careful=frozenset({"maximum", "minimum"}),  # of a float64 array and a number Keras makes float32
)


def emit(program: Program, dialect: Dialect = JAX) -> str:
    """The source text of a rule's module of array functions."""
    slots = [python_name(start.slot) for start in program.starts]
    reserved = {*_GIVEN, *_RESERVED, *program.hypers, *program.inputs, *slots, *_gradients(program)}
    vectors = any(_is_vector(value) for v in program.variants for op in v.ops for value in (op.result,) if value)
    vectors = vectors or any(start.extent in _VECTORS for start in program.starts)
    called = {op.word for variant in program.variants for op in variant.ops if op.name == "call"}
    reserved |= called
    module = _Module(program, dialect, frozenset(reserved), vectors or bool(called), Names(reserved))
    starts = [_start(module, start) for start in program.starts]
    variants = [_variant(module, variant) for variant in program.variants]
    record = _record(module, starts, variants)
    return "\n".join([*_head(module), "", "", "\n\n\n".join([*module.functions, record]), ""])


def _gradients(program: Program) -> list[str]:
    """Names of the gradients, where a tensor has several."""
    return [python_name(f"g[{entry}]") for entry in range(program.gradients)]


def _is_vector(value: Value) -> bool:
    return value.extent in _VECTORS


# Functions


def _function(module: _Module, names: Names | None = None) -> Function:
    slots = {"param", "g", *_gradients(module.program), *(python_name(start.slot) for start in module.program.starts)}

    def wish(value: Value) -> str:
        if value.hint:
            return f"{value.hint}_new" if value.hint in slots else value.hint
        words = {"reduce": "total", "apply": value.op.word.strip("_")}
        return words.get(value.op.name, value.op.name)

    return Function(names or Names(module.reserved), wish, module.vectors, module.dialect)


def _start(module: _Module, start: Start) -> str:
    """The function of a slot's starting value; its record."""
    function = _function(module)
    for op in start.ops:
        function.add(op)
    name = module.functions_named.new(f"start_{python_name(start.slot)}")
    module.add(name, f"What {comment(start.slot)} starts from.", function, [function.text(start.value)])
    fields = f'"{start.slot}", "{start.extent}", "{start.kind}", "{start.dtype}"'
    return f"Slot({fields}, {name}, {_words(function.arguments)})"


def _conditions(module: _Module, variant: Variant) -> str:
    """The function that says whether a tensor takes a variant; its record."""
    if not variant.when:
        return "None, ()"
    function = _function(module)
    wanted = [value for value, _ in variant.when]
    _write(function, variant.ops, wanted, {})
    name = module.functions_named.new(f"is_{variant.name}")
    texts: list[str] = []
    for value, truth in variant.when:
        if not truth:
            function.helpers.add("negation")
        texts.append(function.text(value) if truth else f"negation({function.text(value)})")
    holds = texts[0]
    for text in texts[1:]:
        function.helpers.add("both")
        holds = f"both({holds}, {text})"
    module.add(name, f"Whether a tensor takes `{variant.name}`.", function, [holds])
    return f"{name}, {_words(function.arguments)}"


def _variant(module: _Module, variant: Variant) -> str:
    """The functions of a variant; its record."""
    condition = _conditions(module, variant)
    parts = phases(variant)
    outputs = _outputs(variant, parts)
    outside: dict[Value, str] = {}
    names = Names(module.reserved)  # of all functions of a variant, because they pass values on by name
    steps: list[str] = []
    for number, part in enumerate(parts):
        if outputs[number]:
            wish = variant.name if len(parts) == 1 else f"{variant.name}_{part.unit}_{number + 1}"
            steps.append(
                _each(module, variant, part, module.functions_named.new(wish), outputs[number], outside, names)
            )
        for crossing in part.after:
            outside[crossing.result] = names.new(crossing.result.hint or crossing.op.word)
            steps.append(_crossing(module, crossing, outside))
    finals = ", ".join(f'"{slot}": "{outside[v]}"' for slot, v in variant.finals.items())
    advance = variant.advance.op
    advances = repr(bool(advance.number)) if advance.name == "constant" else f'"{outside[variant.advance]}"'
    lines = ["        Variant(", f'            "{variant.name}",', f"            {condition},", "            ("]
    lines += [f"                {step}," for step in steps]
    lines += ["            ),", f"            {{{finals}}},", f"            {advances},", "        ),"]
    return "\n".join(lines)


def _outputs(variant: Variant, parts: Sequence[Phase]) -> list[list[Value]]:
    """Per function: what others need of it. What no array is needed for is made where it is needed, or at the end."""
    free = known_before(variant.ops)
    home = {op.result: number for number, part in enumerate(parts) for op in part.ops}
    found: list[dict[Value, None]] = [{} for _ in parts]

    def need(value: Value, number: int) -> None:
        if value in free:
            found[number].setdefault(value)
        elif value in home:
            found[home[value]].setdefault(value)

    last = max(number for number, part in enumerate(parts) if part.unit == "tensor")
    for number, part in enumerate(parts):
        for op in part.ops:
            for operand in op.operands:
                if home.get(operand, number) != number:
                    need(operand, number)
        for crossing in part.after:
            need(crossing.value, number)
    for value in variant.finals.values():
        need(value, last)
    if variant.advance.op.name != "constant":
        need(variant.advance, last)
    return [list(values) for values in found]


def _each(
    module: _Module,
    variant: Variant,
    part: Phase,
    name: str,
    outputs: Sequence[Value],
    outside: dict[Value, str],
    names: Names,
) -> str:
    """One function of a variant; its record. What it gives is added to what lies outside the next ones."""
    function = _function(module, names)
    _write(function, variant.ops, outputs, outside)
    results = {value: function.named(value) for value in outputs}
    doc = f"`{variant.name}`: one {part.unit}." if part.unit != "model" else f"`{variant.name}`: the model."
    module.add(name, doc, function, list(results.values()))
    outside.update(results)
    module.records.add("Each")
    return f'Each("{part.unit}", {name}, {_words(function.arguments)}, {_words(results.values())})'


def _crossing(module: _Module, crossing: Crossing, outside: dict[Value, str]) -> str:
    op, value, result = crossing.op, outside[crossing.value], outside[crossing.result]
    if op.name == "stencil":
        module.records.add("Stencil")
        return f'Stencil("{op.word}", "{value}", "{result}")'
    if op.name == "edges":
        module.records.add("Edges")
        return f'Edges("{op.word}", "{value}", "{result}")'
    module.records.add("Total")
    kind = "count" if op.name == "count" else op.word
    own = op.operands[0].extent
    return f'Total("{kind}", "{own}", "{op.over}", "{value}", "{result}")'


def _write(function: Function, ops: Sequence[Op], wanted: Sequence[Value], outside: dict[Value, str]) -> None:
    """The operations that the wanted values need, in order; what lies outside becomes an argument."""
    needed: set[Value] = set()
    uses: dict[Value, int] = dict.fromkeys(wanted, 2)  # named where they are computed
    stack = list(wanted)
    while stack:
        value = stack.pop()
        if value in outside:
            function.known.setdefault(value, (function.argument(outside[value]), ATOM))
        elif value not in needed:
            needed.add(value)
            stack += value.op.operands
            for operand in value.op.operands:
                uses[operand] = uses.get(operand, 0) + 1
    function.free_uses = uses
    for op in ops:
        if op.result in needed:
            function.add(op)


# The module


def _head(module: _Module) -> list[str]:
    program = module.program
    given = " ".join(f"--set {key}={_shown(value)}" for key, value in program.settled.items() if key.isidentifier())
    words = module.dialect
    lines = [
        f'"""The rule {program.name} as {words.about}, generated from {program.name}.yaml.',
        "",
        f"spec {program.digest}",
        f"made by: optgen build {program.name} --backend xla{words.framework} {given}".rstrip(),
        '"""',
        "",
        *(["import math", ""] if any(re.search(r"\bmath\.", text) for text in module.functions) else []),
        words.imports,
        "",
        *([f"from {words.library} import {', '.join(sorted(module.calls))}"] if module.calls else []),
        f"from {words.records} import {', '.join(sorted({'Program', 'Slot', 'Variant'} | module.records))}",
    ]
    if module.helpers:
        lines.append(f"from {words.scalars} import {', '.join(sorted(module.helpers))}")
    return lines


def _record(module: _Module, starts: Sequence[str], variants: Sequence[str]) -> str:
    program = module.program
    settled = ", ".join(f'"{key}": {value!r}' for key, value in program.settled.items())
    return "\n".join(
        [
            "PROGRAM = Program(",
            f'    rule="{program.name}",',
            f'    digest="{program.digest}",',
            f"    settled={{{settled}}},",
            f'    matrix="{program.matrix}",',
            f"    vectors={module.vectors},",
            "    slots=(",
            *(f"        {start}," for start in starts),
            "    ),",
            "    variants=(",
            *variants,
            "    ),",
            f"    inexact={program.inexact!r},",
            ")",
        ]
    )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(names: Iterable[str]) -> str:
    """A tuple of words as text."""
    words = [f'"{name}"' for name in names]
    return f"({', '.join(words)}{',' * (len(words) == 1)})"
