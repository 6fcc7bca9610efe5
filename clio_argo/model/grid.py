"""Fixes the shapes of a volume: scales, slabs and blocks (see `volume` for the laws of the grid)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clio_argo.errors import UserError
from clio_argo.model.appearance import Viewer
from clio_argo.model.layout import lossless_folder
from clio_argo.model.plan import FanOut
from clio_argo.model.request import Request
from clio_argo.model.sharding import lossless_shard, viewer_shard_bits
from clio_argo.model.values import ITEMSIZE, Dtype
from clio_argo.model.volume import (
    GIB,
    RGB,
    ScaleSpec,
    Tier,
    VolumeChannel,
    VolumeSpec,
    Window,
    Zyx,
    block_bytes,
    maximum,
    over,
    times,
    zyx,
)
from clio_argo.model.voxel_size import ASSUMED_NM

# a block takes 2.9 CPU s and 1.24 GiB (docs/benchmarks.md, write), and holds whole shards at four scales
BLOCK: Zyx = (512, 1024, 1024)
# Time and size of lossless slabs of 8 to 64 planes differ by less than 20 %, so memory decides. Slabs of fewer than 4
# planes would have chunks below a quarter of a MiB. Eight slabs keep the cores of one machine busy.
MAX_SLAB, MIN_SLAB, SLABS = 64, 4, 8
# a volume that fits a screen needs no coarser scale
SMALLEST_SIDE = 512
# the rest is for the decoded slice, its warp and contrast, and the interpreter
SLAB_SHARE = 0.4
# the rest is for the interpreter, its libraries and requests under way
BLOCK_SHARE = 0.75
Grid = Sequence[tuple[Zyx, Zyx, Zyx]]


@dataclass(frozen=True)
class Channels:
    """The channels of a volume; `VolumeSpec` has the same fields.

    picture_bytes: of the samples of a page that holds all of them; 0: no page does.
    """

    channels: tuple[VolumeChannel, ...] = ()
    rgb: bool = False
    main: int = 0
    picture_bytes: int = 0


GREY = Channels()


def build_volume(
    request: Request, begin: Zyx, size: Zyx, dtype: Dtype, window: Window | None, held: Channels = GREY
) -> VolumeSpec:
    """Fix all shapes for a canvas of `size` voxels at `begin` (z, y, x; z in slice numbers).

    Raises:
        UserError: no slab of such a canvas fits into a worker's memory, or `viewer.scales` starts beyond the coarsest.
    """
    itemsize = ITEMSIZE[dtype]
    rx, ry, rz = request.resolution or ASSUMED_NM
    grid = scale_grid(begin, size, (rz, ry, rx))
    slab = slab_depth(request.memory_gib, size[0], size[1] * size[2] * itemsize)
    if not slab:
        raise UserError(
            f"memory_gib {request.memory_gib:g}: a canvas of {size[2]} x {size[1]} pixels needs workers with "
            f"at least {memory_for_slab(size[1] * size[2] * itemsize):g} GiB"
        )
    block = block_shape(request, block_bytes(itemsize, held.rgb), slab)
    write = _tier(grid, 0, 0, _last_whole(grid, block, request.viewer.chunk), block)
    coarsen = _coarsen_tier(grid, write.last, request.viewer.chunk)
    chunk = request.viewer.chunk
    channels = max(1, len(held.channels))
    layers = channels - (RGB - 1) * held.rgb
    volume = VolumeSpec(
        name=request.id,
        dtype=dtype,
        background=request.background,
        chunk=chunk,
        jpeg_quality=request.viewer.jpeg_quality,
        window=window,
        aligned=lossless_folder(request.lossless),
        slab=slab,
        scales=tuple(
            _scale(grid, k, (rz, ry, rx), write if k <= write.last else coarsen, slab, chunk) for k in range(len(grid))
        ),
        shown=shown_scales(request.viewer, len(grid)),
        write_tier=write,
        coarsen_tier=coarsen,
        render=FanOut.of(channels * -(-size[0] // slab), together=channels),
        write=FanOut.of(layers * math.prod(write.grid)),
        coarsen=FanOut.of(layers * math.prod(coarsen.grid) if write.last + 1 < len(grid) else 0),
        channels=held.channels,
        rgb=held.rgb,
        main=held.main,
    )
    # decoding is most of render: what memory is left holds pictures until all of their channels are rendered
    room = max(0.0, request.memory_gib - volume.memory_gib("render")) * GIB
    pictures = min(slab, int(room // max(1, held.picture_bytes)))
    return volume.model_copy(update={"held_bytes": pictures * held.picture_bytes})


def shown_scales(viewer: Viewer, scales: int) -> tuple[int, int]:
    """First and last scale of the viewer volume, of `scales` scales. Raises `UserError` if the first does not exist."""
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
        # from scale 0, not from the scale before: floor and ceil of each step would add up
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
    planes = int(SLAB_SHARE * memory_gib * GIB // plane_bytes)
    if planes < MIN_SLAB:
        return 0
    return min(MAX_SLAB, _power_below(planes), _power_below(max(MIN_SLAB, slices // SLABS)))


def memory_for_slab(plane_bytes: int) -> float:
    """GiB that a worker needs for the thinnest slab."""
    return math.ceil(10 * MIN_SLAB * plane_bytes / SLAB_SHARE / GIB) / 10


def block_shape(request: Request, voxel_bytes: float, slab: int) -> Zyx:
    """Shape of a block of `write`: 512 planes of 1024 x 1024, thinner where memory is small.

    voxel_bytes: that writing takes per voxel.
    """
    depth, thinnest = BLOCK[0], max(slab, request.viewer.chunk)
    planes = BLOCK_SHARE * request.memory_gib * GIB / (BLOCK[1] * BLOCK[2] * voxel_bytes)
    while depth > thinnest and depth > planes:
        depth //= 2
    return depth, BLOCK[1], BLOCK[2]


def _last_whole(grid: Grid, block: Zyx, chunk: int) -> int:
    """The coarsest scale at which a block of scale 0 still holds whole chunks."""
    # a chunk that two blocks share would have two writers; such scales are left to `coarsen`
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
    # at least one chunk of the coarsest scale, so that every scale above is whole, too
    whole = times((chunk,) * 3, over(grid[last][0], grid[source][0]))
    return _tier(grid, source, min(source + 1, last), last, maximum(BLOCK, whole))


def _scale(grid: Grid, k: int, resolution: tuple[float, float, float], tier: Tier, slab: int, chunk: int) -> ScaleSpec:
    factor, begin, size = grid[k]
    step = over(tier.unit, over(factor, grid[tier.source][0]))
    chunks = zyx(-(-s // chunk) for s in size)
    # an axis that one unit spans whole counts with its last, partial chunk
    unit_chunks = zyx(c if g == 1 else d // chunk for c, g, d in zip(chunks, tier.grid, step, strict=True))
    preshift_bits, shard_bits = viewer_shard_bits(chunks, unit_chunks, chunk)
    inner, shard = lossless_shard(size, step, slab if k == 0 else 0)
    z, y, x = (r * f for r, f in zip(resolution, factor, strict=True))
    return ScaleSpec(
        factor=factor,
        begin=begin,
        size=size,
        resolution=(z, y, x),
        shard=shard,
        inner=inner,
        preshift_bits=preshift_bits,
        shard_bits=shard_bits,
    )


def _power_below(n: int) -> int:
    return 1 << max(0, n.bit_length() - 1)
