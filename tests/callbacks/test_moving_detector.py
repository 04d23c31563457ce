"""A run with a detector that moves: each frame by the geometry at its positions."""

import json
from dataclasses import replace

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky import RunEngine
from ophyd.sim import SynAxis
from ophyd.status import Status

from ringline.callbacks import find_reduced, open_store, read_curves
from ringline.callbacks.frames import FrameRange, InFile, MonitorInFile, NoRecipe
from ringline.callbacks.monitors import MONITOR, Pairings
from ringline.processing import (
    Goniometer,
    MovingReduction,
    MultiGeometry,
    Radial,
    RecipeError,
    arm_motion,
    goniometer_from_mapping,
    moving_from_mapping,
    recipe_from_json,
    reduction_for,
)

PLACES = [0.0, 10.0, 20.0, 10.0]
BINNING = Radial(12, "2th_deg", (1.0, 40.0))
VALUES = {
    "distance": 0.1, "poni1": 0.0101, "poni2": 0.0149, "rot1": 0.1, "rot2": 0.05, "rot3": 0.02,
    "arm_scale": np.pi / 180,
}  # fmt: skip


@pytest.fixture
def template(kit):
    return kit.recipe(binning=BINNING)


@pytest.fixture
def arm(template):
    moves = arm_motion(2, "arm", 1e-10)
    values = tuple(VALUES[name] for name in moves.parameters)
    return Goniometer(detector=template.geometry.detector, motion=moves, values=values)


@pytest.fixture
def own(template, arm):
    """A recipe for each place, made by hand."""
    return [replace(template, geometry=arm.geometry_at({"arm": place})) for place in PLACES]


def separately(own, images):
    return [reduction_for(recipe).reduce(image) for recipe, image in zip(own, images, strict=True)]


def step_scan(kit, work, file, places, **keys):
    scan = work.scan()
    scan.stream(det=kit.IMAGE, **(keys or {"arm": kit.NUMBER}))
    resource = scan.file("det", file.uri)
    for number, place in enumerate(places):
        scan.frames(resource, number, number + 1)
        scan.event(number + 1, **dict.fromkeys(keys or {"arm": None}, place))
    return scan


def test_each_frame_is_reduced_where_its_event_says_the_motor_stood(
    kit, reducing, raw_file, template, arm, own
):
    images = kit.images(4)
    work = reducing(template, goniometer=arm)
    step_scan(kit, work, raw_file(images), PLACES).stop()
    run = work.run()
    expected = separately(own, images)
    np.testing.assert_array_equal(run.curves(), [profile.intensity for profile in expected])
    np.testing.assert_array_equal(run.curves("sigma"), [profile.sigma for profile in expected])
    assert list(run.column("epoch")) == [recipe.digest for recipe in own]
    assert list(run.column("position_arm")) == PLACES
    assert run.accounts["frames_reduced"] == 4
    axis = run.descriptors[0]["configuration"]["ringline"]["data"]["radial"]
    np.testing.assert_array_equal(axis, expected[0].axis)


def test_all_frames_are_in_one_stream_and_one_file(kit, reducing, raw_file, template, arm):
    work = reducing(template, goniometer=arm)
    step_scan(kit, work, raw_file(kit.images(4)), PLACES).stop()
    run = work.run()
    assert run.streams == ["primary", "total"]
    assert len({doc["uri"] for doc in run.named("stream_resource")}) == 1
    (epoch,) = run.stop["epochs"]
    assert (epoch["rows"], epoch["goniometer_digest"]) == (4, arm.digest)


def test_the_run_records_the_goniometer_such_that_every_recipe_follows(
    kit, reducing, raw_file, template, arm, own
):
    work = reducing(template, goniometer=arm)
    step_scan(kit, work, raw_file(kit.images(4)), PLACES).stop()
    run = work.run()
    assert goniometer_from_mapping(json.loads(run.start["goniometer"])) == arm
    assert run.start["goniometer_digest"] == arm.digest
    assert run.start["calibration_id"] == ""
    kept = {key: json.loads(run.start[key]) for key in ("recipe", "goniometer")}
    again = moving_from_mapping(kept)
    positions = run.column("position_arm")
    recipes = [again.recipe_at({"arm": float(place)}) for place in positions]
    assert [recipe.digest for recipe in recipes] == list(run.column("epoch"))
    assert recipes == own


