"""Raw runs made by hand, reduced runs read back from their documents, and real stores."""

import itertools
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from event_model import DocumentNames, compose_run, schema_validators

from ringline.callbacks import (
    ReductionCallback,
    ReductionSettings,
    Store,
    StoreWriter,
    Workspace,
    find_reduced,
    open_store,
)
from ringline.processing import (
    Azimuthal,
    Cake,
    Corrections,
    Detector,
    Frame,
    Geometry,
    Radial,
    Recipe,
    Reduction,
    detector_named,
    recipe_from_json,
    reduction_for,
)
from ringline.processing.calibration import (
    Calibration,
    Check,
    ControlPoints,
    FittedRing,
    Verdict,
    calibration_task,
)
from ringline.processing.calibration.record import image_digest
from ringline.processing.geometry import HC_KEV_M

SHAPE = (20, 30)


def make_recipe(bins: int = 12, **more: Any) -> Recipe:
    detector = Detector(shape=SHAPE, pixel1=1e-3, pixel2=1e-3)
    geometry = Geometry(
        distance=0.1, poni1=0.0101, poni2=0.0149, rot1=0.1, wavelength=1e-10, detector=detector
    )
    settings = {"error_model": "poisson", "binning": Radial(bins=bins), **more}
    return Recipe(geometry=geometry, **settings)


def make_images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(50, (count, *SHAPE)).astype("u2")


def expected_curves(recipe: Recipe, images: np.ndarray) -> np.ndarray:
    reduction = reduction_for(recipe)
    return np.stack([reduction.reduce(image).intensity for image in images])


def make_calibration(*, passed: bool = True, **moved: float) -> Calibration:
    """A calibration as if made from the first of ``make_images(1)``, moved from the recipe's."""
    geometry = replace(make_recipe().geometry, **moved)
    points = ControlPoints(
        ring=np.array([0, 0, 1, 1]),
        slow=np.array([3.25, 4.5, 10.125, 1 / 3]),
        fast=np.array([7.5, 8.25, 20.0, 2 / 3]),
        chi=np.array([-1.5, 0.25, 1 / 3, 3.0]),
        residual=np.array([1e-5, -2e-5, 1e-5 / 3, 5e-4]),
        sigma=np.array([1e-5, 1e-5, 2e-5, 2e-5]),
        used=np.array([1, 1, 1, 0]),
    )
    seen = {"points": 2, "coverage": 0.5, "residual": -5e-6, "scatter": 1e-5 / 3}
    return Calibration(
        task=calibration_task("LaB6", geometry.detector, energy_kev=HC_KEV_M / geometry.wavelength),
        image_sha256=image_digest(make_images(1)[0]),
        verdict=Verdict((Check("rings", passed, "7 rings" if passed else "only 2 rings"),)),
        geometry=geometry,
        covariance=np.diag([1e-10, 4e-10, 4e-10, 1e-8, 1e-8]),
        rings=(
            FittedRing(spacing=4e-10, two_theta=0.25, indices=(1, 0, 0), **seen),
            FittedRing(spacing=3e-10, two_theta=1 / 3, **seen),
            FittedRing(spacing=2e-10, two_theta=0.5),
        ),
        points=points,
        axis=np.linspace(1.0, 5.0, 5),
        curve=np.array([1.0, 2.0, np.nan, 1 / 3, 5.0]),
    )


class RawFile:
    """An HDF5 file that grows under SWMR, as a detector writes it."""

    def __init__(self, path: Path, shape: tuple[int, int] = SHAPE) -> None:
        self.path = path
        self._file = h5py.File(path, "w", libver="latest", locking=False)
        self._frames = self._file.create_dataset(
            "/entry/data/data", (0, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype="u2"
        )
        self._values = self._file.create_dataset(
            "/entry/monitor", (0,), maxshape=(None,), chunks=(64,), dtype="f8"
        )
        self._file.swmr_mode = True

    @property
    def uri(self) -> str:
        return f"file://localhost{self.path}"

    def append(self, images: np.ndarray, monitors: Sequence[float] = ()) -> None:
        for dataset, values in ((self._frames, images), (self._values, np.asarray(monitors))):
            first = len(dataset)
            if len(values):
                dataset.resize(first + len(values), axis=0)
                dataset[first:] = values
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass
class Scan:
    """Documents of a raw run, composed one after another; `send` takes them."""

    send: Callable[[str, Any], None]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = compose_run(metadata=self.metadata)
        self.uid = self.run.start_doc["uid"]
        self.streams: dict[str, Any] = {}
        self.files: dict[str, Any] = {}
        self.send("start", self.run.start_doc)

    def stream(self, name: str = "primary", **keys: dict[str, Any]) -> None:
        data_keys = {
            key: {"source": "test", "object_name": key.split("_")[0], **spec}
            for key, spec in keys.items()
        }
        objects = defaultdict(list)
        for key, spec in data_keys.items():
            objects[spec["object_name"]].append(key)
        self.streams[name] = self.run.compose_descriptor(
            name=name, data_keys=data_keys, object_keys=dict(objects)
        )
        self.send("descriptor", self.streams[name].descriptor_doc)

    def file(self, key: str, uri: str, dataset: str = "/entry/data/data", **more: Any) -> str:
        bundle = self.run.compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=uri,
            data_key=key,
            parameters={"dataset": dataset, "locking": False, **more},
        )
        uid = bundle.stream_resource_doc["uid"]
        self.files[uid] = bundle
        self.send("stream_resource", bundle.stream_resource_doc)
        return uid

    def frames(
        self, file: str, start: int, stop: int, seq_num: int | None = None, stream: str = "primary"
    ) -> None:
        first = start + 1 if seq_num is None else seq_num
        document = self.files[file].compose_stream_datum(
            indices={"start": start, "stop": stop},
            seq_nums={"start": first, "stop": first + stop - start},
            descriptor=self.streams[stream].descriptor_doc,
        )
        self.send("stream_datum", document)

    def event(self, seq_num: int, stream: str = "primary", filled: Any = None, **data: Any) -> None:
        document = self.streams[stream].compose_event(
            data=data,
            timestamps=dict.fromkeys(data, 1.5),
            filled=filled or {},
            seq_num=seq_num,
            time=1000.0 + seq_num,
            validate=False,
        )
        self.send("event", document)

    def stop(self, exit_status: str = "success", **more: Any) -> None:
        document = self.run.compose_stop(exit_status=exit_status, **more)
        self.send("stop", document)


