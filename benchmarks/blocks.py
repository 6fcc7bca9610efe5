"""Cost of one block of 1024 x 1024 x 512: the viewer volume and the lossless coarser scales."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.crafted import forget, laid_out, rendered
from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, peak_gib, repeated
from benchmarks.sources import real_volume
from benchmarks.stacks import mosaic_slice
from clio_argo.kernels.contrast import clahe
from clio_argo.model.grid import build_volume
from clio_argo.model.layout import CONFIG
from clio_argo.model.request import Request
from clio_argo.model.volume import Box, VolumeSpec, Zyx
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store

BLOCK: Zyx = (512, 1024, 1024)
# two blocks along each axis: the first one is written as in any larger volume
VOLUME: Zyx = (1024, 2048, 2048)
LIMIT_S, MEMORY_LIMIT_GIB = 3.8, 3.5
CLIP_LIMIT = 0.02


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU time and memory of the write step for one block of a larger volume."""
    spec = prepared(work, VOLUME, contrasted(BLOCK))
    folders = ["ng", *(f"aligned/{k}" for k in spec.write_tier.scales if k)]
    used = repeated(
        lambda: run_step(PIPELINE["write"], str(work), 0),
        lambda: forget(work, "write", folders),
        1 if quick else REPEATS,
    )
    text = f"read aligned/0, JPEG at {len(spec.write_tier.scales)} scales, lossless coarser scales"
    return [
        Figure("write a block of 1024 x 1024 x 512", used.cpu_s, "CPU s", LIMIT_S, note=text),
        Figure("memory of it", peak_gib(), "GiB", MEMORY_LIMIT_GIB, note="with making the block"),
    ]


def prepared(url: Path, size: Zyx, block: NDArray[np.uint8]) -> VolumeSpec:
    """A run of a volume of `size` voxels that has rendered `block`, its first one."""
    store = Store(str(url))
    config = Request(id="benchmark", source="none")
    spec = build_volume(config, (0, 0, 0), size, "uint8", None)
    store.write(CONFIG, config.to_bytes())
    laid_out(store, spec)
    z, y, x = block.shape
    rendered(store, spec, Box(begin=(0, 0, 0), end=(z, y, x)), block)
    return spec


def contrasted(shape: Zyx) -> NDArray[np.uint8]:
    """Real slices after CLAHE, [z, y, x]."""
    volume = real_volume()
    depth, height, width = shape
    block = np.empty(shape, np.uint8)
    for z in range(depth):
        block[z] = clahe(mosaic_slice(volume, max(height, width), z), CLIP_LIMIT)[:height, :width]
    return block
