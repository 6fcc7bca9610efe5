"""The same block by igneous and by this package, start-up taken off both.

Processes write it several times. The first time is not counted: a process also imports, and gets its memory from the
system, which takes one to six seconds on some days.
"""

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.blocks import BLOCK, VOLUME, contrasted, prepared
from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, python, worker_environment
from clio_argo.model.volume import Zyx

LEAST = 2.5
BLOCKS = 4
OURS = """
import sys
from pathlib import Path
from benchmarks.crafted import forget
from benchmarks.measure import tell_times
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
run = Path(sys.argv[1])
folders = ["ng", *(f"aligned/{k}" for k in range(1, 9))]
tell_times(
    lambda: run_step(PIPELINE["write"], str(run), 0), lambda: forget(run, "write", folders), int(sys.argv[2])
)
"""


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


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the first block of a process, start-up included, and of one more block in it."""

    first: float
    more: float


# runs a process that writes the block `BLOCKS` times
Task = Callable[[], Cost]


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU time of both for the same voxels at the same scales."""
    block = contrasted(BLOCK)
    scales = len(prepared(work / "ours", VOLUME, block).write_tier.scales)
    tasks = {"ours": _ours(work / "ours")}
    for i, kept in enumerate((LOSSLESS, *PLAIN)):
        tasks[kept.text] = _theirs(work / f"theirs{i}", block, kept, scales - 1)
    return _figures(_costs(tasks, 1 if quick else REPEATS), scales)


def _figures(costs: Mapping[str, Cost], scales: int) -> list[Figure]:
    ours, packed = costs["ours"], costs[LOSSLESS.text]
    plain, how = min((costs[kept.text].more, kept.text) for kept in PLAIN)
    first = "the first block of a process, start-up included: {:.2f} CPU s"
    return [
        Figure("clio-argo writes a block", ours.more, "CPU s",
               note=f"reads lossless zarr (zstd), writes {scales} scales, lossless ones included; "
                    + first.format(ours.first)),
        Figure("igneous writes it", packed.more, "CPU s",
               note=f"{SETTINGS.format(scales)}; reads a precomputed volume, {LOSSLESS.text}; "
                    + first.format(packed.first)),
        Figure("igneous / clio-argo, both from a compressed volume", packed.more / ours.more, "", LEAST,
               at_least=True, note=f"first blocks, start-up included: {packed.first / ours.first:.2f}"),
        Figure("igneous writes it, from an uncompressed volume", plain, "CPU s",
               note=f"{how} (the quicker of two kinds)"),
        Figure("igneous from an uncompressed volume / clio-argo from a compressed one", plain / ours.more, ""),
    ]  # fmt: skip


def _ours(run: Path) -> Task:
    """The write step for the block of a run."""
    return lambda: _cost("-c", OURS, run, str(BLOCKS))


def _theirs(folder: Path, voxels: NDArray[np.uint8], kept: Kept, coarser: int) -> Task:
    """The task of igneous for voxels [z, y, x], with so many coarser scales."""
    folder.mkdir(parents=True)
    np.save(folder / "voxels.npy", voxels)
    task = ["-m", "benchmarks.igneous_task"]
    plain = {k: v for k, v in worker_environment().items() if not k.startswith("MALLOC_")}
    python(*task, "prepare", folder, kept.compress, *map(str, kept.chunk))
    return lambda: _cost(*task, "write", folder, str(coarser), str(BLOCKS), environment=plain)


def _cost(*arguments: str | Path, environment: dict[str, str] | None = None) -> Cost:
    first, *more = json.loads(python(*arguments, environment=environment).splitlines()[-1])
    return Cost(first, statistics.median(more))


def _costs(tasks: Mapping[str, Task], repeats: int) -> dict[str, Cost]:
    """Medians. All take turns, as a machine's speed drifts."""
    rounds = [{k: task() for k, task in tasks.items()} for _ in range(repeats)]
    return {
        k: Cost(statistics.median(r[k].first for r in rounds), statistics.median(r[k].more for r in rounds))
        for k in tasks
    }
