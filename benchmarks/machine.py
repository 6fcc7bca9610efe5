"""What the machine can do: the figures that all others are to be seen against."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np

from benchmarks.figures import Figure
from benchmarks.measure import repeated
from benchmarks.sources import real_volume
from benchmarks.stacks import mosaic_slice

LIBRARIES = ("numpy", "opencv-python-headless", "tensorstore", "igneous-pipeline", "cloud-volume")
COPIED_BYTES = 2**28
SIDE_PX = 5000


def measure(_: Path, quick: bool) -> list[Figure]:
    """Copying of memory, and decoding of PNG."""
    side = 1000 if quick else SIDE_PX
    return [
        Figure("copying memory", memcpy_gb_s(), "GB/s", note=f"{COPIED_BYTES >> 20} MiB, numpy"),
        Figure("decoding PNG", png_mb_s(side), "MB/s", note=f"real slice of {side} x {side}, OpenCV"),
    ]


def memcpy_gb_s() -> float:
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    return COPIED_BYTES / 1e9 / repeated(lambda: np.copyto(target, source), repeats=7).cpu_s


def png_mb_s(side: int) -> float:
    """Decoded bytes per CPU second."""
    cv2.setNumThreads(1)
    image = mosaic_slice(real_volume(), side, 0)
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return image.size / 1e6 / repeated(lambda: cv2.imdecode(data, cv2.IMREAD_UNCHANGED), repeats=5).cpu_s


def description() -> dict[str, str]:
    """Processor, cores, and versions of what does the work."""
    found = {"processor": processor(), "cores": str(len(os.sched_getaffinity(0)))}
    found["system"] = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {**found, **{name: version(name) for name in LIBRARIES}}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
