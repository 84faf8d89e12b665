"""`dozor completion SHELL`, and the completion of task names."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from dozor.cli.terminal.options import default_configuration
from dozor.errors import CommandRefusedError, ConfigError
from dozor.language import msg

_HOW = """\b
bash: eval "$(dozor completion bash)"  # ~/.bashrc
zsh:  eval "$(dozor completion zsh)"  # ~/.zshrc
fish: dozor completion fish > ~/.config/fish/completions/dozor.fish"""


@click.command(help="\n\n".join((msg("cli-help-completion"), _HOW)))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and task names."""
    found = get_completion_class(shell)
    if found is None:
        raise CommandRefusedError(msg("cli-no-completion", shell=shell))
    root = ctx.find_root().command
    click.echo(found(root, {}, "dozor", "_DOZOR_COMPLETE").source())


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the configuration's tasks; none if it cannot be read: completion must never complain."""
    from dozor.config import load

    path = ctx.params.get("config_path") or default_configuration()
    try:
        config = load(Path(path))
    except (ConfigError, OSError):
        return []
    return [task.name for task in config.tasks if task.name.startswith(incomplete)]
