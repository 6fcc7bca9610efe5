"""Headers of TIFF files, and what is refused by them: what would be read wrong, or take much more than its pixels."""

import math
from collections.abc import Iterable
from typing import BinaryIO

from tifffile import TiffFile, TiffPage

from clio_argo.model.sizes import Size
from clio_argo.store.images.base import Header, Page, Unreadable
from clio_argo.store.images.orientation import is_sideways
from clio_argo.store.images.tiff_axes import with_axes
from clio_argo.store.images.tiff_pages import (
    MINISWHITE,
    MOST_CHANNELS,
    MOST_TO_RAW,
    PALETTE,
    TABLE_BYTES,
    beside,
    orientation,
    page_at,
    palette,
    pictures,
    planes,
    walk,
)
from clio_argo.store.images.tiff_scale import scale
from clio_argo.store.images.tiff_tags import checked

# values of the tag PhotometricInterpretation: beside these MINISBLACK, RGB and YCBCR
GREY_OR_COLOUR = (MINISWHITE, 1, 2, PALETTE, 6)
COLOURED = (2, PALETTE, 6)
# last value of the tag ExtraSamples: associated or not; many programs write none of a fourth sample beside colours
OPACITY = ((1,), (2,))
# Values of the tag Compression that are read: decoders that are told how many bytes to make, and JPEG, whose frame is
# looked at first. What others make depends on their data alone, and no microscope needs them.
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 50000: "zstd", 7: "JPEG"}
# A tile may be larger than a small image. Decoders make whole tiles, so it costs memory that no header tells.
TILE_SAMPLES, TILE_TO_IMAGE = 2**22, 4


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    """Headers of all pages, or of one page only.

    Raises:
        Unreadable: grey values are coded or compressed in a way that is not read, or data are missing.
        ValueError: a page has no pixels, or there are too many pages.
    """
    with TiffFile(checked(file)) as tiff:
        if page is not None:
            return [_header(page_at(tiff, page), size_bytes)]
        found = _all_headers(tiff, size_bytes)
        told = {**scale(tiff), "previews": len(tiff.pages) - len(found)}
        found = [h.model_copy(update=told) for h in found]
        return with_axes(tiff, found * planes(tiff, size_bytes) if len(found) == 1 else found)


def _all_headers(tiff: TiffFile, size_bytes: int) -> list[Header]:
    """Headers of all pictures of a file, or of all pages if it has previews only. Raises as `headers`."""
    found = _sized(pictures(tiff, size_bytes), size_bytes) or _sized(walk(tiff, size_bytes), size_bytes)
    small = beside([size for size, _ in found])
    return [_whole(header) for i, (_, header) in enumerate(found) if i not in small]


def _sized(pages: Iterable[TiffPage], size_bytes: int) -> list[tuple[Size, Header | Unreadable]]:
    """Size and header of each page, or why it is not read: it may be a preview, which is compressed otherwise."""
    found = list[tuple[Size, Header | Unreadable]]()
    for page in pages:
        try:
            header: Header | Unreadable = _header(page, size_bytes)
        except Unreadable as error:
            header = error
        found.append(((page.imagewidth, page.imagelength), header))
    return found


def _whole(header: Header | Unreadable) -> Header:
    if isinstance(header, Unreadable):
        raise header
    return header


def _header(page: TiffPage, size_bytes: int) -> Header:
    if not page.imagewidth or not page.imagelength:
        raise ValueError("no pixels")
    if page.photometric not in GREY_OR_COLOUR:
        name = getattr(page.photometric, "name", page.photometric)
        raise Unreadable(f"grey values are coded as {name}; convert it to plain grey")
    _refuse_coding(page)
    # decoded as zeros by tifffile, which would pass for black tissue
    if len(page.dataoffsets) < math.prod(page.chunked) or not all((*page.databytecounts, *page.dataoffsets)):
        raise Unreadable("some of its strips or tiles hold no data")
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    sideways, channels = is_sideways(orientation(page)), 3 if palette(page).ndim > 1 else page.samplesperpixel
    return Header(
        width=page.imagelength if sideways else page.imagewidth,
        height=page.imagewidth if sideways else page.imagelength,
        bits=page.dtype.itemsize * 8 if page.dtype is not None and page.dtype.kind == "u" else 0,
        type_name=_type_name(page),
        channels=channels,
        rgb=channels > 2 and page.photometric in COLOURED,
        alpha=page.extrasamples[-1:] in OPACITY,
        truncated=max(ends, default=0) > size_bytes,
        offset=page.offset,
        compression="" if page.compression == 1 else COMPRESSIONS[page.compression],
    )


def _type_name(page: TiffPage) -> str:
    if page.dtype is None or page.dtype.kind == "b":
        return f"{page.bitspersample}-bit"
    return "" if page.dtype.kind == "u" else page.dtype.name


def _refuse_coding(page: TiffPage) -> None:
    """Raise `Unreadable` if decoding a page could take much more memory than its pixels."""
    if page.compression not in COMPRESSIONS or page.jpegheader is not None:
        name = getattr(page.compression, "name", page.compression)
        raise Unreadable(f"compressed as {name}; save it with one of: {', '.join(sorted({*COMPRESSIONS.values()}))}")
    if page.compression == 1 and page.predictor != 1:
        raise Unreadable("a predictor without compression, which some readers apply and others do not; save it anew")
    if page.samplesperpixel > MOST_CHANNELS or page.imagedepth > 1:
        what = f"{page.samplesperpixel} channels, depth {page.imagedepth}"
        raise Unreadable(f"{what}: only grey slices can be aligned")
    tile, image = math.prod(page.chunks), page.imagewidth * page.imagelength * page.samplesperpixel
    if tile > max(TILE_SAMPLES, TILE_TO_IMAGE * image):
        raise Unreadable(
            f"its tiles, {page.tilewidth} x {page.tilelength}, are much larger than itself; save it in strips"
        )
    raw = tile * (page.dtype.itemsize if page.dtype is not None else 1)
    if not page.is_contiguous and max(page.databytecounts, default=0) > MOST_TO_RAW * raw + TABLE_BYTES:
        raise Unreadable("a strip or tile holds more bytes than its pixels can need")
