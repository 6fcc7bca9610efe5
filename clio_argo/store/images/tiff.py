"""TIFF files of one page or many, read by tifffile, which is imported when one is read: that takes 0.2 s."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from clio_argo.model.sizes import Size
from clio_argo.store.images.base import Format, Header, Page, Undecodable, Unreadable
from clio_argo.store.images.jpeg import frame
from clio_argo.store.images.orientation import ORIENTATION, is_sideways, upright

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MINISWHITE = 0  # TIFF 6.0, section 8: high values are dark
PALETTE = 3
# values of the tag PhotometricInterpretation: beside these MINISBLACK, RGB and YCBCR
PHOTOMETRIC, GREY_OR_COLOUR = 262, (MINISWHITE, 1, 2, PALETTE, 6)
# TIFF Technical Note 2: each strip or tile is a JPEG of its own
JPEG_IN_TIFF = 7
# Values of the tag Compression that are read: decoders that are told how many bytes to make, and JPEG, whose frame is
# looked at first. What others make depends on their data alone, and no microscope needs them.
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 50000: "zstd", 7: "JPEG"}
# colour and opacity
MOST_CHANNELS = 4
# A tile may be larger than a small image. Decoders make whole tiles, so it costs memory that no header tells.
TILE_SAMPLES, TILE_TO_IMAGE = 2**22, 4
# how many bytes a strip or tile of noise may have, with tables, for each byte of its pixels
MOST_TO_RAW, TABLE_BYTES = 2, 2**14


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    """Headers of all pages, or of one page only.

    Raises:
        Unreadable: grey values are coded or compressed in a way that is not read, or data are missing.
        ValueError: a page has no pixels, or there are too many pages.
    """
    from tifffile import TiffFile

    from clio_argo.store.images.tiff_pages import page_at, planes

    with TiffFile(file) as tiff:
        if page is not None:
            return [_header(page_at(tiff, page), size_bytes)]
        found = _all_headers(tiff, size_bytes)
        return found * planes(tiff, size_bytes) if len(found) == 1 else found


def _all_headers(tiff: "TiffFile", size_bytes: int) -> list[Header]:
    """Headers of all pictures of a file, or of all pages if it has previews only. Raises as `headers`."""
    from clio_argo.store.images.tiff_pages import beside, pictures, walk

    found = _sized(pictures(tiff, size_bytes), size_bytes) or _sized(walk(tiff, size_bytes), size_bytes)
    small = beside([size for size, _ in found])
    return [_whole(header) for i, (_, header) in enumerate(found) if i not in small]


def _sized(pages: "Iterable[TiffPage]", size_bytes: int) -> list[tuple[Size, Header | Unreadable]]:
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


def _header(page: "TiffPage", size_bytes: int) -> Header:
    if not page.imagewidth or not page.imagelength:
        raise ValueError("no pixels")
    if page.photometric not in GREY_OR_COLOUR:
        name = getattr(page.photometric, "name", page.photometric)
        raise Unreadable(f"grey values are coded as {name}; convert it to plain grey")
    _refuse_coding(page)
    # decoded as zeros by tifffile, which would pass for black tissue
    if len(page.dataoffsets) < math.prod(page.chunked) or not all(page.databytecounts):
        raise Unreadable("some of its strips or tiles hold no data")
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    sideways = is_sideways(_orientation(page))
    return Header(
        width=page.imagelength if sideways else page.imagewidth,
        height=page.imagewidth if sideways else page.imagelength,
        bits=page.dtype.itemsize * 8 if page.dtype is not None and page.dtype.kind == "u" else 0,
        channels=3 if _palette(page).ndim > 1 else page.samplesperpixel,
        truncated=max(ends, default=0) > size_bytes,
        offset=page.offset,
    )


def _refuse_coding(page: "TiffPage") -> None:
    """Raise `Unreadable` if decoding a page could take much more memory than its pixels."""
    if page.compression not in COMPRESSIONS or page.jpegheader is not None:
        name = getattr(page.compression, "name", page.compression)
        raise Unreadable(f"compressed as {name}; save it with one of: {', '.join(sorted({*COMPRESSIONS.values()}))}")
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


def _refuse_larger_frames(page: "TiffPage") -> None:
    """Raise `Undecodable` if a JPEG within a page is larger than its strip or tile, as its decoder would make it."""
    width, height = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    file = page.parent.filehandle
    for offset in page.dataoffsets:
        file.seek(offset)
        across, down, _, channels, _ = frame(cast("BinaryIO", file))
        if across > width or down > height or channels > MOST_CHANNELS:
            raise Undecodable(f"a JPEG of {across} x {down} in a strip or tile of {width} x {height}")


def pixels(file: BinaryIO, page: Page) -> NDArray[Any]:
    """Samples of one page, [y, x] or [y, x, channel], in the file's data type; small is dark."""
    from tifffile import TiffFile

    from clio_argo.store.images.tiff_pages import page_at

    with TiffFile(file) as tiff:
        read = page_at(tiff, page)
        if read.compression == JPEG_IN_TIFF:
            _refuse_larger_frames(read)
        return upright(_grey_or_colour(read, read.asarray()), _orientation(read))


def _grey_or_colour(page: "TiffPage", values: NDArray[Any]) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel], small is dark, of those that a page holds."""
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, 2)
    if page.photometric == PALETTE:
        return np.asarray(_palette(page)[values])
    # without the tag, tifffile says MINISWHITE
    if page.photometric == MINISWHITE and PHOTOMETRIC in page.tags:
        grey = values if values.ndim == 2 else values[..., :1]
        grey[:] = (1 << page.bitspersample) - 1 - grey
    return values


def _palette(page: "TiffPage") -> NDArray[Any]:
    """Grey values [index] or colours [index, channel] of a page's palette; empty for a page without one."""
    if page.photometric != PALETTE:
        return np.empty(0, np.uint8)
    if page.colormap is None:
        raise Unreadable("its values are indices of a palette that it does not have")
    colours = page.colormap.T
    if page.bitspersample <= 8:
        # of 16 bits by the standard; old programs wrote 8
        colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    is_grey = all(np.array_equal(colours[:, 0], colours[:, c]) for c in (1, 2))
    return np.ascontiguousarray(colours[:, 0] if is_grey else colours)


def _orientation(page: "TiffPage") -> int:
    value = page.tags.valueof(ORIENTATION)
    return value if isinstance(value, int) else 1


TIFF = Format(name="TIFF", suffixes=(".tif", ".tiff"), magic=(b"II", b"MM"), headers=headers, pixels=pixels)
