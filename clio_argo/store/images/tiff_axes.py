"""Where the pages of a TIFF lie in z, channel and time, by what ImageJ, OME or tifffile wrote beside them."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from tifffile import TiffFile

from clio_argo.store.images.base import Header, Unreadable

Element = ElementTree.Element
MOST_AXES = 16  # of an array
# axes as OME names them
NAMES = {"T": "times", "Z": "slices", "C": "channels"}


class Place(NamedTuple):
    """Where a page lies; `name` is that of its channel."""

    series: int = 0
    time: int = 0
    channel: int = 0
    z: int = 0
    name: str = ""


def with_axes(tiff: TiffFile, headers: Sequence[Header]) -> list[Header]:
    """Headers of all pages, each with its channel, time and series, ordered by these and z.

    Raises `Unreadable` if the file does not hold the channels or times that it says.
    """
    planes = _planes(tiff, len(headers)) if len(headers) > 1 else []
    if not any(p[:3] != (0, 0, 0) or p.z != z for z, p in enumerate(planes)):
        return list(headers)
    pairs = list(zip(planes, headers, strict=True))
    # pages behind one header are found by their number, and keep their order
    if headers[0].offset != headers[-1].offset:
        pairs.sort(key=lambda pair: pair[0][:4])
    names = ("series", "time", "channel")
    return [h.model_copy(update={**dict(zip(names, p[:3], strict=True)), "channel_name": p.name}) for p, h in pairs]


def _planes(tiff: TiffFile, pages: int) -> list[Place]:
    """The place of each page; none if nothing says it, or all of them are a stack over z."""
    first = tiff.pages.first
    if tiff.is_ome:
        return _ome_planes(tiff.ome_metadata or "", pages)
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        # channels of RGB are within a page
        keys = {"T": "frames", "Z": "slices", **({"C": "channels"} if first.samplesperpixel == 1 else {})}
        return _grid({a: n if isinstance(n := said.get(k, 1), int) else 1 for a, k in keys.items()}, pages)
    if first.shaped_description and first.shaped_description.startswith("{"):
        return _shaped_planes(json.loads(first.shaped_description), pages)
    return []


def _grid(sizes: Mapping[str, int], pages: int) -> list[Place]:
    """Planes of axes of these sizes, the last of which is the fastest."""
    if math.prod(sizes.values()) != pages:
        # often left from the stack from which these pages were taken
        if sizes.get("C", 1) == sizes.get("T", 1) == 1:
            return []
        said = " x ".join(f"{n} {NAMES[a]}" for a, n in sizes.items())
        raise Unreadable(f"says {said}, but holds {pages} pages; save it anew")
    return [_plane(dict(zip(sizes, at, strict=True))) for at in product(*map(range, sizes.values()))]


def _plane(at: Mapping[str, int], series: int = 0, names: Sequence[str] = ()) -> Place:
    channel = at.get("C", 0)
    name = names[channel] if channel < len(names) else ""
    return Place(series, at.get("T", 0), channel, at.get("Z", 0), name)


def _shaped_planes(said: Mapping[str, Any], pages: int) -> list[Place]:
    """Planes by the shape, and perhaps axes, of an array that tifffile wrote."""
    shape, axes = [int(n) for n in said["shape"][:MOST_AXES]], str(said.get("axes", ""))
    # rows, columns and samples are within a page
    sizes = next((shape[:i] for i in range(1, len(shape)) if math.prod(shape[:i]) == pages), [])
    long = sum(n > 1 for n in sizes)
    if not sizes or (long < 2 and not set(axes) & {"C", "T"}):
        return []
    if len(axes) != len(shape):
        text = " x ".join(map(str, sizes))
        raise Unreadable(f"{text} pages, and nothing says which of these are slices; write it with its axes, as ZCYX")
    # whatever else there is may be z
    return _grid({a if a in NAMES else "Z": n for a, n in zip(axes, sizes, strict=False) if n > 1 or a in NAMES}, pages)


def _ome_planes(xml: str, pages: int) -> list[Place]:
    root = ElementTree.fromstring(xml)
    found: dict[int, Place] = {}
    images = root.findall("{*}Image/{*}Pixels")
    said = sum(math.prod(_sizes(pixels).values()) for pixels in images)
    if said != pages and root.find(".//{*}TiffData/{*}UUID") is None:
        raise Unreadable(f"its OME-XML says {said} planes, but it holds {pages} pages; save it anew")
    for series, pixels in enumerate(images):
        for page, plane in _blocks(pixels, series, root.get("UUID", ""), pages):
            found.setdefault(page, plane)
    if len(found) < pages:
        if len({p[:3] for p in found.values()}) > 1:
            raise Unreadable(f"its OME-XML places {len(found)} of {pages} pages; save it anew")
        return []
    return [found[page] for page in range(pages)]


def _sizes(pixels: Element) -> dict[str, int]:
    """Sizes of the axes along which the planes of an image lie, the last of which is the fastest."""
    samples = max([1, *(int(c.get("SamplesPerPixel", 1)) for c in pixels.findall("{*}Channel"))])
    # XYCZT: the last is the slowest
    order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]
    return {a: max(1, int(pixels.get(f"Size{a}", 1)) // (samples if a == "C" else 1)) for a in order}


def _blocks(pixels: Element, series: int, own: str, pages: int) -> list[tuple[int, Place]]:
    """Pages, each with its plane, of one image of OME-XML; those that lie in other files are left out."""
    sizes = _sizes(pixels)
    names = [c.get("Name") or "" for c in pixels.findall("{*}Channel")]
    placed = list[tuple[int, Place]]()
    for block in pixels.findall("{*}TiffData") or [ElementTree.Element("TiffData")]:
        # no page twice, and no file without end
        if len(placed) >= pages:
            break
        other = block.find("{*}UUID")
        if other is not None and own and other.text != own:
            continue
        first = int(np.ravel_multi_index([int(block.get(f"First{a}", 0)) for a in sizes], [*sizes.values()]))
        total = math.prod(sizes.values()) - first
        begin = int(block.get("IFD", 0))
        count = min(int(block.get("PlaneCount", total if block.get("IFD") is None else 1)), total, pages - begin)
        places = (np.unravel_index(first + k, [*sizes.values()]) for k in range(count))
        placed += [
            (begin + k, _plane(dict(zip(sizes, map(int, at), strict=True)), series, names))
            for k, at in enumerate(places)
        ]
    return placed
