"""A rule's equations as LaTeX, as they are written.

SymPy's printer is not used: it reorders and merges terms on the way in, and a reader wants to find the rule's own
lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optgen.spec.model import Spec
from optgen.spec.syntax import (
    Assign,
    Binary,
    Boolean,
    Call,
    Compare,
    Expr,
    If,
    Index,
    Logic,
    Name,
    Number,
    Stmt,
    Text,
    Unary,
    Vector,
)

_ESCAPED = {
    **{char: "\\" + char for char in "#$%&_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\~{}",
    "^": r"\^{}",
}
_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
_RELATIONS = {"==": "=", "!=": r"\neq", "<": "<", "<=": r"\leq", ">": ">", ">=": r"\geq"}
_GIVEN = {"param": r"\theta", "g": "g", "d": "d", "t": "t", "step": r"\mathrm{step}", "pi": r"\pi"}
#: Functions with a notation of their own: text around their arguments.
_AROUND = {
    "abs": (r"\left|", r"\right|"),
    "floor": (r"\left\lfloor ", r"\right\rfloor"),
    "ceil": (r"\left\lceil ", r"\right\rceil"),
    "norm": (r"\left\lVert ", r"\right\rVert"),
    "max_abs": (r"\left\lVert ", r"\right\rVert"),
}
#: What stands before the extent below a norm.
_NORMS = {"max_abs": r"\infty, "}
_NAMED = {
    **{name: "\\" + name for name in ("exp", "log", "sin", "cos", "tanh", "min", "max")},
    "minimum": r"\min",
    "maximum": r"\max",
    "laplacian": r"\mathcal{L}",
    "neighbors": r"\mathcal{A}",
}

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _POWER, _ATOM = range(8)


def to_latex(spec: Spec, environment: str = "align*") -> str:
    """The rule's stages, a line per statement, in an environment of amsmath; inside mathematics that is `aligned`."""
    writer = _Writer(spec)
    lines = [line for body in spec.stages.values() for line in writer.block(body, 0)]
    return "\n".join([f"\\begin{{{environment}}}", *(f"  {line} \\\\" for line in lines), f"\\end{{{environment}}}"])


def name_to_latex(spec: Spec, name: str) -> str:
    """The symbol of a name of the rule, as its equations show it."""
    return _Writer(spec).name(name)


