"""`optgen schema`."""

from __future__ import annotations

import click


@click.command("schema")
@click.option("--path", "as_path", is_flag=True, help="Print where the schema's file is instead.")
def command(as_path: bool) -> None:
    """The JSON schema of rule files, for editors that complete and check them.

    The first line of a rule may name it: `# yaml-language-server: $schema=PATH`, as `optgen new` writes it.
    """
    from optgen.authoring.template import SCHEMA

    click.echo(str(SCHEMA) if as_path else SCHEMA.read_text(encoding="utf-8").rstrip("\n"))
