"""Pages under `docs/` made from the specs and the compiler: one per shipped rule, tables of rules and functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from optgen.explain import Explanation, VariantData
    from optgen.spec.model import Hyper, Spec, Value

MADE = "<!-- Made from specs/{name}.yaml by tools/rule_pages.py; edit that file. -->"
NOT_BUILT = " (known to the language; refused by name until it is built)"
PRESETS_ABOUT = (
    "`Class.preset(NAME, ...)` in torch and Keras, `optgen.jax.preset({name}, NAME, ...)` in JAX, `--preset NAME` on "
    "the command line; further arguments win."
)
HEADS = {
    "elementwise": "Of elements, or of anything coarser",
    "reduction": "Reductions over an extent",
    "graph": "Over the graph of layers",
    "vector": "Short vectors",
    "meta": "Facts about a tensor, known before a step",
    "start": "Starts of states",
    "random": "Random numbers",
    "library": "Library calls between sweeps",
}
_MEASURED = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
RESULTS, VERIFIED = _MEASURED / "convergence.json", _MEASURED / "verify.json"
#: In pages that people write, what stands between `<!-- made: WHAT ... -->` and `<!-- end -->` is made: `equations
#: RULE`, `arguments RULE`, `bytes RULE; A=1; A=1 B=2` (the defaults, then each set of options), `convergence`,
#: `equivalence`.
_PART = re.compile(r"(<!-- made: (?P<what>\w+)(?P<rest>[^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
INDEX_MADE = "<!-- Made from specs/ by tools/rule_pages.py. -->"


def pages(specs: Sequence[Spec]) -> dict[str, str]:
    """Every page by its file name."""
    from optgen.explain import explain

    explained = [(spec, explain(spec)) for spec in specs]
    made = {f"rules/{spec.name}.md": _page(spec, found) for spec, found in explained}
    return {"rules/README.md": _index(explained), "functions.md": _functions(), "transforms.md": _transforms(), **made}


def _transforms() -> str:
    from optgen.spec.loader import load, transforms

    specs = [load(name) for name in transforms()]
    rows = [(f"[{spec.name}](#{spec.name})", spec.title) for spec in specs]
    return _text(
        [
            INDEX_MADE.replace("specs/", "specs/transforms/"),
            "# Transforms that ship",
            'A transform joins a rule: `optgen build RULE+TRANSFORM`, `optgen.compile("RULE+TRANSFORM")`, or '
            "`compose: [RULE, TRANSFORM]` in a file. Stages run left to right, and the whole is one fused kernel. A "
            "transform's arguments and state get its name as a prefix: `k` of `lookahead` is `lookahead_k`. See "
            "[the language](language.md#composition).",
            _table(("transform", "what it does"), rows),
            *(part for spec in specs for part in _transform(spec)),
        ]
    )


def _transform(spec: Spec) -> Iterator[str]:
    from optgen.commands.explain import equations
    from optgen.explain import explain
    from optgen.spec.loader import load, partnered

    yield from (f"## {spec.name}", _sentence(spec.title), f"Source: {_sentence(spec.reference)}")
    if spec.doc.strip():
        yield spec.doc.strip()
    body = [f"{stage}:\n" + "\n".join(equations(body, 1)) for stage, body in spec.stages.items() if body]
    if spec.evaluate is not None:
        body.append(f"eval: {spec.line(spec.evaluate.loc).partition(':')[2].strip()}")
    yield from ("```python", "\n".join(body), "```")
    borrowed = [f"`{hyper.name}`" for hyper in spec.hypers.values() if hyper.kind == "base"]
    own = [h for h in spec.hypers.values() if h.kind != "base"]
    if own:
        rows = [(f"`{h.name}`", f"`{_value(h.default)}`", _domain(h), " ".join(h.doc.split())) for h in own]
        yield _table(("argument", "default", "domain", "meaning"), rows)
    if borrowed:
        yield f"It takes {', '.join(borrowed)} of the rule."
    for state in spec.states.values():
        yield f"State `{state.name}`: {_sentence(state.doc)}"
    joined, (rule, _, _) = partnered(spec.name), partnered(spec.name).partition("+")
    moved = explain(load(joined))["bytes_per_param"]
    alone = explain(load(rule))["bytes_per_param"]
    yield f"`{joined}` moves {moved} bytes per parameter of a matrix, `{rule}` {alone}."


def _functions() -> str:
    from optgen.spec.functions import CONSTANTS, FUNCTIONS

    parts = [INDEX_MADE.replace("specs/", "the compiler's own table"), "# Functions of the rule language"]
    for family in dict.fromkeys(function.family for function in FUNCTIONS.values()):
        own = [function for function in FUNCTIONS.values() if function.family == family]
        rows = [
            (
                f"`{f.name}`",
                f.arguments,
                ", ".join(f"`{k}=`" for k in f.keywords),
                f.doc + ("" if f.built else NOT_BUILT),
            )
            for f in own
        ]
        parts += [f"## {HEADS[family]}", _table(("name", "takes", "keywords", "meaning"), rows)]
    parts.append("Constants: " + ", ".join(f"`{name}`" for name in CONSTANTS) + ".")
    return _text(parts)


def _index(explained: Iterable[tuple[Spec, Explanation]]) -> str:
    rows = [
        (
            f"[{spec.class_name}]({spec.name}.md)",
            spec.title,
            str(found["state_bytes_per_param"]),
            str(found["bytes_per_param"]),
            str(len(found["sweeps"])),
            "yes" if found["exact"] else "no",
        )
        for spec, found in explained
    ]
    head = ("rule", "title", "state", "moved", "sweeps", "bits reproducible")
    return _text(
        [
            INDEX_MADE,
            "# Rules that ship",
            "Bytes per parameter of a float32 matrix with default options: what the state takes, and what a step moves "
            "through memory (each location once per sweep; fused AdamW moves 28). The last column says whether element "
            "work uses only operations that every backend rounds alike.",
            _table(head, rows),
        ]
    )


def _page(spec: Spec, found: Explanation) -> str:
    from optgen.algebra.latex import to_latex

    parts = [MADE.format(name=spec.name), f"# {spec.class_name}", _sentence(spec.title)]
    parts += [f"Source: {_sentence(spec.reference)}"] if spec.reference else []
    parts += [spec.doc.strip()] if spec.doc.strip() else []
    parts += ["```python", *_usage(spec), "```"]
    parts += ["## Equations", "```math", to_latex(spec).replace("align*", "aligned"), "```"]
    parts += ["## Arguments", _table(("name", "default", "domain", "meaning"), list(_hypers(spec)))]
    if spec.presets:
        rows = [
            (f"`{name}`", ", ".join(_setting_text(*s) for s in given.items())) for name, given in spec.presets.items()
        ]
        parts += ["## Presets", PRESETS_ABOUT.format(name=spec.name), _table(("name", "arguments"), rows)]
    if found["state"]:
        rows = [(f"`{n}`", s["extent"], s["dtype"], s["doc"]) for n, s in found["state"].items()]
        parts += ["## State", _table(("name", "one per", "dtype", "meaning"), rows)]
    parts += ["## Cost", *_cost(spec, found), "## Facts", "\n".join(f"- {fact}" for fact in _facts(found))]
    return _text(parts)


def _usage(spec: Spec) -> list[str]:
    return [
        f"from optgen.torch import {spec.class_name}",
        "",
        f"optimizer = {spec.class_name}(model.named_parameters())",
    ]


def _hypers(spec: Spec) -> Iterator[tuple[str, str, str, str]]:
    from optgen.frontends.torch_arguments import argument_of

    for hyper in spec.hypers.values():
        spelled = argument_of(spec, hyper)
        name = f"`{hyper.name}`" if spelled == hyper.name else f"`{hyper.name}` (torch: `{spelled}`)"
        yield name, f"`{_value(hyper.default)}`", _domain(hyper), " ".join(hyper.doc.split())


def _setting_text(name: str, setting: object) -> str:
    return f"`{name}={str(setting).lower() if isinstance(setting, bool) else setting}`"


def _domain(hyper: Hyper) -> str:
    if hyper.choices:
        return ", ".join(f"`{choice}`" for choice in hyper.choices)
    return f"`{hyper.domain.text}`" if hyper.domain is not None else ""


def _cost(spec: Spec, found: Explanation) -> list[str]:
    """Bytes of every variant of the default choices, then of every other choice taken alone."""
    rows = [_variant_row(variant) for variant in found["variants"]]
    parts = [
        "Bytes per float32 parameter and step, with default options.",
        _table(("tensors", "bytes", "sweep by sweep"), rows),
    ]
    others = list(_others(spec, found["bytes_per_param"]))
    if others:
        parts += ["One option changed:", _table(("option", "bytes", "sweeps"), others)]
    return parts


def _variant_row(variant: VariantData) -> tuple[str, str, str]:
    sweeps = [
        f"reads {_names(sweep['reads'])}"
        + (f", {_names(sweep['neighbours'])} at neighbours too" if sweep["neighbours"] else "")
        + (f"; writes {_names(sweep['writes'])}" if sweep["writes"] else "; writes nothing")
        for sweep in variant["sweeps"]
    ]
    when = "all" if variant["when"] == "always" else f"`{variant['when']}`"
    return when, str(variant["bytes_per_param"]), "<br>".join(sweeps)


def _others(spec: Spec, usual: int) -> Iterator[tuple[str, str, str]]:
    from optgen.explain import explain

    for name, hyper in spec.hypers.items():
        for value in _alternatives(spec, hyper):
            try:
                found = explain(spec, {name: value})
            except _refused():
                continue
            change = found["bytes_per_param"] - usual
            moved = f"{found['bytes_per_param']}" + (f" ({change:+d})" if change else "")
            yield f"`{name} = {_value(value)}`", moved, str(len(found["sweeps"]))


def _alternatives(spec: Spec, hyper: Hyper) -> Sequence[Value]:
    """Values that select other code: the other choices, the other truth value, and 0 where the rule asks for it."""
    from optgen.frontends.settling import conditions
    from optgen.spec.syntax import names_in

    if hyper.kind == "choice":
        return [choice for choice in hyper.choices if choice != hyper.default]
    settled = any(hyper.name in names_in(condition) for condition in conditions(spec).values())
    if not settled:
        return []
    if hyper.kind == "bool":
        return [not hyper.default]
    near: tuple[float, ...] = (0.0, 0.9)
    return [v for v in near if v != hyper.default and (hyper.domain is None or hyper.domain.contains(v))][:1]


def _refused() -> tuple[type[Exception], ...]:
    from optgen.errors import BackendError, HyperError, SpecError

    return BackendError, HyperError, SpecError


def _facts(found: Explanation) -> Iterator[str]:
    yield f"State: {found['state_bytes_per_param']} bytes per parameter."
    yield "Reductions that several workers would have to join: " + (
        f"{found['collectives']} per step." if found["collectives"] else "none."
    )
    if found["exact"]:
        yield "Element work uses only operations that every backend rounds alike: bits can be reproduced."
    else:
        yield f"Element work uses {', '.join(found['inexact'])}: last bits may differ between backends."
    for claim in found["claims"]:
        how = "proven from the equations" if claim["shown"] == "proven" else "checked by running both rules"
        yield f"{claim['text'][:1].upper()}{claim['text'][1:]} ({how})."


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def _value(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _families(docs: Path) -> dict[str, str]:
    """Pages that people write, by file name, with the parts between marks made anew; see `_PART`."""
    found: dict[str, str] = {}
    for page in sorted(docs.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _PART.search(text):
            found[page.name] = _PART.sub(_made, text)
    return found


def _made(part: re.Match[str]) -> str:
    from optgen.spec.loader import load

    first, *options = (entry.strip() for entry in part["rest"].split(";"))
    match part["what"]:
        case "equations":
            body = _equations(load(first))
        case "arguments":
            body = _table(("name", "default", "domain", "meaning"), list(_hypers(load(first))))
        case "bytes":
            rows = [_bytes(load(first), entry) for entry in ["", *options]]
            body = _table(("options", "state", "moved", "sweeps"), rows)
        case "convergence":
            body = _convergence()
        case "equivalence":
            body = _equivalence()
        case what:
            raise ValueError(f"a page asks for {what!r}, which nothing makes")
    return f"{part[1]}\n{body}\n\n{part[4]}"


def _equations(spec: Spec) -> str:
    from optgen.algebra.latex import to_latex

    return f"```math\n{to_latex(spec).replace('align*', 'aligned')}\n```"


def _bytes(spec: Spec, options: str) -> tuple[str, str, str, str]:
    """A row: bytes of state per float32 parameter, and bytes that a step moves, by the planner."""
    from optgen.explain import explain

    given = dict(_setting(spec, word) for word in options.split())
    found = explain(spec, given)
    moved = str(found["bytes_per_param"])
    if len(found["variants"]) > 1:
        moved = "<br>".join(f"{v['bytes_per_param']} where `{v['when']}`" for v in found["variants"])
    shown = f"`{options}`" if options else "none: the defaults"
    return shown, str(found["state_bytes_per_param"]), moved, str(len(found["sweeps"]))


def _setting(spec: Spec, word: str) -> tuple[str, Value]:
    name, _, text = word.partition("=")
    hyper = spec.hypers.get(name)
    if hyper is None or hyper.kind == "choice":
        return name, text
    if hyper.kind == "bool":
        return name, text == "true"
    return name, int(text) if hyper.kind == "int" else float(text)


def _convergence() -> str:
    data = cast("dict[str, Any]", json.loads(RESULTS.read_text(encoding="utf-8")))
    parts = [f"Measured {data['date']} on {data['machine']['processor']}, one thread, `{data['command']}`."]
    for task, rows in cast("Mapping[str, Mapping[str, Any]]", data["summary"]).items():
        target = next(iter(rows.values()))["target"]
        head = ("rule", "rate", "runs that met it", "steps", "seconds", "last loss", "cos of blocks", "cos of parts")
        cells = [
            (
                rule,
                f"{row['lr']:g}",
                f"{row['reached']} of {row['of']}",
                _range(row["steps_to_target"]),
                _range(row["seconds_to_target"]),
                _range(row["last_loss"]),
                f"{row['cosine_between_blocks'][0]:.2f}",
                f"{row['cosine_between_parts_of_a_batch'][0]:.2f}",
            )
            for rule, row in rows.items()
        ]
        parts += [f"**{task}**, until the validation loss is {target}:", _table(head, cells)]
    return "\n\n".join(parts)


def _equivalence() -> str:
    """A table per dtype: units in the last place, and the share of the bound."""
    data = cast("dict[str, Any]", json.loads(VERIFIED.read_text(encoding="utf-8")))
    cells = cast("Sequence[Mapping[str, Any]]", data["cells"])
    columns = list(dict.fromkeys(cell["column"] for cell in sorted(cells, key=lambda cell: str(cell["column"]))))
    missed = sum(not cell["ok"] for cell in cells)
    parts = [f"{len(cells)} comparisons, {missed} missed; {data['date']}, `{data['command']}`."]
    for dtype in dict.fromkeys(cell["dtype"] for cell in cells):
        rows: dict[str, dict[str, str]] = {}
        for cell in cells:
            if cell["dtype"] == dtype:
                text = f"{cell['ulps']:.2g} ({cell['share']:.2f})"
                rows.setdefault(cell["rule"], {})[cell["column"]] = text if cell["ok"] else f"**{text}**"
        table = [(rule, *(row.get(column, "") for column in columns)) for rule, row in sorted(rows.items())]
        parts += [f"**{dtype}**", _table(("rule", *columns), table)]
    return "\n\n".join(parts)


def _range(values: Sequence[float | None]) -> str:
    middle, low, high = ("never" if x is None else f"{x:.3g}" for x in values)
    return f"{middle} ({low} to {high})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _text(parts: Sequence[str]) -> str:
    """Blocks with blank lines between them, but none inside fences."""
    lines: list[str] = []
    fenced = False
    for part in parts:
        if lines and not fenced:
            lines.append("")
        lines.append(part)
        if part.startswith("```"):
            fenced = not fenced
    return "\n".join(lines) + "\n"


def differing(made: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Names of the pages that are missing, outdated or not made any more."""
    return sorted(name for name in {*made, *found} if made.get(name) != found.get(name))


def main() -> None:
    """Writes the pages, or compares them."""
    import argparse
    import sys

    from optgen.spec.loader import load, shipped

    parser = argparse.ArgumentParser(description="Write the pages under docs/ that are made from the specs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    options = parser.parse_args()
    docs = Path(__file__).resolve().parents[1] / "docs"
    families = _families(docs)
    made = pages([load(name) for name in shipped()]) | families
    there = [*sorted((docs / "rules").glob("*.md")), docs / "functions.md", docs / "transforms.md"]
    there += [docs / name for name in families]
    found = {path.relative_to(docs).as_posix(): path.read_text(encoding="utf-8") for path in there if path.is_file()}
    changed = differing(made, found)
    if options.check:
        if changed:
            print(f"docs/ is not what specs/ makes ({', '.join(changed)}): run `make generated`", file=sys.stderr)
            sys.exit(1)
        return
    for name in found.keys() - made.keys():
        (docs / name).unlink()
    for name, text in made.items():
        (docs / name).parent.mkdir(exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")
    print(f"docs: {len(made)} pages, {len(changed)} changed")


if __name__ == "__main__":
    main()
