"""TIFF files of one page or many, read by tifffile, which is imported when one is read: that takes 0.2 s."""

import math
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clio_argo.store.images.base import Format, Header, Unreadable

if TYPE_CHECKING:
    from tifffile import TiffPage

MINISWHITE = 0  # TIFF 6.0, section 8: high values are dark
# values of the tag PhotometricInterpretation: MINISWHITE, MINISBLACK, RGB and YCBCR
GREY_OR_COLOUR = (MINISWHITE, 1, 2, 6)


def headers(file: BinaryIO, size_bytes: int, page: int | None) -> list[Header]:
    """Headers of all pages, or of page `page` only.

    Raises:
        Unreadable: grey values are coded in a way that is not read, or data are missing.
        ValueError: a page has no pixels, or pages have no header of their own.
    """
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        if page is not None:
            return [_header(tiff.pages[page].aspage(), size_bytes)]
        images = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
        # ImageJ writes stacks above 4 GB behind a single directory
        if images > len(tiff.pages):
            raise ValueError(f"ImageJ file of {images} images behind {len(tiff.pages)} header; save it as plain TIFF")
        return [_header(p.aspage(), size_bytes) for p in tiff.pages]


def _header(page: "TiffPage", size_bytes: int) -> Header:
    if not page.imagewidth or not page.imagelength:
        raise ValueError("no pixels")
    if page.photometric not in GREY_OR_COLOUR:
        name = getattr(page.photometric, "name", page.photometric)
        raise Unreadable(f"grey values are coded as {name}; convert it to plain grey")
    # decoded as zeros by tifffile, which would pass for black tissue
    if len(page.dataoffsets) < math.prod(page.chunked) or not all(page.databytecounts):
        raise Unreadable("some of its strips or tiles hold no data")
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return Header(
        width=page.imagewidth,
        height=page.imagelength,
        bits=page.dtype.itemsize * 8 if page.dtype is not None and page.dtype.kind == "u" else 0,
        channels=page.samplesperpixel,
        truncated=max(ends, default=0) > size_bytes,
    )


def pixels(file: BinaryIO, page: int) -> NDArray[Any]:
    """Samples of one page, [y, x], [y, x, channel] or [channel, y, x], in the file's data type; small is dark."""
    from tifffile import TiffFile

    with TiffFile(file) as tiff:
        read = tiff.pages[page].aspage()
        values = read.asarray()
        if read.photometric == MINISWHITE:
            return np.asarray((1 << read.bitspersample) - 1 - values, values.dtype)
        return values


TIFF = Format(name="TIFF", suffixes=(".tif", ".tiff"), magic=(b"II", b"MM"), headers=headers, pixels=pixels)
