"""The same block by igneous and by this package, both as processes of their own, start-up taken off both."""

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.blocks import BLOCK, VOLUME, contrasted, prepared
from benchmarks.crafted import forget
from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, python, spent
from clio_argo.model.volume import Zyx

LEAST = 2.5
TRIVIAL: Zyx = (64, 64, 64)
# chunks of the volume that igneous reads (x, y, z): as small as it writes them, and few large ones
SOURCE_CHUNKS: tuple[Zyx, ...] = ((64, 64, 64), (1024, 1024, 64))
STEP = "from clio_argo.runner import main; main()"


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU time of both for the same voxels at the same scales."""
    block, repeats = contrasted(BLOCK), 1 if quick else REPEATS
    scales = len(prepared(work / "large", VOLUME, block).write_tier.scales)
    prepared(work / "trivial", TRIVIAL, block[:64, :64, :64])
    ours = _ours(work / "large", repeats) - _ours(work / "trivial", repeats)
    found = [(_theirs(work, block, chunk, scales - 1, repeats), chunk) for chunk in SOURCE_CHUNKS]
    theirs, chunk = min(found)
    return [
        Figure("clio-argo writes a block", ours, "CPU s", note=f"{scales} scales, lossless ones included"),
        Figure("igneous writes it", theirs, "CPU s", note=_settings(chunk, scales)),
        Figure("igneous / clio-argo", theirs / ours, "", LEAST, at_least=True),
    ]


def _settings(chunk: Zyx, scales: int) -> str:
    return (
        f"sharded JPEG of quality 80 in chunks of 64^3, one shard a scale, {scales} scales, all coarser ones in one "
        "task, one process, one thread; it reads an uncompressed precomputed volume in chunks of "
        f"{' x '.join(map(str, chunk))} (the quicker of two kinds)"
    )


def _ours(url: Path, repeats: int) -> float:
    run = ["-c", STEP, "write", "--run", str(url)]
    return _median(lambda: python(*run), lambda: forget(url, "write", ["ng", *(f"aligned/{k}" for k in range(1, 9))]),
                   repeats)  # fmt: skip


def _theirs(work: Path, block: NDArray[np.uint8], chunk: Zyx, coarser: int, repeats: int) -> float:
    """CPU seconds of igneous for a block, without those for one chunk."""
    folders = [work / "theirs" / "x".join(map(str, chunk)) / size for size in ("block", "chunk")]
    return _igneous(folders[0], block, chunk, coarser, repeats) - _igneous(
        folders[1], block[:64, :64, :64], (64, 64, 64), 0, repeats
    )


def _igneous(folder: Path, voxels: NDArray[np.uint8], chunk: Zyx, coarser: int, repeats: int) -> float:
    folder.mkdir(parents=True)
    np.save(folder / "voxels.npy", voxels)
    task = ["-m", "benchmarks.igneous_task"]
    python(*task, "prepare", folder, *map(str, chunk))
    return _median(
        lambda: python(*task, "write", folder, str(coarser)),
        lambda: shutil.rmtree(folder / "out", ignore_errors=True),
        repeats,
    )


def _median(action: Callable[[], object], before: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds of a child process, after a first that is not counted."""
    found = []
    for _ in range(repeats + 1):
        before()
        found.append(spent(action).cpu_s)
    return statistics.median(found[1:])
