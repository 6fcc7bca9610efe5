"""The same run as on other processors: OpenCV, OpenBLAS and NumPy are told which instructions they may use."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.measure import worker_environment
from benchmarks.sources import real_slices
from benchmarks.stacks import write_stack
from clio_argo.model.alignment import PairFit, Transforms, apply, corners
from clio_argo.model.run import UnitRecord
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes

SIDE_PX, SLICES = 1024, 16
QUICK_PX, QUICK_SLICES = 256, 8
FIT_LIMIT_PX = 0.01
COMMAND = "from clio_argo.cli import main; main()"
NUMPY_NEW = "X86_V4 AVX512_ICL AVX512_SPR"
WITHOUT_AVX512 = {
    "OPENBLAS_CORETYPE": "Haswell", "OPENCV_CPU_DISABLE": "AVX512-SKX", "NPY_DISABLE_CPU_FEATURES": NUMPY_NEW,
}  # fmt: skip
WITHOUT_AVX2 = {
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16",
    "NPY_DISABLE_CPU_FEATURES": f"X86_V3 {NUMPY_NEW}",
}
PROCESSORS = {
    "without AVX-512": WITHOUT_AVX512,
    "BLAS without AVX2": {"OPENBLAS_CORETYPE": WITHOUT_AVX2["OPENBLAS_CORETYPE"]},
    "OpenCV without AVX2": {"OPENCV_CPU_DISABLE": WITHOUT_AVX2["OPENCV_CPU_DISABLE"]},
    "NumPy without AVX2": {"NPY_DISABLE_CPU_FEATURES": WITHOUT_AVX2["NPY_DISABLE_CPU_FEATURES"]},
    "without AVX2": WITHOUT_AVX2,
}


def measure(work: Path, quick: bool) -> list[Figure]:
    """Which steps give the same bytes, and how far fits differ."""
    side, slices = (QUICK_PX, QUICK_SLICES) if quick else (SIDE_PX, SLICES)
    write_stack(real_slices(), work / "source", side, slices)
    usual = run_on({}, work / "source", work / "usual")
    figures = []
    for name, processor in PROCESSORS.items():
        other = run_on(processor, work / "source", work / name)
        placed = run_on(processor, work / "source", work / f"{name}, placed", *same_places(usual))
        figures += _figures(name, (usual, other, placed), side)
    return figures


def _figures(name: str, runs: tuple[Path, Path, Path], side: int) -> list[Figure]:
    usual, other, placed = runs
    steps = other_bytes(usual, other)
    changed = ", ".join(f"{step} {n} of {total}" for step, (n, total) in steps.items() if n) or "none"
    most, share = voxels_differ(usual, placed)
    exact = name == "without AVX-512"
    return [
        Figure(f"{name}: objects with other bytes", sum(n for n, _ in steps.values()), "", note=changed),
        Figure(f"{name}: fits differ by at most", fits_differ_px(usual, other, side), "px", FIT_LIMIT_PX),
        Figure(f"{name}: voxels that differ, from the same transforms.json", share * 1e6, "in a million",
               0 if exact else None, note=f"by at most {most} grey levels"),
    ]  # fmt: skip


def run_on(processor: Mapping[str, str], source: Path, out: Path, *more: str | Path) -> Path:
    """A whole run as on that processor."""
    command = [sys.executable, "-c", COMMAND, "run", "--source", source, "--out", out, "--log", "quiet", *more]
    subprocess.run(command, env={**worker_environment(), **processor}, check=True)
    return out


def same_places(out: Path) -> tuple[str, Path]:
    """Options of a run that aligns nothing, and takes its places from another."""
    return "--transforms", out / "transforms.json"


def other_bytes(usual: Path, other: Path) -> dict[str, tuple[int, int]]:
    """(objects that differ, all objects) of each step that both runs did."""
    ours, theirs = _objects(usual), _objects(other)
    common = [step for step in ours if step in theirs]
    return {s: (sum(ours[s][n] != theirs[s].get(n) for n in ours[s]), len(ours[s])) for s in common}


def voxels_differ(usual: Path, other: Path) -> tuple[int, float]:
    """Largest difference of two lossless volumes in grey levels, and the share of voxels that differ."""
    difference = np.abs(_voxels(usual) - _voxels(other))
    return int(difference.max()), float(np.mean(difference > 0))


def _voxels(out: Path) -> NDArray[np.int64]:
    store = Store(str(out))
    volume = store.document(VolumeSpec, "volume.json")
    return Volumes(store, volume).read(0, volume.scales[0].box).astype(np.int64)


def _objects(out: Path) -> dict[str, dict[str, str]]:
    """CRC32C of all objects that the manifest names, by step and name."""
    store, found = Store(str(out)), dict[str, dict[str, str]]()
    for name in store.names("manifest"):
        record = store.document(UnitRecord, name)
        found.setdefault(record.step, {}).update({o.name: o.crc32c for o in record.objects})
    return found


def fits_differ_px(usual: Path, other: Path, side: int) -> float:
    """Largest distance of a corner of a slice between where the same fit puts it in two runs."""
    ours, theirs = ({(f.z0, f.z1): f for f in _fits(out)} for out in (usual, other))
    if ours.keys() != theirs.keys():
        return float("inf")
    return max(_apart_px(ours[pair], theirs[pair], side) for pair in ours)


def _fits(out: Path) -> tuple[PairFit, ...]:
    return Store(str(out)).document(Transforms, "transforms.json").fits


def _apart_px(a: PairFit, b: PairFit, side: int) -> float:
    if a.matrix is None or b.matrix is None:
        return 0.0 if a.matrix == b.matrix else float("inf")
    points = corners(side, side)
    return float(np.hypot(*(apply(a.matrix, points) - apply(b.matrix, points)).T).max())
