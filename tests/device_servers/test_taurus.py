"""Taurus, the operators' screens, opens the device through the embedded database."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tango
from PIL import Image

from tests.device_servers.conftest import Server, wait_for

PROBE = "import sys; from PyQt5.QtWidgets import QApplication; QApplication(sys.argv)"
SCREEN = Path(__file__).with_name("taurus_screen.py")


def offscreen(folder: Path) -> dict[str, str]:
    return {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(folder)}


@pytest.fixture
def screen_folder(tmp_path: Path) -> Path:
    pytest.importorskip("PyQt5", reason="the gui extra is not installed")
    pytest.importorskip("taurus_pyqtgraph", reason="the gui extra is not installed")
    tmp_path.chmod(0o700)
    probe = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=offscreen(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        last = probe.stderr.strip().splitlines()[-1:] or [f"exit code {probe.returncode}"]
        pytest.skip(f"Qt's system libraries are absent: {last[0]}")
    return tmp_path


def colours(path: Path) -> np.ndarray:
    """Different colours in a picture, rarest last."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return np.unique(pixels, axis=0)


def test_taurus_shows_the_attributes_and_the_curve(
    server: Server,
    reducer: tango.DeviceProxy,
    shared_data: Callable[[str], Path],
    screen_folder: Path,
) -> None:
    image = shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.tif")
    copy = server.registration.directory / "raw" / "taurus.tif"
    copy.write_bytes(image.read_bytes())
    reducer.LoadPoni(str(shared_data("ceo2-pilatus1m/CeO2_Pilatus1M.poni")))
    reducer.Configure(json.dumps({"orientation": 2, "radial_unit": "2th_deg"}))
    try:
        reducer.Integrate(str(copy))
    except tango.DevFailed:  # compiling may take longer than a command may
        wait_for(lambda: reducer.frame_index == 0, "the curve")
    shown = subprocess.run(
        [sys.executable, str(SCREEN), server.trl, str(screen_folder)],
        env={**offscreen(screen_folder), "TANGO_HOST": server.tango_host},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr[-2000:]
    seen = json.loads((screen_folder / "seen.json").read_text())
    assert seen["points"] == [64], shown.stderr[-2000:]
    # A panel that shows a set point rounded holds it for changed, and Apply writes it back.
    assert seen["pending"] == []
    for picture in ("form.png", "plot.png"):
        assert len(colours(screen_folder / picture)) > 20, f"{picture} is blank"
