"""The data that a generated front end carries of its rule, as Python text: `RULE`, and the functions it refers to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from optgen.errors import UsageError
from optgen.frontends.declared import counts_updates, extent_of, reach_of, works_on
from optgen.frontends.evaluate import PREFIX
from optgen.frontends.layout import fit, fitted
from optgen.frontends.needs import Needs, needs
from optgen.frontends.python_text import WIDTH, Expressions, literal, number, value
from optgen.frontends.settling import conditions, hyper_only, inlined, substitute
from optgen.frontends.torch_arguments import argument_of, arguments, uses
from optgen.spec.evaluation import MARK, evaluation
from optgen.spec.functions import CONSTANTS, reads_metadata
from optgen.spec.model import Hyper, Setting, Spec, State
from optgen.spec.syntax import Call, Expr, If, Name, Number, names_in, walk
from optgen.spec.vocabulary import CHOOSER

_DATA = (
    "Caution",
    "Domain",
    "Fit",
    "HyperInfo",
    "Hypers",
    "InputInfo",
    "Meta",
    "Requirement",
    "RuleInfo",
    "Settled",
    "StateInfo",
)


#: Writes the settings of a preset as Python values by the arguments of a front end.
Spelling: TypeAlias = Callable[[Spec, Mapping[str, Setting]], Mapping[str, str]]


def by_torch_arguments(spec: Spec, settings: Mapping[str, Setting]) -> Mapping[str, str]:
    """Settings as torch's arguments take them: entries of a pair together."""
    given: dict[str, str] = {}
    for argument in arguments(spec):
        if any(hyper.name in settings for hyper in argument.hypers):
            entries = [settings.get(hyper.name, hyper.default) for hyper in argument.hypers]
            given[argument.name] = value(entries[0] if not argument.tuple else tuple(entries))
    return given | {name: value(setting) for name, setting in settings.items() if name not in spec.hypers}


def spelled_by(argument_of: Callable[[Hyper], str]) -> Spelling:
    """Settings under the one argument that each hyper-parameter has."""

    def spell(spec: Spec, settings: Mapping[str, Setting]) -> Mapping[str, str]:
        return {
            argument_of(spec.hypers[name]) if name in spec.hypers else name: value(setting)
            for name, setting in settings.items()
        }

    return spell


#: The origin of rules that ship.
SHIPPED = "shipped"


def records(spec: Spec, origin: str, spelling: Spelling = by_torch_arguments) -> list[str]:
    """Texts of the data about a rule, behind those of the rule that sets its weights to evaluate with, if it has one.

    `origin` says where the rule's text is: `"shipped"`, a path, or empty for nowhere.
    """
    derived = evaluation(spec)
    if derived is None:
        return record(spec, origin, spelling=spelling)
    where = origin and f"{spec.name if origin == SHIPPED else origin}{MARK}"
    return [*record(derived, where, "evaluation"), *record(spec, origin, spelling=spelling)]


def record(spec: Spec, origin: str, name: str = "rule", spelling: Spelling = by_torch_arguments) -> list[str]:
    """Texts of the data about a rule, under a name of their own, with presets in a front end's spelling."""
    found = needs(spec)
    info = _rule(spec, found, origin, spelling).replace("RULE = ", f"{name.upper()} = ", 1)
    texts = [_settle(spec), *([_needs(found)] if found else []), *_arm(spec), info]
    if name == "rule":
        return texts
    return [re.sub(r"\b_(settle|needs|arm)\b", rf"_\1_{name}", text) for text in texts]


def record_imports(body: str) -> list[str]:
    """Imports of what `record` wrote, as far as a text uses it."""

    def used(*names: str) -> list[str]:
        return [name for name in names if uses(body, name)]

    lines = [f"from optgen.runtime import {name}" for name in used("scalars")]
    lines.append(import_text("optgen.runtime.rule_info", [*used(*_DATA), *used("copy", "zeros")]))
    if three := used("UNKNOWN", "both", "either", "negation", "possible"):
        lines.append(import_text("optgen.runtime.scalars", three))
    return lines


