"""`optgen completion`."""

from __future__ import annotations

import click

#: How a shell reads the script at every start, by shell.
_START = {
    "bash": 'add to ~/.bashrc:  eval "$(optgen completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit:  eval "$(optgen completion zsh)"',
    "fish": "run once:  optgen completion fish > ~/.config/fish/completions/optgen.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_START)))
def command(shell: str) -> None:
    """Print the script that has a shell complete commands, rules, backends and values of --set.

    The script's first line says where it goes.
    """
    from click.shell_completion import get_completion_class

    from optgen.cli import cli
    from optgen.commands.completing import VARIABLE, register

    register()
    found = get_completion_class(shell)
    assert found is not None, shell
    click.echo(f"# {_START[shell]}")
    click.echo(found(cli, {}, "optgen", VARIABLE).source())
