import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio.edfimage
import matplotlib.image
import numpy as np
import pytest

from ringline.callbacks import Workspace, find_reduced_headers, open_store
from ringline.plans import demo_scene
from ringline.processing import write_poni
from ringline.processing.command_line import main

COMMAND = [sys.executable, "-m", "ringline.processing.command_line", "demo"]
KEYS = {
    "frames_seen",
    "frames_reduced",
    "frames_dropped",
    "frames_failed",
    "frame_rate_hz",
    "raw_uid",
    "reduced_uid",
    "store",
    "tango_host",
    "device",
    "picture",
    "latency_p95_ms",
}


ACCOUNTS = ("seen", "reduced", "dropped", "failed")


def demo(*options: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def last_line(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return report


def processes_on(folder: Path) -> list[str]:
    """Command lines of processes which name the folder, or work for it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and str(folder).encode() in command:
            found.append(f"{entry.name} {command[:200]!r}")
    return found


def wait_for(condition: Callable[[], bool], limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.mark.timeout(240)
def test_the_demo_works_twice_in_a_folder_whose_name_has_a_space(tmp_path: Path) -> None:
    """Simulated frames with unreadable ones among them, then an image with its geometry."""
    folder = tmp_path / "my demo"
    common = ("--directory", folder, "--rate", 50, "--json")
    first = last_line(demo(*common, "--size", 128, "--frames", 41, "--bad-frames", 3))
    image = np.random.default_rng(1).poisson(20, (96, 128)).astype(np.int32)
    fabio.edfimage.EdfImage(data=image).write(str(tmp_path / "image.edf"))
    write_poni(demo_scene(shape=(96, 128)).geometry, tmp_path / "image.poni")
    files = ("--image", tmp_path / "image.edf", "--poni", tmp_path / "image.poni")
    second = last_line(demo(*common, *files, "--frames", 20))
    assert first.keys() >= KEYS
    assert [first[f"frames_{name}"] for name in ACCOUNTS] == [41, 38, 0, 3]
    assert [second[f"frames_{name}"] for name in ACCOUNTS] == [20, 20, 0, 0]
    assert sum(first["causes"].values()) == 3
    assert 0 < first["latency_p95_ms"] < 5000
    assert 10 < first["frame_rate_hz"] < 60
    assert matplotlib.image.imread(second["picture"]).std() > 0.1
    assert processes_on(folder) == []
    with open_store(Workspace(folder)) as store:
        for report in (first, second):
            (header,) = find_reduced_headers(store.broker(), raw_uid=report["raw_uid"])
            assert header.start["uid"] == report["reduced_uid"]
            assert store.raw[report["raw_uid"]].metadata["stop"]["exit_status"] == "success"


@pytest.mark.parametrize(
    ("number", "begun"),
    [(signal.SIGINT, "raw/*.h5"), (signal.SIGTERM, "logs/tango-database.log")],
    ids=["Ctrl-C during the run", "SIGTERM while the services start"],
)
def test_a_demo_that_is_ended_leaves_no_process_and_says_one_line(
    tmp_path: Path, number: signal.Signals, begun: str
) -> None:
    folder = tmp_path / "ended"
    options = ["--directory", str(folder), "--frames", "5000", "--size", "128"]
    with subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: bool(list(folder.glob(begun))))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == f"ringline demo: ended by {number.name}"
    assert "Traceback" not in said
    assert processes_on(folder) == []


def test_services_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    with subprocess.Popen([*COMMAND, "--directory", str(folder)], stderr=subprocess.DEVNULL) as it:
        wait_for((folder / "logs" / "RinglineDS.log").exists)
        os.kill(it.pid, signal.SIGKILL)
    wait_for(lambda: not processes_on(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--frames", 0), "--frames must be from 1 to 1000000, got 0"),
        (("--rate", "nan"), "--rate must be > 0 and <= 1000 Hz, got nan"),
        (("--image", "a.tif"), "--image and --poni belong together"),
        (("--bad-frames", 300), "--bad-frames must be from 0 to 150, got 300"),
        (("--split", "bbx"), "unknown splitting 'bbx': did you mean 'bbox'?"),
        (("--calibrant", "LaB7"), "unknown calibrant 'LaB7': did you mean"),
        (("--directory", "/proc/none"), "/proc/none cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_with_one_line(
    tmp_path: Path,
    options: tuple[object, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--directory", str(tmp_path), *map(str, options)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("ringline demo: ")
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
