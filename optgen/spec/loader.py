"""Rule texts to `Spec`: read, parse, check; every complaint of a text is raised together as one SpecError."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

from optgen.errors import Location, UsageError, suggest
from optgen.paths import specs_dir, transforms_dir
from optgen.spec import checks
from optgen.spec.bundle import unbundled
from optgen.spec.composition import Find, Heading, is_path, join_named, read_composition, split
from optgen.spec.declarations import (
    read_cautions,
    read_claims,
    read_gradients,
    read_hypers,
    read_inputs,
    read_matrix,
    read_metrics,
    read_presets,
    read_quirks,
    read_require,
    read_states,
    setting_checker,
)
from optgen.spec.document import Table, Word, compose
from optgen.spec.evaluation import MARK, evaluation
from optgen.spec.examples import Context, read_examples
from optgen.spec.fields import Fields, read_body, resolve
from optgen.spec.flow import reads_direction
from optgen.spec.join import Piece, join
from optgen.spec.measure import check_names, measured, unmeasured
from optgen.spec.model import STAGES, Spec
from optgen.spec.source import Source, digest
from optgen.spec.syntax import Assign, Binary, Expr, Name, Stmt, names_in
from optgen.spec.vocabulary import REQUIRED_KEYS, TOP_KEYS, VERSION

RULE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What a rule may be called."""


def load(rule: str | os.PathLike[str]) -> Spec:
    """The rule of a shipped name, of a path (it ends with .yaml or holds a separator), or of several joined by `+`.

    With `#eval` after it, the rule that sets the weights to evaluate with.

    Raises UsageError for a name or file that does not exist, SpecError for a text at fault.
    """
    text = os.fspath(rule)
    if isinstance(rule, str) and text.endswith(MARK):
        return _evaluation(load(text.removesuffix(MARK)))
    if isinstance(rule, os.PathLike) or len(split(text)) == 1 or Path(text).is_file():
        return measured(_alone(_find(text, _Asking(), whole=isinstance(rule, os.PathLike))))
    return measured(join_named(text, lambda name, where: replace(_find(name, _Asking()), where=where)))


def loads(text: str, path: str = "<text>") -> Spec:
    """The rule in a text. SpecError, with positions in `path`, where it is at fault."""
    return measured(_alone(_read(Source(text, path), _Asking())))


def combine(parts: Sequence[Spec | str | os.PathLike[str]]) -> Spec:
    """The rule of several parts, each a rule or transform, a name or a path, as `A+B+C` joins them.

    Raises what `load` raises; places of rules given as such are those of their texts.
    """
    pieces: list[Piece] = []
    for part in parts:
        piece = Piece(unmeasured(part), part.name) if isinstance(part, Spec) else _find(os.fspath(part), _Asking())
        pieces.append(replace(piece, where=Location(piece.spec.path, 1, 1)))
    if not pieces:
        raise UsageError("there is nothing to compose; give a rule and transforms")
    return measured(join(pieces, lambda _: ""))


def shipped() -> list[str]:
    """Names of the shipped rules, sorted; transforms are not among them."""
    return list(_names_in(specs_dir()))


def transforms() -> list[str]:
    """Names of the shipped transforms, sorted."""
    return list(_names_in(transforms_dir()))


def partnered(transform: str) -> str:
    """What to load to see a transform at work: joined to the rule of its first example."""
    rules = [example.rule for example in load(transform).examples if example.rule]
    if not rules:
        raise UsageError(f"{transform} is a transform without an example; join it to a rule: RULE+{transform}")
    return f"{rules[0]}+{transform}"


def cases() -> list[str]:
    """Everything that ships and steps: every rule, and every transform joined to the rule of its first example."""
    return [*shipped(), *(partnered(name) for name in transforms())]


@cache
def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in folder.glob("*.yaml")))


def _alone(piece: Piece) -> Spec:
    """A text by itself; a rule with `else` is joined with the rule that takes its place."""
    return join([piece], lambda _: "") if piece.others else piece.spec


@dataclass(frozen=True)
class _Asking:
    """Who asks for a text: the texts above it, the folder its paths are relative to, and the texts beside it."""

    above: tuple[str, ...] = ()
    folder: Path = Path()
    beside: Mapping[str, str] = field(default_factory=dict[str, str])


