"""`Rule`: what `load` gives, what SymPy expressions and decorated functions make, and how notebooks show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, overload

from optgen.errors import UsageError
from optgen.spec.model import Spec

if TYPE_CHECKING:
    from optgen.authoring.declarations import Plain
    from optgen.authoring.symbolic import Equations, Expression, Hyper, Start, Target
    from optgen.explain import Explanation
    from optgen.spec.model import Value

F = TypeVar("F", bound=Callable[..., object])


class Rule(Spec):
    """An optimizer's update rule; `optgen.compile` makes an optimizer class of it.

    `optgen.load` gives one of a shipped name or a file, `optgen.rule` of a Python function. Called with SymPy
    expressions, this class makes one of them:

        lr, beta, m = sympy.symbols("lr beta m", real=True)
        g, d = optgen.sym.g, optgen.sym.d
        rule = optgen.Rule(
            "averaged", title="Descent along an average",
            hyper={lr: 1e-3, beta: optgen.hyper(0.9, domain="[0, 1)")},
            state={m: "zeros_like(param)"},
            direction=[(m, beta*m + (1 - beta)*g), (d, m)],
        )

    SymPy brings an expression into an order of its own when it is built, and into another when it is printed; the
    printed order is the one in which the kernel computes. Where the order matters, write the rule as text.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        hyper: Mapping[Target, Hyper] | None = None,
        state: Mapping[Target, Start] | None = None,
        inputs: Mapping[Target, str] | None = None,
        gradient: Equations = (),
        direction: Equations = (),
        update: Equations = (),
        require: Sequence[Expression] = (),
        **about: Plain,
    ) -> None:
        """A rule of SymPy expressions.

        Stages are (target, expression) pairs, in order. `hyper` maps symbols to defaults or `optgen.hyper(...)`,
        `state` to starts or `optgen.state(...)`, `inputs` to extents; `about` are further keys of a rule text
        (`reference`, `doc`, `matrix`, `claims`, `example`). Raises UsageError for what the language cannot say, naming
        the expression, and SpecError for what is wrong with the rule.
        """
        from optgen.authoring.symbolic import spec_of

        stages = {"gradient": gradient, "direction": direction, "update": update}
        self._become(spec_of(name, title, hyper or {}, state or {}, inputs or {}, stages, require, about))

    @classmethod
    def of(cls, spec: Spec) -> Rule:
        """The rule of a specification."""
        rule = cls.__new__(cls)
        rule._become(spec)
        return rule

    def _become(self, spec: Spec) -> None:
        for each in dataclasses.fields(spec):
            object.__setattr__(self, each.name, getattr(spec, each.name))

    @property
    def spec(self) -> Spec:
        """The rule as the compiler's own data."""
        return Spec(**{each.name: getattr(self, each.name) for each in dataclasses.fields(Spec)})

    def __eq__(self, other: object) -> bool:
        """Whether the other rule says the same, wherever it was written."""
        if not isinstance(other, Spec):
            return NotImplemented
        names = [each.name for each in dataclasses.fields(Spec) if each.compare and each.name != "path"]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # pyright: ignore[reportAssignmentType] # as a Spec, which holds mappings

    def to_yaml(self) -> str:
        """The rule as the text of a rule file; `optgen.loads` reads it back to an equal rule.

        Raises UsageError for a rule joined of several texts, which has none of its own.
        """
        if self.parts:
            names = ", ".join(part.name for part in self.parts)
            raise UsageError(f"{self.name} is joined of several texts ({names}); write each, and join them again")
        return self.text

    def explain(self, **given: Value) -> Explanation:
        """What the rule costs and what is known of it, under values of its hypers; see `optgen explain`."""
        from optgen.explain import explain

        return explain(self, given)

    # What notebooks show

    def __repr__(self) -> str:
        return f"<optgen rule {self.name}: {self.title}>"

    def _repr_latex_(self) -> str:
        from optgen.algebra.latex import to_latex

        return to_latex(self)

    def _repr_markdown_(self) -> str:
        from optgen.authoring.markdown import to_markdown

        return to_markdown(self)


@overload
def rule(function: Callable[..., object], /) -> Rule: ...
@overload
def rule(function: None = None, /, **about: Plain) -> Callable[[Callable[..., object]], Rule]: ...
def rule(
    function: Callable[..., object] | None = None, /, **about: Plain
) -> Rule | Callable[[Callable[..., object]], Rule]:
    """Make a rule of a Python function: a decorator, for notebooks and scripts.

        @optgen.rule
        def averaged(param, g, *, lr=1e-3, beta=0.9, m=optgen.state("zeros_like(param)")):
            "Descent along an average."
            m = beta*m + (1 - beta)*g
            param = param - lr*m

    The function is read, never run: its body is the update, in the language of rule texts. Arguments without a default
    are what is given (`param`, `g`, `t`, `step`); the others declare: a number, `True` or `False` is a hyper, as is
    `optgen.hyper(...)`; `optgen.state(...)` is a state and `optgen.input(...)` a value passed to the step. If the body
    assigns `d`, what leads to it is the direction and the rest the update. The docstring gives title and documentation;
    `about` are further keys of a rule text (`title`, `reference`, `matrix`, `claims`, `example`).

    Raises UsageError where the source cannot be read (a function typed at a bare prompt), SpecError with positions in
    the file or cell for what is wrong.
    """
    from optgen.authoring.function import spec_of

    if function is None:
        return lambda written: Rule.of(spec_of(written, about))
    return Rule.of(spec_of(function, about))