IMAGE = {"dtype": "array", "shape": [1, *SHAPE], "dtype_numpy": "<u2", "external": "STREAM:"}
EXTERNAL_IMAGE = {**IMAGE, "shape": list(SHAPE), "external": "FILESTORE:"}
EVENT_IMAGE = {"dtype": "array", "shape": list(SHAPE), "dtype_numpy": "<u2"}
NUMBER = {"dtype": "number", "shape": []}


class ReducedRun:
    """A reduced run, read from nothing but its documents and the files that they name."""

    def __init__(self, documents: list[tuple[str, dict[str, Any]]]) -> None:
        self.documents = documents
        for name, document in documents:
            schema_validators[DocumentNames[name]].validate(document)
        (self.start,) = self.named("start")
        self.uid = self.start["uid"]
        stops = self.named("stop")
        self.stop = stops[0] if stops else None
        self.descriptors = self.named("descriptor")

    def named(self, name: str) -> list[dict[str, Any]]:
        return [document for kind, document in self.documents if kind == name]

    @property
    def streams(self) -> list[str]:
        return list(dict.fromkeys(document["name"] for document in self.descriptors))

    def column(self, key: str, stream: str = "primary") -> np.ndarray:
        uids = {doc["uid"] for doc in self.descriptors if doc["name"] == stream}
        pages = [page for page in self.named("event_page") if page["descriptor"] in uids]
        numbers = list(itertools.chain.from_iterable(page["seq_num"] for page in pages))
        assert numbers == list(range(1, len(numbers) + 1))
        return np.array(list(itertools.chain.from_iterable(page["data"][key] for page in pages)))

    def curves(self, key: str = "intensity", stream: str = "primary") -> np.ndarray:
        uids = {doc["uid"] for doc in self.descriptors if doc["name"] == stream}
        resources = {doc["uid"]: doc for doc in self.named("stream_resource")}
        parts, numbers = [], []
        for datum in self.named("stream_datum"):
            resource = resources[datum["stream_resource"]]
            if datum["descriptor"] not in uids or resource["data_key"] != key:
                continue
            path = resource["uri"].removeprefix("file://localhost")
            with h5py.File(path, "r", libver="latest", swmr=True, locking=False) as file:
                dataset = file[resource["parameters"]["dataset"]]
                parts.append(dataset[datum["indices"]["start"] : datum["indices"]["stop"]])
            numbers += range(datum["seq_nums"]["start"], datum["seq_nums"]["stop"])
        assert numbers == list(range(1, len(numbers) + 1))
        return np.concatenate(parts)

    @property
    def accounts(self) -> dict[str, Any]:
        accounts = self.stop["accounts"]
        parts = ("frames_reduced", "frames_dropped", "frames_failed")
        assert accounts["frames_seen"] == sum(accounts[part] for part in parts)
        assert sum(accounts["causes"].values()) == (
            accounts["frames_dropped"] + accounts["frames_failed"]
        )
        return accounts


