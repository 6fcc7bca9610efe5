"""Shapes of chunks and shards of both volumes."""

import math

from clio_argo.model.volume import Zyx, minimum, morton_axes, morton_box, zyx

# (32, 128, 128) voxels of 8 bit are half a MiB: worth a request to a bucket, and little to decode for a small view
INNER_DEPTH = 32
# 64 MiB of 8 bit: shards at the border of a volume are made in memory
LARGEST_SHARD: Zyx = (256, 512, 512)
# 512 x 512 x 512, four shards to a block at full size; at 64 x 64 x 64 a chunk these are 9 preshift bits
SHARD_VOXELS = 2**27


def viewer_shard_bits(chunks: Zyx, unit_chunks: Zyx, chunk: int) -> tuple[int, int]:
    """Preshift bits and shard bits of a scale of the viewer volume.

    The preshift is the largest whose Morton box lies within the chunks of a unit, so that each shard has one writer,
    and within 2^27 voxels.

    chunks, unit_chunks: chunks of the scale and of a unit along each axis.
    chunk: edge of a chunk in voxels.
    """
    code_bits, bits = len(morton_axes(chunks)), 0
    for _ in range(min(code_bits, int(math.log2(SHARD_VOXELS // chunk**3)))):
        if any(b > u for b, u in zip(morton_box(chunks, bits + 1), _powers_above(unit_chunks), strict=True)):
            break
        bits += 1
    return bits, code_bits - bits


def lossless_shard(size: Zyx, step: Zyx, slab: int) -> tuple[Zyx, Zyx]:
    """Inner chunk and shard of a scale of the lossless volume: chunks of about half a MiB, no larger than needed.

    size: of the scale in voxels.
    step: of a unit in voxels of the scale.
    slab: planes of a unit of `render`, which writes scale 0; 0 at other scales.
    """
    unit = (slab or step[0], step[1], step[2])
    # a chunk larger than a small volume would store padding
    limit = minimum(unit, _powers_above(size))
    thick = min(INNER_DEPTH, limit[0])
    # thin slabs get wider chunks, which hold half a MiB again
    side = 128 if thick >= 16 else 256
    inner = minimum((thick, side, side), limit)
    whole = zyx(-(-s // i) * i for s, i in zip(size, inner, strict=True))
    return inner, minimum(unit if slab else minimum(unit, LARGEST_SHARD), whole)


def _powers_above(sizes: Zyx) -> Zyx:
    return zyx(1 << (s - 1).bit_length() for s in sizes)
