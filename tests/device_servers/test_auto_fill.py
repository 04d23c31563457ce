"""ophyd-async fills a device with the signals of AzimuthalReducer."""

import asyncio

import numpy as np
import tango
from ophyd_async.core import Command, Device, SignalR, SignalRW
from ophyd_async.tango.core import TangoDevice

from ringline.device_servers.readings import READINGS
from ringline.device_servers.setting_table import SETTINGS
from tests.device_servers.conftest import Server


class Filled(TangoDevice):
    """Nothing annotated: all signals come from the server."""


async def connected(trl: str) -> dict[str, Device]:
    device = Filled(trl=trl, name="reducer", support_events=True)
    await device.connect(timeout=20)
    children = dict(device.children())
    bins, curve = children["radial_bins"], children["intensity"]
    assert isinstance(bins, SignalRW)
    assert isinstance(curve, SignalR)
    await bins.set(48)
    assert await bins.get_value() == 48
    assert isinstance(await curve.get_value(), np.ndarray)
    unit = children["radial_unit"]
    assert isinstance(unit, SignalRW)
    await unit.set("2th_deg")
    assert await unit.get_value() == "2th_deg"
    return children


def test_auto_fill_finds_every_attribute_and_command(
    server: Server, reducer: tango.DeviceProxy
) -> None:
    """One DevEncoded attribute or command would break it for the whole device."""
    children = asyncio.run(connected(server.trl))
    assert {*SETTINGS, *READINGS} <= set(children)
    for name in ("Configure", "LoadPoni", "SavePoni", "Integrate", "Consume"):
        assert isinstance(children[name], Command)
    assert reducer.radial_bins == 48
