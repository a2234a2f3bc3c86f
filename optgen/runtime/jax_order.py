"""The order in which a function reads its parameters: layers from input to output, as a forward pass has them."""

# JAX carries partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from optgen.errors import UsageError

#: A parameter by its number, or None for anything else.
_Origin = int | None


def forward_order(function: Callable[..., Any], params: Any, *args: Any, **kwargs: Any) -> list[str]:
    """Paths of the parameters in the order in which `function(params, *args, **kwargs)` first computes with them.

    For `order=` of rules that look at layers. The function is traced, not run; arrays may be `jax.ShapeDtypeStruct`s.
    What only moves or converts one parameter is no use of it yet. Parameters that are never used come last. UsageError
    if there are no parameters.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(params)
    if not paths:
        raise UsageError("the order of parameters was asked for, and the tree has none")
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]

    def flat(leaves: Sequence[Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return function(treedef.unflatten(leaves), *args, **kwargs)

    closed = jax.make_jaxpr(flat)([leaf for _, leaf in paths], args, kwargs)
    uses: dict[int, None] = {}
    count = len(names)
    _walk(closed.jaxpr, [i if i < count else None for i in range(len(closed.jaxpr.invars))], uses)
    order = [*uses, *(i for i in range(count) if i not in uses)]
    return [names[i] for i in order]


def _walk(jaxpr: Jaxpr, inputs: Sequence[_Origin], uses: dict[int, None]) -> list[_Origin]:
    """Notes the uses of parameters in a jaxpr, in order; what its results are."""
    origin: dict[Any, _Origin] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(variable: Any) -> _Origin:
        return None if isinstance(variable, Literal) else origin.get(variable)

    for equation in jaxpr.eqns:
        given = [of(variable) for variable in equation.invars]
        results: list[_Origin] = [None] * len(equation.outvars)
        inner = _inner(equation, given)
        if inner:
            for body, passed in inner:
                results = _walk(body, passed, uses)
            if len(results) != len(equation.outvars):
                results = [None] * len(equation.outvars)
        elif len(equation.invars) == 1 and given[0] is not None:
            results = [given[0]] * len(equation.outvars)  # moved, converted or cut
        else:
            uses.update((parameter, None) for parameter in given if parameter is not None)
        origin.update(zip(equation.outvars, results, strict=True))
    return [of(variable) for variable in jaxpr.outvars]


def _inner(equation: Any, given: Sequence[_Origin]) -> list[tuple[Jaxpr, Sequence[_Origin]]]:
    """The jaxprs that an equation runs, each with what it is given, where that is known."""
    params = equation.params
    if equation.primitive.name == "while":
        split = params["cond_nconsts"] + params["body_nconsts"]
        carry = given[split:]
        before = [(params["cond_jaxpr"], [*given[: params["cond_nconsts"]], *carry])]
        found = [*before, (params["body_jaxpr"], [*given[params["cond_nconsts"] : split], *carry])]
    elif "branches" in params:
        found = [(branch, given[1:]) for branch in params["branches"]]
    else:
        found = [(value, given) for value in params.values() if isinstance(value, ClosedJaxpr | Jaxpr)]
    bodies = [(body.jaxpr if isinstance(body, ClosedJaxpr) else body, passed) for body, passed in found]
    return [(body, passed) for body, passed in bodies if len(body.invars) == len(passed)]
