"""LaTeX symbols that a rule gives its names: a few letters with accents and indices, so that no page breaks on them."""

from __future__ import annotations

import re

_LETTERS = frozenset(
    {"alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa"}
    | {"lambda", "mu", "nu", "xi", "pi", "varpi", "rho", "varrho", "sigma", "varsigma", "tau", "upsilon", "phi"}
    | {"varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi"}
    | {"Psi", "Omega", "ell", "hbar", "nabla", "infty", "prime", "star", "ast", "dagger", "perp", "parallel", "min"}
    | {"max", "odot", "circ", "pm"}
)
_ACCENTS = frozenset(
    {"hat", "widehat", "bar", "overline", "tilde", "widetilde", "dot", "ddot", "vec", "check", "breve"}
    | {"mathrm", "mathbf", "mathit", "mathcal", "mathsf", "mathbb", "boldsymbol", "text"}
)
_TOKEN = re.compile(
    r"\\(?P<command>[A-Za-z]+) *|(?P<mark>[{}_^])|(?P<letter>\\_|[A-Za-z0-9,.'*+/| -])|(?P<other>.)", re.S
)


def symbol_problem(symbol: str) -> str | None:
    """Why a text is no symbol that mathematics can show, or None."""
    opened: list[str] = []  # the index that each open brace belongs to, or nothing
    index = expects = ""  # the index that has just ended; what a base, an accent or an index is still to be given
    seen: list[set[str]] = [set()]
    for match in _TOKEN.finditer(symbol):
        kind, token = match.lastgroup, match.group().strip()
        if kind == "other" or (kind == "command" and match["command"] not in _LETTERS | _ACCENTS):
            return f"{token} has no place in a symbol"
        if expects == "{" and token != "{":
            return "an accent stands before a brace"
        if token in ("_", "^"):
            if expects or token in seen[-1]:
                return f"two {token} on one letter" if not expects else "an index of nothing"
            seen[-1].add(token)
            index, expects = token, "index"
        elif token == "{":
            opened.append(index if expects == "index" else "")
            seen.append(set())
            index = expects = ""
        elif token == "}":
            if not opened or expects:
                return "a brace too many" if not opened else "an index of nothing"
            seen.pop()
            if not opened.pop():
                seen[-1] = set()
        else:
            if expects != "index" and token:
                seen[-1] = set()
            expects = "{" if match["command"] in _ACCENTS else ""
    if opened or expects:
        return "a brace, an accent or an index is left open"
    return None