def _find(text: str, asking: _Asking, *, whole: bool = False) -> Piece:
    """The text of a name, or of a path."""
    if text in asking.beside:
        path = f"{asking.above[-1].partition(' (')[0]} ({text})"
        return replace(_read(Source(asking.beside[text], path), asking), asked=text)
    if whole or is_path(text):
        return replace(_read(Source.read(asking.folder / text), asking), asked=text)
    for folder, names in ((specs_dir(), shipped()), (transforms_dir(), transforms())):
        if text in names:
            return replace(_read(Source.read(folder / f"{text}.yaml"), asking), asked=text)
    known = [*shipped(), *transforms()]
    hint = suggest(text, known) or f"the shipped rules are {', '.join(shipped())}"
    raise UsageError(f'there is no rule "{text}"; {hint} A rule of your own is given by its path: ./{text}.yaml')


def _evaluation(spec: Spec) -> Spec:
    made = evaluation(spec)
    if made is None:
        raise UsageError(f"{spec.name} has no weights of its own to evaluate with: its text has no `eval:`")
    return made


def assemble(source: Source, table: Table, text: str) -> Spec:
    """The rule of a mapping whose positions lie in a source that is no YAML; `text` is the YAML of the mapping."""
    return measured(_alone(_piece(Fields(source, table, "a rule"), _Asking(), text)))


def _read(source: Source, asking: _Asking) -> Piece:
    """A text, and the rules that take its place where it has `else`."""
    if source.path in asking.above:
        source.report.error(source.at(1, 1), "this text takes part in itself", "remove it from its own parts")
        source.report.check()
    first, others = unbundled(source.text)
    if (plain := _plain(first, source.path)) is not None:
        return Piece(plain, plain.name)
    alone = Source(first, source.path)
    return _piece(Fields(alone, compose(alone), "a rule"), replace(asking, beside={**asking.beside, **others}))


def _piece(top: Fields, asking: _Asking, text: str = "") -> Piece:
    source = top.source
    inner = replace(asking, above=(*asking.above, source.path), folder=Path(source.path).parent)

    def find(text: str, where: Location) -> Piece:
        return replace(_find(text, inner), where=where)

    if top.get("compose") is not None:
        spec = _composition(replace(top, what="a composition"), find)
        return Piece(spec, spec.name)
    spec = _written(top, text)
    if not spec.otherwise:
        return Piece(spec, spec.name)
    other = find(spec.otherwise, top.at("else"))
    if other.spec.kind != "rule":
        source.report.error(top.at("else"), f"{spec.otherwise} is a transform", "name a rule under `else`")
        source.report.check()
    return Piece(spec, spec.name, others=(other, *other.others))


@lru_cache(maxsize=128)
def _plain(text: str, path: str) -> Spec | None:
    """The rule of a text that needs no other, None where it does. A text that was read before is the same `Spec`."""
    source = Source(text, path)
    top = Fields(source, compose(source), "a rule")
    return None if top.get("compose") is not None or top.get("else") is not None else _written(top)


def _composition(top: Fields, find: Find) -> Spec:
    _check_version(top)
    _check_required(top)
    name = _rule_name(top)
    heading = Heading(name, _class_name(top, name), find, lambda rule, where: check_rule_name(top, rule, where))
    return read_composition(top, heading)


