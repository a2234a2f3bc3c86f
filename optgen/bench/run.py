"""A comparison: our step of a rule and those of its peers, taken in turn; medians and ratios."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optgen.bench import shapes as lists
from optgen.bench.measure import interleaved
from optgen.bench.sides import PEERS, Case, NoCounterpartError, Side, elements_of, ours
from optgen.runtime.rule_info import RuleInfo
from optgen.spec.model import Spec, Value

#: Parameter lists by the name that users give.
LISTS: Mapping[str, Callable[[], lists.Shapes]] = {
    "tensor": lists.single,
    "resnet50": lists.resnet50,
    "gpt2-small": lists.gpt2_small,
    "many-small": lists.many_small,
}


@dataclass(frozen=True)
class Measured:
    """Median of one side, in milliseconds. `ratio` is our time divided by its; `gigabytes_per_s` only where the bytes
    are known."""

    name: str
    ms: float
    ratio: float
    gigabytes_per_s: float | None


@dataclass(frozen=True)
class Comparison:
    """A rule on a list of parameters: our own side first, then the peers; notes say why some are left out."""

    rule: str
    shapes: str
    tensors: int
    elements: int
    bytes_per_param: int
    sides: tuple[Measured, ...]
    notes: tuple[str, ...]


def compare(
    spec: Spec,
    shapes: str,
    peers: Sequence[tuple[str, str]],
    *,
    device: str,
    backend: str | None,
    given: Mapping[str, Value],
    repeats: int,
) -> Comparison:
    """Measures a rule against peers. BackendError or UsageError for what cannot be run here."""
    from optgen import api
    from optgen.explain import explain

    listed = LISTS[shapes]()
    costs = explain(spec, given)
    cls = api.compile(spec, "torch")
    hypers: dict[str, Value] = {name: given.get(name, hyper.default) for name, hyper in spec.hypers.items()}
    arguments = _arguments(cls.RULE, hypers)
    keys = {hyper.key for hyper in cls.RULE.hypers if hyper.name in given}
    own = {key: value for key, value in arguments.items() if key in keys}
    own |= {name: value for name, value in given.items() if name not in spec.hypers}
    case = Case(spec, listed, device, hypers, arguments, own)
    sides, notes = [ours(case, cls, backend, costs["bytes_per_param"])], list[str]()
    for peer, name in peers:
        try:
            sides.append(PEERS[peer][2](case, name))
        except NoCounterpartError as error:
            notes.append(f"{spec.name}: {error}")
    if len(costs["variants"]) > 1:
        notes.append(f"{spec.name}: bytes are those of a matrix in its first step; other tensors and steps move less")
    times = [statistics.median(taken) for taken in interleaved([side.step for side in sides], repeats)]
    elements = elements_of(listed)
    measured = [_measured(side, seconds, times[0], elements) for side, seconds in zip(sides, times, strict=True)]
    return Comparison(spec.name, shapes, len(listed), elements, costs["bytes_per_param"], tuple(measured), tuple(notes))


def _arguments(rule: RuleInfo, hypers: Mapping[str, Value]) -> dict[str, object]:
    """Values by the arguments of the torch optimizer, where a pair holds several hypers."""
    found: dict[str, object] = {hyper.key: hypers[hyper.name] for hyper in rule.hypers if hyper.index is None}
    pairs: defaultdict[str, list[Value]] = defaultdict(list)
    for hyper in sorted(
        (hyper for hyper in rule.hypers if hyper.index is not None), key=lambda hyper: hyper.index or 0
    ):
        pairs[hyper.key].append(hypers[hyper.name])
    return found | {key: tuple(values) for key, values in pairs.items()}


def _measured(side: Side, seconds: float, mine: float, elements: int) -> Measured:
    rate = None if side.bytes is None else side.bytes * elements / seconds / 1e9
    return Measured(side.name, 1e3 * seconds, mine / seconds, rate)