def import_text(module: str, names: Sequence[str]) -> str:
    """An import on one line, or one name per line where that is too long."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _hyper(name: str) -> str:
    return f'hyper["{name}"]'


def _settle(spec: Spec) -> str:
    lines = [f'        "{h.name}": {_hyper(h.name)},' for h in spec.hypers.values() if h.kind == "choice"]
    lines += [f'        "{spec.gradients}": {_hyper(spec.gradients)},'] if spec.gradients else []
    write = Expressions(_hyper)
    lines += [f"        {literal(text)}: {_truth(write.text(c))}," for text, c in conditions(spec).items()]
    head = 'def _settle(hyper: Hypers) -> Settled:\n    """The choices that kernels are built for."""\n'
    if not lines:
        about = "No choices: one set of kernels serves all values."
        return f'def _settle(_: Hypers) -> Settled:\n    """{about}"""\n    return {{}}'
    return head + "    return {\n" + fitted(lines) + "\n    }"


def _truth(text: str) -> str:
    """A condition whose value is a bool, whatever its parts are."""
    return f"bool({text})"


def _needs(found: Needs) -> str:
    lines = ["def _needs(hyper: Hypers, meta: Meta) -> frozenset[str]:"]
    lines.append('    """State that a tensor can ever need, whatever a step finds (UNKNOWN)."""')
    lines.append("    need: set[str] = set()")
    lines += [f"    {line}" for line in found.lines]
    return fitted([*lines, "    return frozenset(need)"])


def _arms(spec: Spec) -> list[tuple[str, Expr]]:
    """The rules that `else` joins and the conditions on which a tensor gets each; the last one needs none."""
    body = spec.stages.get("update", ())
    found: list[tuple[str, Expr]] = []
    names = spec.hypers[CHOOSER].choices if CHOOSER in spec.hypers else ()
    for name in names[:-1]:
        if len(body) != 1 or not isinstance(body[0], If):
            return []
        found.append((name, body[0].condition))
        body = body[0].orelse
    return found


def _arm(spec: Spec) -> list[str]:
    arms = _arms(spec)
    if not arms:
        return []
    write = Expressions(_hyper)
    lines = ["def _arm(hyper: Hypers, meta: Meta) -> str:", '    """The rule that a tensor gets."""']
    for name, condition in arms:
        lines += [f"    if {write.text(condition)}:", f"        return {literal(name)}"]
    return [fitted([*lines, f"    return {literal(spec.hypers[CHOOSER].choices[-1])}"])]


def _rule(spec: Spec, found: Needs | None, origin: str, spelling: Spelling) -> str:
    lines = ["RULE = RuleInfo("]
    for key, text in (
        ("name", spec.name),
        ("title", spec.title),
        ("reference", spec.reference),
        ("class_name", spec.class_name),
        ("digest", spec.digest),
    ):
        lines.append(f"    {key}={literal(text)},")
    lines += _tuple("hypers", [_hyper_info(spec, hyper) for hyper in spec.hypers.values()])
    lines += _tuple("states", [_state_info(spec, state) for state in spec.states.values()])
    lines.append("    settle=_settle,")
    if found:
        lines.append("    needs=_needs,")
        lines.append(f"    structural={value(found.reads)},")
    if _arms(spec):
        lines += ["    arm=_arm,", f"    arms={value(spec.hypers[CHOOSER].choices)},"]
    inputs = [f"InputInfo({literal(given.name)}, {literal(given.extent)})" for given in spec.inputs.values()]
    lines += _tuple("inputs", inputs) if inputs else []
    lines += _requirements(spec)
    lines += _cautions(spec)
    lines += _shows(spec)
    lines += _quirks(spec)
    if spec.presets:
        lines.append("    presets={")
        for name, settings in spec.presets.items():
            entries = ", ".join(f'"{argument}": {text}' for argument, text in spelling(spec, settings).items())
            lines.append(f"        {literal(name)}: {{{entries}}},")
        lines.append("    },")
    lines.append(f"    matrix={literal(spec.matrix if isinstance(spec.matrix, str) else 'blocks')},")
    lines += [f"    {flag}=True," for flag in ("layers", "graph", "depth") if works_on(spec, flag)]
    lines.append(f"    reach={literal(reach_of(spec))},")
    lines += [] if counts_updates(spec) else ["    counts=False,"]
    lines += ["    folder=str(Path(__file__).parent),", f"    origin={literal(origin)},"]
    lines += [f"    prefix={literal(PREFIX)},"] if spec.evaluates else []
    lines += _tuple("metrics", [literal(metric.name) for metric in spec.metrics]) if spec.metrics else []
    lines += [f"    gradients={literal(spec.gradients)},"] if spec.gradients else []
    lines += ["    evaluation=EVALUATION,"] if spec.evaluate is not None else []
    lines.append(")")
    return fitted(lines)


def _requirements(spec: Spec) -> list[str]:
    """What is required of hypers, and of hypers together with each tensor."""
    write = Expressions(_hyper)
    require = [(literal(t), f"lambda hyper: {_truth(write.text(e))}") for e, t in spec.require if not reads_metadata(e)]
    fits = [(literal(t), f"lambda hyper, meta: {_truth(write.text(e))}") for e, t in spec.require if reads_metadata(e)]
    lines = _tuple("require", [f"Requirement({', '.join(each)})" for each in require]) if require else []
    return lines + _listed("fits", "Fit", fits)


def _listed(key: str, kind: str, entries: Sequence[Sequence[str]]) -> list[str]:
    """Records with an argument per line; nothing where there are none."""
    lines: list[str] = []
    for entry in entries:
        lines += [f"        {kind}(", *(f"            {argument}," for argument in entry), "        ),"]
    return [f"    {key}=(", *lines, "    ),"] if entries else []


def _quirks(spec: Spec) -> list[str]:
    write = Expressions(_hyper)
    entries = [f'        "{name}": lambda hyper: {_truth(write.text(e))},' for name, e in spec.quirks.items()]
    return ["    quirks={", *entries, "    },"] if entries else []


def _cautions(spec: Spec) -> list[str]:
    write = Expressions(_hyper)
    return _listed(
        "cautions",
        "Caution",
        [(literal(c.text), f"lambda hyper: {_truth(write.text(c.when))}", literal(c.say)) for c in spec.cautions],
    )


def _shows(spec: Spec) -> list[str]:
    """Functions of hypers and the number of the latest step. UsageError for what only kernels can know."""
    known, lines = inlined(spec, ("step",)), list[str]()
    write = Expressions(lambda name: "step" if name == "step" else _hyper(name))
    for shown in spec.shows:
        value = substitute(shown.value, known)
        if not hyper_only(value, spec, ("step",)):
            raise UsageError(f"{shown.loc}: what a rule shows is made of hypers and step; {shown.name} is not")
        lines.append(f"        {literal(shown.name)}: lambda hyper, step: {write.text(value)},")
    return ["    shows={", *lines, "    },"] if lines else []


def _tuple(name: str, entries: Sequence[str]) -> list[str]:
    """An argument of the rule: a tuple with an entry per line, or on one line if there is but one."""
    if len(entries) <= 1:
        return fit(f"    {name}=({''.join(f'{entry},' for entry in entries)}),")
    return [f"    {name}=(", *(f"        {entry}," for entry in entries), "    ),"]


def _hyper_info(spec: Spec, hyper: Hyper) -> str:
    parts = [literal(hyper.name), literal(hyper.kind), value(hyper.default), literal(argument_of(spec, hyper))]
    if domain := hyper.domain:
        bounds = [f"{side}={number(getattr(domain, side))}" for side in ("low", "high") if _bounded(domain, side)]
        bounds += [f"{side}_open=True" for side in ("low", "high") if getattr(domain, f"{side}_open")]
        parts.append(f"domain=Domain({', '.join([literal(domain.text), *bounds])})")
    if hyper.choices:
        parts.append(f"choices={value(hyper.choices)}")
    if hyper.over != "tensor":
        parts.append(f"over={literal(hyper.over)}")
    if own := hyper.names.get("per_parameter"):
        parts.append(f"per_parameter={literal(own)}")
    return f"HyperInfo({', '.join(parts)})"


def _bounded(domain: object, side: str) -> bool:
    return abs(float(getattr(domain, side))) != float("inf")


def _state_info(spec: Spec, state: State) -> str:
    starts = state.start if isinstance(state.start, tuple) else (state.start,)
    vector = isinstance(state.start, tuple)
    first = starts[0]
    if isinstance(first, Call) and first.function == "repeat" and isinstance(first.args[1], Number):
        starts, vector = (first.args[0],) * int(first.args[1].value), True
    written = [_start(start, spec, state) for start in starts]
    text = f"({', '.join(written)}{',' if len(written) == 1 else ''})"
    parts = [literal(state.name), literal(extent_of(spec, state)), text]
    if vector:
        parts.append("vector=True")
    if state.dtype:
        parts.append(f"dtype={literal(state.dtype)}")
    parts += [f"{side}_name={literal(name)}" for side in ("torch", "optax") if (name := state.names.get(side))]
    return f"StateInfo({', '.join(parts)})"


def _start(start: Expr, spec: Spec, state: State) -> str:
    if isinstance(start, Call) and start.function == "zeros_like":
        return "zeros"
    if isinstance(start, Name) and start.id == "param":
        return "copy"
    if isinstance(start, Call) and start.function == "full":
        if start.keyword("shape") is not None:
            raise UsageError(f"{state.loc}: the state {state.name} has a shape of its own, which is not built yet")
        start = start.args[0]
    calls = {call.function for call in walk(start) if isinstance(call, Call)}
    readable = {*spec.hypers, *CONSTANTS}
    bare = names_in(start) - readable
    if bare - {"param"} or (bare and not calls & {"ndim", "numel", "rows", "cols", "depth"}):
        raise UsageError(
            f"{state.loc}: the start of {state.name} reads values of the parameter, which is not built yet"
        )
    return f"lambda hyper, meta: {Expressions(_hyper).text(start)}"
