"""Metadata of the two volumes as pure functions of their shapes.

Precomputed: google/neuroglancer, src/datasource/precomputed (volume.md, sharded.md).
OME-NGFF 0.5: ngff.openmicroscopy.org/0.5, on zarr v3 with sharding_indexed.
"""

from collections.abc import Mapping
from typing import Any

from clio_argo.model.volume import ScaleSpec, VolumeChannel, VolumeSpec

AXES = ("z", "y", "x")
CHANNEL = "c"
# 0.1 CPU s for a slice of 25 megapixels, and a ratio of 1.14; gzip 9 reaches 1.16 at 36 MB/s
ZSTD_LEVEL = 1
SHARDED = "neuroglancer_uint64_sharded_v1"


def info(spec: VolumeSpec, layer: int = 0) -> dict[str, Any]:
    """Content of `info` of a layer of ng/: axes in the order x, y, z, sizes in voxels, resolution in nm."""
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": "image",
        "data_type": "uint8",
        "num_channels": len(spec.layers[layer]),
        "scales": [_info_scale(spec, spec.scales[k]) for k in spec.ng_scales],
    }


def provenance(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `ng/provenance`: how the volume was made, in the form that cloud-volume reads."""
    # `info` has no place for attributes, and its readers know no other keys
    processing = [{"method": dict(attributes), "by": "clio-argo"}]
    return {"description": "", "owners": [], "sources": [], "processing": processing}


def _info_scale(spec: VolumeSpec, scale: ScaleSpec) -> dict[str, Any]:
    return {
        "key": scale.key,
        "size": scale.size[::-1],
        "voxel_offset": scale.begin[::-1],
        "resolution": scale.resolution[::-1],
        "chunk_sizes": [[spec.chunk] * 3],
        "encoding": "jpeg",
        "jpeg_quality": spec.jpeg_quality,
        "sharding": {
            "@type": SHARDED,
            # chunks stay in Morton order, so that a shard is a box and has one writer
            "hash": "identity",
            "preshift_bits": scale.preshift_bits,
            # one index per shard: of 512 chunks it has 12 KiB before compression
            "minishard_bits": 0,
            "shard_bits": scale.shard_bits,
            "minishard_index_encoding": "gzip",
            # JPEG is compressed already
            "data_encoding": "raw",
        },
    }


def zarr_array(spec: VolumeSpec, scale: ScaleSpec) -> dict[str, Any]:
    """Content of `aligned/K/zarr.json`: a zarr v3 array [z, y, x] in shards of zstd chunks, with channels [c, z, y, x].

    Each shard holds one channel.
    """
    channels = len(spec.channels)
    one = (1,) if channels else ()
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": (*([channels] if channels else []), *scale.size),
        "data_type": spec.dtype,
        "dimension_names": (*(CHANNEL if channels else ""), *AXES),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": (*one, *scale.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": spec.background,
        "codecs": [{"name": "sharding_indexed", "configuration": _sharding((*one, *scale.inner))}],
        "attributes": {},
    }


def _sharding(inner: tuple[int, ...]) -> dict[str, Any]:
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    # the manifest has a checksum of the whole shard
    zstd = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}
    return {
        "chunk_shape": inner,
        "codecs": [little, zstd],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }


def zarr_group(spec: VolumeSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `aligned/zarr.json`: the OME-NGFF image, with `attributes` of this project beside it."""
    multiscale = {
        "name": spec.name,
        "type": "mean",
        "axes": [*_channel_axis(spec), *({"name": a, "type": "space", "unit": "nanometer"} for a in AXES)],
        "datasets": [_dataset(spec, k) for k in range(len(spec.scales))],
    }
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {
            "ome": {"version": "0.5", "multiscales": [multiscale], **_omero(spec)},
            "clio_argo": dict(attributes),
        },
    }


def _channel_axis(spec: VolumeSpec) -> list[dict[str, str]]:
    return [{"name": CHANNEL, "type": "channel"}] if spec.channels else []


def _omero(spec: VolumeSpec) -> dict[str, Any]:
    """How viewers show the channels; nothing of a grey volume."""
    top = 255 if spec.dtype == "uint8" else 65535
    channels = [_omero_channel(channel, top) for channel in spec.channels]
    return {"omero": {"channels": channels, "rdefs": {"model": "color"}}} if channels else {}


def _omero_channel(channel: VolumeChannel, top: int) -> dict[str, Any]:
    start, end = channel.window or (0, top)
    window = {"min": 0, "max": top, "start": start, "end": end}
    return {"label": channel.name, "color": channel.colour.upper(), "window": window, "active": True}


def _dataset(spec: VolumeSpec, k: int) -> dict[str, Any]:
    scale = spec.scales[k]
    # NGFF places the centre of voxel 0, which is voxel `begin` of the absolute grid; precomputed places its corner
    translation = [(b + 0.5) * r for b, r in zip(scale.begin, scale.resolution, strict=True)]
    channel = len(_channel_axis(spec))
    return {
        "path": str(k),
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0] * channel + list(scale.resolution)},
            {"type": "translation", "translation": [0.0] * channel + translation},
        ],
    }
