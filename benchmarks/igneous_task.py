"""What igneous does in the comparison.

`prepare FOLDER none|gzip CX CY CZ` makes its source, `write FOLDER COARSER TIMES` transfers it so many times
and tells the CPU time of each.
"""

import shutil
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.measure import tell_times

QUALITY, CHUNK = 80, (64, 64, 64)
# one shard a scale: the largest that igneous makes, and the least work
SHARD_BYTES = 2**30


def prepare(folder: str, compress: str, chunk: tuple[int, ...]) -> None:
    """A precomputed volume from voxels.npy [z, y, x]."""
    from cloudvolume import CloudVolume

    voxels = np.load(f"{folder}/voxels.npy").T
    info = CloudVolume.create_new_info(1, "image", "uint8", "raw", (8, 8, 8), (0, 0, 0), voxels.shape, chunk_size=chunk)
    packed = False if compress == "none" else compress
    volume = CloudVolume(f"file://{folder}/in", info=info, compress=packed, progress=False)
    volume.commit_info()
    volume[:, :, :] = voxels[..., None]


def write(folder: str, coarser: int) -> None:
    """Transfer to sharded JPEG, then all coarser scales in one task."""
    from igneous import task_creation as tasks

    source, target = f"file://{folder}/in", f"file://{folder}/out"
    _do(tasks.create_image_shard_transfer_tasks(
        source, target, chunk_size=CHUNK, encoding="jpeg", encoding_level=QUALITY, memory_target=SHARD_BYTES
    ))  # fmt: skip
    if coarser:
        _do(tasks.create_image_shard_downsample_tasks(
            target, factor=(2, 2, 2), num_mips=coarser, memory_target=SHARD_BYTES
        ))  # fmt: skip


def _do(tasks: Iterable[Any]) -> None:
    for task in tasks:
        task()


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(sys.argv[2], sys.argv[3], tuple(int(n) for n in sys.argv[4:]))
    else:
        folder, coarser, times = sys.argv[2:]
        tell_times(
            lambda: write(folder, int(coarser)), lambda: shutil.rmtree(f"{folder}/out", ignore_errors=True), int(times)
        )
