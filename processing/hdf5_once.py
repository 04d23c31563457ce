"""HDF5 files that are open once in this process, and each dataset of theirs once.

Where a dataset is open twice in a process, refreshing it loses its index of chunks for both
(HDF5 2.0): every frame then reads as the first one, without an error. So those who read the same
file at the same time share what is open, and nobody opens or refreshes while another one does.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import h5py

ONE_AT_A_TIME = threading.RLock()
"""Held while datasets are looked up or refreshed."""


class SharedFile:
    """An open file, for all its readers. Make it with :func:`shared`, and close each."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.users = 0
        self._datasets: dict[tuple[int, bytes], h5py.Dataset] = {}

    def once(self, dataset: h5py.Dataset) -> h5py.Dataset:
        """A dataset as whoever came first has it open. ``ONE_AT_A_TIME`` must be held."""
        information = h5py.h5o.get_info(dataset.id)
        return self._datasets.setdefault((information.fileno, information.addr), dataset)

    def close(self) -> None:
        """Release it; the last one closes the file."""
        with ONE_AT_A_TIME:
            self.users -= 1
            if not self.users:
                self._datasets.clear()
                self.file.close()


_OPEN: WeakValueDictionary[tuple[int, int], SharedFile] = WeakValueDictionary()
"""By device and inode: HDF5 itself shares between equal ones."""


def shared(path: Path, opening: Callable[[Path], h5py.File]) -> SharedFile:
    """A file that is open already, or is opened now by `opening`, whose errors pass."""
    with ONE_AT_A_TIME:
        try:
            status = path.stat()
        except OSError:
            file = SharedFile(opening(path))  # it says why
        else:
            key = (status.st_dev, status.st_ino)
            known = _OPEN.get(key)
            if known is not None and known.users:
                file = known
            else:
                file = _OPEN[key] = SharedFile(opening(path))
        file.users += 1
        return file