def test_the_sum_over_positions_is_that_of_several_geometries_merged(
    kit, reducing, raw_file, template, arm, own
):
    images = kit.images(4)
    work = reducing(template, goniometer=arm)
    step_scan(kit, work, raw_file(images), PLACES).stop()
    run = work.run()
    expected = MultiGeometry(own).reduce(list(images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], expected.intensity)
    assert list(run.column("epoch", "total")) == [MovingReduction(template, arm).digest]


def test_a_rewound_position_counts_once_in_the_sum(kit, reducing, raw_file, template, arm, own):
    images = kit.images(4)
    work = reducing(template, goniometer=arm)
    scan = work.scan()
    scan.stream(det=kit.IMAGE, arm=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    for index, (seq_num, place) in enumerate(zip((1, 2, 2, 3), PLACES, strict=True)):
        scan.frames(resource, index, index + 1, seq_num)
        scan.event(seq_num, arm=place)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(
        run.curves(), [profile.intensity for profile in separately(own, images)]
    )
    kept = [0, 2, 3]
    expected = MultiGeometry([own[k] for k in kept]).reduce([images[k] for k in kept])
    np.testing.assert_array_equal(run.curves(stream="total")[0], expected.intensity)


def test_positions_of_a_fly_scan_are_read_from_their_file(kit, reducing, raw_file, template, arm):
    images, places = kit.images(20), np.repeat([0.0, 5.0, 10.0, 15.0], 5)
    file = raw_file(images, places)
    key = "panda-arm-value"
    work = reducing(template, goniometer=replace(arm, data_keys={"arm": key}), block=4)
    scan = work.scan()
    number = {"dtype": "number", "shape": [1], "dtype_numpy": "<f8", "external": "STREAM:"}
    scan.stream(det=kit.IMAGE, **{key: number})
    image, position = scan.file("det", file.uri), scan.file(key, file.uri, "/entry/monitor")
    for start in (0, 10):
        scan.frames(position, start, start + 10)
        scan.frames(image, start, start + 10)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.column("position_arm"), places)
    recipes = [replace(template, geometry=arm.geometry_at({"arm": place})) for place in places]
    np.testing.assert_array_equal(
        run.curves(), [profile.intensity for profile in separately(recipes, images)]
    )


