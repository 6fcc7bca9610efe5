"""The arrays of a run: both volumes at every scale, read and written shard by shard."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.errors import BrokenInvariant
from clio_argo.model import layout
from clio_argo.model.formats import info, provenance, zarr_array, zarr_group
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box, Tier, VolumeSpec, Zyx, over, plus, times, zyx
from clio_argo.store.documents import Store, as_json
from clio_argo.store.faults import store_errors

Voxels = NDArray[np.uint8] | NDArray[np.uint16]
# shards are read and written once, and a process has one CPU; backends add what limits their requests
LIMITS = {"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}}
BACK: Zyx = (-1, -1, -1)  # times a corner: the shift that moves it to the origin
# every expected object exists, so a missing one is always a fault
STORE_ALL = {"store_data_equal_to_fill_value": True, "fill_missing_data_reads": False}


@dataclass(frozen=True)
class Volumes:
    """`aligned/` and `ng/` of one run; boxes are absolute, arrays [z, y, x] of one channel.

    Layers of ng/ with three channels are arrays [c, z, y, x].
    """

    store: Store
    spec: VolumeSpec

    @cached_property
    def _context(self) -> ts.Context:
        return ts.Context({**LIMITS, **self.store.limits})

    def create(self, attributes: dict[str, Any]) -> list[ObjectRecord]:
        """Write all metadata; no voxel."""
        return self.store.write_all((n, as_json(value)) for n, value in self._metadata(attributes).items())

    def _metadata(self, attributes: dict[str, Any]) -> dict[str, Any]:
        spec = self.spec
        layers = range(len(spec.layers))
        values = [value for layer in layers for value in (info(spec, layer), provenance(attributes))]
        values.append(zarr_group(spec, attributes))
        values += [zarr_array(spec, scale) for scale in spec.scales]
        return dict(zip(metadata_names(spec), values, strict=True))

    def read(self, scale: int, box: Box, channel: int = 0) -> Voxels:
        """Voxels [z, y, x] of `box` of a channel of the lossless volume."""
        with store_errors(self.store.url_of(layout.lossless_scale_folder(self.spec, scale)), ""):
            return np.asarray(self.aligned(scale, channel)[box.slices].read().result())

    def read_viewer(self, scale: int, box: Box, layer: int = 0) -> NDArray[np.uint8]:
        """Voxels [z, y, x] or [c, z, y, x] of `box` of a layer of the viewer volume."""
        with store_errors(self.store.url_of(layout.viewer_folder(self.spec, scale, layer)), ""):
            return np.asarray(self.viewer(scale, layer)[..., *box.slices].read().result())

    def write_aligned(self, scale: int, box: Box, voxels: Voxels, channel: int = 0) -> list[ObjectRecord]:
        """Write whole shards of a channel of the lossless volume at `scale`: `voxels` [z, y, x] fills `box`."""
        array = self.aligned(scale, channel, self._scratch)
        shards = aligned_shards(self.spec, scale, box, channel)
        return [self._put(array, s, voxels[_inside(s.box(self.spec), box.begin).slices]) for s in shards]

    def write_viewer(self, scale: int, box: Box, voxels: NDArray[np.uint8], layer: int = 0) -> list[ObjectRecord]:
        """Write whole shards of a layer of ng/ at `scale`: `voxels` [z, y, x] or [c, z, y, x] fills `box`."""
        array, shards = self.viewer(scale, layer, self._scratch), viewer_shards(self.spec, scale, box, layer)
        parts = ((s, voxels[..., *_inside(s.box(self.spec), box.begin).slices]) for s in shards)
        return [self._put(array, s, without_zero_chunks(part, self.spec.chunk)) for s, part in parts]

    def read_shard(self, shard: "Shard") -> Voxels:
        """All voxels of a shard: [z, y, x], or [c, z, y, x] of a layer with three channels."""
        read = self.read_viewer if shard.volume == layout.VIEWER else self.read
        return read(shard.scale, shard.box(self.spec), shard.part)

    def _put(self, array: ts.TensorStore, shard: "Shard", voxels: Voxels) -> ObjectRecord:
        """Write `voxels` [..., z, y, x] as one shard, whatever was there; its size and checksum.

        It is made in memory, so that what the store holds can be compared with the bytes that were meant; in the store
        tensorstore would keep the padding of an old shard, and stop at a damaged one. In one transaction, since outside
        of one every chunk rewrites its shard.

        array: the volume at the shard's scale, in memory.
        """
        with ts.Transaction() as transaction:
            array.with_transaction(transaction)[..., *shard.box(self.spec).slices] = voxels
        data = self._scratch.read(shard.name).result().value
        self._scratch.write(shard.name, None).result()
        return self.store.write(shard.name, data)

    @cached_property
    def _scratch(self) -> ts.KvStore:
        """The metadata of both volumes in memory, where shards are made."""
        memory = ts.KvStore.open("memory://", context=ts.Context(LIMITS)).result()
        for name, value in self._metadata({}).items():
            memory.write(name, as_json(value)).result()
        return memory

    def viewed(self, voxels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What a chunk of the viewer volume [z, y, x], or [c, z, y, x], shows: the voxels after JPEG."""
        grid = {"size": voxels.shape[:-4:-1], "resolution": [1, 1, 1], "chunk_size": [self.spec.chunk] * 3}
        scale = {**grid, "encoding": "jpeg", "jpeg_quality": self.spec.jpeg_quality}
        kind = {"type": "image", "data_type": "uint8", "num_channels": math.prod(voxels.shape[:-3])}
        spec = {"driver": "neuroglancer_precomputed", "kvstore": "memory://", "multiscale_metadata": kind}
        whole = ts.open({**spec, "scale_metadata": scale, **STORE_ALL}, create=True).result()
        array = _in_order(whole)
        array.write(without_zero_chunks(voxels, self.spec.chunk)).result()
        return np.asarray(array.read().result())

    def aligned(self, scale: int, channel: int = 0, kvstore: ts.KvStore | None = None) -> ts.TensorStore:
        """A channel of the lossless volume [z, y, x]; in `kvstore` instead of the run's folder."""
        folder = layout.lossless_scale_folder(self.spec, scale)
        array = self._open({"driver": "zarr3"}, folder, kvstore, layout.ZARR)
        if self.spec.channels:
            array = array[channel]
        if array.shape != self.spec.scales[scale].size:
            raise BrokenInvariant(f"{folder} has another shape than volume.json")
        return array.translate_to[self.spec.scales[scale].begin]

    def viewer(self, scale: int, layer: int = 0, kvstore: ts.KvStore | None = None) -> ts.TensorStore:
        """A layer of the viewer volume [z, y, x], or [c, z, y, x]; in `kvstore` instead of the run's folder."""
        spec = {"driver": "neuroglancer_precomputed", "scale_index": scale - self.spec.ng_scales.start}
        return _in_order(self._open(spec, layout.viewer_volume(self.spec, layer), kvstore, layout.INFO))

    def _open(self, spec: dict[str, Any], folder: str, kvstore: ts.KvStore | None, name: str) -> ts.TensorStore:
        where = kvstore / f"{folder}/" if kvstore else ts.KvStore.Spec(self.store.spec(folder))
        with store_errors(self.store.url_of(f"{folder}/{name}"), ""):
            return ts.open({**spec, **STORE_ALL}, kvstore=where, open=True, context=self._context).result()


