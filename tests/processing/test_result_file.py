"""Result files: NeXus layout, growth, resumption."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ringline.processing import (
    Azimuthal,
    Binning,
    Cake,
    Corrections,
    Detector,
    Frame,
    Geometry,
    MultiGeometry,
    Radial,
    Recipe,
    RecipeError,
    Reduction,
    ResultFile,
    ResultRow,
    Sums,
    multi_geometry_from_json,
    recipe_from_json,
    reduction_for,
)

SHAPE = (20, 30)


def reduction(binning: Binning | None = None, error_model: str = "poisson") -> Reduction:
    geometry = Geometry(
        distance=0.1, wavelength=1e-10, detector=Detector(pixel1=1e-4, pixel2=1e-4, shape=SHAPE)
    )
    recipe = Recipe(geometry=geometry, binning=binning or Radial(bins=16), error_model=error_model)
    return reduction_for(recipe)


def image(seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).poisson(30, SHAPE)


def rows(made_by: Reduction, count: int, start: int = 0) -> list[ResultRow]:
    return [
        ResultRow(
            made_by.finish(made_by.map(Frame(image(index), index))),
            frame_index=index,
            raw_seq_num=index + 1,
            monitor=100.0 + index,
            epoch=made_by.recipe.digest,
            rejected=index % 3,
        )
        for index in range(start, start + count)
    ]


def test_a_curve_file_has_the_nxazint1d_layout_with_a_default_plot(tmp_path: Path) -> None:
    made_by = reduction()
    with ResultFile.create(tmp_path / "r.h5", made_by) as file:
        file.append(rows(made_by, 3))
        file.append([])
        file.append(rows(made_by, 2, start=3))
        assert file.rows == 5
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["entry/definition"].asstr()[()] == "NXazint1d"
        data = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert list(data.attrs["axes"]) == [".", "radial_axis"]
        assert data[data.attrs["signal"]].shape == (5, 16)
        assert data["I_errors"].shape == data["std"].shape == (5, 16)
        np.testing.assert_array_equal(data["std"][4], made_by.reduce(image(4)).std)
        np.testing.assert_array_equal(file["entry/frames/rejected"], [0, 1, 2, 0, 1])
        assert not file["entry/monitor_applied"][()]
        assert data["radial_axis"].attrs["units"] == "1/nm"
        assert data["radial_axis_edges"].shape == (17,)
        np.testing.assert_array_equal(data["I"][4], made_by.reduce(image(4)).intensity)
        np.testing.assert_array_equal(file["entry/frames/frame_index"], range(5))
        np.testing.assert_array_equal(file["entry/frames/raw_seq_num"], range(1, 6))
        np.testing.assert_array_equal(file["entry/monitor/data"], np.arange(100.0, 105.0))
        assert file["entry/frames/epoch"][0].decode() == made_by.recipe.digest
        assert file["entry/instrument/monochromator/wavelength"][()] == pytest.approx(1.0)
        text = file["entry/reduction/input/recipe"].asstr()[()]
        assert recipe_from_json(text) == made_by.recipe


def test_a_cake_file_has_the_nxazint2d_layout(tmp_path: Path) -> None:
    made_by = reduction(Cake(radial_bins=10, azimuthal_bins=6))
    with ResultFile.create(tmp_path / "r.h5", made_by) as file:
        file.append(rows(made_by, 2))
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["entry/definition"].asstr()[()] == "NXazint2d"
        data = file["entry/data"]
        assert list(data.attrs["axes"]) == [".", "azimuthal_axis", "radial_axis"]
        assert data["I"].shape == (2, 6, 10)
        assert data["azimuthal_axis"].shape == (6,)
        assert data["azimuthal_axis"].attrs["units"] == "degree"


def test_an_azimuthal_profile_has_an_azimuthal_axis_in_its_unit(tmp_path: Path) -> None:
    for unit, symbol in (("chi_deg", "degree"), ("chi_rad", "rad")):
        made_by = reduction(Azimuthal(12, unit, (1.0, 5.0)))
        with ResultFile.create(tmp_path / f"{unit}.h5", made_by) as file:
            file.append(rows(made_by, 2))
        with h5py.File(tmp_path / f"{unit}.h5") as file:
            assert file["entry/definition"].asstr()[()] == "NXazint1d"
            for group in (file["entry/data"], file["entry/total"]):
                assert list(group.attrs["axes"]) == [".", "azimuthal_axis"]
                assert group["azimuthal_axis"].attrs["units"] == symbol
                assert group["azimuthal_axis_edges"].shape == (13,)
                assert "radial_axis" not in group
            np.testing.assert_array_equal(file["entry/data/azimuthal_axis"], made_by.axis)


def test_a_merged_curve_names_all_its_recipes(tmp_path: Path) -> None:
    one = reduction().recipe
    other = replace(one, geometry=replace(one.geometry, poni1=-0.001))
    merged = MultiGeometry([one, other])
    with ResultFile.create(tmp_path / "r.h5", merged) as file:
        profile = merged.reduce([image(0), image(1)])
        file.append([ResultRow(profile, 0, 1, epoch=profile.recipe_digest)])
    with h5py.File(tmp_path / "r.h5") as file:
        parameters = file["entry/reduction/input"]
        again = multi_geometry_from_json(parameters["recipe"].asstr()[()])
        assert again.recipes == merged.recipes
        assert parameters["recipe_digest"].asstr()[()] == merged.digest
        assert file["entry/frames/epoch"][0].decode() == merged.digest
        np.testing.assert_array_equal(file["entry/data/I"][0], profile.intensity)


def test_the_file_says_whether_the_monitor_is_applied(tmp_path: Path) -> None:
    recipe = replace(reduction().recipe, corrections=Corrections(monitor=100))
    ResultFile.create(tmp_path / "r.h5", reduction_for(recipe)).close()
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["entry/monitor_applied"][()]


def test_the_monitors_of_a_file_can_be_read_back(tmp_path: Path) -> None:
    made_by = reduction()
    with ResultFile.create(tmp_path / "r.h5", made_by) as file:
        file.append(rows(made_by, 3))
        assert file.monitors() == [100.0, 101.0, 102.0]


def test_without_an_error_model_sigma_is_nan(tmp_path: Path) -> None:
    made_by = reduction(error_model="none")
    with ResultFile.create(tmp_path / "r.h5", made_by) as file:
        file.append(rows(made_by, 1))
    with h5py.File(tmp_path / "r.h5") as file:
        assert np.isnan(file["entry/data/I_errors"]).all()
        assert "std" not in file["entry/data"]


def test_the_total_is_one_row_that_may_be_written_again(tmp_path: Path) -> None:
    made_by = reduction()
    maps = [made_by.map(Frame(image(index), index)) for index in range(4)]
    with ResultFile.create(tmp_path / "r.h5", made_by) as file:
        file.write_total(made_by.finish(maps[0]))
        total = made_by.finish(sum(maps, start=Sums.zero((16,))))
        file.write_total(total)
    with h5py.File(tmp_path / "r.h5") as file:
        np.testing.assert_array_equal(file["entry/total/I"], [total.intensity])


def test_rows_can_be_read_while_the_file_grows(tmp_path: Path) -> None:
    made_by = reduction()
    with (
        ResultFile.create(tmp_path / "r.h5", made_by) as file,
        h5py.File(tmp_path / "r.h5", "r", libver="latest", swmr=True, locking=False) as reader,
    ):
        for count in (2, 4):
            file.append(rows(made_by, 2, start=count - 2))
            intensity = reader["entry/data/I"]
            intensity.refresh()
            assert intensity.shape == (count, 16)


def test_a_file_left_by_a_killed_writer_goes_on_with_the_rows_that_were_announced(
    tmp_path: Path,
) -> None:
    path, made_by = tmp_path / "r.h5", reduction()
    script = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        import test_result_file as t
        made_by = t.reduction()
        file = t.ResultFile.create(t.Path(sys.argv[1]), made_by)
        file.append(t.rows(made_by, 5))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    folder = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", script, str(path), folder], check=False)
    assert killed.returncode == -9
    with ResultFile.resume(path, made_by, rows=3) as file:
        assert file.rows == 3
        file.append(rows(made_by, 3, start=3))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry/frames/frame_index"], range(6))
        np.testing.assert_array_equal(file["entry/data/I"][5], made_by.reduce(image(5)).intensity)


def test_a_file_with_fewer_rows_than_announced_is_refused_and_kept(tmp_path: Path) -> None:
    path, made_by = tmp_path / "r.h5", reduction()
    with ResultFile.create(path, made_by) as file:
        file.append(rows(made_by, 2))
    with pytest.raises(RecipeError, match="holds 2 rows, 3 were announced"):
        ResultFile.resume(path, made_by, rows=3)
    with h5py.File(path) as file:
        assert len(file["entry/data/I"]) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.h5"]


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="absent/r.h5: cannot be written"):
        ResultFile.create(tmp_path / "absent" / "r.h5", reduction())