def test_monitor_and_position_of_one_event_go_with_its_frame(kit, reducing, raw_file, arm):
    template = kit.recipe(binning=BINNING, corrections=kit.corrections(monitor=100.0))
    images = kit.images(3)
    work = reducing(template, goniometer=arm, monitor="i0")
    scan = work.scan()
    scan.stream(det=kit.IMAGE, i0=kit.NUMBER, arm=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    for number in range(3):
        scan.frames(resource, number, number + 1)
        scan.event(number + 1, i0=50.0 * (number + 1), arm=10.0 * number)
    scan.stop()
    run = work.run()
    for number, image in enumerate(images):
        recipe = replace(template, geometry=arm.geometry_at({"arm": 10.0 * number}))
        reduction = reduction_for(recipe)
        expected = reduction.finish(reduction.map(kit.Frame(image, number, 50.0 * (number + 1))))
        np.testing.assert_array_equal(run.curves()[number], expected.intensity)


def test_positions_of_two_motors_are_told_apart_whatever_their_order(
    kit, reducing, raw_file, template, arm
):
    both = replace(
        arm,
        motion=replace(arm.motion, distance="distance + 1e-3 * z", motors=("z", "arm")),
        data_keys={"z": "table", "arm": "delta"},
    )
    images = kit.images(3)
    work = reducing(template, goniometer=both)
    scan = work.scan()
    scan.stream(det=kit.IMAGE, delta=kit.NUMBER, table=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    for number in range(3):
        scan.frames(resource, number, number + 1)
        scan.event(number + 1, delta=5.0 * number, table=7.0)
    scan.stop()
    run = work.run()
    assert list(run.column("position_arm")) == [0.0, 5.0, 10.0]
    assert list(run.column("position_z")) == [7.0] * 3
    recipes = [
        replace(template, geometry=both.geometry_at({"arm": 5.0 * number, "z": 7.0}))
        for number in range(3)
    ]
    assert recipes[0].geometry.distance == pytest.approx(0.107)
    assert list(run.column("epoch")) == [recipe.digest for recipe in recipes]
    np.testing.assert_array_equal(
        run.curves(), [profile.intensity for profile in separately(recipes, images)]
    )


def test_a_frame_without_its_position_fails_and_says_why(
    kit, reducing, raw_file, template, arm, own
):
    images = kit.images(3)
    work = reducing(template, goniometer=arm)
    scan = work.scan()
    scan.stream(det=kit.IMAGE, arm=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    scan.frames(resource, 0, 3)
    scan.event(1, arm=0.0)
    scan.event(2, arm=float("nan"))
    scan.stop("abort")
    run = work.run()
    np.testing.assert_array_equal(run.curves(), [separately(own[:1], images[:1])[0].intensity])
    causes = run.accounts["causes"]
    assert causes == {
        "position of arm must be finite, got nan": 1,
        "the position of 'arm' is missing": 1,
    }


def test_a_stream_without_the_motor_fails_its_frames(kit, reducing, raw_file, template, arm):
    work = reducing(template, goniometer=arm)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(2)).uri), 0, 2)
    scan.stop()
    run = work.run()
    assert run.accounts["causes"] == {"the position of 'arm' is missing": 2}
    assert run.start["goniometer_digest"] == arm.digest


def test_a_recipe_whose_bins_follow_the_pixels_is_refused(kit, reducing, template, arm):
    with pytest.raises(RecipeError, match="a detector that moves needs bins that stay"):
        reducing(kit.recipe(), goniometer=arm)
    work = reducing(template, goniometer=arm)
    with pytest.raises(RecipeError, match="give radial_range, or edges"):
        work.callback.set_recipe(kit.recipe())
    assert work.callback.recipe == template


