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


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    r"""Print the script with which SHELL completes verbs, options and names.

    \b
    bash: eval "$(robustbench-lite completion bash)" in ~/.bashrc
    zsh:  eval "$(robustbench-lite completion zsh)" in ~/.zshrc, after compinit
    fish: robustbench-lite completion fish > ~/.config/fish/completions/robustbench-lite.fish
    """
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
