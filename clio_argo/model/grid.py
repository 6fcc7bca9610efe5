"""Fixes the shapes of a volume: scales, slabs, blocks, shards (see `volume` for the laws of the grid)."""

import math
from collections.abc import Sequence
from typing import Literal

from clio_argo.errors import UserError
from clio_argo.model.layout import lossless_folder
from clio_argo.model.plan import FanOut
from clio_argo.model.request import Request, Viewer
from clio_argo.model.volume import (
    GIB,
    ScaleSpec,
    Tier,
    VolumeSpec,
    Zyx,
    maximum,
    minimum,
    morton_axes,
    morton_box,
    over,
    times,
    zyx,
)

BLOCK: Zyx = (512, 1024, 1024)
INNER_DEPTH = 32
LARGEST_SHARD: Zyx = (256, 512, 512)
SHARD_VOXELS = 2**27
MAX_SLAB, MIN_SLAB, SLABS_WANTED = 64, 4, 8
SMALLEST_SIDE = 512
Grid = Sequence[tuple[Zyx, Zyx, Zyx]]


def build_volume(
    config: Request, begin: Zyx, size: Zyx, dtype: Literal["uint8", "uint16"], window: tuple[float, float] | None
) -> VolumeSpec:
    """Fix all shapes for a canvas of `size` voxels at `begin` (z, y, x; z in slice numbers).

    Raises:
        UserError: no slab of such a canvas fits into a worker's memory, or it has no scale that is to be shown.
    """
    itemsize = 1 if dtype == "uint8" else 2
    rx, ry, rz = config.resolution
    grid = scale_grid(begin, size, (rz, ry, rx))
    slab = slab_depth(config.memory_gib, size[0], size[1] * size[2] * itemsize)
    if not slab:
        raise UserError(
            f"memory_gib {config.memory_gib:g}: a canvas of {size[2]} x {size[1]} pixels needs workers with "
            f"at least {memory_for_slab(size[1] * size[2] * itemsize):g} GiB"
        )
    block = block_shape(config, itemsize, slab)
    write = _tier(grid, 0, 0, _last_whole(grid, block, config.viewer.chunk), block)
    coarsen = _coarsen_tier(grid, write.last, config.viewer.chunk)
    chunk = config.viewer.chunk
    return VolumeSpec(
        name=config.id,
        dtype=dtype,
        background=config.background,
        chunk=chunk,
        jpeg_quality=config.viewer.jpeg_quality,
        window=window,
        aligned=lossless_folder(config.lossless),
        slab=slab,
        scales=tuple(
            _scale(grid, k, (rz, ry, rx), write if k <= write.last else coarsen, slab, chunk) for k in range(len(grid))
        ),
        shown=shown_scales(config.viewer, len(grid)),
        write_tier=write,
        coarsen_tier=coarsen,
        render=FanOut.of(-(-size[0] // slab), config.max_parts),
        write=FanOut.of(math.prod(write.grid), config.max_parts),
        coarsen=FanOut.of(math.prod(coarsen.grid) if write.last + 1 < len(grid) else 0, config.max_parts),
    )


def shown_scales(viewer: Viewer, scales: int) -> tuple[int, int]:
    """First and last scale of the viewer volume, of so many that there are."""
    first, last = viewer.scales or (0, scales - 1)
    if first >= scales:
        raise UserError(f"viewer.scales {first} to {last}: the volume has scales 0 to {scales - 1}")
    return first, min(last, scales - 1)


def scale_grid(begin: Zyx, size: Zyx, resolution: tuple[float, float, float]) -> Grid:
    """(factor, begin, size) of all scales, until the largest side is below 512 voxels.

    Each step halves the axes whose voxels are finest (within a factor of sqrt 2), so that anisotropic
    volumes become isotropic first. A side of 1 is not halved.
    """
    grid = [((1, 1, 1), begin, size)]
    while max(grid[-1][2]) >= SMALLEST_SIDE:
        factor = _next_factor(grid[-1][2], resolution, grid[-1][0])
        low = over(begin, factor)
        high = zyx(-(-(b + s) // f) for b, s, f in zip(begin, size, factor, strict=True))
        grid.append((factor, low, zyx(h - b for h, b in zip(high, low, strict=True))))
    return grid


def _next_factor(size: Zyx, resolution: tuple[float, float, float], factor: Zyx) -> Zyx:
    voxel = [r * f for r, f in zip(resolution, factor, strict=True)]
    finest = min(v for v, s in zip(voxel, size, strict=True) if s > 1)
    halve = [s > 1 and v <= finest * math.sqrt(2) for v, s in zip(voxel, size, strict=True)]
    return zyx(f * 2 if h else f for f, h in zip(factor, halve, strict=True))


def slab_depth(memory_gib: float, slices: int, plane_bytes: int) -> int:
    """Planes of a render unit: a power of two up to 64 that fits into 40 % of the memory (0: none fits).

    Small stacks get thinner slabs, so that about eight of them can be rendered in parallel.
    """
    fits = int(0.4 * memory_gib * GIB // plane_bytes)
    if fits < MIN_SLAB:
        return 0
    return min(MAX_SLAB, _power_below(fits), _power_below(max(MIN_SLAB, slices // SLABS_WANTED)))


def memory_for_slab(plane_bytes: int) -> float:
    """GiB that a worker needs for the thinnest slab."""
    return math.ceil(10 * MIN_SLAB * plane_bytes / 0.4 / GIB) / 10


def block_shape(config: Request, itemsize: int, slab: int) -> Zyx:
    """Shape of a block of `write`: 512 planes of 1024 x 1024, thinner where memory is small."""
    depth, thinnest = BLOCK[0], max(slab, config.viewer.chunk)
    while depth > thinnest and depth * BLOCK[1] * BLOCK[2] * itemsize * 2.5 > 0.75 * config.memory_gib * GIB:
        depth //= 2
    return depth, BLOCK[1], BLOCK[2]


def _last_whole(grid: Grid, block: Zyx, chunk: int) -> int:
    """The coarsest scale at which a block of scale 0 still holds whole chunks."""
    last = 0
    while last + 1 < len(grid) and _whole(_tier(grid, 0, 0, last + 1, block), grid, chunk):
        last += 1
    return last


def _whole(tier: Tier, grid: Grid, chunk: int) -> bool:
    ratio = over(grid[tier.last][0], grid[tier.source][0])
    return all(g == 1 or (u // r % chunk == 0 and u >= r)
               for g, u, r in zip(tier.grid, tier.unit, ratio, strict=True))  # fmt: skip


def _tier(grid: Grid, source: int, first: int, last: int, unit: Zyx) -> Tier:
    counts = (1, 1, 1)
    for factor, _, size in grid[first : last + 1]:
        step = over(unit, over(factor, grid[source][0]))
        counts = maximum(counts, zyx(-(-s // max(1, d)) for s, d in zip(size, step, strict=True)))
    return Tier(source=source, first=first, last=last, unit=unit, grid=counts)


def _coarsen_tier(grid: Grid, source: int, chunk: int) -> Tier:
    last = len(grid) - 1
    whole = times((chunk,) * 3, over(grid[last][0], grid[source][0]))
    return _tier(grid, source, min(source + 1, last), last, maximum(BLOCK, whole))


def _scale(grid: Grid, k: int, resolution: tuple[float, float, float], tier: Tier, slab: int, chunk: int) -> ScaleSpec:
    factor, begin, size = grid[k]
    step = over(tier.unit, over(factor, grid[tier.source][0]))
    chunks = zyx(-(-s // chunk) for s in size)
    held = zyx(c if g == 1 else d // chunk for c, g, d in zip(chunks, tier.grid, step, strict=True))
    preshift = _preshift(chunks, held, chunk)
    inner, shard = _aligned_shard(size, step, slab if k == 0 else 0)
    z, y, x = (r * f for r, f in zip(resolution, factor, strict=True))
    return ScaleSpec(
        factor=factor,
        begin=begin,
        size=size,
        resolution=(z, y, x),
        shard=shard,
        inner=inner,
        preshift_bits=preshift,
        shard_bits=len(morton_axes(chunks)) - preshift,
    )


def _preshift(chunks: Zyx, held: Zyx, chunk: int) -> int:
    """Most low Morton bits whose box lies within the `held` chunks of a unit and within 2^27 voxels."""
    bits = 0
    for _ in range(min(len(morton_axes(chunks)), int(math.log2(SHARD_VOXELS // chunk**3)))):
        if any(b > h for b, h in zip(morton_box(chunks, bits + 1), _power_above(held), strict=True)):
            break
        bits += 1
    return bits


def _aligned_shard(size: Zyx, step: Zyx, slab: int) -> tuple[Zyx, Zyx]:
    """(inner chunk, shard) of aligned/: whole inner chunks of about half a MiB, no larger than needed."""
    depth = slab or step[0]
    limit = minimum((depth, step[1], step[2]), _power_above(size))
    thick = min(INNER_DEPTH, limit[0])
    side = 128 if thick >= 16 else 256
    inner = minimum((thick, side, side), limit)
    need = zyx(-(-s // i) * i for s, i in zip(size, inner, strict=True))
    largest = minimum((depth, step[1], step[2]), (slab, *BLOCK[1:]) if slab else LARGEST_SHARD)
    return inner, minimum(largest, need)


def _power_below(n: int) -> int:
    return 1 << max(0, n.bit_length() - 1)


def _power_above(sizes: Zyx) -> Zyx:
    return zyx(1 << (s - 1).bit_length() for s in sizes)
