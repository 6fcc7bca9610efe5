"""Pixels of TIFF files."""

from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffPage

from clio_argo.store.images.base import Page, Undecodable, opencv_pixels
from clio_argo.store.images.jpeg import END, MAGIC, frame, refuse_many_scans
from clio_argo.store.images.orientation import upright
from clio_argo.store.images.tiff_pages import MINISWHITE, MOST_CHANNELS, PALETTE, orientation, page_at, palette
from clio_argo.store.images.tiff_tags import checked

PHOTOMETRIC = 262  # TIFF 6.0, section 8: PhotometricInterpretation
# TIFF Technical Note 2: each strip or tile is a JPEG of its own
JPEG_IN_TIFF = 7


def _check_frames(page: TiffPage) -> None:
    """Raise `Undecodable` if a JPEG within a page has another size than its strip or tile.

    A larger one takes memory that no header tells, a smaller one leaves zeros, which would pass for black tissue.
    """
    height, width = page.chunks[:2]
    across, down = -(-page.imagewidth // width), -(-page.imagelength // height)
    file = page.parent.filehandle
    for index, offset in enumerate(page.dataoffsets):
        file.seek(offset)
        found = frame(cast("BinaryIO", file))
        y, x = divmod(index % (down * across), across)
        # the last ones may be whole, or end with the picture
        heights, widths = {height, page.imagelength - y * height}, {width, page.imagewidth - x * width}
        if not (found.height in heights and found.width in widths and found.channels <= MOST_CHANNELS):
            raise Undecodable(f"a JPEG of {found.width} x {found.height} in a strip or tile of {width} x {height}")


def _let_warn(page: TiffPage) -> None:
    """Decode the strips or tiles of JPEG in small by the decoder that says what is damaged: the other does not.

    Raises `Undecodable` if one of them would take minutes, or is cut: of that neither says a word.
    """
    tables, file = page.jpegtables, page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        data = file.read(count)
        # tables of the page: without the end mark, before what follows the strip's begin mark
        whole = tables[: -len(END)] + data[len(MAGIC) :] if tables else data
        refuse_many_scans(whole)
        if END not in data:
            raise Undecodable("a JPEG without an end mark in a strip or tile: truncated")
        # what it does not take, the other may
        with suppress(Undecodable):
            opencv_pixels(BytesIO(whole), reduced=True)


def pixels(file: BinaryIO, page: Page) -> NDArray[Any]:
    """Samples of one page, [y, x] or [y, x, channel], in the file's data type; small is dark."""
    with TiffFile(checked(file)) as tiff:
        read = page_at(tiff, page)
        if read.compression == JPEG_IN_TIFF:
            _check_frames(read)
            _let_warn(read)
        return upright(_grey_or_colour(read, read.asarray()), orientation(read))


def _grey_or_colour(page: TiffPage, values: NDArray[Any]) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel], small is dark, of those that a page holds."""
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, 2)
    if page.photometric == PALETTE:
        return np.asarray(palette(page)[values])
    most = (1 << page.bitspersample) - 1
    # without the tag, tifffile says MINISWHITE
    if page.photometric == MINISWHITE and PHOTOMETRIC in page.tags:
        grey = values if values.ndim == 2 else values[..., :1]
        # of signed integers the lowest value is as far below 0 as the highest is above
        top = -1 if values.dtype.kind == "i" else most
        grey[:] = -grey if values.dtype.kind == "f" else top - grey
    # of 2 or 4 bits: to 8, as OpenCV unpacks those of PNG
    return values * np.uint8(255 // most) if most in (3, 15) else values
