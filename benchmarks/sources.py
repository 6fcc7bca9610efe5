"""The real slices that everything is made from, and folders that look like long stacks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT

# beside the repository, or beside the folder that holds its work trees
SHARED = next((d for p in ROOT.parents if (d := p / "shared" / "data").exists()), ROOT.parent / "shared" / "data")
MEDULLA, DEMO = SHARED / "fibsem_fly_medulla_60", ROOT / "tests" / "data" / "demo"
MISALIGN, PLAIN_SIFT = SHARED / "make_misaligned.py", SHARED / "baseline_sift.py"
MEMORY_DISK = Path("/dev/shm")
GIB = 2**30
DEMO_NOISE = "iso.03513.png"


def real_slices() -> Path:
    """60 slices of fly medulla, 520 x 520 px; where they are not at hand, the demo's crops of them."""
    return MEDULLA if MEDULLA.exists() else DEMO


def real_volume() -> NDArray[np.uint8]:
    """The real slices as [z, y, x]; the demo's noise slice is left out."""
    files = [f for f in sorted(real_slices().glob("*.png")) if f.parent != DEMO or f.name != DEMO_NOISE]
    return np.stack([np.asarray(cv2.imread(str(f), cv2.IMREAD_GRAYSCALE), np.uint8) for f in files])


def there_and_back(position: int, count: int) -> int:
    """Positions 0, 1 ... count - 1, count - 2 ... 1, 0, 1 ...: neighbours stay neighbours however long it gets."""
    if count == 1:
        return 0
    place = position % (2 * count - 2)
    return min(place, 2 * count - 2 - place)


def long_stack(short: Path, out: Path, slices: int) -> Path:
    """A folder of `slices` names for the few files of `short`, there and back."""
    out.mkdir(parents=True, exist_ok=True)
    files = sorted(short.glob("*.png"))
    for z in range(slices):
        os.link(files[there_and_back(z, len(files))], out / f"iso.{z:05d}.png")
    return out


@contextmanager
def work_folder(need_gib: float, in_memory: bool = False) -> Iterator[Path]:
    """A temporary folder with enough space, gone afterwards; in memory if asked for and if that is a disk, too."""
    disk = MEMORY_DISK if in_memory and MEMORY_DISK.is_dir() else None
    with TemporaryDirectory(prefix="clio-argo-bench-", dir=disk) as name:
        free = disk_usage(name).free / GIB
        if free < need_gib:
            raise SystemExit(f"{name}: {free:.1f} GiB free, {need_gib:g} GiB needed; set TMPDIR to another disk")
        yield Path(name)
