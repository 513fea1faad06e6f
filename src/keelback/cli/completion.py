"""``keelback completion``."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Examples:
      eval "$(keelback completion bash)"                                 # ~/.bashrc
      eval "$(keelback completion zsh)"                                  # ~/.zshrc
      keelback completion fish > ~/.config/fish/completions/keelback.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - not for --help

    from keelback.cli.app import keelback  # noqa: PLC0415 - not for --help

    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101 - click has all three
    click.echo(completion(keelback, {}, "keelback", "_KEELBACK_COMPLETE").source())
