"""Every kind of raw document leads to the same curves."""

import fabio
import numpy as np
import pytest
from event_model import pack_datum_page, pack_event_page


def test_stream_documents_of_a_fly_scan_become_curves(kit, reducing, raw_file, recipe):
    images = kit.images(40)
    file, work = raw_file(images), reducing()
    scan = work.scan(scan_id=7, sample={"name": "LaB6"})
    scan.stream(det=kit.IMAGE)
    resource = scan.file("det", file.uri)
    for start in range(0, 40, 8):
        scan.frames(resource, start, start + 8)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("frame_index"), np.arange(40))
    np.testing.assert_array_equal(run.column("raw_seq_num"), np.arange(1, 41))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images))
    assert run.accounts["frames_reduced"] == 40
    assert run.stop["num_events"] == {"primary": 40, "total": 1}


def test_the_start_names_everything_that_made_the_curves(kit, reducing, raw_file, tmp_path):
    mask = tmp_path / "mask.npy"
    np.save(mask, np.zeros(kit.SHAPE, dtype=bool))
    recipe = kit.recipe(corrections=kit.corrections(mask=str(mask)))
    work = reducing(recipe)
    scan = work.scan(scan_id=7, sample={"name": "LaB6"}, proposal="p1", hints={"x": 1})
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", raw_file(kit.images(1)).uri), 0, 1)
    scan.stop()
    start = work.run().start
    assert start["purpose"] == "reduction"
    assert start["original_run_uid"] == scan.uid
    assert (start["scan_id"], start["sample"], start["proposal"]) == (7, {"name": "LaB6"}, "p1")
    assert kit.recipe_from_json(start["recipe"]) == recipe
    assert start["recipe_digest"] == recipe.digest
    assert start["inputs"] == [
        {"name": "mask", "path": str(mask), "sha256": recipe.corrections.mask.sha256}
    ]
    assert set(start["software"]) == {"ringline", "numpy", "h5py", "python"}
    assert start["engine"] == kit.reduction_for(recipe).engine
    assert start["detector"] == "det"
    assert "hints" not in start


@pytest.mark.parametrize("kwargs", [{}, {"point_number": True}, {"frame": True}, {"indices": True}])
@pytest.mark.parametrize("paged", [False, True])
def test_resource_and_datum_become_curves(kit, reducing, raw_file, recipe, kwargs, paged):
    images = kit.images(6)
    file, work = raw_file(images), reducing()
    scan = work.scan()
    scan.stream(det=kit.EXTERNAL_IMAGE)
    resource = scan.run.compose_resource(
        spec="HDF5",
        root=str(file.path.parent),
        resource_path=file.path.name,
        resource_kwargs={"dataset": "/entry/data/data"},
    )
    scan.send("resource", resource.resource_doc)
    for index in range(6):
        told = {key: index for key in kwargs if key != "indices"}
        if "indices" in kwargs:
            told = {"indices": {"start": index, "stop": index + 1}}
        datum = resource.compose_datum(datum_kwargs=told)
        page = ("datum_page", pack_datum_page(datum)) if paged else ("datum", datum)
        scan.send(*page)
        if paged:
            event = scan.streams["primary"].compose_event(
                data={"det": datum["datum_id"]},
                timestamps={"det": 1.0},
                filled={"det": False},
                seq_num=index + 1,
                validate=False,
            )
            scan.send("event_page", pack_event_page(event))
        else:
            scan.event(index + 1, filled={"det": False}, det=datum["datum_id"])
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.column("frame_index"), np.arange(6))
    assert run.accounts["frames_reduced"] == 6


def test_a_datum_may_come_after_its_event(kit, reducing, raw_file, recipe):
    images = kit.images(2)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EXTERNAL_IMAGE)
    resource = scan.run.compose_resource(
        spec="AD_HDF5", root="/", resource_path=str(raw_file(images).path), resource_kwargs={}
    )
    scan.send("resource", resource.resource_doc)
    datums = [resource.compose_datum(datum_kwargs={"point_number": n}) for n in range(2)]
    for number, datum in enumerate(datums):
        scan.event(number + 1, filled={"det": False}, det=datum["datum_id"])
    for datum in datums:
        scan.send("datum", datum)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))


