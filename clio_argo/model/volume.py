"""Shapes and grids of the volumes. All tuples are in array order: z, y, x.

One absolute grid holds all scales, z in slice numbers. Voxel i of a scale with factor f covers
[i * f, (i + 1) * f) of scale 0, so begin = floor(begin0 / f) and end = ceil(end0 / f). Shards and blocks are
counted from the begin of their own scale, which is where both formats start their chunk grids; a unit
therefore reads up to f - 1 planes of its neighbour when the stack does not start at a multiple of f.
"""

import functools
import itertools
import math
import operator
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from clio_argo.model.base import Document, Value
from clio_argo.model.plan import FanOut
from clio_argo.model.values import ITEMSIZE

Zyx = tuple[int, int, int]
Window = tuple[float, float]
# bytes of a GiB
GIB = 2**30
# red, green and blue
RGB = 3
# bytes per voxel of a block for what waits for other colours, 8 bits of three at all scales (3.4), and for shards of
# these: writing a block of 0.5 GiB a colour took 3.9 GiB in all
WAITING = 5.0
# a block, its coarser scales and buffers: writing a block of 0.5 GiB took 1.24 GiB in all (docs/benchmarks.md, write)
BLOCK_COPIES = 2.5


def block_bytes(itemsize: int, rgb: bool) -> float:
    """Bytes that writing a block takes per voxel."""
    return BLOCK_COPIES * itemsize + (WAITING if rgb else 0)


def zyx(values: Iterable[int]) -> Zyx:
    """Three whole numbers, of any integer type, as a tuple (z, y, x)."""
    z, y, x = values
    return int(z), int(y), int(x)


def plus(a: Zyx, b: Zyx) -> Zyx:
    """Sum along each axis."""
    return zyx(p + q for p, q in zip(a, b, strict=True))


def times(a: Zyx, b: Zyx) -> Zyx:
    """Product along each axis."""
    return zyx(p * q for p, q in zip(a, b, strict=True))


