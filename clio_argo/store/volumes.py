"""The arrays of a run: both volumes at every scale, read and written shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.errors import BrokenInvariant
from clio_argo.model.formats import info, ng_shard_name, provenance, zarr_array, zarr_group, zarr_shard_name
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box, VolumeSpec, Zyx, over, plus, zyx
from clio_argo.store.access import patient_context
from clio_argo.store.documents import Store, as_json
from clio_argo.store.faults import store_errors

Voxels = NDArray[np.uint8] | NDArray[np.uint16]
LIMITS = {
    "cache_pool": {"total_bytes_limit": 0},
    "data_copy_concurrency": {"limit": 1},
    "file_io_concurrency": {"limit": 4},
    "gcs_request_concurrency": {"limit": 16},
    "s3_request_concurrency": {"limit": 16},
}
# every expected object exists, so a missing one is always a fault
STORE_ALL = {"store_data_equal_to_fill_value": True, "fill_missing_data_reads": False}


@dataclass(frozen=True)
class Volumes:
    """`aligned/` and `ng/` of one run; boxes are absolute, arrays [z, y, x]."""

    store: Store
    spec: VolumeSpec

    @cached_property
    def _context(self) -> ts.Context:
        return patient_context(**LIMITS)

    def create(self, attributes: dict[str, Any]) -> list[ObjectRecord]:
        """Write all metadata; no voxel."""
        return [self.store.write(n, as_json(value)) for n, value in self._metadata(attributes).items()]

    def _metadata(self, attributes: dict[str, Any]) -> dict[str, Any]:
        spec = self.spec
        arrays = {f"{spec.aligned}/{k}/zarr.json": zarr_array(spec, s) for k, s in enumerate(spec.scales)}
        group = zarr_group(spec, attributes)
        return {
            "ng/info": info(spec),
            "ng/provenance": provenance(attributes),
            f"{spec.aligned}/zarr.json": group,
            **arrays,
        }

    def read(self, scale: int, box: Box) -> Voxels:
        """Voxels of the lossless volume."""
        with store_errors(self.store.url, f"{self.spec.aligned}/{scale}"):
            return np.asarray(self._aligned(scale)[box.slices].read().result())

    def read_viewer(self, scale: int, box: Box) -> NDArray[np.uint8]:
        """Voxels of the viewer volume."""
        with store_errors(self.store.url, f"ng/{self.spec.scales[scale].key}"):
            return np.asarray(self._viewer(scale)[box.slices].read().result())

    def write_aligned(self, scale: int, box: Box, voxels: Voxels) -> list[ObjectRecord]:
        """Write whole shards of the lossless volume at `scale`: `voxels` fills `box`."""
        array = self._aligned(scale, self._scratch)
        shards = aligned_shards(self.spec, scale, box)
        return [self._put(array, n, b, voxels[b.shift(_minus(box.begin)).slices]) for n, b in shards]

    def write_viewer(self, scale: int, box: Box, voxels: NDArray[np.uint8]) -> list[ObjectRecord]:
        """Write whole shards of the viewer volume at `scale`: `voxels` fills `box`."""
        array, records = self._viewer(scale, self._scratch), []
        for name, shard in viewer_shards(self.spec, scale, box):
            part = voxels[shard.shift(_minus(box.begin)).slices]
            records.append(self._put(array, name, shard, without_zero_chunks(part, self.spec.chunk)))
        return records

    def _put(self, array: ts.TensorStore, name: str, box: Box, voxels: Voxels) -> ObjectRecord:
        """Write one shard whole, whatever was there before; its size and checksum as it stands in the store then.

        It is made in memory, since tensorstore would keep the padding of an old shard, and stop at a damaged one.
        In one transaction, since outside of one every chunk rewrites its shard.
        """
        with store_errors(self.store.url, name, "write"), ts.Transaction() as transaction:
            array.with_transaction(transaction)[box.slices] = voxels
        self.store.write(name, self._scratch.read(name).result().value)
        self._scratch.write(name, None).result()
        return self.store.record(name)

    @cached_property
    def _scratch(self) -> ts.KvStore:
        """The metadata of both volumes in memory, where shards are made."""
        memory = ts.KvStore.open("memory://", context=ts.Context(LIMITS)).result()
        for name, value in self._metadata({}).items():
            memory.write(name, as_json(value)).result()
        return memory

    def viewed(self, voxels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What a chunk of the viewer volume [z, y, x] shows: the voxels after JPEG."""
        scale = {
            "size": voxels.shape[::-1],
            "resolution": [1, 1, 1],
            "chunk_size": [self.spec.chunk] * 3,
            "encoding": "jpeg",
            "jpeg_quality": self.spec.jpeg_quality,
        }
        kind = {"type": "image", "data_type": "uint8", "num_channels": 1}
        spec = {"driver": "neuroglancer_precomputed", "kvstore": "memory://", "multiscale_metadata": kind}
        whole = ts.open({**spec, "scale_metadata": scale, **STORE_ALL}, create=True).result()
        array = whole[ts.d["channel"][0]].transpose(["z", "y", "x"])
        array.write(without_zero_chunks(voxels, self.spec.chunk)).result()
        return np.asarray(array.read().result())

    def _aligned(self, scale: int, kvstore: ts.KvStore | None = None) -> ts.TensorStore:
        folder = f"{self.spec.aligned}/{scale}"
        array = self._open({"driver": "zarr3"}, folder, kvstore, "zarr.json")
        if array.shape != self.spec.scales[scale].size:
            raise BrokenInvariant(f"{folder} has another shape than volume.json")
        return array.translate_to[self.spec.scales[scale].begin]

    def _viewer(self, scale: int, kvstore: ts.KvStore | None = None) -> ts.TensorStore:
        spec = {"driver": "neuroglancer_precomputed", "scale_index": scale - self.spec.ng_scales.start}
        return self._open(spec, "ng", kvstore, "info")[ts.d["channel"][0]].transpose(["z", "y", "x"])

    def _open(
        self, spec: dict[str, Any], folder: str, kvstore: ts.KvStore | None, name: str
    ) -> ts.TensorStore:
        where = kvstore / f"{folder}/" if kvstore else ts.KvStore.Spec(self.store.spec(folder))
        with store_errors(self.store.url, f"{folder}/{name}"):
            return ts.open({**spec, **STORE_ALL}, kvstore=where, open=True, context=self._context).result()


