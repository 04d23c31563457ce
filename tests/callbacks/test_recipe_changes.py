"""A recipe takes effect between two frames, at a known index."""

import numpy as np


def test_a_recipe_takes_effect_with_the_next_document(kit, reducing, raw_file):
    images = kit.images(9)
    first, second = kit.recipe(), kit.recipe(splitting="no")
    work = reducing(first)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(images).uri)
    scan.frames(resource, 0, 4)
    work.callback.set_recipe(second)
    scan.frames(resource, 4, 9)
    scan.stop()
    run = work.run()
    expected = np.concatenate([kit.curves(first, images[:4]), kit.curves(second, images[4:])])
    np.testing.assert_array_equal(run.curves(), expected)
    assert list(run.column("epoch")) == [first.digest] * 4 + [second.digest] * 5
    assert run.streams == ["primary", "total"]
    assert [(e["digest"], e["first_frame"], e["rows"]) for e in run.stop["epochs"]] == [
        (first.digest, 0, 4),
        (second.digest, 4, 5),
    ]


def test_each_recipe_has_its_own_sum(kit, reducing, raw_file):
    images = kit.images(6)
    first, second = kit.recipe(), kit.recipe(splitting="no")
    work = reducing(first)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(images).uri)
    scan.frames(resource, 0, 2)
    work.callback.set_recipe(second)
    scan.frames(resource, 2, 6)
    scan.stop()
    run = work.run()
    totals = run.curves(stream="total")
    np.testing.assert_array_equal(totals[0], kit.total(first, images[:2]))
    np.testing.assert_array_equal(totals[1], kit.total(second, images[2:]))
    assert list(run.column("frames", "total")) == [2, 4]


def test_a_new_curve_length_opens_a_new_stream_and_the_old_one_can_go_on(kit, reducing, raw_file):
    images = kit.images(6)
    long, short = kit.recipe(12), kit.recipe(5)
    work = reducing(long)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(images).uri)
    for start, recipe in ((0, long), (2, short), (4, long)):
        work.callback.set_recipe(recipe)
        scan.frames(resource, start, start + 2)
    scan.stop()
    run = work.run()
    expected = kit.curves(long, images[[0, 1, 4, 5]])
    np.testing.assert_array_equal(run.curves(), expected)
    np.testing.assert_array_equal(run.curves(stream="primary_2"), kit.curves(short, images[2:4]))
    assert set(run.streams) == {"primary", "primary_2", "total", "total_2"}
    np.testing.assert_array_equal(run.column("frame_index"), [0, 1, 4, 5])


def test_without_an_error_model_there_is_no_sigma(kit, reducing, raw_file):
    work = reducing(kit.recipe(error_model="none"))
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(1)).uri), 0, 1)
    scan.stop()
    keys = set(work.run().descriptors[0]["data_keys"])
    assert keys == {"intensity", "frame_index", "raw_seq_num", "monitor", "rejected", "epoch"}


def test_with_an_error_model_there_are_standard_error_and_deviation(
    kit, reducing, raw_file, recipe
):
    images, work = kit.images(3), reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(images).uri), 0, 3)
    scan.stop()
    run = work.run()
    profiles = [kit.reduction_for(recipe).reduce(image) for image in images]
    np.testing.assert_array_equal(run.curves("sigma"), [profile.sigma for profile in profiles])
    np.testing.assert_array_equal(run.curves("std"), [profile.std for profile in profiles])
    assert run.curves("std", stream="total").shape == (1, 12)


def test_pixels_left_out_of_a_frame_are_counted(kit, reducing, raw_file):
    images = kit.images(3)
    images[1, :2, :5] = 60_000
    images[2, 3, 3] = 65_535
    recipe = kit.recipe(corrections=kit.corrections(saturation=60_000))
    work = reducing(recipe)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(images).uri), 0, 3)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.column("rejected"), [0, 10, 1])
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))


def test_an_azimuthal_profile_is_plotted_against_the_azimuth(kit, reducing, raw_file):
    images = kit.images(4)
    around, along = kit.recipe(binning=kit.Azimuthal(12)), kit.recipe(12)
    work = reducing(around)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", raw_file(images).uri)
    scan.frames(resource, 0, 2)
    work.callback.set_recipe(along)
    scan.frames(resource, 2, 4)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(around, images[:2]))
    # As long as the former curves, and something else.
    np.testing.assert_array_equal(run.curves(stream="primary_2"), kit.curves(along, images[2:]))
    descriptor = run.descriptors[0]
    assert descriptor["data_keys"]["intensity"]["dims"] == ["azimuth"]
    configuration = descriptor["configuration"]["ringline"]["data"]
    np.testing.assert_array_equal(configuration["azimuth"], kit.reduction_for(around).axis)
    assert configuration["unit"] == "chi_deg"
    assert "radial" not in configuration


def test_the_axis_is_in_the_configuration_of_the_stream(kit, reducing, raw_file, recipe):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(1)).uri), 0, 1)
    scan.stop()
    configuration = work.run().descriptors[0]["configuration"]["ringline"]["data"]
    expected = kit.reduction_for(recipe).axis
    np.testing.assert_array_equal(configuration["radial"], expected)
    assert configuration["unit"] == "q_nm^-1"
    assert kit.recipe_from_json(configuration["recipe"]) == recipe


def test_cakes_are_stored_as_they_are(kit, reducing, raw_file):
    images = kit.images(3)
    recipe = kit.recipe(binning=kit.Cake(8, 5))
    work = reducing(recipe)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(images).uri), 0, 3)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    assert run.descriptors[0]["data_keys"]["intensity"]["shape"] == [5, 8]
    assert len(run.descriptors[0]["configuration"]["ringline"]["data"]["azimuth"]) == 5


def test_a_detector_without_a_shape_takes_that_of_the_first_frame(kit, reducing, raw_file):
    images = kit.images(2)
    known = kit.recipe()
    unknown = kit.shapeless(known)
    work = reducing(unknown)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(images).uri), 0, 2)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(known, images))


def test_arrays_without_a_path_are_stored_beside_the_results(kit, reducing, raw_file):
    mask = np.zeros(kit.SHAPE, dtype=bool)
    mask[3:5] = True
    recipe = kit.recipe(corrections=kit.corrections(mask=mask))
    work = reducing(recipe)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(1)).uri), 0, 1)
    scan.stop()
    start = work.run().start
    assert kit.recipe_from_json(start["recipe"]) == recipe
    assert start["inputs"][0]["path"].startswith(str(work.settings.results))
