"""ophyd-async fills a device with the signals of AzimuthalReducer."""

import json
import subprocess
import sys

import tango

from ringline.device_servers.readings import READINGS
from ringline.device_servers.setting_table import SETTINGS
from tests.device_servers.conftest import Server

CLIENT = """
import asyncio, json, sys
import numpy as np
from ophyd_async.tango.core import TangoDevice

class Filled(TangoDevice):
    "Nothing annotated: all signals come from the server."

async def use(trl):
    device = Filled(trl=trl, name="reducer", support_events=True)
    await device.connect(timeout=20)
    children = dict(device.children())
    await children["radial_bins"].set(48)
    assert await children["radial_bins"].get_value() == 48
    assert isinstance(await children["intensity"].get_value(), np.ndarray)
    await children["radial_unit"].set("2th_deg")
    assert await children["radial_unit"].get_value() == "2th_deg"
    return {name: type(child).__name__ for name, child in children.items()}

print(json.dumps(asyncio.run(use(sys.argv[1]))))
"""


def test_auto_fill_finds_every_attribute_and_command(
    server: Server, reducer: tango.DeviceProxy
) -> None:
    """One DevEncoded attribute or command would break it for the whole device."""
    # In a process of its own: PyTango's asyncio mode is tied to the first loop that it meets.
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, server.trl], capture_output=True, text=True, check=False
    )
    assert client.returncode == 0, client.stderr
    kinds = json.loads(client.stdout.splitlines()[-1])
    assert {*SETTINGS, *READINGS} <= set(kinds)
    for name in ("Configure", "LoadPoni", "SavePoni", "Integrate", "Separate", "Consume"):
        assert kinds[name].endswith("Command")
    for name in ("radial_bins", "detector"):
        assert kinds[name] == "SignalRW"
    assert kinds["intensity"] == "SignalR"
    assert reducer.radial_bins == 48