def _written(top: Fields, text: str = "") -> Spec:
    source, report = top.source, top.report
    _check_version(top)
    top.check_keys([key for key in TOP_KEYS if key != "defaults"])
    _check_required(top)
    kind = top.word("kind") or "rule"
    if kind not in ("rule", "transform"):
        report.error(top.at("kind"), f'unknown kind "{kind}"', "a kind is rule or transform")
    hypers, states, inputs = read_hypers(top), read_states(top), read_inputs(top)
    otherwise = top.word("else")
    if otherwise:
        check_rule_name(top, otherwise, top.at("else"))
    name, gradients = _rule_name(top), read_gradients(top, hypers, kind)
    metrics, evaluate = read_metrics(top), top.expression("eval")
    stages, stages_read = _stages(top, kind == "rule", [metric.value for metric in metrics])
    arguments = checks.optional_arguments(stages)
    spec = Spec(
        name=name,
        kind="transform" if kind == "transform" else "rule",
        title=top.word("title"),
        reference=top.word("reference"),
        class_name=_class_name(top, name),
        doc=top.text("doc"),
        matrix=read_matrix(top),
        when=top.expression("when"),
        otherwise=otherwise or None,
        hypers=hypers,
        require=read_require(top),
        cautions=read_cautions(top),
        presets=read_presets(top, setting_checker(report, hypers, arguments, "the preset")),
        inputs=inputs,
        states=states,
        stages=stages,
        evaluate=evaluate,
        gradients=gradients,
        claims=read_claims(
            top,
            setting_checker(report, hypers, arguments, "the claim"),
            lambda rule, where: check_rule_name(top, rule, where),
        ),
        examples=read_examples(
            top,
            Context(
                inputs,
                tuple(states),
                kind == "transform",
                setting_checker(report, hypers, arguments, "the example"),
                lambda rule, where: check_rule_name(top, rule, where),
                hypers.get(gradients),
            ),
        ),
        metrics=metrics,
        shows=read_metrics(top, "shows"),
        path=source.path,
        text=text or source.text,
        digest=digest(text or source.text),
        source=source.text if text else "",
        quirks=read_quirks(top),
    )
    check_names(report, spec)
    checks.check_declarations(top, spec)
    checks.check_program(top, spec, complete=stages_read)
    report.check()
    return spec


def check_rule_name(top: Fields, rule: str, where: Location) -> None:
    """Complain about a reference to a rule of which a part is neither shipped nor a path."""
    known = [*shipped(), *transforms(), top.word("name")]
    if all(is_path(part) or part in known for part, _ in split(rule)):
        return
    hint = suggest(rule, shipped()) or "the shipped rules are " + ", ".join(shipped())
    top.report.error(where, f'there is no rule "{rule}"', hint)


def _check_version(top: Fields) -> None:
    node = top.get("optgen")
    version = resolve(node) if isinstance(node, Word) else None
    if node is not None and (version != VERSION or isinstance(version, bool)):
        shown = node.value if isinstance(node, Word) else "this"
        hint = f"this optgen reads version {VERSION}: write `optgen: {VERSION}`, or install a newer optgen"
        top.report.error(node.loc, f'unknown language version "{shown}"', hint)
        top.report.check()


def _check_required(top: Fields) -> None:
    for key in REQUIRED_KEYS:
        if top.get(key) is None:
            top.report.error(top.table.loc, f'the rule has no "{key}"', f"add `{key}: ...`")


def _rule_name(top: Fields) -> str:
    name = top.word("name")
    if name and (not RULE_NAME.fullmatch(name) or keyword.iskeyword(name)):
        hint = "lower-case ASCII letters, digits and _, starting with a letter: my_rule"
        top.report.error(top.at("name"), f'"{name}" cannot name a rule', hint)
        return "rule"
    return name


def _class_name(top: Fields, name: str) -> str:
    given = top.word("class")
    if not given:
        return "".join(part.capitalize() for part in name.split("_"))
    if not re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,63}", given) or keyword.iskeyword(given):
        hint = "ASCII letters and digits, starting with a capital: MyRule"
        top.report.error(top.at("class"), f'"{given}" cannot name a class', hint)
    return given


def _stages(top: Fields, defaults: bool, metrics: Sequence[Expr]) -> tuple[Mapping[str, tuple[Stmt, ...]], bool]:
    """All four stages, a rule's omitted ones filled in; and whether every one could be read."""
    found: dict[str, tuple[Stmt, ...]] = dict.fromkeys(STAGES, ())
    complete = True
    for stage in STAGES:
        node = top.get(stage)
        if node is None:
            continue
        body = read_body(top.source, node)
        complete = complete and body is not None
        found[stage] = body or ()
    if defaults and complete:
        where = top.table.loc
        if top.get("update") is None:
            step = Binary("*", Name("lr", where), Name("d", where), where)
            value = Binary("-", Name("param", where), step, where)
            found["update"] = (Assign(("param",), value, where, "param = param - lr*d"),)
        later = any("d" in names_in(expr) for expr in metrics)
        body = [statement for stage in STAGES for statement in found[stage]]
        if top.get("direction") is None and reads_direction(body, later):
            found["direction"] = (Assign(("d",), Name("g", where), where, "d = g"),)
    return MappingProxyType(found), complete
