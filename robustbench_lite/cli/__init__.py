"""The command line."""

from robustbench_lite.cli.verbs import main

__all__ = [
    "main",
]
