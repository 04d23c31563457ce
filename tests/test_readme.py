"""What the README says, done: its Python blocks run one after another against a served system."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from ringline.plans import SimulatedExposures, demo_scene
from ringline.processing import write_poni

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A folder with a running ``ringline serve`` and the files that the README names."""
    scene = demo_scene()
    exposures = SimulatedExposures(scene)
    exposures.prepare()
    write_poni(scene.geometry, tmp_path / "LaB6.poni")
    np.save(tmp_path / "mask.npy", exposures.mean_images.faults.mask)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["entry/data/data"] = np.random.default_rng(1).poisson(20, (4, *exposures.shape))
    with h5py.File(tmp_path / "LaB6.h5", "w") as file:
        mean = np.maximum(exposures.mean_images.at(0.0), 0.0)
        file["entry/data/data"] = np.random.default_rng(2).poisson(mean)[None].astype(np.uint16)
    command = [sys.executable, "-m", "ringline.processing.command_line", "serve"]
    command += ["--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ringline.json").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield tmp_path
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_every_python_block_runs_and_they_agree(served: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 10
    check = """
import numpy as np
assert profile.intensity.shape == curve.shape == (1000,)
assert curves.intensity.shape[0] == 10
assert reduce.accounts().reduced == 3
assert header.stop["exit_status"] == "success"
assert found.verdict.accepted
assert abs(found.geometry.distance - recipe.geometry.distance) < 1e-4
assert tango.DeviceProxy("ringline/calibrator/1").in_force != ""
assert tango.DeviceProxy("ringline/calibrator/1").watch_period == 10.0
assert now.decision.id == tango.DeviceProxy("ringline/azimuthal/1").calibration_id
assert np.isfinite(profile.sigma).any()
"""
    script = served / "readme.py"
    names = f"from pathlib import Path\nfolder = directory = Path({str(served)!r})\n"
    script.write_text(names + "\n".join(blocks) + check)
    tango_host = json.loads((served / "ringline.json").read_text())["tango_host"]
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=served,
        env={**os.environ, "TANGO_HOST": tango_host},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "!!!" not in done.stderr + done.stdout


def test_the_picture_and_files_that_it_names_are_there() -> None:
    for path in re.findall(r"\]\((docs/[^)]*)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"bash (deploy/\w+\.sh)", README):
        assert (ROOT / path).is_file(), path
