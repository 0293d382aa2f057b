"""The verb `completion`: what makes a shell complete verbs, options and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMPLETING", "completion", "names"]

COMPLETING = "_ROBUSTBENCH_LITE_COMPLETE"  # in the environment: a shell asks, nothing is to be done
_SHELLS = ("bash", "zsh", "fish")
_HELP = """Print the script with which SHELL (bash, zsh, fish) completes verbs, options and names.

\b
bash, in ~/.bashrc:
  eval "$(robustbench-lite completion bash)"
zsh, in ~/.zshrc after compinit:
  eval "$(robustbench-lite completion zsh)"
fish, once:
  robustbench-lite completion fish >
    ~/.config/fish/completions/robustbench-lite.fish
"""


@click.command(help=_HELP, short_help="Print what makes a shell complete verbs and names.")
@click.argument("shell", type=click.Choice(_SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script with which the shell completes verbs, options and names."""
    made = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    assert made is not None  # click knows these three
    click.echo(made(root, {}, "robustbench-lite", COMPLETING).source())


def names(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completes names of these kinds as `list` has them; where none begins so, files."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        from robustbench_lite.cli.catalogue import listing
        from robustbench_lite.suite import shipped

        own = [name for kind in kinds if kind != "suites" for name, _ in listing(kind) if " " not in name]
        known = [*own, *(shipped.names() if "suites" in kinds else [])]
        found = [CompletionItem(name) for name in known if name.startswith(begun) and not name.endswith(":")]
        return found or [CompletionItem(begun, type="file")]

    return complete
