"""Documents in, documents out, and the store. Knows nothing of Tango."""

from ringline.callbacks.calibration_documents import Circumstances
from ringline.callbacks.calibration_entries import Decision, StoredCalibration, Validity
from ringline.callbacks.calibrations import CalibrationHistory, StoreError
from ringline.callbacks.consumer import Consumer
from ringline.callbacks.documents import calibration_id
from ringline.callbacks.forwarder import Forwarder, ForwarderLimits
from ringline.callbacks.queries import (
    Curves,
    find_reduced,
    find_reduced_headers,
    read_curves,
)
from ringline.callbacks.reduction import ReductionCallback
from ringline.callbacks.settings import Accounts, ReductionSettings, Result
from ringline.callbacks.store import Store, open_store
from ringline.callbacks.workspace import Workspace
from ringline.callbacks.writer import StoreWriter

__all__ = [
    "Accounts",
    "CalibrationHistory",
    "Circumstances",
    "Consumer",
    "Curves",
    "Decision",
    "Forwarder",
    "ForwarderLimits",
    "ReductionCallback",
    "ReductionSettings",
    "Result",
    "Store",
    "StoreError",
    "StoreWriter",
    "StoredCalibration",
    "Validity",
    "Workspace",
    "calibration_id",
    "find_reduced",
    "find_reduced_headers",
    "open_store",
    "read_curves",
]