class _Writer:
    def __init__(self, spec: Spec) -> None:
        self.symbols = {n: h.symbol for n, h in spec.hypers.items() if h.symbol}
        self.symbols |= {n: s.symbol for n, s in spec.states.items() if s.symbol}

    # Statements

    def block(self, body: Sequence[Stmt], depth: int) -> Iterator[str]:
        """Lines of statements; what a branch holds is indented."""
        indent = r"\quad " * depth
        for statement in body:
            match statement:
                case Assign(targets=targets, value=value):
                    names = ", ".join(map(self.name, targets))
                    yield f"&{indent}{names} \\leftarrow {self.text(value)}"
                case If():
                    yield from self._branch(statement, depth, "if")
                case _:
                    yield f"&{indent}\\textbf{{skip}}"

    def _branch(self, statement: If, depth: int, word: str) -> Iterator[str]:
        indent = r"\quad " * depth
        yield f"&{indent}\\textbf{{{word}}}\\ {self.text(statement.condition)}\\colon"
        yield from self.block(statement.then, depth + 1)
        if len(statement.orelse) == 1 and isinstance(statement.orelse[0], If):
            yield from self._branch(statement.orelse[0], depth, "else if")
        elif statement.orelse:
            yield f"&{indent}\\textbf{{else}}\\colon"
            yield from self.block(statement.orelse, depth + 1)

    # Expressions

    def name(self, name: str) -> str:
        """A name's symbol: the rule's own, the usual one of what is given, or the name upright."""
        if name in self.symbols:
            return self.symbols[name]
        if name in _GIVEN:
            return _GIVEN[name]
        base = name.rstrip("0123456789")
        base, index = base.rstrip("_"), name[len(base) :]
        letter = "\\" + base if base in _GREEK else base if len(base) == 1 else f"\\mathrm{{{escape(base)}}}"
        return f"{letter}_{{{index}}}" if index else letter

    def text(self, expr: Expr) -> str:
        """An expression as LaTeX."""
        return self._write(expr)[0]

    def _at(self, expr: Expr, level: int) -> str:
        """An expression as an operand: in parentheses where it binds less than the level asks for."""
        text, own = self._write(expr)
        return text if own >= level else f"\\left({text}\\right)"

    def _write(self, expr: Expr) -> tuple[str, int]:
        """Text, and how tightly it binds."""
        match expr:
            case Number(value=value):
                return _decimal(value), _ATOM
            case Name(id=name):
                return self.name(name), _ATOM
            case Boolean(value=value):
                return r"\text{true}" if value else r"\text{false}", _ATOM
            case Text(value=word):
                return f"\\text{{{escape(word)}}}", _ATOM
            case Unary(op="not", operand=operand):
                return f"\\lnot {self._at(operand, _NOT)}", _NOT
            case Unary(op=sign, operand=operand):
                return sign + self._at(operand, _PRODUCT), _SUM
            case Binary():
                return self._binary(expr)
            case Compare(op=op, left=left, right=right):
                return f"{self._at(left, _SUM)} {_RELATIONS[op]} {self._at(right, _SUM)}", _COMPARE
            case Logic(op="and", values=values):
                return r" \land ".join(self._at(part, _NOT) for part in values), _AND
            case Logic(values=values):
                return r" \lor ".join(self._at(part, _AND) for part in values), _OR
            case Vector(items=items):
                return f"\\left[{', '.join(map(self.text, items))}\\right]", _ATOM
            case Index(base=base, index=index):
                return f"{{{self._at(base, _ATOM)}}}_{{{self.text(index)}}}", _ATOM
            case Call():
                return self._call(expr)

    def _binary(self, expr: Binary) -> tuple[str, int]:
        left, right = expr.left, expr.right
        match expr.op:
            case "+" | "-":
                return f"{self._at(left, _SUM)} {expr.op} {self._at(right, _PRODUCT)}", _SUM
            case "*":
                factor = self._at(right, _POWER)
                sign = r"\cdot" if factor[:1].isdigit() else r"\,"
                return f"{self._factor(left)} {sign} {factor}", _PRODUCT
            case "/":
                return f"\\frac{{{self.text(left)}}}{{{self.text(right)}}}", _PRODUCT
            case "//":
                return f"\\left\\lfloor \\frac{{{self.text(left)}}}{{{self.text(right)}}} \\right\\rfloor", _ATOM
            case "%":
                return f"{self._at(left, _PRODUCT)} \\bmod {self._at(right, _POWER)}", _SUM
            case "**":
                base = self._at(left, _ATOM)
                return f"{{{base}}}^{{{self.text(right)}}}", _POWER

    def _factor(self, expr: Expr) -> str:
        """A first factor; a negative number needs no parentheses there."""
        if isinstance(expr, Unary) and isinstance(expr.operand, Number):
            return self.text(expr)
        return self._at(expr, _PRODUCT)

    def _call(self, call: Call) -> tuple[str, int]:
        over = call.keyword("over")
        below = f"_{{{_NORMS.get(call.function, '')}\\text{{{escape(over.value)}}}}}" if isinstance(over, Text) else ""
        arguments = ", ".join(map(self.text, call.args))
        match call.function:
            case "sqrt":
                return f"\\sqrt{{{arguments}}}", _ATOM
            case "sum":
                return f"\\sum{below} {self._at(call.args[0], _PRODUCT)}", _SUM
            case "dot":
                return f"\\left\\langle {arguments} \\right\\rangle{below}", _ATOM
            case "where":
                return self._cases(call), _SUM
            case function if function in _AROUND:
                left, right = _AROUND[function]
                return f"{left}{arguments}{right}{below}", _ATOM
            case function:
                named = _NAMED.get(function, f"\\operatorname{{{escape(function)}}}")
                return f"{named}{below}\\left({arguments}\\right)", _ATOM

    def _cases(self, call: Call) -> str:
        condition, then, otherwise = map(self.text, call.args)
        rows = f"{then} & \\text{{if}}\\ {condition} \\\\ {otherwise} & \\text{{otherwise}}"
        return f"\\begin{{cases}} {rows} \\end{{cases}}"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_ESCAPED.get(char, char) for char in text)


def _decimal(value: float | int) -> str:
    """A number as LaTeX writes it: 1e-8 as a power of ten."""
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0").replace("inf", r"\infty")
    power = f"10^{{{int(exponent)}}}"
    return f"{{{power}}}" if mantissa == "1" else f"{mantissa} \\cdot {power}"
