"""What the host works out for kernels on a graphics processor that stop for library calls, as NumPy text.

The host makes the calls, so it has to know which tensors they are for and with which numbers, without waiting for the
device. Both come from hypers, metadata and counters alone; the functions here take these for all tensors at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from optgen.backend import python_text
from optgen.backend.launch_plan import first_stages
from optgen.backend.layout import Layout
from optgen.backend.python_text import ATOM, NUMPY_CALLS, PRODUCT, PURE, Names, Spelling, Text, number, within
from optgen.errors import BackendError
from optgen.ir.view import Module, Op, Value

#: What generated modules call the functions that the host runs.
HOST = "HOST"
_ARGUMENTS = ("hyper", "meta", "updates", "step")
_RESERVED = frozenset((*_ARGUMENTS, "np", HOST))
_TYPES = {"f32": "np.float32", "f64": "np.float64"}


class HostSpelling(Spelling):
    """Arrays with an entry per tensor, in float64."""

    def literal(self, value: float, type_: str) -> str:  # noqa: ARG002 (float64 is Python's own)
        """A number."""
        return number(value)

    def call(self, name: str, type_: str, args: list[Text]) -> Text:  # noqa: ARG002 (as above)
        """A function of NumPy's, none of which raises an error."""
        if name == "arith.divf":
            return f"np.divide({within(args[0])}, {within(args[1])})", ATOM
        return f"{NUMPY_CALLS[name]}({', '.join(within(arg) for arg in args)})", ATOM

    def select(self, condition: Text, then: Text, otherwise: Text, type_: str) -> Text:  # noqa: ARG002 (as above)
        """Both sides are computed, one is taken."""
        return f"np.where({within(condition)}, {within(then)}, {within(otherwise)})", ATOM

    def invert(self, condition: Text) -> Text:
        """Of every entry."""
        return f"np.logical_not({within(condition)})", ATOM

    def remainder(self, a: Text, b: Text, type_: str, divisor: float | None) -> Text:  # noqa: ARG002 (as above)
        """An operator that has no zero to its right."""
        if divisor:
            return f"{within(a, PRODUCT)} % {within(b, PRODUCT + 1)}", PRODUCT
        return f"np.where({within(b, ATOM)} != 0, np.remainder({within(a)}, {within(b)}), 0.0)", ATOM

    def convert(self, x: Text, type_: str) -> Text:
        """NumPy's own."""
        return f"{_TYPES[type_]}({within(x)})", ATOM


class _Code:
    """Coarse code of all tensors: rows of tables are axes of arrays."""

    def __init__(self, module: Module, layout: Layout) -> None:
        self.module = module
        self.layout = layout
        self.body = python_text.Body(Names(_RESERVED), HostSpelling())
        self.defined: dict[str, Value] = {}
        self.columns: dict[str, str] = {}
        self.hypers: set[str] = set()
        self.counters: set[str] = set()
        self.chosen = ""

    def write(self, ops: Sequence[Op]) -> list[str]:
        """The lines."""
        for op in ops:
            if op.name in PURE:
                self.body.pure(op, "chosen" if op.name == "arith.select" else "")
            else:
                self._op(op)
        return self.body.lines

    def _op(self, op: Op) -> None:
        body, layout, result = self.body, self.layout, op.result
        match op.name:
            case "kernel.hyper" if result is not None:
                name = op.word("hyper")
                self.hypers.add(name)
                self._column(result, f"hyper[:, {layout.hyper(name)}]", name)
            case "kernel.metadata" if result is not None:
                name = op.word("metadata")
                self._column(result, f"meta[:, {layout.metadata(name)}]", name)
            case "kernel.counter" if result is not None:
                counter = "step" if op.word("counter") == "step" else "updates"
                self.counters.add(counter)
                body.bind(result, counter)
            case "kernel.define":
                self.defined[op.word("sym_name")] = op.operands[0]
            case "kernel.value" if result is not None:
                body.bind(result, body.text(self.defined[op.word("value")], ATOM))
            case "kernel.chosen":
                self.chosen = body.text(op.operands[0])
            case _:
                raise _refused(self.module, op.name.partition(".")[2])

    def _column(self, result: Value, text: str, wish: str) -> None:
        """A column of a table, under one name."""
        if text in self.columns:
            self.body.bind(result, self.columns[text])
        else:
            self.columns[text] = self.body.assign(result, text, wish)


def _refused(module: Module, what: str) -> BackendError:
    """A call that depends on what only the device knows."""
    return BackendError(
        f"{module.name} decides by what only the device knows ({what}) on a call of a matrix library, which the host "
        'makes: backends for GPUs do not build it; "numba" and "reference" do'
    )


class HostText:
    """The functions of one module. `manifest` says what they read: hypers and counters."""

    def __init__(self, module: Module, layout: Layout) -> None:
        self.module = module
        self.layout = layout
        self.functions: list[list[str]] = []
        self._entries: list[str] = []
        self._codes: list[_Code] = []
        choice = "None" if module.select is None else self._select(module.select)
        numbers = [f"        {v}: {self._numbers(v)}," for v, each in enumerate(module.variants) if each.calls]
        if "updates" in self.manifest["counters"] and not self._host_can_count():
            raise _refused(self.module, "skip")
        self.table = [f"{HOST} = {{", f'    "select": {choice},', '    "numbers": {', *numbers, "    },", "}"]

    @property
    def manifest(self) -> dict[str, list[str]]:
        """What the functions read."""
        hypers = set[str]().union(*(code.hypers for code in self._codes))
        counters = set[str]().union(*(code.counters for code in self._codes))
        return {"hypers": [name for name in self.module.hypers if name in hypers], "counters": sorted(counters)}

    def _host_can_count(self) -> bool:
        """Whether a variant counts every update or none: a `skip` that only the device sees would make it some."""
        counter = self.module.slots[self.layout.counter].name
        ops = [op for variant in self.module.variants for stage in variant.stages for op in stage.ops]
        puts = [op for op in ops if op.name == "kernel.put" and op.word("slot") == counter]
        return all(op.operands[0].op.name == "kernel.counter" for op in puts)

    def _select(self, ops: Sequence[Op]) -> str:
        """The function whose result is the variant of every tensor."""
        code = self._code()
        self._add("choose_on_host", code.write(ops), code.chosen)
        return "choose_on_host"

    def _numbers(self, number: int) -> str:
        """The function whose results are the numbers of a variant's calls, by their columns of tensor values."""
        variant = self.module.variants[number]
        wanted = list(dict.fromkeys(name for call in variant.calls for name in call.numbers))
        code = self._code()
        lines = code.write(first_stages(variant, wanted))
        for name in wanted:
            if name not in code.defined:
                raise _refused(self.module, name)
        entries = [f"{self.layout.value(name).column}: {code.body.text(code.defined[name])}" for name in wanted]
        function = f"numbers_of_{variant.name}" if len(self.module.variants) > 1 else "numbers_of_calls"
        self._add(function, lines, f"{{{', '.join(entries)}}}")
        return function

    def _code(self) -> _Code:
        self._codes.append(_Code(self.module, self.layout))
        return self._codes[-1]

    def _add(self, name: str, lines: Sequence[str], result: str) -> None:
        self.functions.append([f"def {name}({', '.join(_ARGUMENTS)}):", *lines, f"    return {result}"])


def calls_of(module: Module) -> bool:
    """Whether any variant stops for a library call."""
    return any(variant.calls for variant in module.variants)