def without_zero_chunks(voxels: NDArray[np.uint8], chunk: int) -> NDArray[np.uint8]:
    """The same voxels, with one voxel of every chunk that is all 0 set to 1 (of 255).

    tensorstore leaves chunks of zeros out of precomputed shards, whatever the spec says; readers that take
    absence as a fault (cloud-volume) then stop, and "missing" would no longer be always wrong.
    """
    whole = Box(begin=(0, 0, 0), end=zyx(voxels.shape))
    empty = [b for b in whole.grid((chunk,) * 3) if _all_zero(voxels[b.slices])]
    if empty:
        voxels = voxels.copy()
    for box in empty:
        voxels[box.begin] = 1
    return voxels


def _all_zero(voxels: NDArray[np.uint8]) -> bool:
    # a coarse look settles it for almost all chunks
    return not voxels[::16, ::16, ::16].any() and not voxels.any()


def aligned_shards(spec: VolumeSpec, scale: int, box: Box) -> Iterator[tuple[str, Box]]:
    """Name and box of each shard of the lossless volume in `box`, which holds whole shards."""
    whole = spec.scales[scale]
    for shard in box.grid(whole.shard):
        corner = over(plus(shard.begin, _minus(whole.begin)), whole.shard)
        yield zarr_shard_name(spec, scale, corner), shard


def viewer_shards(spec: VolumeSpec, scale: int, box: Box) -> Iterator[tuple[str, Box]]:
    """Name and box of each shard of the viewer volume in `box`, which holds whole shards."""
    begin = _minus(spec.scales[scale].begin)
    for shard in box.grid(spec.ng_shard(scale)):
        yield ng_shard_name(spec, scale, over(plus(shard.begin, begin), (spec.chunk,) * 3)), shard


def expected_objects(spec: VolumeSpec) -> Iterator[str]:
    """Names of all shards of both volumes."""
    for step, work in (("render", spec.render), ("write", spec.write), ("coarsen", spec.coarsen)):
        for unit in range(work.units):
            yield from (name for name, *_ in unit_shards(spec, step, unit))


Shard = tuple[str, Literal["aligned", "ng"], int, Box]
"""Name, volume, scale, and box in absolute voxels."""


def unit_shards(spec: VolumeSpec, step: str, unit: int) -> Iterator[Shard]:
    """The shards of both volumes that a unit of `step` owns."""
    if step == "render":
        yield from ((n, "aligned", 0, b) for n, b in aligned_shards(spec, 0, spec.slab_box(unit)))
        return
    tier = spec.write_tier if step == "write" else spec.coarsen_tier
    for k in tier.scales:
        own = spec.unit_box(tier, unit, k)
        if not own.empty:
            yield from ((n, "ng", k, b) for n, b in viewer_shards(spec, k, own) if k in spec.ng_scales)
            yield from ((n, "aligned", k, b) for n, b in aligned_shards(spec, k, own) if k)


def _minus(corner: Zyx) -> Zyx:
    z, y, x = corner
    return -z, -y, -x