class Reducing:
    """A callback and what it emits."""

    def __init__(self, recipe: Any, folder: Path, emit: Any = None, **settings: Any) -> None:
        self.emitted: list[tuple[str, dict[str, Any]]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = ReductionSettings(results=folder, **{"frame_timeout": 0.3, **settings})
        self._emit = emit
        self.callback = ReductionCallback(recipe, self._take, settings=self.settings)

    def _take(self, name: str, document: dict[str, Any]) -> None:
        self.emitted.append((name, document))
        if self._emit is not None:
            self._emit(name, document)

    def scan(self, **metadata: Any) -> Scan:
        return Scan(self.callback, metadata)

    def runs(self) -> list[ReducedRun]:
        """Wait, and return the reduced runs so far."""
        self.callback.drain(30)
        return reduced_runs(self.emitted)

    def run(self) -> ReducedRun:
        (run,) = self.runs()
        return run


def reduced_runs(emitted: list[tuple[str, dict[str, Any]]]) -> list[ReducedRun]:
    run_of: dict[str, str] = {}
    by_run: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, document in emitted:
        match name:
            case "start":
                uid = document["uid"]
            case "descriptor" | "stream_resource" | "stop":
                uid = document["run_start"]
                run_of[document["uid"]] = uid
            case _:
                uid = run_of[document["descriptor"]]
        by_run.setdefault(uid, []).append((name, document))
    return [ReducedRun(documents) for documents in by_run.values()]


def without_repetitions(emitted: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What an idempotent store keeps of documents that were emitted again after a restart."""
    kept: dict[tuple[str, str], tuple[str, Any]] = {}
    for name, document in emitted:
        uid = document["uid"][0] if name == "event_page" else document["uid"]
        kept.setdefault((name, uid), (name, document))
    return list(kept.values())


@pytest.fixture
def recipe() -> Recipe:
    return make_recipe()


@pytest.fixture
def raw_file(tmp_path: Path) -> Iterator[Callable[..., RawFile]]:
    opened = []

    def make(images: np.ndarray | None = None, monitors: Sequence[float] = ()) -> RawFile:
        file = RawFile(tmp_path / f"raw_{len(opened)}.h5")
        opened.append(file)
        if images is not None:
            file.append(images, monitors)
        return file

    yield make
    for file in opened:
        file.close()


@pytest.fixture
def reducing(tmp_path: Path) -> Iterator[Callable[..., Reducing]]:
    opened: list[Reducing] = []

    def make(recipe: Any = None, **settings: Any) -> Reducing:
        one = make_recipe() if recipe is None else recipe
        opened.append(Reducing(one, tmp_path / "results", **settings))
        return opened[-1]

    yield make
    for one in opened:
        one.callback.close(10)


@pytest.fixture(scope="session")
def empty_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store without runs: making one takes seconds."""
    workspace = Workspace(tmp_path_factory.mktemp("template"))
    open_store(workspace).close()
    return workspace.store_catalog


def make_workspace(folder: Path, catalogue: Path) -> Workspace:
    made = Workspace(folder).create()
    shutil.copy(catalogue, made.store_catalog)
    return made


@pytest.fixture(scope="module")
def store_workspace(tmp_path_factory: pytest.TempPathFactory, empty_catalogue: Path) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("store") / "a workspace", empty_catalogue)


@pytest.fixture(scope="module")
def store(store_workspace: Workspace) -> Iterator[Store]:
    """A store that the tests of a module share: opening one takes a second."""
    with open_store(store_workspace) as opened:
        yield opened


@pytest.fixture
def writer(store: Store) -> Iterator[StoreWriter]:
    made = StoreWriter(store.reduced, readable=store.readable)
    yield made
    made.close(30)


class Kit:
    """What tests call by name; test modules cannot import this one."""

    SHAPE = SHAPE
    IMAGE, EXTERNAL_IMAGE, EVENT_IMAGE, NUMBER = IMAGE, EXTERNAL_IMAGE, EVENT_IMAGE, NUMBER
    RawFile, ReducedRun, Reducing, Scan = RawFile, ReducedRun, Reducing, Scan
    ReductionCallback, ReductionSettings = ReductionCallback, ReductionSettings
    StoreWriter, find_reduced = StoreWriter, staticmethod(find_reduced)
    calibration = staticmethod(make_calibration)
    detector_named = staticmethod(detector_named)
    images = staticmethod(make_images)
    recipe = staticmethod(make_recipe)
    curves = staticmethod(expected_curves)
    reduced_runs = staticmethod(reduced_runs)
    without_repetitions = staticmethod(without_repetitions)
    workspace = staticmethod(make_workspace)
    corrections, recipe_from_json = Corrections, staticmethod(recipe_from_json)

    reduction_for, Cake, Reduction = staticmethod(reduction_for), Cake, Reduction
    Azimuthal, Frame = Azimuthal, Frame

    @staticmethod
    def shapeless(recipe: Recipe) -> Recipe:
        geometry = recipe.geometry
        return replace(
            recipe, geometry=replace(geometry, detector=replace(geometry.detector, shape=None))
        )

    @staticmethod
    def total(recipe: Recipe, images: np.ndarray) -> np.ndarray:
        reduction = reduction_for(recipe)
        sums = reduction.map(Frame(images[0], 0))
        for index, image in enumerate(images[1:], 1):
            sums = sums + reduction.map(Frame(image, index))
        return reduction.finish(sums).intensity


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
