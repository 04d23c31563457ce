"""Goniometers: formulas, files that pyFAI shares, refusals; pyFAI's goniometer as the oracle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyFAI.goniometer import ExtendedTransformation, GeometryTransformation
from pyFAI.goniometer import Goniometer as PyfaiGoniometer

from ringline.processing import (
    Detector,
    Goniometer,
    Motion,
    RecipeError,
    arm_motion,
    detector_named,
    goniometer_from_mapping,
    linear_motion,
    motion_named,
    read_goniometer,
    write_goniometer,
)

PILATUS = detector_named("Pilatus 100k")
NAMES = {"dist": "distance", "wavelength": "wavelength"} | {
    name: name for name in ("poni1", "poni2", "rot1", "rot2", "rot3")
}
PLAIN = {
    "distance": "distance",
    "poni1": "poni1",
    "poni2": "poni2",
    "rot1": "rot1",
    "rot2": "zero + scale * arm",
    "wavelength": "1e-10",
    "parameters": ("distance", "poni1", "poni2", "rot1", "zero", "scale"),
    "motors": ("arm",),
}
VALUES = (0.2, 0.01, 0.02, 0.05, -0.1, 0.0175)


def motion(**more: object) -> Motion:
    return Motion(**{**PLAIN, **more})  # type: ignore[arg-type]


def goniometer(**more: object) -> Goniometer:
    given = {"detector": PILATUS, "motion": motion(), "values": VALUES, **more}
    return Goniometer(**given)  # type: ignore[arg-type]


def of(moves: Motion, **values: float) -> Goniometer:
    return goniometer(motion=moves, values=tuple(values[name] for name in moves.parameters))


def assert_equal_geometries(ours: Goniometer, theirs: PyfaiGoniometer, *places: float) -> None:
    for place in places:
        found = ours.geometry_at(dict.fromkeys(ours.motion.motors, place))
        expected = theirs.get_ai(place)
        for name, own in NAMES.items():
            value = getattr(expected, name)
            np.testing.assert_allclose(getattr(found, own), value, rtol=1e-15, atol=1e-18)


def test_an_arm_turns_the_detector_by_its_scale() -> None:
    found = goniometer().geometry_at({"arm": 10.0, "other": 3.0})
    assert (found.distance, found.poni1, found.poni2) == (0.2, 0.01, 0.02)
    assert (found.rot1, found.rot3, found.wavelength) == (0.05, 0.0, 1e-10)
    assert found.rot2 == pytest.approx(-0.1 + 0.175, abs=1e-16)
    assert found.detector == PILATUS


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("turn", [0.0, 17.0, -40.0, 100.0, 170.0])
def test_an_arm_turns_a_detector_however_it_is_mounted(axis: int, turn: float) -> None:
    made = of(
        arm_motion(axis, "arm", 1e-10), distance=0.2, poni1=0.01, poni2=0.02,
        rot1=0.05, rot2=-0.1, rot3=0.3, arm_scale=np.pi / 180,
    )  # fmt: skip
    before, after = (made.geometry_at({"arm": place}) for place in (0.0, turn))
    sine, cosine = np.sin(np.deg2rad(turn)), np.cos(np.deg2rad(turn))
    # A place on the detector, turned by hand: rot1 and rot2 of PONI files are left-handed.
    t1, t2, t3 = before.sample_frame(np.array([0.03]), np.array([0.04]))
    if axis == 1:
        expected = t1, cosine * t2 + sine * t3, cosine * t3 - sine * t2
    else:
        expected = cosine * t1 - sine * t3, t2, cosine * t3 + sine * t1
    found = after.sample_frame(np.array([0.03]), np.array([0.04]))
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("moved", ["distance", "poni1", "poni2", "rot1", "rot2"])
def test_one_quantity_moves_and_the_others_stay(moved: str) -> None:
    moves = linear_motion(moved, "z")
    values = dict.fromkeys(moves.parameters, 0.1) | {"wavelength": 1e-10, f"{moved}_scale": 1e-3}
    made = of(moves, **values)
    here, there = (made.geometry_at({"z": place}) for place in (0.0, 7.0))
    assert getattr(there, moved) == pytest.approx(0.107)
    assert replace(there, **{moved: getattr(here, moved)}) == here


def test_formulas_give_what_pyfai_gives(tmp_path: Path) -> None:
    moves = motion(
        distance="distance * (1 + 1e-3 * sin(arm))",
        rot2="arctan2(zero + scale * arm, 1.5)",
        rot3="where(arm > 5, 2 * zero, -zero**2)",
        wavelength="1e-10 * sqrt(1 + abs(scale))",
    )
    made = goniometer(motion=moves)
    write_goniometer(made, tmp_path / "g.json")
    theirs = PyfaiGoniometer.sload(str(tmp_path / "g.json"))
    assert_equal_geometries(made, theirs, 0.0, 3.0, 20.0)


@pytest.mark.parametrize("moves", [motion(), motion_named("distance", "z"), arm_motion(2, "arm")])
def test_a_file_gives_back_the_same_goniometer(tmp_path: Path, moves: Motion) -> None:
    count = len(moves.parameters)
    covariance = tuple(tuple(1e-9 * (i + j) / 3 for j in range(count)) for i in range(count))
    made = goniometer(
        motion=moves,
        values=tuple(0.1 + 0.01 / 3 * k for k in range(count)),
        covariance=covariance,
        data_keys={moves.motors[0]: "det-arm:readback"},
    )
    write_goniometer(made, tmp_path / "g.json")
    assert read_goniometer(tmp_path / "g.json") == made
    assert goniometer_from_mapping(json.loads(json.dumps(made.to_mapping()))) == made


def test_files_of_pyfai_are_read(tmp_path: Path) -> None:
    function = GeometryTransformation(
        "dist", "poni1 + shift * (pos2 - ref)", "poni2", "rot1", "pos1 * scale * pi / 180", "0.0",
        param_names=["dist", "poni1", "poni2", "rot1", "scale", "shift"],
        pos_names=["pos1", "pos2"], constants={"ref": 4.5},
    )  # fmt: skip
    theirs = PyfaiGoniometer(
        [0.2, 0.01, 0.02, 0.05, 1.01, 1e-3], function, "Pilatus100k", wavelength=1e-10
    )
    theirs.save(str(tmp_path / "g.json"))
    found = read_goniometer(tmp_path / "g.json")
    assert found.parameters["scale"] == 1.01
    assert found.detector == PILATUS
    here, expected = found.geometry_at({"pos1": 7.0, "pos2": 3.0}), theirs.get_ai((7.0, 3.0))
    np.testing.assert_allclose(
        [here.distance, here.poni1, here.rot2, here.wavelength],
        [expected.dist, expected.poni1, expected.rot2, expected.wavelength], rtol=1e-15,
    )  # fmt: skip


def test_files_of_pyfai_with_the_energy_as_a_parameter_are_read(tmp_path: Path) -> None:
    function = ExtendedTransformation(
        dist_expr="pos * 1e-3 + offset", poni1_expr="poni1", poni2_expr="poni2",
        wavelength_expr="hc / energy * 1e-10",
        param_names=["offset", "poni1", "poni2", "energy"],
    )  # fmt: skip
    theirs = PyfaiGoniometer([0.1, 0.01, 0.02, 17.0], function, "Pilatus100k", wavelength=0.7e-10)
    theirs.save(str(tmp_path / "g.json"))
    found = read_goniometer(tmp_path / "g.json")
    assert_equal_geometries(found, theirs, 0.0, 55.0)
    assert found.geometry_at({"pos": 0.0}).energy_kev == pytest.approx(17.0, rel=1e-6)


def test_a_file_of_version_1_1_is_read(tmp_path: Path) -> None:
    write_goniometer(goniometer(), tmp_path / "g.json")
    whole = json.loads((tmp_path / "g.json").read_text())
    whole["content"] = "Goniometer calibration v1.1"
    whole |= {"detector": "Detector", "pixel1": 1e-4, "pixel2": 2e-4, "orientation": 3}
    del whole["detector_config"]
    (tmp_path / "g.json").write_text(json.dumps(whole))
    detector = read_goniometer(tmp_path / "g.json").detector
    assert (detector.pixel1, detector.pixel2) == (1e-4, 2e-4)


REFUSED = {
    "no json": ("{", "not a goniometer file"),
    "a poni file": ('{"content": "poni"}', "its content must be 'Goniometer calibration v2'"),
    "a function in Python": (
        '{"content": "Goniometer calibration v2", "detector": "Pilatus100k", "param": [1]}',
        "its motion is missing",
    ),
    "another transformation": (
        '{"content": "Goniometer calibration v2", "trans_function": {"content": "Mine"}}',
        "trans_function 'Mine' is not one of",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(RecipeError, match=r"g\.json: .*") as error:
        read_goniometer(tmp_path / "g.json")
    assert message in str(error.value)


def test_a_function_that_is_not_known_is_named(tmp_path: Path) -> None:
    write_goniometer(goniometer(), tmp_path / "g.json")
    whole = json.loads((tmp_path / "g.json").read_text())
    whole["trans_function"]["rot2_expr"] = "expm1(zero + scale * arm)"
    (tmp_path / "g.json").write_text(json.dumps(whole))
    with pytest.raises(RecipeError, match="rot2_expr .*: function 'expm1' is not known"):
        read_goniometer(tmp_path / "g.json")


def test_a_function_that_pyfai_does_not_know_is_not_written(tmp_path: Path) -> None:
    made = goniometer(motion=motion(rot2="minimum(zero, scale * arm)"))
    with pytest.raises(RecipeError, match="pyFAI has no 'minimum'"):
        write_goniometer(made, tmp_path / "g.json")
    assert not list(tmp_path.iterdir())


BAD_MOTIONS = {
    "a word that is not allowed": ({"rot2": "__import__('os')"}, "rot2: formula"),
    "an unknown name": ({"rot2": "zero + scale * arn"}, "unknown 'arn': did you mean"),
    "a parameter that no formula has": ({"rot2": "scale * arm"}, "'zero' is in no formula"),
    "a motor that is no word": ({"motors": ("det-arm",)}, "cannot stand in a formula"),
    "a name that is taken": ({"parameters": (*PLAIN["parameters"], "sin")}, "means something else"),
    "a name given twice": ({"constants": {"arm": 1.0}}, "'arm' stands for two things"),
    "no motor": ({"motors": (), "rot2": "zero + scale"}, "at least one motor"),
}


@pytest.mark.parametrize("case", BAD_MOTIONS)
def test_a_motion_that_cannot_be_computed_is_refused(case: str) -> None:
    change, message = BAD_MOTIONS[case]
    with pytest.raises(RecipeError) as error:
        motion(**change)
    assert message in str(error.value)


def test_a_position_that_is_missing_or_leads_nowhere_is_refused() -> None:
    made = of(
        linear_motion("distance", "z", 1e-10), distance_zero=0.1, distance_scale=1e-3,
        poni1=0.0, poni2=0.0, rot1=0.0, rot2=0.0,
    )  # fmt: skip
    with pytest.raises(RecipeError, match="the position of 'z' is missing: did you mean 'zz'"):
        made.geometry_at({"zz": 1.0})
    with pytest.raises(RecipeError, match="position of z must be finite, got nan"):
        made.geometry_at({"z": float("nan")})
    with pytest.raises(RecipeError, match="goniometer at z=-200: distance must be > 0 m"):
        made.geometry_at({"z": -200.0})


def test_values_must_be_those_of_the_parameters() -> None:
    with pytest.raises(RecipeError, match="values must have a number for each of distance"):
        goniometer(values=VALUES[:-1])
    with pytest.raises(RecipeError, match="parameter scale must be finite"):
        goniometer(values=(*VALUES[:-1], float("inf")))
    with pytest.raises(RecipeError, match="data key of 'ram': there is no such motor"):
        goniometer(data_keys={"ram": "x"})


def test_the_digest_tells_what_decides_where_the_detector_stands() -> None:
    made = goniometer()
    zeros = ((0.0,) * 6,) * 6
    assert replace(made, covariance=zeros, data_keys={"arm": "x"}).digest == made.digest
    assert made.with_values((*VALUES[:-1], 0.0176)).digest != made.digest
    assert replace(made, detector=Detector(pixel1=1e-4, pixel2=1e-4)).digest != made.digest
