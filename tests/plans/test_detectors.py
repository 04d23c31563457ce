import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import fabio.edfimage
import h5py
import hdf5plugin
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import TriggerInfo

from ringline.plans import PlaybackDetector, SimulatedDetector, SimulatedExposures, demo_scene
from ringline.processing import FrameError, RecipeError, open_frames, read_poni

from .conftest import Documents  # noqa: TID252


def fly(detector: Any, frames: int, rate: float) -> Iterator[Any]:
    @bpp.stage_decorator([detector])
    @bpp.run_decorator()
    def inner() -> Iterator[Any]:
        exposures = TriggerInfo(number_of_events=frames, livetime=1 / rate)
        yield from bps.prepare(detector, exposures, wait=True)
        yield from bps.declare_stream(detector, name="primary", collect=True)
        yield from bps.kickoff(detector, wait=True)
        yield from bps.collect_while_completing(
            [detector], [detector], flush_period=0.05, stream_name="primary"
        )

    return inner()


def test_a_step_scan_makes_one_datum_a_frame(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    engine(bp.count([detector], 3))
    assert documents.ranges("detector") == [(0, 1), (1, 2), (2, 3)]
    assert documents.ranges("detector-monitor") == [(0, 1), (1, 2), (2, 3)]
    key = documents.keys()["detector"]
    assert key["external"] == "STREAM:"
    assert key["shape"] == [1, 96, 128]
    assert key["dtype_numpy"] == "<u2"


def test_a_fly_scan_makes_few_documents_that_cover_every_frame_once(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    engine(fly(detector, 200, 400))
    ranges = documents.ranges("detector")
    assert 1 < len(ranges) < 30
    assert [start for start, _ in ranges] == [0] + [stop for _, stop in ranges[:-1]]
    assert ranges[-1][1] == 200


def test_a_fly_scan_keeps_its_rate(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    engine(fly(detector, 100, 200))
    with h5py.File(documents.file("detector")) as file:
        written = file["/entry/data/timestamp"][:]
    assert np.mean(np.diff(written)) == pytest.approx(1 / 200, rel=0.1)


def test_the_file_is_bitshuffle_lz4_with_a_frame_a_chunk_and_a_monitor(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    engine(bp.count([detector], 2))
    with h5py.File(documents.file("detector")) as file:
        images = file["/entry/data/data"]
        assert images.chunks == (1, 96, 128)
        filters = images.id.get_create_plist()
        assert filters.get_filter(0)[0] == hdf5plugin.BSHUF_ID
        assert file["/entry/monitor/data"].shape == (2,)
        assert file["/entry/monitor/data"][0] == pytest.approx(1e6, rel=0.1)
        assert abs(file["/entry/data/timestamp"][1] - time.time()) < 60


def test_frames_can_be_read_while_the_run_goes_on(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    seen: list[tuple[int, float]] = []
    done = threading.Event()

    def look(name: str, document: dict[str, Any]) -> None:
        if name == "stream_datum" and not seen:
            with open_frames(documents.file("detector"), "/entry/data/data") as frames:
                stop = document["indices"]["stop"]
                assert frames.frame_count() >= stop
                seen.append((stop, float(frames.read(stop - 1, stop).mean())))
            done.set()

    engine.subscribe(look)
    engine(fly(detector, 100, 200))
    assert done.is_set()
    assert seen[0][0] < 100
    assert seen[0][1] > 0


def test_the_true_geometry_and_mask_lie_beside_the_frames(detector: SimulatedDetector) -> None:
    geometry = read_poni(detector.poni_file)
    assert geometry.distance == detector.geometry.distance
    assert geometry.wavelength == pytest.approx(detector.geometry.wavelength, rel=1e-12)
    assert geometry.detector.shape == detector.detector.shape
    np.testing.assert_array_equal(
        np.load(detector.mask_file), detector.exposures.mean_images.faults.mask
    )


def test_chosen_frames_are_unreadable_and_no_others(
    engine: RunEngine, documents: Documents, tmp_path: Path, exposures: SimulatedExposures
) -> None:
    detector = SimulatedDetector(tmp_path, exposures, unreadable={1, 3})
    engine(bp.count([detector], 5))
    with open_frames(documents.file("detector"), "/entry/data/data") as frames:
        for index in (0, 2, 4):
            frames.read(index, index + 1)
        for index in (1, 3):
            with pytest.raises(FrameError):
                frames.read(index, index + 1)


def test_a_pause_repeats_a_point_and_goes_on_counting_frames(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    def pausing() -> Iterator[Any]:
        paused = False
        for _ in range(3):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([detector])
            if not paused and len(documents.named("event")) == 2:
                paused = True
                yield from bps.pause()

    plan = bpp.stage_wrapper(bpp.run_wrapper(pausing()), [detector])
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    engine.resume()
    assert [event["seq_num"] for event in documents.named("event")] == [1, 2, 2, 3]
    assert documents.ranges("detector") == [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_two_runs_have_two_files(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    engine(bp.count([detector], 1))
    engine(bp.count([detector], 2))
    uris = {resource["uri"] for resource in documents.named("stream_resource")}
    assert len(uris) == 2
    assert documents.ranges("detector") == [(0, 1), (0, 1), (1, 2)]


def test_an_aborted_fly_scan_stops_the_camera_and_leaves_whole_frames(
    engine: RunEngine, documents: Documents, detector: SimulatedDetector
) -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def stop_early(name: str, document: dict[str, Any]) -> None:
        if name == "stream_datum":
            raise Enough

    engine.subscribe(stop_early)
    with pytest.raises(Enough):
        engine(fly(detector, 100_000, 200))
    assert documents.named("stop")[0]["exit_status"] == "fail"
    with open_frames(documents.file("detector"), "/entry/data/data") as frames:
        count = frames.frame_count()
        assert 0 < count < 1000
        assert frames.read(count - 1, count).shape == (1, 96, 128)


def test_a_detector_of_four_megapixels_takes_frames_at_a_useful_rate(
    engine: RunEngine, documents: Documents, tmp_path: Path
) -> None:
    detector = SimulatedDetector(tmp_path, SimulatedExposures(demo_scene(shape=(2048, 2048))))
    detector.exposures.prepare()
    engine(fly(detector, 10, 10))
    with h5py.File(documents.file("detector")) as file:
        assert file["/entry/data/data"].shape == (10, 2048, 2048)
        written = file["/entry/data/timestamp"][:]
    assert np.median(np.diff(written)) == pytest.approx(0.1, rel=0.2)


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, exposures: SimulatedExposures
) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(RecipeError, match=r"detector folder .*taken.*: "):
        SimulatedDetector(tmp_path / "taken", exposures)


IMAGES = {
    "signed.edf": np.array([[-2, -1, 0], [1, 2**30, 7]], dtype=np.int32),
    "real.edf": np.array([[0.25, -1.5, 3e30], [np.nan, 1, 2]], dtype=np.float32),
}


@pytest.mark.parametrize("name", IMAGES)
def test_playback_gives_the_same_pixels_of_the_same_type(
    engine: RunEngine, documents: Documents, tmp_path: Path, name: str
) -> None:
    original = IMAGES[name]
    fabio.edfimage.EdfImage(data=original).write(str(tmp_path / name))
    engine(bp.count([PlaybackDetector(tmp_path / "raw", [tmp_path / name])], 2))
    with h5py.File(documents.file("detector")) as file:
        images = file["/entry/data/data"]
        assert images.dtype == original.dtype
        assert images[0].tobytes() == original.tobytes() == images[1].tobytes()
    assert documents.keys()["detector"]["dtype_numpy"] == original.dtype.str


def test_playback_keeps_the_byte_order_of_a_big_endian_file(
    engine: RunEngine, documents: Documents, tmp_path: Path
) -> None:
    original = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    with h5py.File(tmp_path / "big.h5", "w") as file:
        file["data"] = original
    engine(bp.count([PlaybackDetector(tmp_path / "raw", [tmp_path / "big.h5"])], 3))
    with h5py.File(documents.file("detector")) as file:
        played = file["/entry/data/data"]
        assert played.dtype == original.dtype
        np.testing.assert_array_equal(played[:], original[[0, 1, 0]])


def test_playback_of_images_that_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    for name, shape in (("a.edf", (2, 3)), ("b.edf", (3, 3))):
        fabio.edfimage.EdfImage(data=np.zeros(shape, np.int32)).write(str(tmp_path / name))
    with pytest.raises(FrameError, match="one shape and type"):
        PlaybackDetector(tmp_path / "raw", [tmp_path / "a.edf", tmp_path / "b.edf"])
    with pytest.raises(FrameError, match="missing"):
        PlaybackDetector(tmp_path / "raw", [tmp_path / "missing.edf"])
    with pytest.raises(FrameError, match="no image files"):
        PlaybackDetector(tmp_path / "raw", [])
