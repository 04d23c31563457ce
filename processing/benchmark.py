"""``ringline benchmark``: how fast this machine reduces, by itself or against pyFAI."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ringline.processing.benchmark_cases import CASES, Row, Settings
from ringline.processing.benchmark_peer import require_peer
from ringline.processing.benchmark_processes import engines, fresh_process, scaling
from ringline.processing.benchmark_report import draw, machine, to_json, to_markdown
from ringline.processing.benchmark_scene import SCENES
from ringline.processing.checks import did_you_mean
from ringline.processing.command_line import DONE, Command
from ringline.processing.errors import RecipeError

_ALL: dict[str, Callable[[str, Settings], list[Row]]] = {
    **CASES,
    "fresh": fresh_process,
    "scaling": scaling,
    "engines": engines,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    add = parser.add_argument
    add("--against", choices=["pyfai"], help="measure it as well, in turn with ours")
    add("--cases", nargs="+", default=list(_ALL), metavar="CASE",
        help=f"some of {', '.join(_ALL)} (default: all)")  # fmt: skip
    add("--repeats", type=int, default=9, metavar="N",
        help="rounds in which contenders take turns; medians are shown (default: 9)")  # fmt: skip
    add("--frames", type=int, default=16, metavar="N",
        help="in a block and in a file (default: 16)")  # fmt: skip
    add("--detector", default="Eiger 4M", metavar="D",
        help=f"one of {', '.join(SCENES)} (default: Eiger 4M)")  # fmt: skip
    add("--json", action="store_true", help="print JSON instead of tables")
    add("-o", "--output", metavar="DIR",
        help="also save benchmark.md, benchmark.json and benchmark.png there")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, print, save."""
    _check(options)
    settings = Settings(
        peer=options.against is not None,
        rounds=options.repeats,
        frames=options.frames,
        scene=SCENES[options.detector],
    )
    about, rows = machine(), []
    for name in options.cases:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += _ALL[name](name, settings)
    title = f"{options.detector}, medians of {options.repeats} rounds."
    text = to_markdown(rows, about, title)
    print(to_json(rows, about) if options.json else text, end="")
    if options.output is not None:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "benchmark.md").write_text(text)
        (folder / "benchmark.json").write_text(to_json(rows, about) + "\n")
        draw(rows, about, folder / "benchmark.png")
    return DONE


def _check(options: argparse.Namespace) -> None:
    for what, names, known in (("case", options.cases, _ALL), ("detector", [options.detector],
                                                               SCENES)):  # fmt: skip
        for name in names:
            if name not in known:
                raise RecipeError(f"unknown {what} {name!r}: {did_you_mean(name, known)}")
    for name in ("repeats", "frames"):
        if getattr(options, name) < 1:
            raise RecipeError(f"--{name} must be >= 1, got {getattr(options, name)}")
    if options.against is not None:
        require_peer()


command = Command("benchmark", "Measure speed, also against pyFAI.", add_arguments, run)
