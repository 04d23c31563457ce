"""The cases of ``ringline benchmark`` that need fresh processes, or other engines."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ringline.processing.benchmark_cases import OURS, PEER, Row, Settings, filled
from ringline.processing.benchmark_scene import moved
from ringline.processing.benchmark_timing import Times, median_ms
from ringline.processing.errors import RecipeError
from ringline.processing.reduction import ENGINES, reduction_for
from ringline.processing.worker_threads import VARIABLE

# Not getrusage: a new process starts from the peak of the one that started it.
_USE = """
def used(name):
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
"""

_OURS = f"""{_USE}
import json, sys
import numpy as np
from ringline.processing import recipe_from_json, reduction_for
recipe = recipe_from_json(open(sys.argv[1] + "/recipe.json").read())
image = np.load(sys.argv[1] + "/image.npy")
before = used("VmRSS")
reduction_for(recipe).reduce(image)
print(json.dumps(used("VmHWM") - before), flush=True)
"""

_PEER = f"""{_USE}
import json, sys
import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
settings = json.load(open(sys.argv[1] + "/peer.json"))
image, mask, dark, flat = (
    np.load(sys.argv[1] + "/" + name + ".npy") for name in ("image", "mask", "dark", "flat")
)
before = used("VmRSS")
detector = Detector(*settings["pixel"], max_shape=image.shape, orientation=3)
detector.mask, detector.darkcurrent, detector.flatfield = mask.astype("i1"), dark, flat
integrator = AzimuthalIntegrator(detector=detector, **settings["geometry"])
integrator.integrate1d_ng(
    image, settings["bins"], unit="q_nm^-1", error_model="poisson",
    polarization_factor=settings["polarization"], method=("full", "csc", "cython"),
)
print(json.dumps(used("VmHWM") - before), flush=True)
"""

_WORKER = """
import json, sys, time
import numpy as np
from ringline.processing import recipe_from_json, reduction_for
folder, splitting = sys.argv[1:]
reduction = reduction_for(recipe_from_json(open(f"{folder}/{splitting}.json").read()))
frames = np.load(f"{folder}/frames.npy")
for _ in sys.stdin:
    found = []
    for call in (lambda: reduction.reduce(frames[0]), lambda: reduction.reduce_block(frames)):
        call()
        start, calls = time.perf_counter(), 0
        while time.perf_counter() - start < 0.1:
            call()
            calls += 1
        found.append((time.perf_counter() - start) / calls)
    print(json.dumps(found), flush=True)
"""


def fresh_process(case: str, settings: Settings) -> list[Row]:
    """From starting Python to the first curve, and the memory that it takes besides its input."""
    programs = {OURS: _OURS, **({PEER: _PEER} if settings.peer else {})}
    times: Times = {name: [] for name in programs}
    memory: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        _store(settings, Path(folder))
        for number in range(min(settings.rounds, 5) + 1):
            for name, program in programs.items():
                start = time.perf_counter()
                found = _output([sys.executable, "-c", program, folder])
                if number:  # the first may have compiled
                    times[name].append(time.perf_counter() - start)
                    memory[name].append(found)
    extra = {f"{name}_mib": float(np.median(values)) for name, values in memory.items()}
    row = Row(case=case, title="fresh process to first curve, full split", ours=0, goal=1,
              extra=extra)  # fmt: skip
    return [filled(row, times)]


def _store(settings: Settings, folder: Path) -> None:
    scene = settings.scene
    recipe, corrections = scene.recipe("full"), scene.corrections
    (folder / "recipe.json").write_text(recipe.with_stored_arrays(folder).to_json())
    np.save(folder / "image.npy", scene.frames(1)[0])
    for name, array in corrections.arrays().items():
        np.save(folder / f"{name}.npy", array.values)
    geometry = scene.geometry
    names = ("poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
    mapping = {
        "pixel": [geometry.detector.pixel1, geometry.detector.pixel2],
        "geometry": {"dist": geometry.distance, **{n: getattr(geometry, n) for n in names}},
        "polarization": corrections.polarization,
        "bins": 1000,
    }
    (folder / "peer.json").write_text(json.dumps(mapping))


def _output(command: Sequence[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecipeError(f"a process of the benchmark failed: {done.stderr.strip()[-500:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def scaling(case: str, settings: Settings) -> list[Row]:
    """One thread against two, in two processes that take turns."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "frames.npy", settings.scene.frames(settings.frames))
        for splitting in ("no", "full"):
            recipe = settings.scene.recipe(splitting).with_stored_arrays(folder)
            (folder / f"{splitting}.json").write_text(recipe.to_json())
            times = _in_turn([1, 2], [str(folder), splitting], settings.rounds)
            for part, what in enumerate(("one frame", "block")):
                count = settings.frames if part else 1
                one, two = (np.array([turn[part] for turn in times[n]]) / count for n in (1, 2))
                gain = float(np.median(one / two))
                extra = {"one_thread_ms": median_ms(one.tolist()), "gain": gain}
                title = f"two threads against one, {what}, {splitting} split"
                ours = median_ms(two.tolist())
                rows.append(Row(case=case, title=title, ours=ours, goal=1.8, extra=extra))
    return rows


def _in_turn(
    threads: Sequence[int], arguments: Sequence[str], rounds: int
) -> dict[int, list[list[float]]]:
    found: dict[int, list[list[float]]] = {count: [] for count in threads}
    with ExitStack() as stack:
        workers = {}
        for count in threads:
            process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, *arguments],
                env={**os.environ, VARIABLE: str(count)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            workers[count] = stack.enter_context(process)
        for number in range(rounds + 1):
            for count, process in workers.items():
                if process.stdin is None or process.stdout is None:
                    raise AssertionError
                process.stdin.write("go\n")
                turn = json.loads(process.stdout.readline() or "null")
                if turn is None:
                    raise RecipeError("a process of the benchmark failed")
                if number:
                    found[count].append(turn)
    return found


FRAMES_OF_ENGINES = (1, 2, 5, 10, 20)


def engines(case: str, settings: Settings) -> list[Row]:
    """Setup and some frames by each engine there is, and by the one that ``auto`` chooses."""
    rows = []
    numbers, image = itertools.count(10_000), settings.scene.frames(1)[0]
    for splitting in ("no", "full"):
        recipe = settings.scene.recipe(splitting)
        times: dict[str, list[list[float]]] = {name: [] for name in (*ENGINES, "auto")}
        for number in range(min(settings.rounds, 5) + 1):
            for name in list(times):
                own = moved(recipe, next(numbers))
                start, turn = time.perf_counter(), []
                try:
                    reduction = reduction_for(own, name)
                except RecipeError:  # an engine that needs what is not there
                    del times[name]
                    continue
                for _ in range(max(FRAMES_OF_ENGINES)):
                    reduction.reduce(image)
                    turn.append(time.perf_counter() - start)
                if number:
                    times[name].append(turn)
        for name, turns in times.items():
            middle = np.median(turns, axis=0)
            extra = {f"frames_{n}_ms": float(1e3 * middle[n - 1]) for n in FRAMES_OF_ENGINES}
            rows.append(Row(case=case, title=f"engine {name}, {splitting} split",
                            ours=extra["frames_1_ms"], extra=extra))  # fmt: skip
    return rows
