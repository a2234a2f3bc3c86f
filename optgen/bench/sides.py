"""What is measured: our optimizer of a rule, and the counterpart that another library has, on equal parameters.

A counterpart is looked up by the rule's own name: `torch` has an optimizer called like the class, `optax` a factory
called like the rule. Any other is named after a colon, as in `torch:Rprop`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from optgen.bench.measure import Step
from optgen.bench.shapes import Shapes
from optgen.errors import UsageError, suggest

if TYPE_CHECKING:
    import torch
    from optgen.runtime.torch_optimizer import Optimizer
    from optgen.spec.model import Spec

Value: TypeAlias = object
#: Arguments of a torch optimizer that choose how it is run, not what it computes.
_HOW = ("maximize", "foreach", "fused", "capturable", "differentiable")
#: What optax calls the hypers that it spells differently.
_OPTAX: Mapping[str, str] = {"lr": "learning_rate", "beta1": "b1", "beta2": "b2", "beta3": "b3"}


class NoCounterpartError(Exception):
    """A library has no optimizer of the rule's name. The text says so in a sentence."""


@dataclass(frozen=True)
class Case:
    """One rule on one list of parameters. `hypers` are all values by the rule's own names, `arguments` by torch's;
    `given` are those that the user chose, by torch's names."""

    spec: Spec
    shapes: Shapes
    device: str
    hypers: Mapping[str, Value]
    arguments: Mapping[str, Value]
    given: Mapping[str, Value]


@dataclass(frozen=True)
class Side:
    """What one library does with a case. `bytes` per element are known of few."""

    name: str
    step: Step
    bytes: int | None = None


Make: TypeAlias = Callable[[Case, str], Side]


def parameters(shapes: Shapes, device: str = "cpu") -> list[tuple[str, torch.nn.Parameter]]:
    """Fresh float32 parameters with gradients."""
    import torch

    made = [(name, torch.nn.Parameter(torch.randn(shape, device=device))) for name, shape in shapes]
    for _, parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


def ours(case: Case, cls: type[Optimizer], backend: str | None, moved: int) -> Side:
    """Our own optimizer; `moved` are the bytes per element of a step."""
    optimizer = cls(parameters(case.shapes, case.device), backend=backend, **cast("dict[str, Any]", case.given))
    inputs: dict[str, Any] = {given.name: 1.0 for given in cls.RULE.inputs}
    label = optimizer.describe()[0].backend
    return Side(f"optgen ({label})", finished(lambda: optimizer.step(**inputs), case.device), moved)


def finished(step: Step, device: str) -> Step:
    """A step that returns when the device is done."""
    if device == "cpu":
        return step
    import torch

    def run() -> None:
        step()
        torch.cuda.synchronize()

    return run


def _torch(case: Case, name: str) -> Side:
    made, how = _torch_optimizer(case, name, fused=True)
    return Side(f"torch {type(made).__name__}{how}", finished(made.step, case.device))


def _compiled(case: Case, name: str) -> Side:
    import torch

    made, _ = _torch_optimizer(case, name, fused=False)
    step = cast("Callable[[], object]", torch.compile(made.step))  # pyright: ignore[reportUnknownMemberType]
    try:
        step()
    except Exception as error:  # a compiler that is not there fails in many ways
        reason = str(error).strip().splitlines()[0]
        raise NoCounterpartError(f"torch.compile does not work here: {reason}") from error
    return Side(f"torch.compile {type(made).__name__}", finished(step, case.device))


def _torch_optimizer(case: Case, name: str, *, fused: bool) -> tuple[torch.optim.Optimizer, str]:
    """torch's optimizer with our values, and how it runs. NoCounterpartError where there is none."""
    import torch

    found = _named("torch", torch.optim, name, case.spec.class_name)
    known = inspect.signature(cast("Callable[..., object]", found)).parameters
    arguments = {key: value for key, value in case.arguments.items() if key in known and key not in _HOW}
    params = [parameter for _, parameter in parameters(case.shapes, case.device)]
    if fused and "fused" in known:
        try:
            return cast(Any, found)(params, **arguments, fused=True), " fused"
        except RuntimeError:  # not on this device
            pass
    each = {"foreach": True} if "foreach" in known else {}
    return cast(Any, found)(params, **arguments, **each), " foreach" if each else ""