def test_a_change_of_recipe_opens_a_new_file_for_all_positions(
    kit, reducing, raw_file, template, arm
):
    images, other = kit.images(4), replace(template, splitting="no")
    work = reducing(template, goniometer=arm)
    scan = work.scan()
    scan.stream(det=kit.IMAGE, arm=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    for number, place in enumerate(PLACES):
        if number == 2:
            work.callback.set_recipe(other)
        scan.frames(resource, number, number + 1)
        scan.event(number + 1, arm=place)
    scan.stop()
    run = work.run()
    used = [template, template, other, other]
    recipes = [
        replace(one, geometry=arm.geometry_at({"arm": place}))
        for one, place in zip(used, PLACES, strict=True)
    ]
    np.testing.assert_array_equal(
        run.curves(), [profile.intensity for profile in separately(recipes, images)]
    )
    assert [epoch["rows"] for epoch in run.stop["epochs"]] == [2, 2]


def test_a_run_is_resumed_where_a_dead_process_left_it(kit, tmp_path, raw_file, template, arm, own):
    """The first callback is closed in the middle of the run, as by a restart of the service."""
    images, spool = kit.images(4), tmp_path / "spool"
    documents = []
    scan = kit.Scan(lambda name, document: documents.append((name, document)))
    scan.stream(det=kit.IMAGE, arm=kit.NUMBER)
    resource = scan.file("det", raw_file(images).uri)
    cut = None
    for number, place in enumerate(PLACES):
        scan.frames(resource, number, number + 1)
        scan.event(number + 1, arm=place)
        cut = len(documents) if number == 1 else cut
    scan.stop()
    emitted = []
    for taken in (documents[:cut], documents):
        work = kit.Reducing(template, tmp_path / "results", goniometer=arm, spool=spool)
        for name, document in taken:
            work.callback(name, document)
        assert work.callback.wait(30)
        work.callback.close(10)
        emitted += work.emitted
    (run,) = kit.reduced_runs(kit.without_repetitions(emitted))
    np.testing.assert_array_equal(
        run.curves(), [profile.intensity for profile in separately(own, images)]
    )
    assert list(run.column("epoch")) == [recipe.digest for recipe in own]
    expected = MultiGeometry(own).reduce(list(images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], expected.intensity)


class Camera:
    """A classic readable with its image inside the event."""

    parent, name = None, "camera"

    def __init__(self, images):
        self.images, self.shots = images, 0

    def trigger(self):
        self.shots += 1
        status = Status()
        status.set_finished()
        return status

    def read(self):
        return {"camera": {"value": self.images[self.shots - 1], "timestamp": 1.0}}

    def describe(self):
        shape = list(self.images.shape[1:])
        return {"camera": {"source": "test", "dtype": "array", "shape": shape}}

    def read_configuration(self):
        return {}

    describe_configuration = read_configuration


def test_a_scan_of_a_real_run_engine_is_stored_as_if_reduced_place_by_place(
    kit, loop, tmp_path, empty_catalogue, template, arm
):
    places = [0.0, 10.0, 20.0, 30.0]
    images, motor = kit.images(4), SynAxis(name="delta", labels={"motors"})
    moves = replace(arm, data_keys={"arm": "delta"})
    workspace = kit.workspace(tmp_path / "workspace", empty_catalogue)
    with open_store(workspace) as store:
        writer = kit.StoreWriter(store.reduced, readable=store.readable)
        settings = kit.ReductionSettings(results=workspace.results, goniometer=moves)
        reduce = kit.ReductionCallback(template, writer, settings=settings)
        engine = RunEngine(context_managers=[], loop=loop)
        (raw_uid,) = engine(bp.scan([Camera(images)], motor, 0, 30, 4), reduce)
        reduce.drain(30)
        writer.close(30)
        reduce.close(10)
        (run,) = find_reduced(store, raw_uid=raw_uid)
        curves = read_curves(run)
        start = run.metadata["start"]
        (total,) = read_curves(run, "total").intensity
    recipes = [replace(template, geometry=arm.geometry_at({"arm": place})) for place in places]
    np.testing.assert_array_equal(curves.positions["arm"], places)
    np.testing.assert_array_equal(
        curves.intensity, [profile.intensity for profile in separately(recipes, images)]
    )
    np.testing.assert_array_equal(total, MultiGeometry(recipes).reduce(list(images)).intensity)
    assert start["goniometer_digest"] == moves.digest
    assert recipe_from_json(start["recipe"]).binning == BINNING


def frames(first, stop):
    return FrameRange(
        stream="primary",
        data_key="det",
        location=InFile("r", "x.h5"),
        start=first - 1,
        stop=stop - 1,
        seq_num=first,
        recipe=NoRecipe(""),
        arrived=0.0,
    )


def test_readings_in_files_stay_with_their_frames_when_ranges_are_cut() -> None:
    pairings, place = Pairings([MONITOR, "arm"]), InFile("m", "m.h5")
    assert pairings.add(frames(1, 7)) == []
    assert pairings.give(MONITOR, 1, 7, MonitorInFile(place, 100)) == []
    (one,) = pairings.give("arm", 1, 3, 5.0)
    (other,) = pairings.give("arm", 3, 7, MonitorInFile(place, 200))
    assert (one.seq_num, one.seq_stop, one.monitor.start) == (1, 3, 100)
    assert (other.seq_num, other.seq_stop, other.monitor.start) == (3, 7, 102)
    assert (one.positions["arm"], other.positions["arm"].start) == (5.0, 200)
    assert pairings.release_all() == []


def test_frames_that_lack_one_reading_leave_at_the_end_with_the_other() -> None:
    pairings = Pairings([MONITOR, "arm"])
    pairings.give("arm", 1, 2, 5.0)
    pairings.add(frames(1, 3))
    first, second = pairings.release_all()
    assert (first.monitor, dict(first.positions)) == (None, {"arm": 5.0})
    assert (second.monitor, dict(second.positions)) == (None, {})
