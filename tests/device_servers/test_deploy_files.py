"""The files that a facility starts from name what there is."""

import json
import shlex
from pathlib import Path

import pytest

from ringline.device_servers import serve
from ringline.device_servers.calibrator import GeometryCalibrator
from ringline.device_servers.reducer import AzimuthalReducer
from ringline.processing.command_line import main

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_property_file_names_properties_of_the_class() -> None:
    servers = json.loads((DEPLOY / "tango" / "ringline.properties.json").read_text())["servers"]
    for instance in servers["RinglineDS"].values():
        assert set(instance) == {"AzimuthalReducer", "GeometryCalibrator"}
        for device_class in (AzimuthalReducer, GeometryCalibrator):
            known = set(device_class.TangoClassClass.device_property_list)
            for device in instance[device_class.__name__].values():
                assert set(device["properties"]) <= known
        for calibrator in instance["GeometryCalibrator"].values():
            assert calibrator["properties"]["reducer"][0] in instance["AzimuthalReducer"]


def test_the_unit_file_starts_serve_with_options_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = (DEPLOY / "ringline.service").read_text().splitlines()
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    seen = []
    command = serve.command
    monkeypatch.setattr(
        serve,
        "command",
        type(command)(command.name, command.summary, command.add_arguments, _note(seen)),
    )
    assert main(shlex.split(start)[1:]) == 0
    assert seen[0].directory == Path("/var/lib/ringline")


def _note(seen: list):
    def run(arguments: object) -> int:
        seen.append(arguments)
        return 0

    return run
