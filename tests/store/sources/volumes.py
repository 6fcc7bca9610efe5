"""Volumes of every kind, written by zarr-python or byte by byte: the program itself reads them by tensorstore."""

import itertools
import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from clio_argo.store.documents import Store
from clio_argo.store.slices import Entry
from clio_argo.store.sources import open_source
from clio_argo.store.sources.base import StackSource
from tests.store.images.samples import planned

CHUNK = (4, 16, 20)
UM = {"type": "space", "unit": "micrometer"}


def _zarr(folder: Path, values: np.ndarray, version: int, chunks: Sequence[int], **options: Any) -> None:
    zarr.create_array(
        str(folder), data=values, chunks=tuple(chunks), zarr_format=version, overwrite=True, write_data=True, **options
    )


def zarr2(folder: Path, values: np.ndarray) -> None:
    _zarr(folder, values, 2, (1, *CHUNK)[-values.ndim :])


def zarr3(folder: Path, values: np.ndarray, **options: Any) -> None:
    _zarr(folder, values, 3, CHUNK, dimension_names=("z", "y", "x"), **options)


def sharded(folder: Path, values: np.ndarray) -> None:
    _zarr(folder, values, 3, CHUNK, shards=(8, 64, 80))


def transposed(folder: Path, values: np.ndarray) -> None:
    """An array [x, z, y]."""
    _zarr(folder, values.transpose(2, 0, 1), 3, (20, 4, 16), dimension_names=("X", "Z", "Y"))


def ngff(folder: Path, values: np.ndarray, version: int, axes: str = "tczyx", um: float = 0.004) -> None:
    """OME-NGFF 0.4 or 0.5 of [z, y, x] or of [t, c, z, y, x]; z has 5 times the size."""
    values = values if values.ndim == 5 else values[None, None]
    values = values[tuple(slice(None) if a in axes else 0 for a in "tczyx")]
    size = [um * {"z": 5}.get(a, 1) if a in "xyz" else 1 for a in axes]
    image = {
        "axes": [{"name": a, **UM} if a in "xyz" else {"name": a, "type": "other"} for a in axes],
        "datasets": [
            {"path": "full", "coordinateTransformations": [{"type": "scale", "scale": size}]},
            {"path": "half", "coordinateTransformations": [{"type": "scale", "scale": [2 * s for s in size]}]},
        ],
    }
    labels = [{"label": f"detector {n}"} for n in range(values.shape[axes.index("c")] if "c" in axes else 0)]
    attributes = {"multiscales": [{**image, "version": "0.4"}], "omero": {"channels": labels}}
    group = zarr.create_group(str(folder), zarr_format=version, overwrite=True)
    group.attrs.update(attributes if version == 2 else {"ome": {**attributes, "version": "0.5"}})
    _zarr(folder / "full", values, version, [*[1] * (len(axes) - 3), *CHUNK])
    _zarr(folder / "half", values[..., ::2, ::2], version, values[..., ::2, ::2].shape)


def _boxes(shape: Sequence[int], chunk: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    spans = [[slice(a, min(a + n, size)) for a in range(0, size, n)] for size, n in zip(shape, chunk, strict=True)]
    yield from itertools.product(*spans)


def n5(folder: Path, values: np.ndarray, below: str = "") -> None:
    """N5 of raw blocks, as https://github.com/saalfeldlab/n5 describes them: axes x, y, z; big-endian."""
    block, array = CHUNK[::-1], values.transpose(2, 1, 0)
    attributes = {
        "dimensions": array.shape, "blockSize": block, "dataType": values.dtype.name, "compression": {"type": "raw"},
    }  # fmt: skip
    (folder / below).mkdir(parents=True)
    (folder / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
    resolution = {"pixelResolution": {"unit": "um", "dimensions": [0.004, 0.004, 0.02]}}
    (folder / below / "attributes.json").write_text(json.dumps({**attributes, **resolution}))
    for box in _boxes(array.shape, block):
        part = array[box]
        place = folder.joinpath(below, *(str(s.start // n) for s, n in zip(box, block, strict=True)))
        place.parent.mkdir(parents=True, exist_ok=True)
        head = struct.pack(">HH3I", 0, 3, *part.shape)
        place.write_bytes(head + part.astype(part.dtype.newbyteorder(">")).tobytes(order="F"))


def precomputed(folder: Path, values: np.ndarray, offset: tuple[int, int, int] = (7, 5, 3)) -> None:
    """Raw chunks, as neuroglancer describes them: axes x, y, z, channel; offset: x, y, z of the first voxel."""
    chunk, array = CHUNK[::-1], values.transpose(2, 1, 0)
    scale = {
        "key": "4_4_20", "size": array.shape, "resolution": [4, 4, 20], "chunk_sizes": [chunk], "encoding": "raw",
        "voxel_offset": offset,
    }  # fmt: skip
    half = {**scale, "key": "8_8_20", "size": [n // 2 for n in array.shape], "resolution": [8, 8, 20]}
    (folder / "4_4_20").mkdir(parents=True)
    info = {"type": "image", "data_type": values.dtype.name, "num_channels": 1, "scales": [scale, half]}
    (folder / "info").write_text(json.dumps(info))
    for box in _boxes(array.shape, chunk):
        name = "_".join(f"{s.start + o}-{s.stop + o}" for s, o in zip(box, offset, strict=True))
        (folder / "4_4_20" / name).write_bytes(array[box].tobytes(order="F"))


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "zarr v2": zarr2,
    "zarr v3": zarr3,
    "sharded zarr v3": sharded,
    "zarr v3 with other axes": transposed,
    "OME-NGFF 0.4": lambda folder, values: ngff(folder, values, 2),
    "OME-NGFF 0.5": lambda folder, values: ngff(folder, values, 3, "zyx"),
    "N5": n5,
    "N5 of scales": lambda folder, values: n5(folder, values, "s0"),
    "precomputed": precomputed,
}


def upload(folder: Path, url: str) -> None:
    """Copy a folder into a bucket."""
    store = Store(url)
    for file in (f for f in folder.rglob("*") if f.is_file()):
        store.write(str(file.relative_to(folder)), file.read_bytes())


def opened(url: Path | str, at_once: int = 1) -> tuple[StackSource, Entry]:
    """A volume and its one entry."""
    source = open_source(str(url), at_once=at_once)
    [entry] = source.entries()
    return source, entry


def planes(source: StackSource, entry: Entry) -> Iterator[np.ndarray]:
    """Every slice, decoded as a run does."""
    for page, h in enumerate(source.headers(entry)):
        at = planned(entry, page, h.type_name or f"uint{h.bits}", h.height, h.width)
        yield source.decode(at.model_copy(update={"stamp": entry.stamp}))