def _optax(case: Case, name: str) -> Side:
    jax, numpy, optax = (cast(Any, importlib.import_module(module)) for module in ("jax", "jax.numpy", "optax"))
    factory = cast(Any, _named("optax", optax, name, case.spec.name))
    known = inspect.signature(factory).parameters
    spelled = {_OPTAX.get(key, key): value for key, value in case.hypers.items()}
    rule = factory(**{key: value for key, value in spelled.items() if key in known})
    params = {name: numpy.asarray(each.detach().numpy()) for name, each in parameters(case.shapes)}
    grads = {name: numpy.ones_like(each) for name, each in params.items()}

    def update(params: object, state: object) -> tuple[object, object]:
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(update, donate_argnums=(0, 1))
    now = [params, rule.init(params)]

    def step() -> None:
        now[:] = jax.block_until_ready(compiled(*now))

    return Side(f"optax {factory.__name__}", step)


def _axpy(case: Case, name: str) -> Side:
    import torch

    if name:
        raise UsageError("axpy is no library: it is y += a*x in place, which shows what the memory can do")
    elements = elements_of(case.shapes)
    x, y = (torch.randn(elements, device=case.device) for _ in range(2))
    return Side("in-place axpy", finished(lambda: y.add_(x, alpha=1e-6), case.device), 12)


def elements_of(shapes: Shapes) -> int:
    """Number of parameters of a list."""
    return sum(math.prod(shape) for _, shape in shapes)


def _named(library: str, module: object, name: str, own: str) -> object:
    """An optimizer of a library: the one named, or the one called like the rule."""
    found = getattr(module, name or own, None)
    if found is not None and callable(found) and not (name or own).startswith("_"):
        return found
    if name:
        hint = suggest(name, [each for each in dir(module) if not each.startswith("_")])
        raise UsageError(f'{library} has no optimizer "{name}". {hint}'.rstrip())
    raise NoCounterpartError(f'{library} has no "{own}"; name what to compare with: --against {library}:NAME')


#: Peers by name: the packages each needs, how they are had, and what makes its side.
PEERS: Mapping[str, tuple[Sequence[str], str, Make]] = {
    "torch": (("torch",), "optgen[torch]", _torch),
    "torch-compile": (("torch",), "optgen[torch]", _compiled),
    "optax": (("jax", "optax"), "optgen[jax]", _optax),
    "axpy": (("torch",), "optgen[torch]", _axpy),
}
#: Measured only when named: compiling takes half a minute.
SLOW = ("torch-compile",)


def missing(peer: str) -> list[str]:
    """Packages that a peer needs and that are not installed."""
    return [package for package in PEERS[peer][0] if importlib.util.find_spec(package) is None]


def choose(against: Sequence[str], device: str) -> list[tuple[str, str]]:
    """(peer, name after the colon) of what was asked for, or of all that are here and quick.

    UsageError for a peer that does not exist or whose packages are not installed.
    """
    if not against:
        quick = [peer for peer in PEERS if peer not in SLOW and not missing(peer)]
        return [(peer, "") for peer in quick if device == "cpu" or peer != "optax"]
    chosen: list[tuple[str, str]] = []
    for text in against:
        peer, _, name = text.partition(":")
        if peer not in PEERS:
            hint = suggest(peer, PEERS) or f"there are: {', '.join(PEERS)}"
            raise UsageError(f'nothing called "{peer}" can be compared with. {hint}')
        if lacking := missing(peer):
            raise UsageError(f'{peer} needs {" and ".join(lacking)}: pip install "{PEERS[peer][1]}"')
        chosen.append((peer, name))
    return chosen
