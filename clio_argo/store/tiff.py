"""Headers and pixels of TIFF files, of one page or many."""

import math
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from clio_argo.store.headers import Header, Unreadable

GREY_OR_COLOUR = tuple(tifffile.PHOTOMETRIC[n] for n in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR"))


def headers(file: BinaryIO, size_bytes: int, page: int | None) -> list[Header]:
    """What the headers of all pages say, or of one."""
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        if page is not None:
            return [_page(tiff.pages[page], size_bytes)]
        images = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
        if images > len(tiff.pages):
            raise ValueError(
                f"ImageJ file of {images} images behind {len(tiff.pages)} header; save it as plain TIFF"
            )
        return [
            _page(p, size_bytes) for p in tiff.pages if isinstance(p, tifffile.TiffPage | tifffile.TiffFrame)
        ]


def _page(page: "tifffile.TiffPage | tifffile.TiffFrame", size_bytes: int) -> Header:
    full = page.aspage()
    kind = full.dtype
    if not full.imagewidth or not full.imagelength:
        raise ValueError("no pixels")
    if full.photometric not in GREY_OR_COLOUR:
        name = getattr(full.photometric, "name", full.photometric)
        raise Unreadable(f"grey values are coded as {name}; convert it to plain grey")
    if len(full.dataoffsets) < math.prod(full.chunked) or not all(full.databytecounts):
        raise Unreadable("some of its strips or tiles hold no data")
    ends = [o + n for o, n in zip(full.dataoffsets, full.databytecounts, strict=True)]
    bits = kind.itemsize * 8 if kind is not None and kind.kind == "u" else 0
    return Header(
        width=full.imagewidth,
        height=full.imagelength,
        bits=bits,
        channels=full.samplesperpixel,
        truncated=max(ends, default=0) > size_bytes,
    )


def pixels(file: BinaryIO, page: int) -> NDArray[Any]:
    """Grey values of one page; small is dark."""
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        found = tiff.pages[page].aspage()
        values = found.asarray()
        if found.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            return np.asarray((1 << found.bitspersample) - 1 - values, values.dtype)
        return values
