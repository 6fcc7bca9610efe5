"""The arrays of a run: both volumes at every scale, read and written shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.errors import BrokenInvariant
from clio_argo.model.formats import info, ng_shard_name, provenance, zarr_array, zarr_group, zarr_shard_name
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box, VolumeSpec, Zyx, over, plus, zyx
from clio_argo.store.access import patient_context
from clio_argo.store.documents import Store
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
        group = zarr_group(self.spec, attributes)
        written = [self.store.write_json("ng/info", info(self.spec))]
        written.append(self.store.write_json("ng/provenance", provenance(attributes)))
        written.append(self.store.write_json(f"{self.spec.aligned}/zarr.json", group))
        for k, scale in enumerate(self.spec.scales):
            name = f"{self.spec.aligned}/{k}/zarr.json"
            written.append(self.store.write_json(name, zarr_array(self.spec, scale)))
        return written

    def read(self, scale: int, box: Box) -> Voxels:
        """Voxels of the lossless volume."""
        with store_errors(self.store.url, f"{self.spec.aligned}/{scale}"):
            return np.asarray(self._aligned(scale)[box.slices].read().result())

    def write_aligned(self, scale: int, box: Box, voxels: Voxels) -> list[ObjectRecord]:
        """Write whole shards of the lossless volume at `scale`: `voxels` fills `box`."""
        array, records = self._aligned(scale), []
        whole = self.spec.scales[scale]
        for shard in box.grid(whole.shard):
            part = voxels[shard.shift(_minus(box.begin)).slices]
            corner = over(plus(shard.begin, _minus(whole.begin)), whole.shard)
            name = zarr_shard_name(self.spec, scale, corner)
            self._commit(array, shard, part, name)
            records.append(self.store.record(name))
        return records

    def write_viewer(self, scale: int, box: Box, voxels: NDArray[np.uint8]) -> list[ObjectRecord]:
        """Write whole shards of the viewer volume at `scale`: `voxels` fills `box`."""
        array, records = self._viewer(scale), []
        begin = self.spec.scales[scale].begin
        for shard in box.grid(self.spec.ng_shard(scale)):
            part = voxels[shard.shift(_minus(box.begin)).slices]
            corner = over(plus(shard.begin, _minus(begin)), (self.spec.chunk,) * 3)
            name = ng_shard_name(self.spec, scale, corner)
            self._commit(array, shard, without_zero_chunks(part, self.spec.chunk), name)
            records.append(self.store.record(name))
        return records

    def _commit(self, array: ts.TensorStore, box: Box, voxels: Voxels, name: str) -> None:
        """One transaction per shard: outside of one, every chunk rewrites its shard."""
        with store_errors(self.store.url, name, "write"), ts.Transaction() as transaction:
            array.with_transaction(transaction)[box.slices] = voxels

    def _aligned(self, scale: int) -> ts.TensorStore:
        spec = {"driver": "zarr3", "kvstore": self.store.spec(f"{self.spec.aligned}/{scale}"), **STORE_ALL}
        array = self._open(spec, f"{self.spec.aligned}/{scale}/zarr.json")
        if array.shape != self.spec.scales[scale].size:
            raise BrokenInvariant(f"{self.spec.aligned}/{scale} has another shape than volume.json")
        return array.translate_to[self.spec.scales[scale].begin]

    def _viewer(self, scale: int) -> ts.TensorStore:
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": self.store.spec("ng"),
            "scale_index": scale - self.spec.ng_scales.start,
            **STORE_ALL,
        }
        return self._open(spec, "ng/info")[ts.d["channel"][0]].transpose(["z", "y", "x"])

    def _open(self, spec: dict[str, Any], name: str) -> ts.TensorStore:
        with store_errors(self.store.url, name):
            return ts.open(spec, open=True, context=self._context).result()


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


def expected_objects(spec: VolumeSpec) -> Iterator[str]:
    """Names of all shards of both volumes."""
    for k, scale in enumerate(spec.scales):
        shape = (spec.chunk,) * 3
        origin = scale.box.shift(_minus(scale.begin))
        for box in origin.grid(spec.ng_shard(k)) if k in spec.ng_scales else ():
            yield ng_shard_name(spec, k, over(box.begin, shape))
        for box in origin.grid(scale.shard):
            yield zarr_shard_name(spec, k, over(box.begin, scale.shard))


def _minus(corner: Zyx) -> Zyx:
    z, y, x = corner
    return -z, -y, -x
