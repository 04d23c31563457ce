"""The ``ringline`` command: subcommands that each folder registers as entry points."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version

from ringline.processing.errors import FrameError, RecipeError

GROUP = "ringline.commands"

DONE = 0
REFUSED = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. ``run`` returns the exit code: 0 done, 2 refused input, 3 failed verdict."""

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; input that is refused ends with one line on stderr and code 2."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="ringline", description="Live reduction of X-ray area-detector data."
    )
    parser.add_argument("--version", action="version", version=version("ringline"))
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    loaded = _load(words)
    for command in loaded.values():
        subparser = subparsers.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.add_arguments(subparser)
    namespace = parser.parse_args(words)
    try:
        return loaded[namespace.command].run(namespace)
    except (RecipeError, FrameError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"ringline {namespace.command}: {message}", file=sys.stderr)
        return REFUSED


def _load(words: Sequence[str]) -> dict[str, Command]:
    """The subcommand asked for, or all where help is wanted: each is slow to import."""
    registered = {entry.name: entry for entry in entry_points(group=GROUP)}
    wanted = words[:1] if words and words[0] in registered else sorted(registered)
    return {name: registered[name].load() for name in wanted}


if __name__ == "__main__":
    sys.exit(main())
