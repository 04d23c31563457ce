"""Build sdist and wheel and compare their modules with those that git tracks."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("processing", "callbacks", "plans", "device_servers")


def tracked_files() -> set[str]:
    """Files of the package that git tracks, as they should be named in the wheel."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", *FOLDERS], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return {f"ringline/{name}" for name in listing.stdout.split("\0") if name}


def wheel_files(folder: Path) -> set[str]:
    """Files of the package in a wheel built from the sdist."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def main() -> int:
    """Print what differs; 0 where nothing does."""
    with tempfile.TemporaryDirectory() as folder:
        built, tracked = wheel_files(Path(folder)), tracked_files()
    for name in sorted(tracked - built):
        print(f"missing in the wheel: {name}")
    for name in sorted(built - tracked):
        print(f"not tracked by git: {name}")
    print(f"packaging: {len(built)} files in the wheel, {len(tracked)} tracked")
    return int(built != tracked)


if __name__ == "__main__":
    sys.exit(main())
