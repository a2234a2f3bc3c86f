"""`optgen new`."""

from __future__ import annotations

from pathlib import Path

import click

from optgen.errors import UsageError


@click.command("new")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Folder of the new file.")
def command(name: str, out: Path) -> None:
    """Write NAME.yaml, a commented rule that already checks and builds, to start your own from."""
    from optgen.authoring.template import template

    text, path = template(name), out / f"{name}.yaml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename} is there already; take another name, or another folder: --out DIR"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"cannot write {path}: {reason}. Name another folder: --out DIR") from error
    click.echo(f"{path}: a rule that works; change it, then `optgen check {_as_argument(path)}`")


def _as_argument(path: Path) -> str:
    """The path as a command reads it: never as the name of a rule that ships."""
    return str(path) if path.is_absolute() or path.parts[0] == ".." else f"./{path}"