def test_a_datum_that_never_comes_is_a_failed_frame(kit, reducing):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EXTERNAL_IMAGE)
    scan.event(1, filled={"det": False}, det="nowhere/0")
    scan.stop()
    assert work.run().accounts["causes"] == {"the Datum of an event never came": 1}


@pytest.mark.parametrize("nested", [False, True])
def test_images_inside_events_become_curves(kit, reducing, recipe, nested):
    images = kit.images(5)
    shown = []
    work = reducing(on_result=shown.append)
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE)
    for number, image in enumerate(images, 1):
        scan.event(number, det=image.tolist() if nested else image)
    scan.stop()
    run = work.run()
    np.testing.assert_array_equal(run.curves(), kit.curves(recipe, images))
    np.testing.assert_array_equal(run.curves(stream="total")[0], kit.total(recipe, images))
    assert shown[-1].frame == ""


def test_a_filled_external_image_is_taken_from_the_event(kit, reducing, recipe):
    images = kit.images(2)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EXTERNAL_IMAGE)
    for number, image in enumerate(images, 1):
        scan.event(number, filled={"det": True}, det=image)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))


def test_an_image_changed_by_its_detector_after_the_event_does_no_harm(kit, reducing, recipe):
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EVENT_IMAGE)
    images, buffer = kit.images(4), np.zeros(kit.SHAPE, "u2")
    for number, image in enumerate(images, 1):
        buffer[:] = image
        scan.event(number, det=buffer)
    buffer[:] = 0
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))


def test_one_file_for_each_frame_is_read(kit, reducing, tmp_path, recipe):
    images = kit.images(3)
    for index, image in enumerate(images):
        fabio.tifimage.tifimage(image).write(str(tmp_path / f"scan_{index:06d}.tif"))
    shown = []
    work = reducing(on_result=shown.append)
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    bundle = scan.run.compose_stream_resource(
        mimetype="multipart/related;type=image/tiff",
        uri=f"file://localhost{tmp_path}/",
        data_key="det",
        parameters={"template": "scan_%06d.tif", "chunk_shape": [1, *kit.SHAPE]},
    )
    scan.files["tiff"] = bundle
    scan.send("stream_resource", bundle.stream_resource_doc)
    scan.frames("tiff", 0, 3)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))
    assert shown[-1].frame == f"{tmp_path}/scan_000002.tif#0"


def test_classic_tiff_series_are_read(kit, reducing, tmp_path, recipe):
    images = kit.images(3)
    for index, image in enumerate(images):
        fabio.tifimage.tifimage(image).write(str(tmp_path / f"scan_{index:06d}.tiff"))
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.EXTERNAL_IMAGE)
    resource = scan.run.compose_resource(
        spec="AD_TIFF",
        root="/",
        resource_path=str(tmp_path),
        resource_kwargs={"template": "%s%s_%6.6d.tiff", "filename": "scan", "frame_per_point": 1},
    )
    scan.send("resource", resource.resource_doc)
    for index in range(3):
        datum = resource.compose_datum(datum_kwargs={"point_number": index})
        scan.send("datum", datum)
        scan.event(index + 1, filled={"det": False}, det=datum["datum_id"])
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))


def test_a_percent_encoded_uri_is_understood(kit, reducing, raw_file, recipe, tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    images = kit.images(2)
    file = kit.RawFile(folder / "a.h5")
    file.append(images)
    work = reducing()
    scan = work.scan()
    scan.stream(det=kit.IMAGE)
    scan.frames(scan.file("det", file.path.as_uri()), 0, 2)
    scan.stop()
    np.testing.assert_array_equal(work.run().curves(), kit.curves(recipe, images))
    file.close()
