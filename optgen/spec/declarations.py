"""The declarations of a rule text: hypers, state, inputs, presets, claims, metrics, the matrix view."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from optgen.errors import HyperError, Location, suggest
from optgen.spec.document import Listing, Node, Table, Word
from optgen.spec.fields import Fields, read_expression, read_line, read_setting, resolve
from optgen.spec.model import (
    EXTENTS,
    Caution,
    Claim,
    Domain,
    Hyper,
    HyperKind,
    Input,
    Matrix,
    Metric,
    Setting,
    State,
    Value,
)
from optgen.spec.source import Report
from optgen.spec.symbols import symbol_problem
from optgen.spec.syntax import Call, Expr, Name
from optgen.spec.vocabulary import (
    DTYPES,
    FRAMEWORKS,
    HYPER_KEYS,
    INPUT_KEYS,
    MATRICES,
    MOST_GRADIENTS,
    PER_PARAMETER,
    QUIRKS,
    RESPELLED,
    SAVED_NAMES,
    SETTER,
    STATE_KEYS,
    WARN_KEYS,
    name_problem,
)

_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\[\d\])?")
_CHOICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_EMPTY: Mapping[str, str] = MappingProxyType({})
MAX_LIST = 16


def read_hypers(top: Fields) -> Mapping[str, Hyper]:
    """Every declared hyper that could be read, in written order."""
    found: dict[str, Hyper] = {}
    for name, where, node in top.tables("hyper"):
        _check_name(top.report, name, where, "hyper")
        if name in RESPELLED:
            hint = f'call it "{RESPELLED[name]}"; each framework gets its own spelling'
            top.report.error(where, f'"{name}" is the spelling of one framework', hint)
        if isinstance(node, Word) and node.value == "base":
            found[name] = Hyper(name, "", "base", loc=where)
        elif not isinstance(node, Table):
            hint = (
                f"write `{name}: {{default: {node.value or '0.0'}}}`"
                if isinstance(node, Word)
                else "write `{default: 0.0}`"
            )
            top.report.error(where, f'the hyper "{name}" must be a mapping with a default', hint)
        elif (hyper := _hyper(Fields(top.source, node, f'the hyper "{name}"'), name, where)) is not None:
            found[name] = hyper
    return MappingProxyType(found)


def _hyper(fields: Fields, name: str, where: Location) -> Hyper | None:
    fields.check_keys(HYPER_KEYS)
    report = fields.report
    node = fields.get("default")
    if node is None:
        report.error(where, f'the hyper "{name}" has no default', "add `default:`; every hyper works unset")
        return None
    domain, choices = _domain(fields), _choices(fields)
    kind, default = _default(report, node, domain, choices)
    if kind is None:
        return None
    if domain is not None and kind in ("bool", "choice"):
        report.error(fields.at("domain"), f'"{name}" is no number, so it has no domain', "remove the domain")
        return None
    over = fields.word("over") or "tensor"
    if over not in ("tensor", "model"):
        report.error(
            fields.at("over"), f'a hyper is over "tensor" or "model", not "{over}"', "write `over: model`, or remove it"
        )
    whole = "model" if over == "model" else "tensor"
    doc, symbol, names = fields.text("doc"), _symbol(fields), _names(fields, _ARGUMENT)
    hyper = Hyper(name, default, kind, domain, choices, whole, doc, symbol, names, where)
    try:
        stored = hyper.accept(default)
    except HyperError as error:
        report.error(node.loc, f"the default: {error}", "a default lies in its own domain")
        return hyper
    return Hyper(name, stored, kind, domain, choices, whole, doc, symbol, names, where)


def _default(
    report: Report, node: Node, domain: Domain | None, choices: tuple[str, ...]
) -> tuple[HyperKind | None, Value]:
    value = read_setting(report, node, "the default")
    number: HyperKind = "int" if domain is not None and domain.kind == "int" else "float"
    match value:
        case bool():
            return "bool", value
        case int() | float():
            return number, value
        case str() if choices:
            return "choice", value
        case tuple():
            numbers = tuple(entry for entry in value if isinstance(entry, int | float) and not isinstance(entry, bool))
            if 0 < len(numbers) == len(value) <= MAX_LIST:
                return "list", numbers
            report.error(node.loc, f"a list default holds 1 to {MAX_LIST} numbers", "write `[1.5, -0.5]`")
        case str():
            report.error(node.loc, f'"{value}" is no number', "a word needs `choices: [...]`; numbers look like 1.0e-3")
        case None:
            report.error(node.loc, "the default is empty", "write a number, true, false or a choice")
    return None, 0.0


def _domain(fields: Fields) -> Domain | None:
    text = fields.word("domain")
    if not text:
        return None
    try:
        return Domain.parse(text)
    except ValueError as error:
        hint = 'write one of ">= 0", "> 0", "[0, 1)", "(0, 1]", "int >= 1"'
        node = fields.get("domain")
        fields.report.error(fields.at("domain") if node is None else node.loc, str(error), hint)
        return None


def _choices(fields: Fields) -> tuple[str, ...]:
    node = fields.get("choices")
    if node is None:
        return ()
    if not isinstance(node, Listing) or len(node.items) < 2:
        fields.report.error(node.loc, "choices are a list of two words or more", "write `choices: [a, b]`")
        return ()
    found: list[str] = []
    for item in node.items:
        value = resolve(item) if isinstance(item, Word) else None
        if not isinstance(value, str) or not _CHOICE.fullmatch(value):
            hint = "choices are words of ASCII letters, digits, `_`, `.`, `+` and `-`; quote one that reads as a number"
            fields.report.error(item.loc, "this cannot be a choice", hint)
        elif value in found:
            fields.report.error(item.loc, f'the choice "{value}" occurs twice', "remove one")
        else:
            found.append(value)
    return tuple(found)


def read_states(top: Fields) -> Mapping[str, State]:
    """Every declared state slot that could be read, in written order."""
    found: dict[str, State] = {}
    for name, where, node in top.tables("state"):
        _check_name(top.report, name, where, "state")
        if name in SAVED_NAMES:
            top.report.error(where, f'"{name}" is saved for every rule', "choose another name for this state")
        start: Expr | tuple[Expr, ...] | None
        dtype, doc, symbol, names = "", "", "", _EMPTY
        if isinstance(node, Table):
            fields = Fields(top.source, node, f'the state "{name}"')
            fields.check_keys(STATE_KEYS)
            dtype, doc, symbol = fields.word("dtype"), fields.text("doc"), _symbol(fields)
            names = _names(fields, re.compile(r"[A-Za-z][A-Za-z0-9_]*"))
            if dtype and dtype not in DTYPES:
                hint = suggest(dtype, DTYPES) or "dtypes are " + ", ".join(DTYPES)
                top.report.error(fields.at("dtype"), f'unknown dtype "{dtype}"', hint)
            inner = fields.get("start")
            if inner is None:
                top.report.error(where, f'the state "{name}" has no start', "add `start: zeros_like(param)`")
            start = None if inner is None else _start(top, inner)
        else:
            start = _start(top, node)
        if start is not None:
            base = isinstance(start, Name) and start.id == "base"
            found[name] = State(name, start, dtype or None, base, doc, symbol, names, where)
    return MappingProxyType(found)


def _start(top: Fields, node: Node) -> Expr | tuple[Expr, ...] | None:
    if isinstance(node, Listing):
        items = [read_expression(top.source, item) for item in node.items]
        if not items:
            top.report.error(node.loc, "an empty vector", "give it entries: `[0.0, 0.0]`")
        whole = tuple(item for item in items if item is not None)
        return whole if whole and len(whole) == len(items) else None
    return read_expression(top.source, node)


def read_inputs(top: Fields) -> Mapping[str, Input]:
    """Every declared input."""
    found: dict[str, Input] = {}
    for name, where, node in top.tables("inputs"):
        _check_name(top.report, name, where, "input")
        doc, extent, place = "", "", node.loc
        if isinstance(node, Table):
            fields = Fields(top.source, node, f'the input "{name}"')
            fields.check_keys(INPUT_KEYS)
            extent, doc, place = fields.word("extent"), fields.text("doc"), fields.at("extent")
        else:
            extent = read_line(top.report, node, f'the extent of "{name}"')
        if extent in EXTENTS:
            found[name] = Input(name, extent, doc, where)
        else:
            hint = suggest(extent, EXTENTS) or "extents are " + ", ".join(EXTENTS)
            top.report.error(place, f'unknown extent "{extent}"', hint)
    return MappingProxyType(found)


def read_gradients(top: Fields, hypers: Mapping[str, Hyper], kind: str) -> str:
    """The hyper that counts the gradients of a tensor, or nothing."""
    name = top.word("gradients")
    if not name:
        return ""
    where, hyper = top.at("gradients"), hypers.get(name)
    if kind != "rule":
        top.report.error(where, "only a rule says how many gradients a tensor has", "remove `gradients:`")
    elif hyper is None:
        hint = suggest(name, hypers) or f'declare it: `{name}: {{default: 1, domain: "int [1, 16]", over: model}}`'
        top.report.error(where, f'"{name}" is no hyper', hint)
    else:
        domain = hyper.domain
        counts = domain is not None and domain.kind == "int" and domain.low >= 1 and domain.high <= MOST_GRADIENTS
        if not counts or hyper.over != "model":
            hint = f'as in `{name}: {{default: 1, domain: "int [1, {MOST_GRADIENTS}]", over: model}}`'
            top.report.error(where, f'"{name}" must count, from 1 to at most {MOST_GRADIENTS}, over the model', hint)
    return name if hyper is not None else ""


def read_metrics(top: Fields, key: str = "metrics") -> tuple[Metric, ...]:
    """Every metric, or what else is computed under names."""
    found: list[Metric] = []
    for name, where, node in top.tables(key):
        _check_name(top.report, name, where, "metric")
        if (value := read_expression(top.source, node)) is not None:
            text = " ".join(node.value.split()) if isinstance(node, Word) else ""
            found.append(Metric(name, value, where, text))
    return tuple(found)


def read_require(top: Fields) -> tuple[tuple[Expr, str], ...]:
    """The conditions under `require`, each with its text."""
    node = top.get("require")
    if node is None:
        return ()
    found: list[tuple[Expr, str]] = []
    for item in node.items if isinstance(node, Listing) else (node,):
        value = read_expression(top.source, item)
        if value is not None and isinstance(item, Word):
            found.append((value, " ".join(item.value.split())))
    return tuple(found)


def read_cautions(top: Fields) -> tuple[Caution, ...]:
    """What to warn of, under `warn`."""
    node = top.get("warn")
    if node is None:
        return ()
    found: list[Caution] = []
    for item in node.items if isinstance(node, Listing) else (node,):
        if not isinstance(item, Table):
            top.report.error(item.loc, "a warning is a condition and a text", "write `{when: CONDITION, say: TEXT}`")
            continue
        fields = Fields(top.source, item, "a warning")
        fields.check_keys(WARN_KEYS)
        for key in WARN_KEYS:
            if fields.get(key) is None:
                top.report.error(item.loc, f'a warning has no "{key}"', "write `{when: CONDITION, say: TEXT}`")
        when, condition = fields.expression("when"), fields.get("when")
        if when is not None and isinstance(condition, Word):
            text = " ".join(condition.value.split())
            found.append(Caution(when, text, " ".join(fields.text("say").split())))
    return tuple(found)


def read_quirks(top: Fields) -> Mapping[str, Expr]:
    """What front ends are to do as published code does, and when."""
    found: dict[str, Expr] = {}
    for name, where, node in top.tables("quirks"):
        if name not in QUIRKS:
            hint = suggest(name, QUIRKS) or f"there are {', '.join(QUIRKS)}"
            top.report.error(where, f'unknown quirk "{name}"', hint)
        elif (condition := read_expression(top.source, node)) is not None:
            found[name] = condition
    return MappingProxyType(found)


def read_matrix(top: Fields) -> Matrix:
    """How the text sees a tensor as a matrix."""
    word = top.word("matrix")
    node = top.get("matrix")
    if node is None or not word:
        return "trailing"
    match word:
        case "trailing" | "units" | "wide" | "square":
            return word
        case _ if not word.startswith("blocks("):
            hint = suggest(word, MATRICES) or "it is one of " + ", ".join(MATRICES) + ", blocks(n)"
            top.report.error(node.loc, f'unknown matrix view "{word}"', hint)
            return "trailing"
        case _:
            pass
    value = read_expression(top.source, node)
    if isinstance(value, Call) and value.function == "blocks" and len(value.args) == 1 and not value.keywords:
        return ("blocks", value.args[0])
    if value is not None:
        top.report.error(node.loc, "blocks takes one size", "write `matrix: blocks(64)`")
    return "trailing"


Checker = Callable[[str, Setting, Location], None]


def setting_checker(report: Report, hypers: Mapping[str, Hyper], arguments: tuple[str, ...], what: str) -> Checker:
    """A function that complains where NAME=VALUE is no setting of this rule."""

    def check(name: str, value: Setting, where: Location) -> None:
        if name in arguments:
            return
        hyper = hypers.get(name)
        if hyper is None:
            hint = suggest(name, [*hypers, *arguments]) or "it sets hypers of the rule: " + ", ".join(hypers)
            report.error(where, f'{what} sets "{name}", which is no hyper of this rule', hint)
        elif hyper.kind != "base":
            try:
                hyper.accept(value)
            except HyperError as error:
                report.error(where, f"{what}: {error}", "give a value the hyper takes")

    return check


def read_presets(top: Fields, check: Checker) -> Mapping[str, Mapping[str, Setting]]:
    """Named sets of arguments."""
    found: dict[str, Mapping[str, Setting]] = {}
    for name, where, node in top.tables("presets"):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            top.report.error(where, f'"{name}" cannot name a preset', "names are ASCII letters, digits and _")
        if not isinstance(node, Table):
            top.report.error(node.loc, f'the preset "{name}" must be a mapping', "write `{argument: value}`")
            continue
        found[name] = read_settings(top.report, node, check)
    return MappingProxyType(found)


def read_settings(report: Report, table: Table, check: Checker) -> Mapping[str, Setting]:
    """A mapping of arguments to values, each checked."""
    values: dict[str, Setting] = {}
    for name, node in table.items.items():
        values[name] = read_setting(report, node, f'"{name}"')
        check(name, values[name], table.keys[name])
    return MappingProxyType(values)


def read_claims(top: Fields, check: Checker, check_rule: Callable[[str, Location], None]) -> tuple[Claim, ...]:
    """The claims of a rule about itself."""
    node = top.get("claims")
    if node is None:
        return ()
    if not isinstance(node, Listing):
        top.report.error(node.loc, "claims are a list", "write `claims: [{reduces_to: {rule: ..., when: {...}}}]`")
        return ()
    found: list[Claim] = []
    for item in node.items:
        if not isinstance(item, Table) or len(item.items) != 1:
            top.report.error(item.loc, "a claim is a mapping with one key", "write `- reduces_to: {rule: ...}`")
            continue
        (kind, body), where = next(iter(item.items.items())), next(iter(item.keys.values()))
        if kind != "reduces_to" or not isinstance(body, Table):
            message = f'unknown claim "{kind}"' if kind != "reduces_to" else "a claim holds a mapping"
            top.report.error(where, message, suggest(kind, ["reduces_to"]) or "write `reduces_to: {rule: ...}`")
            continue
        fields = Fields(top.source, body, "the claim")
        fields.check_keys(("rule", "when"))
        rule, when = fields.word("rule"), fields.get("when")
        if not rule:
            top.report.error(where, "the claim names no rule", "add `rule:`, the rule this one becomes")
        else:
            check_rule(rule, fields.at("rule"))
        if when is not None and not isinstance(when, Table):
            top.report.error(when.loc, '"when" must be a mapping', "write `when: {momentum: 0}`")
        settings = when if isinstance(when, Table) else Table({}, {}, where)
        found.append(Claim("reduces_to", rule, read_settings(top.report, settings, check), where))
    return tuple(found)


def _check_name(report: Report, name: str, where: Location, what: str) -> None:
    if problem := name_problem(name, what):
        report.error(where, *problem)


def _symbol(fields: Fields) -> str:
    """The LaTeX symbol under `symbol`, if it is one."""
    symbol = fields.word("symbol")
    if problem := symbol_problem(symbol):
        hint = r"letters with accents and indices: \eta, \hat{m}, \beta_1, \varepsilon_{\mathrm{abs}}"
        fields.report.error(fields.at("symbol"), f'"{symbol}" cannot be a symbol: {problem}', hint)
        return ""
    return symbol


def _names(fields: Fields, pattern: re.Pattern[str]) -> Mapping[str, str]:
    """The spellings per framework that a hyper or state gives, and the argument that sets it per parameter."""
    found: dict[str, str] = {}
    for framework in (*FRAMEWORKS, PER_PARAMETER, SETTER):
        word = fields.word(framework)
        if word and not pattern.fullmatch(word):
            fields.report.error(fields.at(framework), f'"{word}" cannot be an argument', "write a name, or `eps[0]`")
        elif word:
            found[framework] = word
    return MappingProxyType(found)