def _in_order(precomputed: ts.TensorStore) -> ts.TensorStore:
    """A layer of the viewer volume as [z, y, x], or [c, z, y, x] where it has several channels."""
    array = precomputed.transpose(["channel", "z", "y", "x"])
    return array if array.shape[0] > 1 else array[0]


def without_zero_chunks(voxels: NDArray[np.uint8], chunk: int) -> NDArray[np.uint8]:
    """The same voxels [..., z, y, x], with one voxel of every chunk that is all 0 set to 1 (of 255).

    tensorstore leaves chunks of zeros out of precomputed shards, whatever the spec says; readers that take
    absence as a fault (cloud-volume) then stop, and "missing" would no longer be always wrong.
    """
    whole = Box(begin=(0, 0, 0), end=zyx(voxels.shape[-3:]))
    empty = [b for b in whole.grid((chunk,) * 3) if _all_zero(voxels[..., *b.slices])]
    if empty:
        voxels = voxels.copy()
    for box in empty:
        voxels[..., *box.begin] = 1
    return voxels


def _all_zero(voxels: NDArray[np.uint8]) -> bool:
    """Whether all voxels [..., z, y, x] are 0."""
    # every sixteenth voxel along each axis settles it for almost all chunks
    return not voxels[..., ::16, ::16, ::16].any() and not voxels.any()


