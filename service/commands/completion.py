"""`review-sentiment completion`: what a shell needs to complete the command's words."""

import argparse
from typing import Any

_EPILOG = """\
examples:
  review-sentiment completion bash > ~/.local/share/bash-completion/completions/review-sentiment
  review-sentiment completion zsh > ~/.zfunc/_review-sentiment
"""


def add_to(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the command, which completes all of `whole`."""
    parser = commands.add_parser(
        "completion",
        help="print a script for your shell",
        description="Print a script that lets the shell complete commands and flags.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    parser.set_defaults(command=lambda arguments: _print(whole, arguments.shell))


def _print(whole: argparse.ArgumentParser, shell: str) -> int:
    import shtab  # only this command needs it

    print(shtab.complete(whole, shell))
    return 0
