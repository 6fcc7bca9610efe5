"""Finds a volume by its metadata objects: zarr v2 and v3, OME-NGFF, N5, and neuroglancer precomputed."""

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from clio_argo.errors import UserError
from clio_argo.model.base import UNREADABLE

ZARR2, ATTRIBUTES2, GROUP2 = ".zarray", ".zattrs", ".zgroup"
ZARR3, N5, N5_SCALE0, PRECOMPUTED = "zarr.json", "attributes.json", "s0/attributes.json", "info"
NAMES = (ZARR2, ATTRIBUTES2, GROUP2, ZARR3, N5, N5_SCALE0, PRECOMPUTED)
NM = {
    "nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "micrometer": 1e3, "micron": 1e3, "mm": 1e6, "millimeter": 1e6,
    "m": 1e9, "meter": 1e9, "angstrom": 0.1,
}  # fmt: skip
# of NGFF before 0.3, which names none
FIVE_AXES = ("t", "c", "z", "y", "x")
Json = Mapping[str, Any]


class FoundVolume(NamedTuple):
    """Where the array of scale 0 is, and what its metadata say of it.

    format: its name, for messages.
    driver: as tensorstore names it.
    folder: of the array, below the source; empty or with a slash at its end.
    chunks: folder of its chunks.
    document: name of the object that describes the array.
    axes: their names, in the array's order; empty if the array itself names them, or nobody does.
    nm: voxel size by axis, as far as it is told.
    channels: their names.
    """

    format: str
    driver: str
    folder: str
    chunks: str
    document: str
    axes: tuple[str, ...] = ()
    nm: Mapping[str, float] = MappingProxyType({})
    channels: tuple[str, ...] = ()


def find_volume(url: str, objects: Mapping[str, bytes | None]) -> FoundVolume | None:
    """The volume that these metadata objects describe; None if they describe none.

    objects: content by name, of `NAMES`; None for those that are not there.

    Raises:
        UserError: they describe a group of several images, or are broken.
    """
    known = {name: value for name, data in objects.items() if isinstance(value := _parsed(data), dict)}
    try:
        return _zarr3(url, known) or _zarr2(url, known) or _n5(known) or _precomputed(known)
    except UNREADABLE as error:
        raise UserError(f"source {url}: the metadata of its volume are broken: {error!r}") from error


def _parsed(data: bytes | None) -> Any:
    try:
        return None if data is None else json.loads(data)
    except UNREADABLE:
        return None


def _zarr3(url: str, known: Mapping[str, Json]) -> FoundVolume | None:
    node = known.get(ZARR3, {})
    if node.get("zarr_format") != 3:
        return None
    if node["node_type"] == "array":
        return FoundVolume("zarr v3", "zarr3", "", "", ZARR3)
    attributes = node.get("attributes", {})
    return _ngff(url, attributes.get("ome", attributes), "zarr3", ZARR3)


def _zarr2(url: str, known: Mapping[str, Json]) -> FoundVolume | None:
    attributes = known.get(ATTRIBUTES2, {})
    if known.get(ZARR2, {}).get("zarr_format") == 2:
        # as xarray names axes
        return FoundVolume("zarr v2", "zarr", "", "", ZARR2, tuple(attributes.get("_ARRAY_DIMENSIONS", ())))
    is_group = known.get(GROUP2, {}).get("zarr_format") == 2 or "multiscales" in attributes
    return _ngff(url, attributes, "zarr", ZARR2) if is_group else None


def _ngff(url: str, attributes: Json, driver: str, document: str) -> FoundVolume:
    """Scale 0 of an image: https://ngff.openmicroscopy.org."""
    if not attributes.get("multiscales"):
        raise UserError(f"source {url}: is a zarr group without an image of its own; give the image or array within it")
    image = attributes["multiscales"][0]
    scale0 = image["datasets"][0]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", FIVE_AXES)]
    names = tuple(str(axis["name"]).lower() for axis in axes)
    steps = [*scale0.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())]
    scales = [step["scale"] for step in steps if step["type"] == "scale"]
    sizes = [math.prod(along) for along in zip(*scales, strict=True)]
    folder = _below(scale0["path"])
    return FoundVolume(
        "OME-NGFF", driver, folder, folder, folder + document, names,
        _in_nm(names, sizes, [str(axis.get("unit")) for axis in axes]),
        tuple(str(c.get("label", "")) for c in attributes.get("omero", {}).get("channels", ())),
    )  # fmt: skip


def _n5(known: Mapping[str, Json]) -> FoundVolume | None:
    for name in (N5, N5_SCALE0):
        attributes = {**known.get(N5, {}), **known.get(name, {})}
        if {"dimensions", "blockSize", "dataType"} <= known.get(name, {}).keys():
            folder = name.removesuffix(N5)
            return FoundVolume("N5", "n5", folder, folder, name, nm=_n5_voxel(attributes))
    return None


def _n5_voxel(attributes: Json) -> dict[str, float]:
    """Voxel size as Fiji's N5 plugins write it, or with a transform that names its axes."""
    resolution, transform = attributes.get("pixelResolution"), attributes.get("transform")
    if isinstance(resolution, dict):
        return _in_nm("xyz", resolution["dimensions"], [resolution.get("unit", "")] * 3)
    if isinstance(transform, dict):
        return _in_nm(transform["axes"], transform["scale"], transform["units"])
    return {}


def _in_nm(axes: Sequence[str], sizes: Sequence[float], units: Sequence[str]) -> dict[str, float]:
    return {a: float(size) * NM.get(unit, 0) for a, size, unit in zip(axes, sizes, units, strict=False)}


def _precomputed(known: Mapping[str, Json]) -> FoundVolume | None:
    info = known.get(PRECOMPUTED, {})
    if not {"scales", "data_type"} <= info.keys():
        return None
    return FoundVolume("precomputed", "neuroglancer_precomputed", "", _below(info["scales"][0]["key"]), PRECOMPUTED)


def _below(path: str) -> str:
    """The path of a folder, with a slash at its end. Raises `ValueError` if it leaves the source, as a link may not."""
    if set(path.split("/")) & {"", ".", ".."}:
        raise ValueError(f"the path {path!r}")
    return f"{path}/"
