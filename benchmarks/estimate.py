"""What `clio-argo estimate` tells of four kinds of stacks, against the run of each; rates follow from these runs."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.figures import Figure
from benchmarks.measure import python
from benchmarks.scaling import stage_times, write_small
from benchmarks.sources import long_stack, real_slices
from benchmarks.stacks import write_stack
from benchmarks.whole import COMMAND, clio_argo
from clio_argo.sampling import calibrate
from clio_argo.store.documents import Store

TIME_LIMIT, BYTES_LIMIT = 25, 10
WORKERS, SMALL_PX = 2, 128
VOLUMES = {"ng": "viewer", "aligned": "lossless"}


class Stack(NamedTuple):
    """How a stack is made: `make` writes so many slices of side x side pixels to a folder."""

    slices: int
    side: int
    itemsize: int
    make: Callable[[Path, int, int], None]


def _large(folder: Path, slices: int, side: int) -> None:
    write_stack(real_slices(), folder, side, slices)


def _real(folder: Path, slices: int, _: int) -> None:
    long_stack(real_slices(), folder, slices)


def _deep(folder: Path, slices: int, side: int) -> None:
    """16 bits a pixel, with the noise of a detector in the low ones."""
    _large(folder, slices, side)
    random = np.random.default_rng(0)
    for file in folder.iterdir():
        image = np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), np.uint16)
        cv2.imwrite(str(file), image * 200 + random.integers(0, 200, image.shape, np.uint16))


def _small(folder: Path, slices: int, _: int) -> None:
    write_small(folder, slices)


STACKS = {
    "4096 px x 64": Stack(64, 4096, 1, _large),
    "520 px x 390": Stack(390, 520, 1, _real),
    "16 bit, 2048 px x 64": Stack(64, 2048, 2, _deep),
    "128 px x 3000": Stack(3000, SMALL_PX, 1, _small),
}
QUICK = {"4096 px x 64": (16, 512), "16 bit, 2048 px x 64": (16, 512), "520 px x 390": (30, 520)}


def measure(work: Path, quick: bool) -> list[Figure]:
    """How far estimates are off, and what each stage of the runs took."""
    copied, decoded = calibrate()
    found = [
        Figure("calibration: copying memory", copied, "GB/s"),
        Figure("calibration: decoding PNG", decoded, "MB/s", note="noise of 64 grey values, 1024 x 1024"),
    ]
    for name, stack in STACKS.items():
        slices, side = QUICK.get(name, (200, SMALL_PX)) if quick else (stack.slices, stack.side)
        stack.make(work / "source", slices, side)
        found += _compared(name, work, quick)
        rmtree(work / "source")
    return found


def _compared(name: str, work: Path, quick: bool) -> list[Figure]:
    told, real = _estimate(work), clio_argo(work, WORKERS)
    times, sizes = stage_times(work / "out"), _sizes(work / "out")
    cpu_s, wall_s = (told["local"][key] for key in ("cpu_s", "wall_s"))
    off = told["estimate"]["sizes_bytes"]
    time_limit, bytes_limit = (None, None) if quick else (TIME_LIMIT, BYTES_LIMIT)
    starts = (real.cpu_s - sum(times.values())) / (WORKERS + 1)
    return [
        _off(f"{name}: CPU time is off by", cpu_s, real.cpu_s, "CPU s", time_limit),
        _off(f"{name}: time by the clock is off by", wall_s, real.wall_s, "s", None),
        *(_off(f"{name}: bytes of {v} are off by", off[v], sizes[v], "bytes", bytes_limit) for v in VOLUMES),
        Figure(f"{name}: start of a process", starts, "CPU s"),
        *(
            Figure(f"{name}: {s['step']}", times[s["step"]], "CPU s", note=f"estimated {s['cpu_s']:.3g}")
            for s in told["estimate"]["stages"]
        ),
    ]


def _off(what: str, told: float, real: float, unit: str, limit: float | None) -> Figure:
    return Figure(what, abs(told / real - 1) * 100, "%", limit, note=f"estimated {told:,.3g}, real {real:,.3g} {unit}")


def _estimate(work: Path) -> dict[str, Any]:
    """`clio-argo estimate` on the slices in `source`."""
    call = ("estimate", "--source", work / "source", "--image", "iso.%05d.png", "--set", f"workers={WORKERS}")
    return dict(json.loads(python("-c", COMMAND, *call, "-o", "json")))


def _sizes(out: Path) -> dict[str, int]:
    return {folder: sum(Store(str(out)).sizes(folder).values()) for folder in VOLUMES}
