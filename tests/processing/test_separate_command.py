"""``ringline separate`` from images to images."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from ringline.processing import Detector, Geometry, pixel_arrays, write_poni
from ringline.processing.command_line import main

SHAPE = (60, 70)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    geometry = Geometry(
        distance=0.1,
        poni1=3e-3,
        poni2=4e-3,
        wavelength=1e-10,
        detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE),
    )
    write_poni(geometry, tmp_path / "g.poni")
    smooth = 1000 * np.exp(-pixel_arrays(geometry).q / 10) * pixel_arrays(geometry).solid_angle
    frames = np.stack([smooth, smooth]).astype(np.float32)
    frames[1, 20, 30] += 5000
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["data"] = frames
    return tmp_path


def test_peaks_and_smooth_signal_of_each_frame_are_written(images: Path, capsys) -> None:
    out = images / "out.h5"
    options = ["--poni", str(images / "g.poni"), "--bins", "50", "--sigma-clip", "4"]
    assert main(["separate", f"{images / 'frames.h5'}::data", *options, "-o", str(out)]) == 0
    assert "2 frames, 1 spotty pixels" in capsys.readouterr().err
    with h5py.File(out) as file, h5py.File(images / "frames.h5") as given:
        found = file["entry/separation"]
        np.testing.assert_allclose(
            found["smooth"][:] + found["bragg"][:], given["data"][:], rtol=1e-5
        )
        assert found["bragg"][1, 20, 30] == pytest.approx(5000, rel=0.01)
        assert np.argwhere(found["spots"][:]).tolist() == [[1, 20, 30]]
        assert '"sigma_clip"' in file["entry/process/recipe"][()].decode()


def test_without_a_word_the_smooth_signal_is_the_median(images: Path) -> None:
    out = images / "out.h5"
    options = ["--poni", str(images / "g.poni"), "--bins", "50"]
    assert main(["separate", f"{images / 'frames.h5'}::data", *options, "-o", str(out)]) == 0
    with h5py.File(out) as file:
        assert file["entry/separation/bragg"][1, 20, 30] == pytest.approx(5000, rel=0.01)
        assert '"quantiles"' in file["entry/process/recipe"][()].decode()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "out.xy"], "output must end in .h5"),
        (["--azimuthal", "10", "-o", "out.h5"], "an azimuthal profile"),
    ],
)
def test_what_cannot_be_separated_is_refused(images: Path, capsys, options, message) -> None:
    given = ["separate", f"{images / 'frames.h5'}::data", "--poni", str(images / "g.poni")]
    assert main([*given, *options]) == 2
    assert message in capsys.readouterr().err
