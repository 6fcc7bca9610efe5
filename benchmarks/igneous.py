"""The same block by igneous and by this package, both as processes of their own, start-up taken off both."""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.blocks import BLOCK, VOLUME, contrasted, prepared
from benchmarks.crafted import forget
from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, python, spent, worker_environment
from clio_argo.model.volume import Zyx

LEAST = 2.5
TRIVIAL: Zyx = (64, 64, 64)
STEP = "from clio_argo.container import main; main()"


@dataclass(frozen=True)
class Kept:
    """How the volume that igneous reads is kept: chunks (x, y, z), compression."""

    text: str
    chunk: Zyx
    compress: str


PLAIN = (
    Kept("uncompressed, in chunks as it writes them", (64, 64, 64), "none"),
    Kept("uncompressed, in few large chunks", (1024, 1024, 64), "none"),
)
LOSSLESS = Kept("compressed as it compresses by default: gzip", (128, 128, 64), "gzip")
SETTINGS = (
    "sharded JPEG of quality 80 in chunks of 64^3, one shard a scale, {} scales, all coarser ones in one task, one "
    "process, one thread, the environment as it is (ours sets its allocator itself)"
)


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU time of both for the same voxels at the same scales."""
    block, repeats = contrasted(BLOCK), 1 if quick else REPEATS
    scales = len(prepared(work / "large", VOLUME, block).write_tier.scales)
    prepared(work / "trivial", TRIVIAL, block[:64, :64, :64])
    ours = _ours(work / "large", repeats) - _ours(work / "trivial", repeats)
    plain = min((_theirs(work / f"theirs{i}", block, kept, scales - 1, repeats), kept.text)
                for i, kept in enumerate(PLAIN))  # fmt: skip
    packed = _theirs(work / "packed", block, LOSSLESS, scales - 1, repeats)
    return [
        Figure("clio-argo writes a block", ours, "CPU s",
               note=f"reads lossless zarr (zstd), writes {scales} scales, lossless ones included"),
        Figure("igneous writes it", packed, "CPU s",
               note=f"{SETTINGS.format(scales)}; reads a precomputed volume, {LOSSLESS.text}"),
        Figure("igneous / clio-argo, both from a compressed volume", packed / ours, "", LEAST, at_least=True),
        Figure("igneous writes it, from an uncompressed volume", plain[0], "CPU s",
               note=f"{plain[1]} (the quicker of two kinds)"),
        Figure("igneous from an uncompressed volume / clio-argo from a compressed one", plain[0] / ours, ""),
    ]  # fmt: skip


def _ours(url: Path, repeats: int) -> float:
    run = ["-c", STEP, "write", "--run", str(url)]
    return _median(lambda: python(*run), lambda: forget(url, "write", ["ng", *(f"aligned/{k}" for k in range(1, 9))]),
                   repeats)  # fmt: skip


def _theirs(work: Path, block: NDArray[np.uint8], kept: Kept, coarser: int, repeats: int) -> float:
    """CPU seconds of igneous for a block, without those for one chunk."""
    trivial = replace(kept, chunk=TRIVIAL)
    whole = _igneous(work / "block", block, kept, coarser, repeats)
    return whole - _igneous(work / "chunk", block[:64, :64, :64], trivial, 0, repeats)


def _igneous(folder: Path, voxels: NDArray[np.uint8], kept: Kept, coarser: int, repeats: int) -> float:
    folder.mkdir(parents=True)
    np.save(folder / "voxels.npy", voxels)
    task = ["-m", "benchmarks.igneous_task"]
    plain = {k: v for k, v in worker_environment().items() if not k.startswith("MALLOC_")}
    python(*task, "prepare", folder, kept.compress, *map(str, kept.chunk))
    return _median(
        lambda: python(*task, "write", folder, str(coarser), environment=plain),
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
