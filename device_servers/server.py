"""The device server process RinglineDS."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import tango
from tango.server import run

from ringline.device_servers.calibrator import GeometryCalibrator
from ringline.device_servers.database import (
    CLASS,
    SERVER,
    one_line,
    open_database,
    tango_host_of_environment,
)
from ringline.device_servers.reducer import AzimuthalReducer
from ringline.device_servers.table_device import TableDevice
from ringline.processing import RecipeError

_OWN_DATABASE = ("-nodb", "-file")
_CLASSES = (AzimuthalReducer, GeometryCalibrator)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the device server; the console script of its name.

    Returns
    -------
    :
        0 when it was stopped, 2 when it could not start.
    """
    # A Starter gives its children a mask in which these are blocked: they could not be stopped.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        refuse_unregistered(given)
        # The name is given, not taken from sys.argv: the process may be `python -m ...`.
        run(classes_for(given), args=[SERVER, *given], raises=True)
    except RecipeError as error:
        sys.stderr.write(f"{SERVER}: {error}\n")
        return 2
    except tango.DevFailed as error:
        sys.stderr.write(f"{SERVER}: {one_line(error)}\n")
        return 2
    return 0


def classes_for(arguments: Sequence[str]) -> tuple[type[TableDevice], ...]:
    """The classes to run: without a database those that are named, or the reducer's alone.

    Tango would not start with a class of which a file of properties has no device, and would not
    know of which class a device is that is named without one.
    """
    own = [argument for argument in arguments if argument.startswith(_OWN_DATABASE)]
    if not own:
        return _CLASSES
    files = [Path(argument.partition("=")[2]) for argument in own if argument.startswith("-file=")]
    told = [*arguments, *(file.read_text() for file in files if file.is_file())]
    named = tuple(cls for cls in _CLASSES if any(cls.__name__ in text for text in told))
    return named or (AzimuthalReducer,)


def refuse_unregistered(arguments: Sequence[str]) -> None:
    """Say what to do where the database has no such server instance.

    Raises
    ------
    RecipeError:
        No TANGO_HOST, no database there, or no such instance in it.
    """
    if not arguments or arguments[0].startswith("-"):
        return  # Tango prints its usage, or the list of instances
    if any(argument.startswith(_OWN_DATABASE) for argument in arguments):
        return
    instance = arguments[0]
    tango_host = tango_host_of_environment()
    if tango_host is None:
        raise RecipeError(
            "TANGO_HOST is not set: set it to host:port of your Tango database, or run "
            "`ringline serve`, which brings its own"
        )
    database = open_database(tango_host)
    if not list(database.get_device_class_list(f"{SERVER}/{instance}")):
        raise RecipeError(
            f"the instance {instance!r} is not registered in the Tango database at {tango_host}: "
            f"`tango_admin --add-server {SERVER}/{instance} {CLASS} domain/family/member` does it, "
            f"as does Jive"
        )


if __name__ == "__main__":
    sys.exit(main())