class Shard(NamedTuple):
    """One shard of a volume; `corner` counts voxels (z, y, x) from the begin of its scale, in multiples of `shape`.

    part: the channel of aligned/ or the layer of ng/ that it belongs to.
    """

    name: str
    volume: Literal["aligned", "ng"]
    scale: int
    corner: Zyx
    shape: Zyx
    part: int = 0

    def box(self, spec: VolumeSpec) -> Box:
        """Its voxels, absolute."""
        whole = spec.scales[self.scale].box
        begin = plus(whole.begin, self.corner)
        return Box(begin=begin, end=plus(begin, self.shape)).clip(whole)


def aligned_shards(spec: VolumeSpec, scale: int, box: Box, channel: int = 0) -> Iterator[Shard]:
    """The shards of a channel of the lossless volume in `box`, which holds whole ones."""
    shape = spec.scales[scale].shard
    for corner in _corners(spec, scale, box, shape):
        name = layout.lossless_shard_name(spec, scale, over(corner, shape), channel)
        yield Shard(name, "aligned", scale, corner, shape, channel)


def viewer_shards(spec: VolumeSpec, scale: int, box: Box, layer: int = 0) -> Iterator[Shard]:
    """The shards of a layer of the viewer volume in `box`, which holds whole ones."""
    shape, chunk = spec.ng_shard(scale), (spec.chunk,) * 3
    for corner in _corners(spec, scale, box, shape):
        yield Shard(
            layout.viewer_shard_name(spec, scale, over(corner, chunk), layer), "ng", scale, corner, shape, layer
        )


def _corners(spec: VolumeSpec, scale: int, box: Box, shape: Zyx) -> Iterator[Zyx]:
    """Corners of shards of `shape` in `box`, from the begin of the scale. Plain tuples: there may be a million."""
    inside = _inside(box, spec.scales[scale].begin)
    z, y, x = (range(b, e, s) for b, e, s in zip(inside.begin, inside.end, shape, strict=True))
    return product(z, y, x)


def metadata_names(spec: VolumeSpec) -> list[str]:
    """Names of all metadata of both volumes."""
    return [*layout.viewer_metadata(spec), *layout.lossless_metadata(spec)]


def slab_shards(spec: VolumeSpec, unit: int) -> Iterator[Shard]:
    """The shards that a unit of `render` owns: of a channel of the lossless volume, at full size."""
    return aligned_shards(spec, 0, spec.slab_box(unit), spec.channel_and_slab(unit)[0])


def tier_shards(spec: VolumeSpec, tier: Tier, unit: int) -> Iterator[Shard]:
    """The shards of both volumes that a unit of `write` or `coarsen` owns."""
    layer = spec.layer_of(unit)
    for k in tier.scales:
        box = spec.unit_box(tier, unit, k)
        if not box.empty:
            yield from viewer_shards(spec, k, box, layer) if k in spec.ng_scales else ()
            for channel in spec.layers[layer]:
                yield from aligned_shards(spec, k, box, channel) if k else ()


def _inside(box: Box, corner: Zyx) -> Box:
    """The same box, counted from a corner."""
    return box.shift(times(corner, BACK))