def over(a: Zyx, b: Zyx) -> Zyx:
    """Quotient along each axis, rounded down."""
    return zyx(p // q for p, q in zip(a, b, strict=True))


def minimum(a: Zyx, b: Zyx) -> Zyx:
    """The smaller number of each axis."""
    return zyx(map(min, a, b))


def maximum(a: Zyx, b: Zyx) -> Zyx:
    """The larger number of each axis."""
    return zyx(map(max, a, b))


def morton_box(chunks: Zyx, bits: int) -> Zyx:
    """Number of chunks (z, y, x) that share all but the low `bits` of their compressed Morton code.

    chunks: number of chunks of the scale along each axis.
    """
    z, y, x = (sum(a == axis for a in morton_axes(chunks)[:bits]) for axis in range(3))
    return 1 << z, 1 << y, 1 << x


def morton_axes(chunks: Zyx) -> list[int]:
    """The axis (0 = z) of each bit of the compressed Morton code, lowest bit first.

    A bit of an axis exists only while 2^bit is below the number of chunks; x comes first
    (neuroglancer's precomputed format, "compressed morton code").
    """
    deepest = max(c - 1 for c in chunks).bit_length()
    return [axis for bit in range(deepest) for axis in (2, 1, 0) if 1 << bit < chunks[axis]]


class Box(Value):
    """A half-open box of voxels [begin, end)."""

    begin: Zyx
    end: Zyx

    @property
    def shape(self) -> Zyx:
        """Voxels along each axis; negative where `end` lies before `begin`."""
        return zyx(e - b for b, e in zip(self.begin, self.end, strict=True))

    @property
    def empty(self) -> bool:
        """Whether it holds no voxel."""
        return min(self.shape) <= 0

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of its voxels in an array [z, y, x] that begins at 0."""
        z, y, x = (slice(b, e) for b, e in zip(self.begin, self.end, strict=True))
        return z, y, x

    def clip(self, other: "Box") -> "Box":
        """The part of it that lies in `other`."""
        return Box(begin=maximum(self.begin, other.begin), end=minimum(self.end, other.end))

    def shift(self, offset: Zyx) -> "Box":
        """The box moved by `offset` voxels."""
        return Box(begin=plus(self.begin, offset), end=plus(self.end, offset))

    def grid(self, step: Zyx) -> Iterator["Box"]:
        """Boxes of shape `step`, counted from `begin`, clipped to this box."""
        for corner in np.ndindex(*(-(-s // d) for s, d in zip(self.shape, step, strict=True))):
            begin = plus(self.begin, times(zyx(corner), step))
            yield Box(begin=begin, end=plus(begin, step)).clip(self)


class ScaleSpec(Value):
    """One scale of both volumes."""

    factor: Zyx = Field(description="Voxels of scale 0 per voxel.")
    begin: Zyx = Field(description="First voxel on the absolute grid.")
    size: Zyx = Field(description="Number of voxels.")
    resolution: tuple[float, float, float] = Field(description="Voxel size in nm, z, y, x.")
    shard: Zyx = Field(description="Shape of a shard of aligned/, voxels.")
    inner: Zyx = Field(description="Shape of a chunk within a shard of aligned/, voxels.")
    preshift_bits: int = Field(description="Chunks per shard of ng/, as a power of two.")
    shard_bits: int = Field(description="Bits of the number of a shard of ng/.")

    @property
    def box(self) -> Box:
        """All of its voxels."""
        return Box(begin=self.begin, end=plus(self.begin, self.size))

    @property
    def key(self) -> str:
        """Its folder in the viewer volume: voxel size in nm as X_Y_Z, as neuroglancer's tools name it."""
        return "_".join(f"{r:g}" for r in reversed(self.resolution))


class VolumeChannel(Value):
    """One channel of a volume, and how its grey values are changed before they are stored."""

    name: str
    number: int | None = Field(None, description="Its place among the channels of a slice; None: there are none.")
    colour: str = Field("ffffff", description="Colour in which a viewer shows it, six hexadecimal digits.")
    window: Window | None = Field(None, description="Stored values shown as black and white; None: unchanged.")
    recorded: Window | None = Field(None, description="The same in the grey values of the files, before the contrast.")
    background: int = Field(0, description="Grey value outside of the slices.")
    clip_limit: float = Field(0.0, description="Of CLAHE; 0: none.")
    invert: bool = False
    even: bool = Field(
        False, description="Whether it is evened out against flicker, which is found in what is aligned."
    )


class Tier(Value):
    """One pass over the volume: units read scale `source` and write scales `first` to `last` (inclusive)."""

    source: int
    first: int
    last: int
    unit: Zyx = Field(description="Shape of a unit in voxels of scale `source`; single axes hold it whole.")
    grid: Zyx = Field(description="Units along each axis.")

    @property
    def scales(self) -> range:
        """Scales that its units write."""
        return range(self.first, self.last + 1)

    def corner(self, unit: int) -> Zyx:
        """Place of a unit in the grid of units; x varies fastest."""
        nz, ny, nx = self.grid
        return unit // (ny * nx) % nz, unit // nx % ny, unit % nx


class VolumeSpec(Document):
    """All shapes of the two volumes. `solve` makes it, and nothing changes it afterwards."""

    name: str
    dtype: Literal["uint8", "uint16"]
    background: int = Field(description="Grey value outside of the slices.")
    chunk: int = Field(description="Edge of a cubic chunk of ng/ in voxels.")
    jpeg_quality: int
    window: Window | None = Field(description="Stored values shown as black and white; None: unchanged.")
    aligned: str = Field(description="Folder of the lossless volume under the run's root.")
    slab: int = Field(description="Planes of one unit of render.")
    scales: tuple[ScaleSpec, ...]
    shown: tuple[int, int] | None = Field(None, description="First and last scale of ng/; None: all.")
    write_tier: Tier
    coarsen_tier: Tier
    render: FanOut
    write: FanOut
    coarsen: FanOut
    # left out of grey volumes, which are the documents that they were before there were channels, with their digests
    channels: tuple[VolumeChannel, ...] = Field(
        (), exclude_if=operator.not_, description="Empty: one grey channel, and no axis of channels."
    )
    rgb: bool = Field(
        False, exclude_if=operator.not_, description="Whether the first three channels are red, green and blue."
    )
    held_bytes: int = Field(
        0, exclude_if=operator.not_, description="Of decoded pictures that render keeps for their other channels."
    )
    main: int = Field(
        0, exclude_if=operator.not_, description="The channel of thumbnails and of the similarity of planes."
    )

    def shapes(self, layer: int = 0) -> dict[str, Any]:
        """All that decides the voxels of a layer: no numbers of units and parts, and no other channel."""
        others = {i for i in range(len(self.channels)) if i not in self.layers[layer]}
        return self.model_dump(exclude={**dict.fromkeys([*self.work, "held_bytes"], True), "channels": others})

    @property
    def all_channels(self) -> tuple[VolumeChannel, ...]:
        """Its channels; of a grey volume the one that it holds."""
        return self.channels or (VolumeChannel(name=self.name, window=self.window, background=self.background),)

    @property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Channels of each layer of ng/: red, green and blue share one."""
        first = RGB if self.rgb else 1
        return (tuple(range(first)), *((c,) for c in range(first, len(self.channels))))

    @property
    def slabs(self) -> int:
        """Slabs of the stack; `render` has a unit for each channel of each of them."""
        return -(-self.scales[0].size[0] // self.slab)

    def channel_and_slab(self, unit: int) -> tuple[int, int]:
        """What a unit of `render` makes. Channels of a slab follow each other: parts have consecutive slices."""
        slab, channel = divmod(unit, len(self.all_channels))
        return channel, slab

    def layer_of(self, unit: int) -> int:
        """The layer that a unit of `write` or `coarsen` makes."""
        return unit % len(self.layers)

    @property
    def work(self) -> dict[str, FanOut]:
        """The units of the steps that write voxels, in the steps' order."""
        return {name: value for name, value in self if isinstance(value, FanOut)}

    @property
    def itemsize(self) -> int:
        """Bytes of a voxel of the lossless volume."""
        return ITEMSIZE[self.dtype]

    @property
    def ng_scales(self) -> range:
        """Scales of ng/."""
        first, last = self.shown or (0, len(self.scales) - 1)
        return range(first, last + 1)

    def unit_box(self, tier: Tier, unit: int, scale: int) -> Box:
        """The voxels of `scale` that `unit` owns, on the absolute grid; empty where the scale ends before it."""
        spec, corner = self.scales[scale], tier.corner(unit // len(self.layers))
        step = self.step(tier, scale)
        begin = plus(spec.begin, times(corner, step))
        return Box(begin=begin, end=plus(begin, step)).clip(spec.box)

    def step(self, tier: Tier, scale: int) -> Zyx:
        """Shape of a unit of `tier` in voxels of `scale`."""
        ratio = self.ratio(tier.source, scale)
        size = self.scales[scale].size
        return zyx(s if g == 1 else u // r for s, g, u, r in zip(size, tier.grid, tier.unit, ratio, strict=True))

    def ratio(self, fine: int, coarse: int) -> Zyx:
        """Voxels of scale `fine` per voxel of scale `coarse`."""
        return over(self.scales[coarse].factor, self.scales[fine].factor)

    def source_box(self, tier: Tier, unit: int) -> Box:
        """The voxels of the tier's source that `unit` needs for all scales that it writes, on the absolute grid."""
        source = self.scales[tier.source]
        # coarse voxels reach up to their factor - 1 voxels beyond the unit where a scale begins at no multiple of it
        boxes = [(self.unit_box(tier, unit, k), self.ratio(tier.source, k)) for k in tier.scales]
        ends = [(times(b.begin, r), times(b.end, r)) for b, r in boxes if not b.empty]
        if not ends:
            return Box(begin=source.begin, end=source.begin)
        begin = functools.reduce(minimum, (e[0] for e in ends))
        return Box(begin=begin, end=functools.reduce(maximum, (e[1] for e in ends))).clip(source.box)

    def units_touching(self, tier: Tier, scale: int, box: Box, layer: int = 0) -> list[int]:
        """Units of `tier` that own voxels of `scale` in `box`, of one layer."""
        step, begin = self.step(tier, scale), self.scales[scale].begin
        spans = [
            range(max(0, (lo - b) // s), min(g, -(-(hi - b) // s)))
            for lo, hi, b, s, g in zip(box.begin, box.end, begin, step, tier.grid, strict=True)
        ]
        _, ny, nx = tier.grid
        boxes = ((z * ny + y) * nx + x for z, y, x in itertools.product(*spans))
        return [box * len(self.layers) + layer for box in boxes]

    def slab_box(self, unit: int) -> Box:
        """The planes of scale 0 that `unit` of render owns, on the absolute grid."""
        whole = self.scales[0].box
        _, slab = self.channel_and_slab(unit)
        z0 = whole.begin[0] + slab * self.slab
        return Box(begin=(z0, 0, 0), end=(z0 + self.slab, *whole.end[1:])).clip(whole)

    def ng_shard(self, scale: int) -> Zyx:
        """Shape of a shard of ng/ in voxels."""
        spec = self.scales[scale]
        return times(morton_box(self.chunks(scale), spec.preshift_bits), (self.chunk,) * 3)

    def chunks(self, scale: int) -> Zyx:
        """Chunks of ng/ along each axis."""
        return zyx(-(-s // self.chunk) for s in self.scales[scale].size)

    def morton(self, scale: int, corner: Zyx) -> int:
        """Compressed Morton code of the chunk at `corner` (z, y, x)."""
        rest, code = list(corner), 0
        for bit, axis in enumerate(morton_axes(self.chunks(scale))):
            code |= (rest[axis] & 1) << bit
            rest[axis] >>= 1
        return code

    def memory_gib(self, step: str) -> float:
        """Memory in GiB that one unit of `step` needs: its arrays, its codecs and the interpreter."""
        plane = self.scales[0].size[1] * self.scales[0].size[2] * self.itemsize
        tier = self.coarsen_tier if step == "coarsen" else self.write_tier
        block = math.prod(minimum(tier.unit, self.scales[tier.source].size))
        # eight planes: the decoded slice, its float copies and the warped one; a file may hold all channels of it.
        # Half a GiB: interpreter and libraries
        planes = self.slab + max(8, len(self.channels) + 4)
        need = plane * planes + self.held_bytes if step == "render" else block * block_bytes(self.itemsize, self.rgb)
        return need / GIB + 0.5
