"""Compiled loops are kept, and made again when their sources have changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from ringline.processing import compiled
from ringline.processing.cell_kernels import find_bin
from ringline.processing.share_kernels import share_block

CODE = """
import numpy as np
from ringline.processing.profile_kernels import add_profile
found = np.empty((2, 4))
add_profile(tuple(np.ones((4, 4))), (0, 4), *found)
print(found)
"""


@pytest.mark.parametrize("function", [find_bin, share_block])
def test_what_is_kept_is_known_by_the_sources_of_all_loops(function) -> None:
    stamp = function._cache._cache_file._source_stamp
    assert stamp[-1] == compiled._sources()


def test_the_sources_of_all_loops_are_seen() -> None:
    folder = Path(compiled.__file__).parent
    changed = compiled._sources.__wrapped__()
    assert changed == compiled._sources()
    assert any(path.name == "cell_kernels.py" for path in folder.glob("*_kernels.py"))


def test_loops_are_compiled_also_where_nothing_can_be_kept(monkeypatch) -> None:
    def nowhere(*_: object, **options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", nowhere)
    assert compiled.jit(len)([1, 2]) == 2


def test_a_fresh_process_uses_what_another_has_kept(tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", CODE],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    first = run()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}
    assert kept
    assert run() == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")} == kept
