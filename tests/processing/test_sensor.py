"""Sensors: attenuation against XrayDB's own functions and pyFAI, and what files say of them."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyFAI.detectors.sensors import ALL_MATERIALS
from pyFAI.io.ponifile import PoniFile

from ringline.processing import (
    Corrections,
    Detector,
    Geometry,
    Radial,
    Recipe,
    RecipeError,
    Sensor,
    attenuation,
    detector_named,
    is_standard,
    pixel_arrays,
    read_poni,
    read_recipe,
    recipe_from_json,
    recipe_from_mapping,
    write_poni,
    write_recipe,
)
from ringline.processing.detector_table import known_sensor
from ringline.processing.sensor import MATERIALS

SILICON = Sensor("Si", 450e-6)


def geometry_with(sensor: Sensor | None, **values: object) -> Geometry:
    detector = Detector(pixel1=1e-3, pixel2=1e-3, shape=(60, 50), sensor=sensor)
    placed = {"distance": 0.05, "poni1": 0.02, "poni2": 0.03, "rot1": 0.4, **values}
    return Geometry(wavelength=1e-10, detector=detector, **placed)  # type: ignore[arg-type]


def test_attenuation_is_what_xraydbs_own_functions_make() -> None:
    energies = [0.2, 1.8389, 5.0, 8.0478, 20.0, 26.7, 31.9, 60.0, 300.0]
    program = (
        "import json, sys, xraydb; materials, energies = json.loads(sys.argv[1]);"
        "print(json.dumps([[100 * float(xraydb.material_mu(f, 1000 * e, density=d))"
        " for e in energies] for f, d in materials]))"
    )
    # In a process of its own: it leaves connections to its database open.
    asked = json.dumps([list(MATERIALS.values()), energies])
    found = subprocess.run(
        [sys.executable, "-c", program, asked], capture_output=True, text=True, check=True
    )
    ours = [[attenuation(material, e) for e in energies] for material in MATERIALS]
    np.testing.assert_allclose(ours, json.loads(found.stdout), rtol=1e-13)


@pytest.mark.parametrize("material", sorted(ALL_MATERIALS))
def test_attenuation_agrees_with_pyfais_nist_tables_to_their_differences(material: str) -> None:
    # At energies of its table: between them pyFAI draws straight lines. Its CdZnTe has more zinc.
    most = 0.03 if material == "CZT" else 0.003
    for energy in (8.0, 10.0, 20.0, 40.0, 60.0, 80.0):
        expected = float(ALL_MATERIALS[material].mu(energy, "m"))
        assert attenuation(material, energy) == pytest.approx(expected, rel=most)


def test_silicon_lets_most_of_20_kev_pass_and_cadmium_telluride_nothing() -> None:
    assert 1e-2 * attenuation("Si", 20.0) == pytest.approx(10.4, rel=0.01)  # NIST, 1/cm
    assert np.exp(-attenuation("CdTe", 20.0) * 1e-3) < 1e-5


def test_attenuation_jumps_at_an_absorption_edge() -> None:
    below, above = attenuation("Ge", 11.09), attenuation("Ge", 11.12)
    assert above / below == pytest.approx(7.0, abs=1.0)


def test_threads_may_ask_for_attenuation_at_once() -> None:
    energies = [9.0 + 0.01 * k for k in range(32)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda energy: attenuation("GaAs", energy), energies))
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("material", "energy", "message"),
    [
        ("Sii", 10.0, "unknown sensor material 'Sii': did you mean 'Si'"),
        ("Si", 900.0, "energy must be from 0.1 to 800 keV for attenuation, got 900"),
        ("Si", 0.01, "energy must be from 0.1 to 800 keV"),
    ],
)
def test_attenuation_beyond_the_tables_is_refused(
    material: str, energy: float, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        attenuation(material, energy)


def test_absorption_is_the_closed_formula_of_the_incidence_angle() -> None:
    geometry = geometry_with(SILICON)
    found = pixel_arrays(geometry).absorption
    y, x = (np.arange(60) + 0.5) * 1e-3 - 0.02, (np.arange(50) + 0.5) * 1e-3 - 0.03
    alpha = np.arctan(np.hypot(y[:, None], x) / 0.05)
    depth = attenuation("Si", geometry.energy_kev) * 450e-6
    expected = (1 - np.exp(-depth / np.cos(alpha))) / (1 - np.exp(-depth))
    assert found.shape == (60, 50)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_absorption_integrates_beer_lambert_along_each_ray() -> None:
    geometry = geometry_with(Sensor("CdTe", 20e-6))
    arrays, mu = pixel_arrays(geometry), attenuation("CdTe", geometry.energy_kev)

    def absorbed(path: float) -> float:
        steps = np.linspace(0, path, 20_001)
        return float(np.trapezoid(mu * np.exp(-mu * steps), steps))

    for i, j in ((0, 0), (30, 20), (59, 49)):
        path = 20e-6 / arrays.cos_incidence[i, j]
        assert arrays.absorption[i, j] == pytest.approx(absorbed(path) / absorbed(20e-6), rel=1e-7)


def test_a_thin_sensor_gains_with_the_path_and_a_thick_one_nothing() -> None:
    thin, thick = geometry_with(Sensor("Si", 1e-9)), geometry_with(Sensor("CdTe", 0.1))
    arrays = pixel_arrays(thin)
    np.testing.assert_allclose(arrays.absorption, 1 / arrays.cos_incidence, rtol=1e-5)
    np.testing.assert_array_equal(pixel_arrays(thick).absorption, 1.0)


def test_absorption_of_a_bent_sensor_follows_each_pixels_own_normal() -> None:
    flat = geometry_with(SILICON).detector
    corners = flat.pixel_corners()
    p2 = corners[..., 2] - 0.025
    corners[..., 0] = 0.05 - np.sqrt(0.05**2 - p2**2)  # towards the beam's direction
    bent = replace(flat, corners=corners)
    arrays = pixel_arrays(replace(geometry_with(SILICON), detector=bent))
    mu = attenuation("Si", arrays.geometry.energy_kev) * 450e-6
    expected = (1 - np.exp(-mu / arrays.cos_incidence)) / (1 - np.exp(-mu))
    np.testing.assert_allclose(arrays.absorption, expected, rtol=1e-12)
    assert abs(arrays.absorption - pixel_arrays(geometry_with(SILICON)).absorption).max() > 0.01


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        (None, "detector 'Detector': its sensor is not known: give material and thickness"),
        (Sensor("Unobtainium", 1e-3), "unknown sensor material 'Unobtainium'"),
        (Sensor("Si"), "the thickness of its sensor is not known"),
    ],
)
def test_absorption_of_an_unknown_sensor_is_refused(sensor: Sensor | None, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        pixel_arrays(geometry_with(sensor)).absorption  # noqa: B018


def recipe_with_absorption(detector: Detector) -> Recipe:
    return Recipe(
        geometry=Geometry(distance=0.1, wavelength=1e-10, detector=detector),
        binning=Radial(bins=10),
        corrections=Corrections(absorption=True),
    )


def test_a_recipe_with_absorption_makes_explicit_the_sensor_that_the_table_knows() -> None:
    detector = detector_named("Eiger4M")
    recipe = recipe_with_absorption(detector)
    mapping: Any = recipe.to_mapping()
    assert mapping["geometry"]["detector"]["sensor"] == {"material": "Si", "thickness": 450e-6}
    told = recipe_with_absorption(replace(detector, sensor=SILICON))
    assert (told, told.digest) == (recipe, recipe.digest)
    assert recipe_from_mapping(mapping) == recipe_from_json(recipe.to_json()) == recipe


def test_a_recipe_that_asks_for_absorption_later_makes_the_sensor_explicit_too() -> None:
    asked = recipe_with_absorption(detector_named("Eiger4M"))
    geometry = replace(asked.geometry, detector=detector_named("Eiger4M"))
    without = Recipe(geometry=geometry, binning=Radial(bins=10))
    assert "sensor" not in without.to_json()
    assert replace(without, corrections=Corrections(absorption=True)) == asked
    read: Any = without.to_mapping()
    read["corrections"]["absorption"] = True
    assert recipe_from_mapping(read).digest == asked.digest


def test_a_recipe_keeps_the_sensor_that_a_user_gave() -> None:
    sensor = Sensor("CdTe", 1e-3)
    recipe = recipe_with_absorption(replace(detector_named("Eiger4M"), sensor=sensor))
    assert recipe.geometry.detector.sensor == sensor


def test_a_recipe_with_absorption_in_an_unknown_sensor_is_refused_before_the_first_frame() -> None:
    message = "detector 'Pilatus1M': its sensor is not known: give material and thickness"
    with pytest.raises(RecipeError, match=message):
        recipe_with_absorption(detector_named("Pilatus1M"))


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("Eiger4M", SILICON),
        ("Eiger2 CdTe 1M", Sensor("CdTe", 750e-6)),
        ("PilatusCdTe2M", Sensor("CdTe", 1e-3)),
        ("Pilatus4_4M", SILICON),
    ],
)
def test_detectors_of_the_table_know_the_sensor_they_are_sold_with(
    name: str, sensor: Sensor
) -> None:
    detector = detector_named(name)
    assert known_sensor(detector) == sensor
    assert known_sensor(replace(detector, orientation=2)) == sensor
    assert known_sensor(replace(detector, sensor=Sensor("Ge", 1e-3))) == Sensor("Ge", 1e-3)
    with pytest.raises(RecipeError, match="sensor is not known"):
        known_sensor(replace(detector, pixel1=1e-3))


def test_a_pilatus_of_silicon_is_sold_with_several_and_must_be_told() -> None:
    with pytest.raises(RecipeError, match="detector 'Pilatus1M': its sensor is not known"):
        known_sensor(detector_named("Pilatus1M"))


@pytest.mark.parametrize("sensor", [SILICON, Sensor("CdTe"), Sensor("Unobtainium", 1e-3)])
@pytest.mark.parametrize("name", [None, "Eiger4M"])
def test_a_poni_file_tells_the_sensor_as_pyfai_does(
    name: str | None, sensor: Sensor, tmp_path: Path
) -> None:
    geometry = geometry_with(sensor)
    if name is not None:
        geometry = replace(geometry, detector=replace(detector_named(name), sensor=sensor))
    ours, theirs = tmp_path / "ours.poni", tmp_path / "theirs.poni"
    write_poni(geometry, ours)
    assert read_poni(ours) == geometry
    read = PoniFile(str(ours))
    material = read.detector.sensor.material
    assert getattr(material, "name", material) == sensor.material
    assert read.detector.sensor.thickness == sensor.thickness
    with theirs.open("w") as file:
        read.write(file)
    again = read_poni(theirs).detector
    assert (again.sensor, again.shape) == (sensor, geometry.detector.shape)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sensor": "Si"}', "sensor must be material and thickness, got 'Si'"),
        ('{"sensor": {"thickness": 1e-3}}', "sensor must be material and thickness"),
        ('{"sensor": {"material": "Si", "thickness": -1}}', "sensor thickness must be > 0 m"),
        ('{"sensor": {"material": 5}}', "sensor material must be a name, got 5"),
    ],
)
def test_a_sensor_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    write_poni(geometry_with(None), tmp_path / "a.poni")
    given = (tmp_path / "a.poni").read_text().replace('{"', text[:-1] + ', "', 1)
    (tmp_path / "b.poni").write_text(given)
    with pytest.raises(RecipeError, match=f"b.poni: {message}"):
        read_poni(tmp_path / "b.poni")


def test_recipes_keep_the_sensor_and_those_without_keep_their_digest(tmp_path: Path) -> None:
    recipe = Recipe(geometry=geometry_with(SILICON), binning=Radial(bins=10))
    write_recipe(recipe, tmp_path / "r.toml")
    for back in (recipe_from_json(recipe.to_json()), read_recipe(tmp_path / "r.toml")):
        assert back == recipe
        assert back.geometry.detector.sensor == SILICON
    without = Recipe(geometry=geometry_with(None), binning=Radial(bins=10))
    assert without.digest != recipe.digest
    assert "sensor" not in without.to_json()
    assert is_standard(detector_named("Eiger4M"))
    assert not is_standard(replace(detector_named("Eiger4M"), sensor=SILICON))
