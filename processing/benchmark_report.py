"""What ``ringline benchmark`` found: as Markdown, JSON and a figure."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ringline.processing.benchmark_cases import OURS, PEER, Row
from ringline.processing.benchmark_processes import FRAMES_OF_ENGINES
from ringline.processing.worker_threads import threads

_OTHER = ("detectors", "scaling", "bins", "frames", "engines")


def machine() -> dict[str, str]:
    """What it was measured on."""
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "threads": str(threads()),
        "python": platform.python_version(),
    }
    for name in ("ringline", "numpy", "numba", "pyFAI"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def to_json(rows: Sequence[Row], about: dict[str, str]) -> str:
    """All that was measured."""
    return json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=1)


def to_markdown(rows: Sequence[Row], about: dict[str, str], title: str) -> str:
    """Tables of all that was measured."""
    told = ", ".join(f"{name} {about[name]}" for name in ("numpy", "numba", "pyFAI")
                     if name in about)  # fmt: skip
    parts = [f"{about['date']}, {about['threads']} cores ({about['cpu']}), {told}. {title}"]
    parts.append(_main_table([row for row in rows if row.case not in _OTHER]))
    parts.append(_main_table([row for row in rows if row.case == "detectors"]))
    parts.append(_scaling_table([row for row in rows if row.case == "scaling"]))
    for case, what in (("bins", "bins"), ("frames", "frames at once")):
        parts.append(_cost_table([row for row in rows if row.case == case], case, what))
    parts.append(_engine_table([row for row in rows if row.case == "engines"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _main_table(rows: Sequence[Row]) -> str:
    head = ["case", "ms a frame", "pyFAI", "times faster", "goal", "largest difference", "besides"]
    return _table(head, [
        [
            row.title,
            _number(row.ours),
            _number(row.peer),
            _number(row.ratio),
            _number(row.goal),
            "" if row.difference is None
            else f"{row.difference:.0e} ({row.deviation:.0e} standard errors)",
            _besides(row),
        ]
        for row in rows
    ])  # fmt: skip


def _besides(row: Row) -> str:
    said = [] if row.floor is None else [f"{100 * row.floor:.0f} % of memory bandwidth"]
    if "bits_per_pixel" in row.extra:
        said.append(f"{row.extra['bits_per_pixel']:.1f} bits a pixel")
    memory = [f"{name} {row.extra[f'{name}_mib']:.0f} MiB" for name in (OURS, PEER)
              if f"{name}_mib" in row.extra]  # fmt: skip
    return ", ".join(said + memory)


def _scaling_table(rows: Sequence[Row]) -> str:
    head = ["case", "one thread, ms", "two", "gain", "goal"]
    return _table(head, [
        [row.title, _number(row.extra["one_thread_ms"]), _number(row.ours),
         f"{row.extra['gain']:.2f}", _number(row.goal)]
        for row in rows
    ])  # fmt: skip


def _cost_table(rows: Sequence[Row], key: str, what: str) -> str:
    numbers = sorted({int(row.extra[key]) for row in rows})
    kinds = list(dict.fromkeys(_kind(row) for row in rows))
    values = {(_kind(row), int(row.extra[key])): row.ours for row in rows}
    head = [f"ms a frame, {what}", *(str(number) for number in numbers)]
    return _table(head, [
        [kind, *(_number(values.get((kind, number))) for number in numbers)] for kind in kinds
    ])  # fmt: skip


def _kind(row: Row) -> str:
    return row.title.partition(", ")[2]


def _engine_table(rows: Sequence[Row]) -> str:
    head = ["ms for setup and frames", *(str(n) for n in FRAMES_OF_ENGINES)]
    return _table(head, [
        [row.title, *(_number(row.extra[f"frames_{n}_ms"]) for n in FRAMES_OF_ENGINES)]
        for row in rows
    ])  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    used = [k for k in range(len(head)) if any(row[k] for row in rows)]
    lines = [[head[k] for k in used], ["---"] * len(used)]
    lines += [[row[k] for k in used] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def draw(rows: Sequence[Row], about: dict[str, str], path: Path) -> None:
    """Save the figure: ratios with their goals, and the cost against the number of bins."""
    compared = [row for row in rows if row.ratio is not None and row.case not in _OTHER]
    by_bins = [row for row in rows if row.case == "bins"]
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_ratios(left, compared)
    _draw_bins(right, by_bins)
    figure.suptitle(f"{about['threads']} cores, {about['cpu']}, {about['date']}", fontsize=9)
    figure.savefig(path, dpi=120)


def _draw_ratios(axes: Axes, rows: Sequence[Row]) -> None:
    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        ratio, goal = row.ratio or 0.0, row.goal
        good = goal is None or ratio >= goal
        axes.barh(place, ratio, color="#2a6f97" if good else "#c9a227", height=0.65)
        beside = 1.06 * max(ratio, goal or 0.0)
        axes.text(beside, place, f"{ratio:.3g}x", va="center", fontsize=8)
        if goal is not None:
            axes.plot([goal, goal], [place - 0.42, place + 0.42], color="#222222", linewidth=1.6)
    axes.set_yticks(list(places), [row.title for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.5, 2 * max([row.ratio or 1 for row in rows], default=1))
    axes.set_xlabel("times faster than pyFAI; the lines are the goals")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_bins(axes: Axes, rows: Sequence[Row]) -> None:
    for kind in dict.fromkeys(_kind(row) for row in rows):
        chosen = [row for row in rows if _kind(row) == kind]
        axes.plot([row.extra["bins"] for row in chosen], [row.ours for row in chosen], "o-",
                  markersize=3.5, label=kind)  # fmt: skip
    if rows:
        axes.legend(fontsize=8, frameon=False)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("bins")
    axes.set_ylabel("ms a frame")
    axes.spines[["top", "right"]].set_visible(False)
