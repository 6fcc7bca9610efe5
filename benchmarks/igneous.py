"""The same block by igneous and by this package, both as processes of their own, start-up taken off both."""

import shutil
import statistics
from collections.abc import Callable, Mapping
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
# runs a process and tells its CPU seconds
Task = Callable[[], float]


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
    block, chunk = contrasted(BLOCK), contrasted(TRIVIAL)
    scales = len(prepared(work / "large", VOLUME, block).write_tier.scales)
    prepared(work / "trivial", TRIVIAL, chunk)
    tasks = {"ours": (_ours(work / "large"), _ours(work / "trivial"))}
    for i, kept in enumerate((LOSSLESS, *PLAIN)):
        small = replace(kept, chunk=TRIVIAL)
        tasks[kept.text] = (
            _theirs(work / f"block{i}", block, kept, scales - 1),
            _theirs(work / f"chunk{i}", chunk, small, 0),
        )
    return _figures(_cpu_s(tasks, 1 if quick else REPEATS), scales)


def _figures(cpu_s: Mapping[str, float], scales: int) -> list[Figure]:
    ours, packed = cpu_s["ours"], cpu_s[LOSSLESS.text]
    plain = min((cpu_s[kept.text], kept.text) for kept in PLAIN)
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


def _ours(url: Path) -> Task:
    """The write step for the block of a run."""

    def write() -> float:
        forget(url, "write", ["ng", *(f"aligned/{k}" for k in range(1, 9))])
        return spent(lambda: python("-c", STEP, "write", "--run", str(url))).cpu_s

    return write


def _theirs(folder: Path, voxels: NDArray[np.uint8], kept: Kept, coarser: int) -> Task:
    """The task of igneous for voxels [z, y, x], with so many coarser scales."""
    folder.mkdir(parents=True)
    np.save(folder / "voxels.npy", voxels)
    task = ["-m", "benchmarks.igneous_task"]
    plain = {k: v for k, v in worker_environment().items() if not k.startswith("MALLOC_")}
    python(*task, "prepare", folder, kept.compress, *map(str, kept.chunk))

    def write() -> float:
        shutil.rmtree(folder / "out", ignore_errors=True)
        return spent(lambda: python(*task, "write", folder, str(coarser), environment=plain)).cpu_s

    return write


def _cpu_s(tasks: Mapping[str, tuple[Task, Task]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each first task without those of its second, after a round that is not counted.

    All take turns: memory that a machine has not used for a while takes seconds to come back.
    """
    rounds = [{k: (whole(), start()) for k, (whole, start) in tasks.items()} for _ in range(repeats + 1)][1:]
    return {k: statistics.median(r[k][0] for r in rounds) - statistics.median(r[k][1] for r in rounds)
            for k in tasks}  # fmt: skip
